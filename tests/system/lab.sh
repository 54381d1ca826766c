#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Slow: about a minute; the harness itself.
# The lab itself: what it cuts is cut and nothing else, and nothing is left behind, even when it is killed.
. "$(dirname "$0")/functions.sh"
requires

# What a node hears: every node sends its name to a port of every other one, four times a second.
cat_name='while :; do for i in 1 2 3; do timeout 1 bash -c "echo $LAB_NODE >/dev/udp/$NET.$i/9" 2>/dev/null; done; sleep 0.25; done'
packets() { # FROM TO: how many packets of FROM's card pass TO's filter in a second?
	local mac before after
	mac=$(lab sh "$1" cat /sys/class/net/eth0/address)
	lab sh "$2" iptables -w -C INPUT -m mac --mac-source "$mac" -j ACCEPT 2>/dev/null ||
		lab sh "$2" iptables -w -A INPUT -m mac --mac-source "$mac" -j ACCEPT
	lab sh "$2" iptables -w -Z INPUT
	sleep 1.2
	lab sh "$2" iptables -w -vnxL INPUT | awk -v mac="$mac" 'tolower($0) ~ mac { n = $1 } END { print n + 0 }'
}
hears() { [ "$(packets "$1" "$2")" -gt 0 ]; }
hear() { hears "$1" "$2" || fail "$2 does not hear $1"; }
deaf() { ! hears "$1" "$2" || fail "$2 hears $1"; }

step "up, with a stand-in for the daemon"
lab up 1 --family 4 --program 'sleep 1000' --ready true || fail "lab up"
net=$(lab address n1); net=${net%.*}
lab down
lab up 3 --family 4 --program "NET=$net; $cat_name" --ready true || fail "lab up"
[ "$(lab list | grep -c running)" = 3 ] || fail "three nodes run"
[ "$(lab sh n2 hostname)" = n2 ] || fail "a node has its own name"
lab sh n1 sh -c 'exit 7'
[ $? = 7 ] || fail "sh gives the status of its command"
lab sh n1 sh -c 'echo private >/var/lib/director/x; echo private >/etc/director/x; echo private >/run/x'
[ ! -e /etc/director/x ] && [ ! -e /run/x ] && [ ! -e /var/lib/director/x ] || fail "a node's folders are its own"
! lab sh n2 test -e /var/lib/director/x || fail "a node's folders are its own"

step "everyone hears everyone"
hear n1 n2; hear n2 n1; hear n3 n1

step "one way"
lab cut --from n1 --to n2
deaf n1 n2; hear n2 n1; hear n3 n2
lab heal
hear n1 n2

step "between two"
lab cut n1 n3
deaf n1 n3; deaf n3 n1; hear n2 n3
lab heal

step "healing one node undoes what others were told about it too"
lab cut n1 n2
lab cut --from n3 --to n2
lab heal n1
hear n1 n2; hear n2 n1; deaf n3 n2
lab heal n2,n3
hear n3 n2
lab cut all n2
deaf n1 n2; deaf n2 n3
lab heal all
hear n1 n2; hear n3 n2

step "what cannot be is refused, and changes nothing"
refused() {
	timeout 20 "$lab" "$@" >/dev/null 2>&1
	[ $? = 1 ] || fail "lab $* is refused"
}
refused cut n9; refused cut n1 n9; refused cut; refused cut n1 n2 n3; refused cut --link 2 n1
refused cut --from n1; refused cut --from n1 --to; refused cut --from n1 --to n9; refused cut --to n2 n1
refused heal n9; refused kill n9; refused kill; refused start n9; refused pause n1,n9; refused sh n9 true; refused sh plugins true
refused logs; refused logs n9; refused logs n1 nothing; refused list n1; refused wait long; refused fly
refused up 3; refused up; refused up -1; refused add 0; refused add --timeout; refused add --fly
refused down n1; refused address ''
[ "$(lab list | grep -c 'running [^:]*$')" = 3 ] || fail "three nodes run, none is cut off: $(lab list)"

step "the whole cable"
lab cut n2
deaf n2 n1; deaf n1 n2; hear n1 n3
lab heal n2
hear n2 n1

step "pause and resume"
lab pause n3
[ "$(lab list | awk '$1 == "n3" { print $4 }')" = paused ] || fail "n3 is paused"
lab resume n3
[ "$(lab list | awk '$1 == "n3" { print $4 }')" = running ] || fail "n3 runs again"

step "kill and start; all at once"
lab kill n2
[ "$(lab list | awk '$1 == "n2" { print $4 }')" = stopped ] || fail "n2 is dead"
lab start n2
[ "$(lab list | awk '$1 == "n2" { print $4 }')" = running ] || fail "n2 runs again"
lab sh n1 sh -c 'trap "" TERM HUP; sleep 1000 & wait' </dev/null >/dev/null 2>&1 &
sleep 0.7
lab kill all
[ "$(lab list | grep -c stopped)" = 3 ] || fail "all are dead"
[ "$(lab sh n1 cat /var/lib/director/x)" = private ] || fail "what was on disk stays"

step "a further node, with a small disk"
lab add --state-size 1m --no-start || fail "lab add"
! lab sh n4 sh -c 'head -c 2000000 /dev/zero >/var/lib/director/big' 2>/dev/null || fail "the disk is full at 1 MB"

step "not ready says what is missing"
out=$(LAB=$LAB-b "$lab" up 1 --program 'sleep 1000' --ready 'echo because; false' --timeout 1 2>&1) && fail "up fails"
[[ $out == *"n1: not ready: because"* ]] || fail "it says why: $out"
# Side by side: the other one has its own network.
[ "$(LAB=$LAB-b "$lab" address n1)" != "$(lab address n1)" ] || fail "two labs have two networks"
LAB=$LAB-b "$lab" down
[ "$(lab list | wc -l)" = 4 ] || fail "the other lab's end does not touch this one"

step "nothing is left, even after the script was killed in the middle"
lab down
setsid "$lab" up 12 --program 'sleep 1000' --ready true >/dev/null 2>&1 &
pid=$!
sleep 0.7
kill -KILL -- -$pid 2>/dev/null
wait $pid 2>/dev/null
lab down
! ip netns list | grep -q "^dl-$LAB-" || fail "namespaces are left"
! grep -qsx "director lab $LAB" /sys/class/net/dlb*/ifalias || fail "a bridge is left"
! pgrep -f "lab-holder-$LAB-" >/dev/null || fail "processes are left"
[ ! -e "/var/tmp/director-lab/$LAB" ] || fail "files are left"
step "done"
