#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Partitions: a minority refuses, a majority goes on, healing loses and invents nothing.
. "$(dirname "$0")/functions.sh"
requires corosync
has_director
lab up 3 || fail "lab up"
must_make n1 before

step "n3's cable is pulled"
lab cut n3
until_true 8 "n3 has no quorum" status_is n3 quorate false
refused n3 minority
has n3 "/targets/$(target before)" || fail "n3 shows the tree without quorum"
until_true 8 "n1 commits" makes n1 majority
lab heal
lab wait 25 || fail "all are well after the heal"
until_true 5 "n3 has what it missed" has n3 "/targets/$(target majority)"
! has n1 "/targets/$(target minority)" || fail "a refused change is there"

step "n1 and n2 do not hear each other; n3 hears both"
lab cut n1 n2
sleep 2
until_true 25 "someone commits" eval 'makes n3 bridge || makes n1 bridge || makes n2 bridge'
lab heal
lab wait 25 || fail "all are well after the heal"
for n in n1 n2 n3; do until_true 5 "$n has it" has $n "/targets/$(target bridge)"; done

step "nobody hears n1, which hears all"
lab cut --from n1 --to n2,n3
until_true 15 "n2 commits" makes n2 oneway
lab heal
lab wait 25 || fail "all are well after the heal"
for n in n1 n2 n3; do until_true 5 "$n has it" has $n "/targets/$(target oneway)"; done

step "all are cut from each other: nobody decides"
lab cut all
for n in n1 n2 n3; do until_true 10 "$n has no quorum" status_is $n quorate false; done
for n in n1 n2 n3; do ! make_target $n alone-$n 2>/dev/null || fail "$n committed alone"; done
lab heal
lab wait 30 || fail "all are well after the heal"
until_true 5 "all have the same commit" same_commit n1 n2 n3
for n in n1 n2 n3; do
	[ "$(count_targets $n)" = 4 ] || fail "$n has $(count_targets $n) targets instead of 4"
	! lab logs $n | grep -qi diverged || fail "$n diverged"
done
pass
