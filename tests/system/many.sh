#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Sixteen nodes.
# Slow: not in ./runtests.
. "$(dirname "$0")/functions.sh"
requires corosync
has_director
start=$(now_ms)
lab up 16 --timeout 120 || fail "lab up 16"
step "16 nodes are ready after $(($(now_ms) - start)) ms"
must_make n16 by-last
for n in n1 n8 n16; do until_true 5 "$n has it" has $n "/targets/$(target by-last)"; done
step "seven die"
lab kill n1,n3,n5,n7,n9,n11,n13
until_true 20 "commits go on" makes n2 while-dead
until_true 10 "n2 sees nine" status_is n2 alive 9
step "they return"
lab start n1,n3,n5,n7,n9,n11,n13
lab wait 90 || fail "all are well again"
until_true 5 "n1 has it" has n1 "/targets/$(target while-dead)"
pass
