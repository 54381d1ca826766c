#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two clusters with one key meet: the empty one yields (two with data: see clash).
. "$(dirname "$0")/functions.sh"
requires corosync
has_director
lab up 4 --no-start || fail "lab up"
step "two clusters, apart"
lab cut n1,n2 n3,n4
lab start n1,n2
lab start n3,n4
for n in n1 n2 n3 n4; do until_true 30 "$n is quorate" status_is $n quorate true; done
until_true 20 "n1 and n2" status_is n1 nodes 2
until_true 20 "n3 and n4" status_is n4 nodes 2
must_make n1 data
step "they meet: n3 and n4 held nothing, and join"
lab heal
lab wait 45 || fail "all are one cluster"
for n in n1 n2 n3 n4; do
	until_true 5 "$n has it" has $n "/targets/$(target data)"
	[ "$(count_targets $n)" = 1 ] || fail "$n has $(count_targets $n) targets"
done
until_true 10 "n4 commits" makes n4 by-n4
until_true 5 "all have the same commit" same_commit n1 n2 n3 n4
pass
