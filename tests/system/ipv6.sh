#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A network that has IPv6 only.
. "$(dirname "$0")/functions.sh"
requires corosync
has_director
lab up 3 --family 6 || fail "lab up"
must_make n1 first
for n in n1 n2 n3; do until_true 3 "$n has it" has $n "/targets/$(target first)"; done
lab kill n2
until_true 8 "commits go on" makes n3 second
lab start n2
lab wait 20 || fail "all are well again"
pass
