#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Disks that are not what they were when their node comes back, a blank one, an old one and another volume's, are noticed and never
# trusted; the last one is not written either.
. "$(dirname "$0")/functions.sh"
one_volume --size 16M --copies 2 --on n1,n2
make_work

turn_of() { show ".data.legs[] | select(.desired.node == \"$1\") | .desired.turn // 0" "${2:-n1}"; }

serves_all n1 n2 n3
until_true 10 "in sync" in_sync 2

# What a disk is that was changed while its node was off. The leg is out of sync as soon as something is written meanwhile.
file=
swap() { # WHAT: done to the file of the leg that does not serve, while its node is off
	local at
	d n1 volume move v --owner n1 >/dev/null 2>&1
	at=$(nodes | tr ' ' '\n' | grep -vx "$(owner)")
	file=$(file_of "$at")
	lab sh "$at" cp --sparse=always "$file" "$file.old"
	mark n1
	lab kill "$at"
	until_true 10 "$at is gone" state_is_not "$(owner n1)" "$at" alive
	mark n1
	case $1 in
	blank) lab sh "$at" dd if=/dev/zero of="$file" bs=1M count=17 status=none ;;
	old) lab sh "$at" cp --sparse=always "$file.old" "$file" ;;
	esac
	lab sh "$at" rm "$file.old"
	lab start "$at"
	lab wait 20 || fail "$at is back"
	until_true 30 "all is in sync" in_sync 2
	[ "$(turn_of "$at")" -gt 0 ] || fail "$1: the leg at $at was never called out of sync"
	d n1 volume move v --owner "$at" >/dev/null || fail "move to $at"
	until_true 10 "$at owns it" owner_is "$at"
	for n in n1 n2 n3; do marked $n || fail "$1: served by $at, through $n, the data is another"; done
	until_true 10 "the legs are equal" legs_equal
}
step "a disk that comes back blank"
swap blank
step "a disk that comes back with what it held before"
swap old

step "a disk that is blank when its director-target starts anew, in a moment in which nothing is written"
d n1 volume move v --owner n1 >/dev/null 2>&1
until_true 10 "n1 owns it" owner_is n1
mark n1
file=$(file_of n2) turn=$(turn_of n2)
ready() { [ "$(show '.data.legs[] | select(.desired.node == "n2") | .observed[0].attributes.storage')" = ready ]; }
forget n2
lab sh n2 dd if=/dev/zero of="$file" bs=1M count=17 conv=notrunc status=none
lab kill n2 director-target
expect n2 10 "director-target .pid [0-9]+. started"
until_true 10 "the leg is there again" ready
sleep 2         # that the mirror finds its way back to it
to_n2() { owner_is n2 || d n1 volume move v --owner n2; owner_is n2 && in_sync 2; }
until_true 60 "n2 serves it, and all is in sync" to_n2
[ "$(turn_of n2)" -gt "$turn" ] || fail "the leg at n2 was never called out of sync"
for n in n1 n2 n3; do marked $n || fail "blank behind our back: served by n2, through $n, the data is another"; done
until_true 10 "the legs are equal" legs_equal

step "a disk that comes back with another volume's copy is left alone, and the shell says so"
d n1 volume create w --size 16M --copies 2 --on n1,n2 >/dev/null || fail "volume create"
d n1 volume move v --owner n1 >/dev/null || fail "move to n1"
until_true 10 "n1 owns it" owner_is n1
at=n2
file=$(file_of "$at") other=$(volume=w file_of "$at")
lab kill "$at"
until_true 10 "$at is gone" state_is_not n1 "$at" alive
mark n1
lab sh "$at" cp --sparse=always "$other" "$file"
sum() { lab sh "$at" sha256sum "$file"; }
was=$(sum)
lab start "$at"
lab wait 20 || fail "$at is back"
why() { d n1 volume show v | grep -q "/legs/$(leg_of "$at").* carries another volume, /volumes/w"; }
until_true 20 "it says why" why
marked n3 || fail "the data is another"
[ "$(sum)" = "$was" ] || fail "it was written to"
step "until its first MiB is zeroed"
lab sh "$at" dd if=/dev/zero of="$file" bs=1M count=1 conv=notrunc,fsync status=none
until_true 30 "all is in sync" in_sync 2
until_true 10 "nothing is said of it any more" eval '! why'
d n1 volume move v --owner "$at" >/dev/null || fail "move to $at"
until_true 10 "$at owns it" owner_is "$at"
marked n3 || fail "served by $at the data is another"
until_true 10 "the legs are equal" legs_equal

step "a volume on files that all carry another one is not served; deleted, nothing is left of it"
files=/var/lib/director/named.img
named() { d n1 create "/volumes/$1" size=16M copies=2 "/volumes/$1/legs/a" node=n1 path=$files "/volumes/$1/legs/b" node=n2 path=$files; }
named x >/dev/null || fail "create"
volume=x
until_true 30 "its copies are in sync" in_sync 2
volume=v
d n1 volume delete x >/dev/null || fail "delete"
named y >"$work/text" 2>&1 && fail "it is served"
grep -q 'carries another volume.*zero its first MiB' "$work/text" || fail "what a user is told: $(cat "$work/text")"
d n1 volume delete y >"$work/text" 2>&1 || fail "delete: $(cat "$work/text")"
until_true 10 "no node speaks of it" eval '! d n1 ls /volumes | grep -qw y'
pass
