#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Storage that is not there is noticed although nobody writes: the leg is put out of sync, the shell says why, the volume goes on,
# and the leg comes back when its storage does.
. "$(dirname "$0")/functions.sh"
one_volume --size 16M --copies 2 --on n1,n2
work=$(mktemp -d) || exit 1
trap 'finish; rm -rf "$work"' EXIT

show() { d n3 volume show v -o json 2>/dev/null | jq -r "$1"; }
owner() { show .data.derived.node; }
in_sync() { [ "$(show '.data.derived["in-sync"]')" = "$1 of 2" ]; }
leg() { show ".data.legs[] | select(.desired.node == \"$1\") | $2"; }
turn_of() { leg "$1" '.desired.turn // 0'; }
other() { if [ "$(owner)" = n1 ]; then echo n2; else echo n1; fi; }
url() { echo "iscsi://$(lab address "$1" 4)/$iqn/0"; }
mark() { head -c 1M /dev/urandom >"$work/mark"; lab host timeout 100 "$iscsi" write "$(url n3)" --offset 8M <"$work/mark" || fail "write"; }
marked() { lab host timeout 100 "$iscsi" read "$(url n3)" --offset 8M --length 1M 2>/dev/null | cmp -s - "$work/mark"; }
is_out() { [ "$(leg "$1" .desired.state)" = out-of-sync ]; }
says_why() { leg "$1" '.observed | tostring' | grep -q "No such file"; }
# Nothing is written while it is looked for.
put_out() { # NODE WHAT
	until_true 15 "$2: the leg at $1 is put out of sync" is_out "$1"
	[ "$(owner)" != "$1" ] || until_true 10 "$2: another node serves it" eval '[ "$(owner)" != '"$1"' ]'
	until_true 10 "$2: the data is there" marked
}
back() { # NODE WHAT
	until_true 30 "$2: all is in sync again" in_sync 2
	d n3 volume move v --owner "$1" >/dev/null || fail "$2: move to $1"
	until_true 10 "$2: $1 serves it" eval '[ "$(owner)" = '"$1"' ]'
	until_true 10 "$2: served by $1 the data is there" marked
}

for n in n1 n2 n3; do until_true 10 "$n serves" lab host timeout 5 "$iscsi" inquiry "$(url $n)"; done
until_true 10 "in sync" in_sync 2
for n in n1 n2; do
	file=$(leg $n '.observed[0].attributes["stored-at"]')
	lab sh $n test -f "$file" || fail "the leg at $n does not say where it is stored: \"$file\""
done
mark

step "a director-target that is killed costs no leg"
at=$(other) turn=$(turn_of "$(other)")
lab kill "$at" director-target
until_true 10 "$at has its storage again" eval '[ "$(leg '"$at"' .observed[0].attributes.storage)" = ready ]'
sleep 6
[ "$(turn_of "$at")" = "$turn" ] || fail "the leg at $at was put out of sync by a restart"

step "the file of a leg elsewhere is gone when its director-target starts"
at=$(other) file=$(leg "$(other)" '.observed[0].attributes["stored-at"]')
lab sh "$at" mv "$file" "$file.away"
lab kill "$at" director-target
put_out "$at" elsewhere
until_true 10 "the shell says why" says_why "$at"
lab sh "$at" mv "$file.away" "$file"
back "$at" elsewhere

step "the file of the leg of the node that serves is gone when its director-target starts"
at=$(owner) file=$(leg "$(owner)" '.observed[0].attributes["stored-at"]')
lab sh "$at" mv "$file" "$file.away"
lab kill "$at" director-target
put_out "$at" here
lab sh "$at" mv "$file.away" "$file"
back "$at" here

for which in owner other; do
	step "the file of a leg is deleted while it is in use: $which"
	at=$($which) file=$(leg "$($which)" '.observed[0].attributes["stored-at"]')
	lab sh "$at" rm "$file"
	put_out "$at" "deleted, $which"
	lab sh "$at" truncate -s 17M "$file"
	lab kill "$at" director-target
	back "$at" "deleted, $which"
done
pass
