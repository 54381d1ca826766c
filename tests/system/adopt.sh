#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A node without the key waits, is seen, and joins when it is adopted: by somebody, or by itself where the cluster says so.
. "$(dirname "$0")/functions.sh"
requires corosync
has_director
lab up 3 --key-on n1,n2 --no-wait || fail "lab up"
WANT=2
until_true 30 "n1 and n2 are a cluster" status_is n1 voters 2
step "n3 is pending, and obeys nobody"
until_true 10 "n3 is seen as pending" status_is n1 pending-nodes 1
until_true 10 "n3 is listed as pending" state_is n2 n3 pending
make_target n3 forbidden 2>/dev/null && fail "a pending node changes nothing"
must_make n1 first
step "it is adopted on n2"
d n2 node adopt n3 || fail "node adopt"
until_true 20 "n3 is a member" state_is n1 n3 alive
until_true 20 "n3 has what there is" has n3 "/targets/$(target first)"
until_true 20 "n3 votes" status_is n3 voters 3
must_make n3 by-n3
step "it stays a member over a restart"
lab kill n3
lab start n3
until_true 20 "n3 is a member" state_is n1 n3 alive
until_true 20 "n3 commits" makes n3 again
step "told to, the cluster adopts by itself"
d n2 cluster set auto-adopt=yes >/dev/null || fail "cluster set"
lab add --no-key --no-wait || fail "lab add"
until_true 30 "n4 is a member" state_is n1 n4 alive
until_true 20 "n4 commits" makes n4 by-n4
pass
