#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A node that calls itself otherwise, one that lives elsewhere, and two of one name: noticed, named in words, and nobody is harmed.
. "$(dirname "$0")/functions.sh"
requires corosync corosync-quorumtool
has_director
lab up 3 --family 4 || fail "lab up"
must_make n1 before
harmless() {
	local n
	for n in n1 n2 n3; do until_true 20 "$n sees three" status_is $n alive 3; until_true 20 "$n is quorate" status_is $n quorate true; done
	must_make n3 "$1"
	until_true 10 "all have the same commit" same_commit n1 n2 n3
}

step "n3 calls itself other"
forget n1 n2 n3
lab stop n3
lab sh n3 sed -i 's/^name = .*/name = other/' /etc/director/director.conf
lab start n3
for n in n1 n2; do expect $n 15 'gossip: node n3 now calls itself other; it stays n3 in this cluster'; done
until_true 10 "it is n3 still" state_is n1 n3 alive
[ -z "$(node_state n1 other)" ] || fail "a second node appeared"
harmless renamed

step "n3 gets another address while it runs"
forget n1 n2 n3
old=$(lab address n3 4) new=${old%.*}.203
lab sh n3 ip addr add "$new/24" dev eth0 || fail "ip addr add"
lab sh n3 ip addr del "$old/24" dev eth0 || fail "ip addr del"
# The last address of a network takes the others of it along, unless the kernel promotes one.
lab sh n3 ip addr replace "$new/24" dev eth0
for n in n1 n2; do expect $n 20 "gossip: node other is at $new:[0-9]+ now, no longer at $old"; done
harmless readdressed
until_true 40 "the ring has its new address" eval 'lab sh n1 grep -q "ring0_addr: $new\$" /var/lib/director/corosync/corosync.conf'
until_true 20 "all vote" status_is n1 voters 3
until_true 20 "they are three in the ring" eval '[ "$(lab sh n1 corosync-quorumtool -l 2>/dev/null | grep -c director)" = 3 ]'
lab kill n2
until_true 20 "n1 and n3 go on together" makes n1 with-n3
lab start n2
harmless all-again

step "a further node with the name of another"
forget n1 n2 n3
lab add --no-start || fail "lab add"
lab sh n4 sed -i 's/^name = .*/name = n2/' /etc/director/director.conf
lab start n4
until_true 30 "four nodes" status_is n1 alive 4
until_true 30 "they have four names" eval '[ "$(d n1 node list -o json | jq "[.data[].name] | unique | length")" = 4 ]'
state_is n1 n2 alive || fail "n2 is n2"
until_true 20 "the newcomer commits" makes n4 by-the-namesake
pass
