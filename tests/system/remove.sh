#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A removed node: its key works no more, it is refused, it shows up as pending at most; adopted, it is a member again.
. "$(dirname "$0")/functions.sh"
requires corosync
has_director
lab up 3 || fail "lab up"
must_make n1 before
key() { lab sh "$1" sha256sum /etc/director/cluster.key | cut -d' ' -f1; }
old=$(key n3)

step "n3 is removed while it runs"
d n1 node remove n3 || fail "node remove"
for n in n1 n2; do
	until_true 10 "$n has another key" eval '[ "$(key '$n')" != "$old" ]'
	until_true 10 "$n sees two nodes" status_is $n alive 2
	until_true 10 "$n is quorate" status_is $n quorate true
	! has $n /nodes/n3 || [ "$(node_state $n n3)" = pending ] || fail "$n still has n3: $(node_state $n n3)"
done
[ "$(key n1)" = "$(key n2)" ] || fail "n1 and n2 hold one key"
[ "$(key n3)" = "$old" ] || fail "n3 got the new key"
! make_target n3 forbidden 2>/dev/null || fail "a removed node changes something"
until_true 10 "commits go on" makes n2 without
sleep 1
! has n3 "/targets/$(target without)" || fail "the removed node follows"
status_is n3 quorate false || fail "the removed node is quorate"
until_true 10 "n3 says what it is" eval "d n3 status | grep -q 'was removed from the cluster: on a member run'"

step "it comes back with its old key and state: refused"
lab kill n3
lab start n3
sleep 5
for n in n1 n2; do
	s=$(node_state $n n3)
	[ -z "$s" ] || [ "$s" = pending ] || fail "$n says that n3 is $s"
	status_is $n alive 2 || fail "$n sees two"
done
! make_target n3 forbidden 2>/dev/null || fail "a removed node changes something"
must_make n1 undisturbed
! has n3 "/targets/$(target undisturbed)" || fail "the removed node reads what is new"

step "adopted, it is a member again, without a restart"
until_true 10 "n3 is seen as pending" eval '[ "$(node_state n1 n3)" = pending ]'
until_true 10 "n3 says what it is" eval "d n3 status | grep -qE 'was removed'"
pid=$(lab sh n3 cat /run/director/directord.pid)
d n2 node adopt n3 || fail "node adopt"
until_true 30 "n3 is a member" state_is n1 n3 alive
until_true 30 "n3 is quorate" status_is n3 quorate true
until_true 10 "n3 has what it missed" has n3 "/targets/$(target undisturbed)"
until_true 10 "n3 has the new key" eval '[ "$(key n3)" = "$(key n1)" ]'
must_make n3 by-n3-again
[ "$(lab sh n3 cat /run/director/directord.pid)" = "$pid" ] || fail "it was restarted"
until_true 20 "n3 votes" status_is n1 voters 3
old=$(key n3)
d n1 node remove n3 || fail "node remove"
for n in n1 n2; do until_true 10 "$n has another key" eval '[ "$(key '$n')" != "$old" ]'; done
for n in n1 n2; do expect $n 25 'older cluster keys are not accepted'; done

step "with nothing of its state but the old key it is not let in either, and begins nothing of its own"
lab kill n3
lab sh n3 sh -c 'rm -rf /var/lib/director/*'
lab start n3
sleep 5
for n in n1 n2; do status_is $n alive 2 || fail "$n sees two"; done
! has n3 "/targets/$(target undisturbed)" || fail "the old key reads what is new"
must_make n1 still-undisturbed
d n3 status | grep -q 'cluster key of this node is older' || fail "n3 says why it waits: $(d n3 status)"
status_is n3 quorate false || fail "n3 began a cluster of its own"
step "adopted, it is a node like any other"
until_true 45 "the node that it was is forgotten" status_is n1 pending-nodes 1
d n1 node adopt n3 || fail "node adopt"
until_true 30 "n3 is a member" state_is n1 n3 alive
until_true 30 "n3 has what there is" has n3 "/targets/$(target still-undisturbed)"
pass
