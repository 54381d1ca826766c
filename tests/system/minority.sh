#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A minority says "no quorum" within a second once it knows of the cut, and goes on showing the tree, marked as such.
. "$(dirname "$0")/functions.sh"
requires corosync
has_director
lab up 3 || fail "lab up"
make_target n1 before || fail "commit"
lab cut n3
until_true 8 "n3 has no quorum" status_is n3 quorate false
for i in 1 2 3; do
	start=$(now_ms)
	text=$(D_TIMEOUT=10 make_target n3 minority-$i 2>&1)
	[ $? = 5 ] || fail "the exit status of a change without quorum is 5"
	took=$(($(now_ms) - start))
	[ $took -lt 1000 ] || fail "the refusal took $took ms"
	grep -qi 'quorum' <<<"$text" || fail "the refusal says why: $text"
done
step "refused in $took ms: $text"
has n3 "/targets/$(target before)" || fail "n3 shows the tree"
[ "$(count_targets n3)" = 1 ] || fail "n3 lists the targets"
d n3 ls /targets 2>&1 | grep -qi 'quorum' || fail "the list is not marked: $(d n3 ls /targets 2>&1)"
d n3 status | grep -qi 'quorum' || fail "the status is not marked"
lab heal
lab wait 25 || fail "all are well after the heal"
for n in n1 n2 n3; do [ "$(count_targets $n)" = 1 ] || fail "$n has $(count_targets $n) targets"; done
until_true 5 "n3 commits" make_target n3 again
pass
