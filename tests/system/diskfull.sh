#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# One member's store is full: it stops voting and says so, the others go on; room heals it.
. "$(dirname "$0")/functions.sh"
requires corosync
has_director
lab up 3 --state-size n3=24m || fail "lab up"
step "n3's disk is filled"
# And stays so: what a store gives back when it starts anew would be room enough for it.
lab sh n3 sh -c 'cd /var/lib/director && touch fill && while [ -e fill ]; do cat /dev/zero >>ballast; sleep 0.1; done' 2>/dev/null &
until_true 10 "it is full" eval '[ "$(lab sh n3 df --output=avail /var/lib/director | tail -n 1)" -lt 64 ]'
for i in $(seq 40); do must_make n1 "t$i"; done
until_true 15 "n3 says what is wrong" eval 'd n3 status 2>/dev/null | grep -qiE "space|store|disk"'
status_is n1 quorate true || fail "n1 is quorate"
step "room is made"
lab sh n3 rm /var/lib/director/fill
wait
lab sh n3 rm /var/lib/director/ballast
until_true 30 "n3 has it all" has n3 "/targets/$(target t40)"
lab wait 30 || fail "all are well again"
until_true 5 "all have the same commit" same_commit n1 n2 n3
until_true 20 "n3 counts again: with n2 dead, commits go on" eval 'lab kill n2; makes n1 with-n3'
pass
