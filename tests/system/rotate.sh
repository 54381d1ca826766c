#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The cluster key is changed on a live cluster: all follow, nobody is taken for dead; who was away gets it on return.
. "$(dirname "$0")/functions.sh"
requires corosync
has_director
lab up 3 || fail "lab up"
must_make n1 before
key() { lab sh "$1" sha256sum /etc/director/cluster.key | cut -d' ' -f1; }
same_key() { [ "$(key n1)" != "$old" ] && [ "$(key n1)" = "$(key n2)" ] && [ "$(key n1)" = "$(key n3)" ]; }

step "rotation with all nodes up"
rotated() {
	local n
	until_true 20 "all see three" eval 'status_is n1 alive 3 && status_is n2 alive 3 && status_is n3 alive 3'
	old=$(key n1)
	forget n1 n2 n3
	d n2 cluster rotate-key || fail "rotate-key"
	until_true 10 "all have the new key" same_key
	for n in n1 n2 n3; do expect $n 15 'older cluster keys are not accepted'; done
	for n in n1 n2 n3; do
		! logged $n 'gossip: node n[123] failed' || no "$n took somebody for dead" || return
		status_is $n alive 3 || no "$n does not see three" || return
	done
}
calmly "somebody is taken for dead by a new key" rotated
until_true 10 "commits go on" makes n3 after
until_true 5 "all have it" same_commit n1 n2 n3

step "rotation while n3 is down"
lab kill n3
until_true 5 "n1 sees that" state_is_not n1 n3 alive
old=$(key n1)
d n1 cluster rotate-key || fail "rotate-key"
until_true 10 "n2 has the new key" eval '[ "$(key n2)" != "$old" ] && [ "$(key n2)" = "$(key n1)" ]'
for n in n1 n2; do expect $n 25 'older cluster keys are not accepted'; done
until_true 10 "commits go on" makes n2 while-away
forget n1 n2 n3
lab start n3
lab wait 30 || fail "n3 came back"
until_true 5 "all have the new key" same_key
until_true 5 "n3 has what it missed" has n3 "/targets/$(target while-away)"
until_true 5 "n3 commits" makes n3 back
pass
