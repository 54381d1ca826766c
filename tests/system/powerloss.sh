#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# All nodes lose power at once, in the middle of commits: what was acknowledged is there afterwards.
. "$(dirname "$0")/functions.sh"
requires corosync
has_director
lab up 3 || fail "lab up"
acked=$(mktemp)
for round in 1 2 3; do
	step "round $round: commits on all nodes, then all are killed"
	for n in n1 n2 n3; do
		(for ((i = 0; i < 200; i++)); do
			make_target $n "r$round-$n-$i" 2>/dev/null && echo "r$round-$n-$i" >>"$acked"
		done) &
	done
	sleep "$round.$((RANDOM % 10))"
	lab kill all
	kill $(jobs -p) 2>/dev/null
	wait
	step "round $round: $(grep -c "^r$round-" "$acked") commits were acknowledged; power returns, in another order each time"
	case $round in 1) lab start n3,n2,n1 ;; 2) lab start n2; sleep 3; lab start n1,n3 ;; *) lab start all ;; esac
	lab wait 40 || fail "all are well again"
	for n in n1 n2 n3; do
		d $n target list -o json | jq -r '.data[].name' | sed 's/.*test://' | sort >"$acked.have"
		missing=$(sort "$acked" | comm -23 - "$acked.have")
		[ -z "$missing" ] || fail "$n lost acknowledged commits: $missing"
	done
done
until_true 5 "all have the same commit" same_commit n1 n2 n3
rm -f "$acked" "$acked.have"
pass
