#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two networks: the ring runs over both, either may go and nothing is lost; nodes grow in and come back with it.
. "$(dirname "$0")/functions.sh"
requires corosync corosync-cfgtool
has_director
links_of() { lab sh "$1" sh -c 'grep -c "ring[01]_addr" /var/lib/director/corosync/corosync.conf'; }
two_links() { [ "$(links_of "$1")" = $((2 * $2)) ] && lab sh "$1" grep -q 'link_mode: active' /var/lib/director/corosync/corosync.conf; }
nodeid() { lab logs "$1" | sed -n 's/.*cpg: joined as \([0-9]*\),.*/\1/p' | tail -n 1; }
# Is the other node's link LINK up, as Corosync sees it?
link_state() { # NODE LINK OTHER
	lab sh "$1" corosync-cfgtool -s | awk -v l="$2" -v n="$(nodeid "$3"):" '
		/^LINK ID/ { on = $3 == l } on && $1 == "nodeid:" && $2 == n { print $NF }'
}
lab up 3 --links 2 || fail "lab up"
for n in n1 n2 n3; do until_true 20 "$n runs the ring over two links" two_links $n 3; done
until_true 10 "the second link is up" eval '[ "$(link_state n1 1 n2)" = connected ]'
must_make n1 before

acked=0
commits() { # COUNT NAME: each must be acknowledged, by a node in turn; an answer that is lost is asked for again
	local i n
	for ((i = 0; i < $1; i++)); do
		n=n$((i % 3 + 1))
		must_make $n "$2-$i"
		acked=$((acked + 1))
	done
}
round=0
unnoticed() { # LINK
	local n status=0
	round=$((round + 1))
	forget n1 n2 n3
	lab cut --link "$1" n3
	commits 6 "cut-$round"
	sleep 6
	commits 3 "cut-$round-later"
	for n in n1 n2 n3; do
		status_is $n quorate true || no "$n is not quorate" || status=1
		! logged $n 'agree: now no quorum' || no "$n had no quorum" || status=1
		! logged $n 'gossip: node n[123] failed' || no "$n took somebody for dead" || status=1
		until_true 10 "$n sees three" status_is $n alive 3
	done
	lab heal
	until_true 20 "the link is back" eval "[ \"\$(link_state n1 $(($1 - 1)) n3)\" = connected ]"
	return $status
}
for link in 1 2; do
	step "n3's cable to network $link is pulled: all go on as if nothing was"
	calmly "network $link goes, and somebody notices" unnoticed $link
done
for n in n1 n2 n3; do until_true 5 "$n has all $((acked + 1))" eval "[ \"\$(count_targets $n)\" = $((acked + 1)) ]"; done

step "a fourth node comes in over both; one that was away returns while a network is down"
lab add || fail "lab add"
for n in n1 n2 n3 n4; do until_true 20 "$n runs the ring over two links" two_links $n 4; done
lab kill n2
until_true 8 "commits go on" makes n1 without-n2
lab cut --link 1 all
lab start n2
until_true 40 "n2 is back by the second network alone" status_is n2 quorate true
until_true 10 "n2 has what it missed" has n2 "/targets/$(target without-n2)"
must_make n2 by-n2
lab heal
lab wait 40 || fail "all are well after the heal"
until_true 5 "all have the same commit" same_commit n1 n2 n3 n4
pass
