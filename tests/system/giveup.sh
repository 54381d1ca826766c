#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A volume whose nodes all went, one of them without power, waits for the copy that may have what that one lost; when it is given up with
# its node, the volume goes on with what is there.
. "$(dirname "$0")/functions.sh"
make_work
one_volume --size 16M --copies 2 --on n1,n2
serves_all n1 n2 n3
until_true 10 "in sync" in_sync 2
d n1 volume move v --owner n1 >/dev/null 2>&1
until_true 10 "n1 owns it" owner_is n1
mark n1

step "n1 and n2 go at once; n1 comes back, and had no power"
lab kill n1,n2
new_machine n1
lab start n1
until_true 30 "n1 is quorate" status_is n1 quorate true
waits() { d n1 volume show v | grep -q 'a leg that is missing may have what those here have lost'; }
until_true 30 "it waits, and says for what" waits
[ "$(show '.data.derived["in-sync"]')" = "2 of 2" ] || fail "a copy was put out of sync: $(d n1 volume show v)"

step "the copy is given up with its node"
until_true 20 "n1 sees n2 dead" state_is n1 n2 dead
d n1 node remove n2 >/dev/null 2>&1 && fail "the node is removed with its copy, and nobody asked for that"
d n1 node remove n2 --force >"$work/text" 2>&1 || fail "node remove --force: $(cat "$work/text")"
grep -q '/volumes/v/legs/.* is deleted' "$work/text" || fail "it says what goes: $(cat "$work/text")"
until_true 30 "it goes on" marked n1
until_true 60 "and gets another copy" in_sync 2
[ "$(nodes)" = "n1 n3" ] || fail "the other copy is on $(nodes)"
for n in n1 n3; do marked $n || fail "through $n the data is another"; done
pass
