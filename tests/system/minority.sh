#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A minority says "no quorum" by itself (within a second: tests/sim/sim_cluster), and goes on showing the tree, marked as such.
. "$(dirname "$0")/functions.sh"
requires corosync
has_director
lab up 3 || fail "lab up"
must_make n1 before
lab cut n3
until_true 8 "n3 has no quorum" status_is n3 quorate false
for i in 1 2 3; do refused n3 minority-$i; done
has n3 "/targets/$(target before)" || fail "n3 shows the tree"
[ "$(count_targets n3)" = 1 ] || fail "n3 lists the targets"
d n3 ls /targets 2>&1 | grep -qi 'quorum' || fail "the list is not marked: $(d n3 ls /targets 2>&1)"
[ "$(d n3 target list -o json | jq .quorate)" = false ] || fail "the list as JSON is not marked"
[ "$(d n1 target list -o json | jq .quorate)" = null ] || fail "a quorate node's list is marked"
d n3 status | grep -qi 'quorum' || fail "the status is not marked"
lab heal
lab wait 25 || fail "all are well after the heal"
for n in n1 n2 n3; do [ "$(count_targets $n)" = 1 ] || fail "$n has $(count_targets $n) targets"; done
until_true 5 "n3 commits" makes n3 again
pass
