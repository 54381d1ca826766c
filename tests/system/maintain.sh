#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What an administrator does to a volume that is used: more and fewer copies, another node for a copy, another size, a scrub, a node
# drained and switched off.
. "$(dirname "$0")/functions.sh"
one_volume --size 16M --copies 1 --on n1
make_work

serves_all n1 n2 n3
mark n2

step "one copy, two, three, two, under load"
load n3 10 --size 14M
for k in 2 3 2; do
	d n1 volume convert v --copies $k >/dev/null || fail "convert to $k"
	until_true 20 "$k copies are in sync" in_sync $k
done
ended "converted"
marked n3 || fail "converted: the data is another"

step "the copies that stay are named, and the node that serves has none of them, under load"
load n2 8 --size 14M
d n1 volume convert v --copies 3 >/dev/null || fail "convert to 3"
until_true 20 "3 copies are in sync" in_sync 3
stay=$(for n in n1 n2 n3; do [ $n = "$(owner)" ] || echo $n; done | paste -sd,)
d n1 volume convert v --copies 2 --on "$stay" >/dev/null || fail "convert to 2 on $stay"
until_true 20 "those on $stay stay" eval '[ "$(nodes)" = "${stay/,/ }" ] && in_sync 2'
ended "named"
marked n3 || fail "named: the data is another"

step "a copy moves to the node without one, under load"
free=$(for n in n1 n2 n3; do [ -n "$(leg_of $n)" ] || echo $n; done)
from=$(nodes | tr ' ' '\n' | grep -vx "$(owner)")
load n1 8 --size 14M
d n1 volume move v --leg "$(leg_of "$from")" --to "$free" >/dev/null || fail "move"
until_true 20 "in sync at $free" eval 'in_sync 2 && [ -n "$(leg_of "$free")" ] && [ -z "$(leg_of "$from")" ]'
ended "moved"
marked n1 || fail "moved: the data is another"

step "it grows under load"
load n2 6 --size 14M
d n1 volume resize v 24M >/dev/null || fail "resize"
until_true 10 "the size is told" eval '[ "$(show ".data.observed[].attributes.size | select(.)")" = $((24 << 20)) ]'
ended "resized"
head -c 1M /dev/urandom >"$work/end"
lab host timeout 60 "$iscsi" write "$(url n1)" --offset 23M <"$work/end" || fail "write behind the old end"
lab host timeout 60 "$iscsi" read "$(url n3)" --offset 23M --length 1M 2>/dev/null | cmp -s - "$work/end" || fail "behind the old end it reads otherwise"
until_true 10 "the legs are equal" legs_equal
d n1 volume resize v 8M >"$work/text" 2>&1 && fail "it shrank without being asked twice"
grep -q 'would shrink from 24M to 8M' "$work/text" || fail "what a user is told: $(cat "$work/text")"

step "a copy is given up while it is made: how far it is was told, and then nothing is left to copy"
d n1 volume set v resync-limit=1M >/dev/null || fail "set"
d n1 volume convert v --copies 3 --no-wait >/dev/null || fail "convert"
until_true 10 "how much is left, and how fast that goes" eval '[ "$(show ".data.derived | .[\"resync-left\"] != null and .[\"resync-rate\"] != null")" = true ]'
d n1 volume convert v --copies 2 >/dev/null || fail "convert back"
until_true 10 "it is gone" in_sync 2
until_true 5 "nothing is left to copy" eval '[ "$(show ".data.derived[\"resync-left\"]")" = null ]'
d n1 volume set v resync-limit= >/dev/null || fail "set"

step "a copy is given up while its node is down: it is said to be that, and where, until the node removes it"
d n1 volume set v resync-limit=1M >/dev/null || fail "set"
d n1 volume convert v --copies 3 --no-wait >/dev/null || fail "convert"
has_three() { [ "$(show '[.data.legs[] | select(.observed[0].attributes.storage == "ready")] | length')" = 3 ]; }
until_true 10 "the third is there" has_three
free=$(show '.data.legs[] | select(.desired.state == "new") | .desired.node')
lab kill "$free"
via=$(owner)
until_true 10 "$free is gone" state_is_not "$via" "$free" alive
d "$via" volume convert v --copies 2 --no-wait >/dev/null || fail "convert back"
given_up() { d "$via" volume show v | grep -qE "^[a-z] +$free +.* given up +"; }
until_true 10 "it is said to be given up" given_up
d "$via" dump >"$work/dump" || fail "dump"
grep -qE "\(null\)|$free" "$work/dump" && fail "it is dumped: $(cat "$work/dump")"
lab start "$free"
lab wait 30 || fail "$free is back"
until_true 20 "it is removed" eval '! given_up && in_sync 2'
d n1 volume set v resync-limit= >/dev/null || fail "set"

step "a leg's file is damaged while its director-target is dead: the scrub finds and repairs it, and says so"
other=$(nodes | tr ' ' '\n' | grep -vx "$(owner)")
mark n1
lab pause "$other" director-target
lab kill "$other" director-target
head -c 256K /dev/urandom | lab sh "$other" dd of="$(file_of "$other")" bs=64K seek=$(((16 << 20) / 65536)) conv=notrunc status=none
until_true 20 "in sync again" in_sync 2
d n1 volume scrub v >/dev/null || fail "scrub"
asked=$(show '.data.desired["scrub-asked"]')
until_true 20 "the scrub ends" eval '[ "$(show ".data.derived[\"scrub-done\"]")" = "$asked" ]'
[ "$(show '.data.derived["scrub-found"]')" -gt 0 ] || fail "it found nothing: $(d n1 volume show v)"
marked n1 || fail "scrubbed: the data is another"
until_true 10 "the legs are equal" legs_equal
logged "$(owner)" 'volume v was scrubbed: [1-9][0-9]* of [0-9]+ regions differed' || fail "the log does not say what it found"
forget n1 n2 n3
d n1 volume scrub v >/dev/null || fail "scrub"
until_true 20 "the second scrub ends" eval '[ "$(show ".data.derived[\"scrub-done\"]")" = $((asked + 1)) ]'
[ "$(show '.data.derived["scrub-found"]')" = 0 ] || fail "the second one found something: $(d n1 volume show v)"
expect "$(owner)" 5 'volume v was scrubbed, and nothing differed'
expect_not "$(owner)" 'regions repaired'

step "a node is drained: told when it may be switched off; switched off, it is not missed"
mark n1
off=$(nodes | tr ' ' '\n' | grep -vx n1 | head -n 1)
load n1 12 --size 14M
d n1 node drain "$off" >"$work/text" || fail "drain: $(cat "$work/text")"
grep -q "may be switched off" "$work/text" || fail "what a user is told: $(cat "$work/text")"
in_sync 2 || fail "drained, not all is in sync"
nodes | grep -qw "$off" && fail "drained, and data is still there"
lab kill "$off"
ended "drained and switched off"
marked n1 || fail "drained: the data is another"
lab start "$off"
lab wait 20 || fail "$off is back"
d n1 node drain "$off" --undo >/dev/null || fail "drain --undo"
pass
