#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Disks that are not what they were when their node comes back, a blank one and an old one, are noticed and never trusted.
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
pass
