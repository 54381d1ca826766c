#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A node that died for good is removed with what only it had; a cluster gets the name that it was founded with.
. "$(dirname "$0")/functions.sh"
requires corosync
has_director
lab up 3 --key-on none --no-wait || fail "lab up"
step "a cluster is founded by name, the others are adopted"
until_true 10 "n1 answers" d n1 status
d n1 cluster create store-room || fail "cluster create"
until_true 20 "n1 is quorate" status_is n1 quorate true
until_true 5 "it has its name" eval '[ "$(d n1 get /cluster -o json | jq -r .data.desired.name)" = store-room ]'
for n in n2 n3; do
	until_true 10 "$n is pending" state_is n1 $n pending
	d n1 node adopt $n || fail "adopt $n"
done
for n in n1 n2 n3; do until_true 30 "$n counts three votes" status_is $n voters 3; done

step "n3 has a volume that a target exports"
d n1 volume create v3 --size 8M --on n3 >/dev/null || fail "volume create"
d n1 volume create v1 --size 8M --on n1 >/dev/null || fail "volume create"
must_make n1 t
d n1 lun add "$(target t)" v3 --lun 3 >/dev/null || fail "lun add"
d n1 lun add "$(target t)" v1 --lun 1 >/dev/null || fail "lun add"
text=$(d n1 node remove n3 --force 2>&1) && fail "a node that is alive is removed with its volumes"
grep -q 'is alive' <<<"$text" || fail "it says why: $text"

step "it dies; removing it says what is in the way, and with --force what is done"
lab kill n3
until_true 10 "n1 sees n3 dead" state_is n1 n3 dead
text=$(d n1 node remove n3 2>&1) && fail "removed with a volume on it"
grep -q '/volumes/v3.*--force' <<<"$text" || fail "it says what is in the way: $text"
text=$(d n1 node remove n3 --force 2>&1) || fail "node remove --force: $text"
echo "$text"
grep -q '/volumes/v3 is deleted' <<<"$text" || fail "it says that the volume goes: $text"
grep -q '/luns/3 is deleted' <<<"$text" || fail "it says that the LUN goes: $text"
for n in n1 n2; do
	until_true 10 "$n knows no n3" eval "! has $n /nodes/n3"
	! has $n /volumes/v3 || fail "$n still has the volume"
	has $n /volumes/v1 || fail "$n lost another volume"
	has $n "/targets/$(target t)/luns/1" || fail "$n lost another LUN"
done
until_true 40 "two votes are left" status_is n1 voters 2
must_make n2 goes-on

step "it comes back after all: refused"
lab start n3
sleep 3
status_is n1 alive 2 || fail "n1 sees two"
until_true 15 "n3 is seen as pending" state_is n1 n3 pending
must_make n1 undisturbed
pass
