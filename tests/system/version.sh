#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A node that speaks other versions of the protocol is refused by name; in the same version it comes in.
. "$(dirname "$0")/functions.sh"
requires corosync
has_director
lab up 2 || fail "lab up"
lab add --no-start || fail "lab add"
step "n3 speaks versions 7 to 9 only"
DIRECTORD_PROTOCOL=7-9 lab start n3
for n in n1 n2; do expect $n 10 'node n3 at .* speaks protocol versions 7 to 9, this one [0-9]+ to [0-9]+: refused'; done
for n in n1 n2; do
	state_is_not $n n3 alive || [ -z "$(node_state $n n3)" ] || fail "$n took n3 in"
	status_is $n alive 2 || fail "$n sees two"
done
must_make n1 undisturbed
! has n3 "/targets/$(target undisturbed)" || fail "n3 reads the tree"
step "with versions in common it comes in"
lab kill n3
DIRECTORD_PROTOCOL=1-9 lab start n3
until_true 25 "n3 is a member" state_is n1 n3 alive
until_true 15 "n3 has what there is" has n3 "/targets/$(target undisturbed)"
pass
