#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Reservations of a volume with copies are the same on every node before they are answered, through a planned move and the death of
# the owner; with APTPL they outlive the power loss of all nodes.
. "$(dirname "$0")/functions.sh"
requires corosync
cdb=$build/tests/system/iscsi-cdb
[ -x "$cdb" ] || skip "iscsi-cdb is not built (libiscsi)"
has_director
lab up 3 || fail "lab up"
iqn=$(target reserve)
d n1 volume create v --size 16M --copies 2 >/dev/null || fail "volume create"
must_make n1 reserve
d n1 lun add "$iqn" v --lun 0 >/dev/null || fail "lun add"
d n1 host add "$iqn" --any >/dev/null || fail "host add"

# Commands of an initiator through a node: the answers with commas; of blocks only that they came. As every initiator it comes again
# when it is told to.
scsi() { # NODE INITIATOR STEP…
	local said end=$((SECONDS + 20 * PATIENCE))
	while :; do
		said=$(lab host timeout 100 "$cdb" -i "iqn.2026-01.test:$2" -q 7 "iscsi://$(lab address "$1" 4)/$iqn/0" "${@:3}" 2>&1)
		[[ $said == *"Service unavailable"* ]] && [ $SECONDS -lt $end ] || break
		sleep 0.2
	done
	sed 's/^good [a0]\{1024\}$/good/' <<<"$said" | tr '\n' ',' | sed 's/,$//'
}
list() { printf '%016x%016x00000000%02x000000' "$1" "$2" "${3:-0}"; }         # key, service action key, flags
pr() { echo "5f$1${2}00000000001800>$3"; }                                     # service action, type, list
register() { pr 00 00 "$(list 0 "$1" "${2:-0}")"; }
keys=5e000000000000020000\<512 held=5e010000000000020000\<512
write=2a000000000000000100\>512*aa read=28000000000000000100\<512
is() { [ "$2" = "$3" ] || fail "$1: \"$2\" instead of \"$3\""; }
# The keys that a node lists, sorted; and who holds it.
keys_at() { scsi "$1" looks $keys | sed 's/^good ........//' | cut -c9- | fold -w 16 | sort | tr '\n' ' ' | sed 's/ $//'; }
held_at() { scsi "$1" looks $held | cut -c22-; }
same_keys() { [ "$(keys_at "$1")" = "$2" ]; }
serves() { [ "$(scsi "$1" looks $read)" = good ]; }
denies() { [ "$(scsi "$1" looks $write)" = conflict ]; }
takes() { [ "$(scsi "$1" looks $write)" = good ]; }
k1=0000000000000001
reservation=${k1}0000000000050000       # of key 1, write exclusive, registrants only

for n in n1 n2 n3; do until_true 10 "$n serves" serves $n; done

step "registered and reserved through n1: so it is on n2 and n3"
is "register" "$(scsi n1 one "$(register 1)")" good
for n in n2 n3; do is "the key at $n" "$(keys_at $n)" "$k1"; done
is "reserve" "$(scsi n1 one "$(pr 01 05 "$(list 1 0)")")" good
for n in n1 n2 n3; do
	is "the reservation at $n" "$(held_at $n)" "$reservation"
	is "a stranger at $n" "$(scsi $n looks $write $read)" "conflict,good"
done
is "another, registered at all ports through n2" "$(scsi n2 three "$(register 3 4)")" good
is "may write through n3" "$(scsi n3 three $write)" good

step "moved: kept"
keys_now=$(keys_at n1)
[ "$(wc -w <<<"$keys_now")" = 4 ] || fail "keys: $keys_now"
other=$(d n1 volume show v -o json | jq -r '.data.derived.node as $n | .data.legs[].desired.node | select(. != $n)')
d n1 volume move v --owner "$other" >/dev/null || fail "move"
until_true 10 "$other owns it" owner_is "$other"
for n in n1 n2 n3; do
	is "the keys at $n" "$(keys_at $n)" "$keys_now"
	is "the reservation at $n" "$(held_at $n)" "$reservation"
	is "a stranger at $n" "$(scsi $n looks $write)" conflict
done

step "director-target of the owner, $(owner), is killed: kept"
lab kill "$(owner)" director-target
for n in n1 n2 n3; do until_true 10 "$n answers" same_keys $n "$keys_now"; is "a stranger at $n" "$(scsi $n looks $write)" conflict; done

step "the owner, $(owner), is killed: kept"
dead=$(owner)
lab kill "$dead"
for n in n1 n2 n3; do
	[ $n = "$dead" ] && continue
	until_true 10 "$n answers" same_keys $n "$keys_now"
	is "the reservation at $n" "$(held_at $n)" "$reservation"
	is "a stranger at $n" "$(scsi $n looks $write)" conflict
done
lab start "$dead"
lab wait 20 || fail "all are well again"
until_true 20 "in sync" in_sync 2
until_true 10 "$dead knows them" same_keys "$dead" "$keys_now"

step "SPC-2: reserved through n1, denied through n3, ended with its session"
is "clear" "$(scsi n3 three "$(pr 03 00 "$(list 3 0)")")" good
is "cleared at n1" "$(keys_at n1)" ""
ends=/var/tmp/$LAB-ends
scsi n1 one 160000000000 "@$ends" >/dev/null &
until_true 3 "denied through n3" denies n3
is "denied through n2" "$(scsi n2 looks $write)" conflict
touch "$ends"
wait $!
rm "$ends"
until_true 10 "it ended" takes n3

power_loss() {
	lab kill n1,n2,n3
	for n in n1 n2 n3; do new_machine $n; done
	lab start all
	lab wait 30 || fail "all are well again"
	for n in n1 n2 n3; do until_true 20 "$n serves" serves $n; done
}
step "all nodes lose power: with APTPL all is there"
is "register" "$(scsi n2 one "$(register 1 1)")" good
is "reserve" "$(scsi n2 one "$(pr 01 05 "$(list 1 0)")")" good
power_loss
for n in n1 n2 n3; do
	is "the key at $n" "$(keys_at $n)" $k1
	is "the reservation at $n" "$(held_at $n)" "$reservation"
	is "a stranger at $n" "$(scsi $n looks $write)" conflict
done
is "its holder" "$(scsi n2 one $write)" good

step "one node after the other loses power: without APTPL all is there"
is "register" "$(scsi n2 one "$(pr 06 00 "$(list 0 1 0)")")" good
for dead in n1 n2 n3; do
	lab kill $dead
	new_machine $dead
	lab start $dead
	lab wait 30 || fail "all are well again"
	until_true 20 "$dead serves" serves $dead
	for n in n1 n2 n3; do
		until_true 10 "$n answers" same_keys $n $k1
		is "the reservation at $n" "$(held_at $n)" "$reservation"
		is "a stranger at $n" "$(scsi $n looks $write)" conflict
	done
done

step "all of them do: without APTPL nothing is"
power_loss
for n in n1 n2 n3; do
	until_true 10 "$n has no key" same_keys $n ""
	is "the reservation at $n" "$(held_at $n)" ""
	is "anybody at $n" "$(scsi $n looks $write)" good
done
is "register anew" "$(scsi n2 one "$(register 1 0)")" good
for n in n1 n2 n3; do is "the key at $n" "$(keys_at $n)" $k1; done
pass
