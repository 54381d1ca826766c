#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# directord alone dies and returns: director-target and Corosync go on and are taken over.
. "$(dirname "$0")/functions.sh"
requires corosync
has_director
lab up 3 || fail "lab up"
of() { for p in $(lab sh "$1" pgrep -x "$2"); do
	[ "$(readlink "/proc/$p/ns/net")" = "$(lab sh "$1" readlink /proc/self/ns/net)" ] && echo "$p"; done; }
target_pid=$(of n2 director-target) ring_pid=$(of n2 corosync)
[ -n "$target_pid" ] && [ -n "$ring_pid" ] || fail "both run"
for round in 1 2 3; do
	step "round $round: directord of n2 is killed"
	lab kill n2 directord
	must_make n1 "round-$round"
	lab start n2
	lab wait 20 || fail "all are well again"
	[ "$(of n2 director-target)" = "$target_pid" ] || fail "director-target was restarted"
	[ "$(of n2 corosync)" = "$ring_pid" ] || fail "corosync was restarted"
	until_true 5 "n2 has it" has n2 "/targets/$(target "round-$round")"
done
step "director-target dies: it is started again"
lab kill n2 director-target
until_true 5 "it runs again" eval '[ -n "$(of n2 director-target)" ]'
step "a stop in good order is told apart from a failure"
forget n1
lab stop n3
until_true 5 "n1 knows that n3 left" eval '[ "$(node_state n1 n3)" = left ]'
lab start n3
lab wait 20 || fail "all are well again"
step "all stop, one starts: it shows what the others said last"
lab stop n2
lab stop n3
lab stop n1
lab start n1
until_true 10 "n1 knows of n2's version, which it has not met since" eval 'd n1 get /nodes/n2 | grep -A20 "observed by n2" | grep -q version'
[ "$(node_state n1 n2)" = dead ] || fail "n2 is $(node_state n1 n2)"
lab start n2,n3
lab wait 20 || fail "all are well again"
pass
