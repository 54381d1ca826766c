#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A node made of a copy of another's disk: it is refused in words, and nobody is harmed.
. "$(dirname "$0")/functions.sh"
requires corosync
has_director
lab up 3 || fail "lab up"
must_make n1 before
lab add --no-start || fail "lab add"
step "n4 has n3's state directory"
lab sh n3 tar -C /var/lib/director --exclude=corosync -cf - . | lab sh n4 tar -C /var/lib/director -xf - || fail "copy"
forget n1 n2 n3
lab start n4
expect n4 15 "this node's identity is in use at"
until_true 15 "n1, n2 or n3 names it" eval 'logged n1 "exists twice" || logged n2 "exists twice" || logged n3 "exists twice"'
again=
unharmed() {
	local n
	if [ -n "$again" ]; then
		until_true 20 "three are well again" eval 'status_is n1 alive 3 && status_is n2 alive 3 && status_is n3 alive 3'
		forget n1 n2 n3 n4
		lab kill n4
		lab start n4
		expect n4 15 "this node's identity is in use at"
	fi
	again=yes
	for _ in 1 2 3 4 5; do
		sleep 1
		for n in n1 n2 n3; do
			status_is $n alive 3 || no "$n sees three" || return
			status_is $n quorate true || no "$n is quorate" || return
			state_is $n n3 alive || no "$n takes n3 for $(node_state $n n3)" || return
		done
	done
	for n in n1 n2 n3; do ! logged $n 'gossip: node n[123] failed' || no "$n takes somebody for dead" || return; done
}
calmly "nobody is harmed" unharmed
must_make n3 by-the-right-one
! make_target n4 by-the-copy 2>/dev/null || fail "the copy changes something"
! has n1 "/targets/$(target by-the-copy)" || fail "the copy's change is there"
d n4 status | grep -qi 'identity' || fail "n4's status says what is wrong"
step "without the copied identity it is a node of its own"
lab kill n4
lab sh n4 sh -c 'rm -rf /var/lib/director/*'
lab start n4
lab wait 30 || fail "four nodes"
pass
