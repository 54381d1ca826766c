#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Nodes that boot are in the cluster without a command, and every node's shell shows and changes everything.
. "$(dirname "$0")/functions.sh"
requires corosync
has_director

step "one node alone is a cluster"
lab up 1 || fail "lab up 1"
must_make n1 first

step "two more boot: listed everywhere, all vote"
start=$(now_ms)
lab add 2 || fail "lab add 2"
step "three nodes are ready after $(($(now_ms) - start)) ms"
for n in n1 n2 n3; do
	for m in n1 n2 n3; do state_is $n $m alive || fail "$n lists $m as alive"; done
	has $n "/targets/$(target first)" || fail "$n has what was made before it came"
done

step "each node changes, all see it"
for n in n1 n2 n3; do must_make $n by-$n; done
for n in n1 n2 n3; do
	for m in n1 n2 n3; do until_true 3 "$n sees the change of $m" has $n "/targets/$(target by-$m)"; done
done
until_true 3 "all have the same commit" same_commit n1 n2 n3

step "a fourth is listed on every node within 2.5 s of its start"
lab add --no-start || fail "lab add"
start=$(now_ms)
lab start n4
for n in n1 n2 n3; do until_true 5 "$n lists n4" state_is $n n4 alive; done
step "n4 is listed everywhere after $(($(now_ms) - start)) ms"
until_true 10 "n4 takes commits" makes n4 by-n4
pass
