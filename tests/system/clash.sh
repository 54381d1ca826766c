#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two clusters with one key meet and both hold data: they do not mix, nothing is lost, and both say what is wrong.
. "$(dirname "$0")/functions.sh"
requires corosync
has_director
lab up 2 --no-start || fail "lab up"
lab cut n1 n2
lab start n1,n2
for n in n1 n2; do
	until_true 30 "$n is quorate" status_is $n quorate true
	must_make $n by-$n
done
step "they meet"
lab heal
for n in n1 n2; do until_true 20 "$n says what is wrong" eval "d $n status | grep -q 'same cluster key and data of another cluster'"; done
sleep 3
for n in n1 n2; do
	[ "$(count_targets $n)" = 1 ] || fail "$n has $(count_targets $n) targets"
	has $n "/targets/$(target by-$n)" || fail "$n lost its data"
	must_make $n still-$n
	[ "$(count_targets $n)" = 2 ] || fail "$n has $(count_targets $n) targets"
done
pass
