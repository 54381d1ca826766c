#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A node that is stopped for a while and goes on: it did not decide anything in between, and catches up.
. "$(dirname "$0")/functions.sh"
requires corosync
has_director
lab up 3 || fail "lab up"
for seconds in 1 6; do
	step "n2 stands still for $seconds s"
	lab pause n2
	sleep $seconds
	until_true 10 "commits go on" makes n1 "paused-$seconds"
	lab resume n2
	until_true 15 "n2 has it" has n2 "/targets/$(target "paused-$seconds")"
	lab wait 20 || fail "all are well again"
done
step "n2's Corosync alone stands still"
lab pause n2 corosync
until_true 10 "commits go on" makes n3 ring-paused
state_is n1 n2 alive || fail "n2 itself is alive"
lab resume n2 corosync
until_true 15 "n2 has it" has n2 "/targets/$(target ring-paused)"
step "n2's directord alone stands still"
lab pause n2 directord
until_true 10 "commits go on" makes n3 daemon-paused
lab resume n2 directord
until_true 15 "n2 has it" has n2 "/targets/$(target daemon-paused)"
lab wait 20 || fail "all are well again"
until_true 5 "all have the same commit" same_commit n1 n2 n3
pass
