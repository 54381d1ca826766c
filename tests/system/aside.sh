#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two nodes of the ring do not hear each other, a third hears both: the worst-connected one keeps out, the others go on.
. "$(dirname "$0")/functions.sh"
requires corosync
has_director
lab up 3 || fail "lab up"
must_make n1 before
aside() { local n; for n in n1 n2 n3; do d $n status 2>/dev/null | grep -q 'keeps out of the ring' && echo $n; done; return 0; }
one_aside() { [ "$(aside | wc -l)" = 1 ]; }
for cut in "--from n1 --to n2" "n1 n3"; do
	name=$(tr -cd a-z0-9 <<<"$cut")
	step "lab cut $cut"
	start=$(now_ms)
	# shellcheck disable=SC2086
	lab cut $cut
	until_true 20 "one node keeps out" one_aside
	out=$(aside)
	step "$out keeps out after $(($(now_ms) - start)) ms"
	case $cut in *n2) [[ $out = n[12] ]] ;; *) [[ $out = n[13] ]] ;; esac || fail "$out is not one of the two"
	for n in n1 n2 n3; do [ $n = "$out" ] || until_true 15 "$n goes on" status_is $n quorate true; done
	for n in n1 n2 n3; do [ $n = "$out" ] || must_make $n "$name-by-$n"; done
	until_true 10 "$out follows, and hands its changes on" makes "$out" "$name-by-$out"
	for n in n1 n2 n3; do until_true 10 "$n has it" has $n "/targets/$(target "$name-by-$out")"; done
	lab heal
	until_true 30 "$out comes back by itself" status_is "$out" quorate true
	lab wait 40 || fail "all are well after the heal"
	[ -z "$(aside)" ] || fail "$(aside) still keeps out"
done
for n in n1 n2 n3; do [ "$(count_targets $n)" = 7 ] || fail "$n has $(count_targets $n) targets instead of 7"; done
until_true 5 "all have the same commit" same_commit n1 n2 n3
pass
