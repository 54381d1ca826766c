#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A node with another key, and bytes from strangers: refused, counted, and nobody is disturbed.
. "$(dirname "$0")/functions.sh"
requires corosync
has_director
lab up 3 || fail "lab up"
step "a node with another key boots beside them"
lab add --no-start || fail "lab add"
lab sh n4 sh -c 'head -c 32 /dev/urandom | od -An -vtx1 | tr -d " \n" >/etc/director/cluster.key'
before=$(commit_of n1)
lab start n4
sleep 6
for n in n1 n2 n3; do
	state_is_not $n n4 alive || [ -z "$(node_state $n n4)" ] || fail "$n took in a node with another key"
	status_is $n alive 3 || fail "$n sees three"
	status_is $n quorate true || fail "$n is quorate"
done
for n in n1 n2 n3; do expect $n 10 "gossip: refused a datagram from ($(lab address n4 4)|\\[$(lab address n4 6)\\]):[0-9]+: (wrong key|forged)"; done
must_make n1 undisturbed
! has n4 "/targets/$(target undisturbed)" || fail "n4 reads the tree of a cluster that is not its own"

step "garbage on every port"
lab host bash -c '
	for a in '"$(lab address n1) $(lab address n2)"'; do
		for i in $(seq 300); do head -c $((RANDOM % 1400 + 1)) /dev/urandom >/dev/udp/$a/7340; done
		for i in $(seq 20); do (head -c 5000 /dev/urandom >/dev/tcp/$a/7340) 2>/dev/null; done
		for i in $(seq 50); do head -c $((RANDOM % 1400 + 1)) /dev/urandom >/dev/udp/$a/5405; done
	done' 2>/dev/null
for n in n1 n2 n3; do status_is $n alive 3 || fail "$n sees three"; done
must_make n2 after-garbage
lab sh n4 true
lab kill n4
step "it was counted, and by whom: any node's shell says so"
observed() { d n3 node show "$1" -o json | jq -r --arg a "$2" '.data.observed[0].attributes[$a] // empty'; }
for n in n1 n2; do
	until_true 40 "$n counted what it refused" eval '[ "$(observed '$n' refused)" -gt 0 ]'
	[ -n "$(observed $n refused-last)" ] || fail "$n says from where"
done
pass
