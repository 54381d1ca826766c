#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Volumes with copies on three nodes: written through any node while director-target of the owner is killed, the owner is
# cut, paused and killed, and moved; nothing written is lost, no I/O fails, the legs are in sync and equal in the end; a
# directord that is killed and comes back costs nothing.
. "$(dirname "$0")/functions.sh"
requires corosync
iscsi=$build/director-iscsi
[ -x "$iscsi" ] || skip "director-iscsi is not built"
has_director
lab up 3 || fail "lab up"
iqn=$(target mirror)
d n1 volume create v1 --size 32M --copies 2 >/dev/null || fail "volume create"
d n1 target create "$iqn" >/dev/null || fail "target create"
d n1 lun add "$iqn" v1 >/dev/null || fail "lun add"
d n1 host add "$iqn" --any >/dev/null || fail "host add"
work=$(mktemp -d) || exit 1
trap 'finish; rm -rf "$work"' EXIT

field() { d "$1" get "/volumes/$2" -o json 2>/dev/null | jq -r "$3"; }
owner() { field "$1" v1 .data.derived.node; }
owner_is_not() { local o; o=$(owner "$1"); [ -n "$o" ] && [ "$o" != null ] && [ "$o" != "$2" ]; }
legs() { for l in a b; do field "${1:-n1}" v1/legs/$l .data.desired.node; done; }
in_sync() { [ "$(field "$1" v1 '.data.derived["in-sync"]')" = "2 of 2" ]; }
url() { echo "iscsi://$(lab address "$1" 4)/$iqn/0"; }
# Through which node? `other`: neither the owner nor, if there is one, another leg's.
other() { local o n; o=$(owner n1); for n in n1 n2 n3; do legs | grep -qx $n || { echo $n; return; }; done; }
second() { local o; o=$(owner "$(other)"); legs "$(other)" | grep -vx "$o"; }

# load NODE SECONDS: numbered patterns, written and read back all the time. wait_load: it ended well. Where the owner goes without
# a word, what it was doing with the load's writes is not known, and its connection to the other node is closed for that, once;
# its writes are its own, and it does them again. When nobody died (the second argument) it loses none.
load() { lab host timeout $(($2 + 120)) "$iscsi" verify --verbose --depth 4 --runtime "$2" "$(url "$1")" >"$work/load" 2>&1 </dev/null & loader=$!; }
wait_load() {
	wait $loader || { cat "$work/load" >&2; fail "$1: the load ended with an error"; }
	grep -q ' 0 wrong, 0 failed' "$work/load" || { cat "$work/load" >&2; fail "$1: something is wrong"; }
	grep -qE " [01] connections lost" "$work/load" || { cat "$work/load" >&2; fail "$1: a connection was lost more than once"; }
	[ -z "${2:-}" ] || grep -q ' 0 connections lost' "$work/load" || { cat "$work/load" >&2; fail "$1: a connection was lost"; }
	step "$1: $(tail -n 1 "$work/load")"
}
reads_same() { lab host timeout 30 "$iscsi" read "$(url "$1")" --length 1M 2>/dev/null | cmp -s - "$work/data"; }

for n in n1 n2 n3; do until_true 10 "$n offers the target" lab host timeout 5 "$iscsi" inquiry "$(url $n)"; done
[ "$(owner n1)" != null ] || fail "somebody owns the volume"

step "written through each node, read through the others"
for n in n1 n2 n3; do
	head -c 1M /dev/urandom >"$work/data"
	lab host timeout 30 "$iscsi" write "$(url $n)" <"$work/data" || fail "write through $n"
	for m in n1 n2 n3; do reads_same $m || fail "what was written through $n reads otherwise through $m"; done
done

step "SendTargets lists the portals of all nodes"
n=$(lab host "$iscsi" discover "$(lab address n1 4)" 2>/dev/null | grep -c "$iqn")
[ "$n" -ge 3 ] || fail "$n portals are listed"

via=$(other)
step "director-target of the owner, $(owner n1), is killed; load through $via"
load "$via" 8; sleep 3
lab kill "$(owner n1)" director-target
wait_load "director-target killed"

step "moved to $(second) and back"
load "$via" 8; sleep 2
for i in 1 2; do
	to=$(second)
	d "$via" set /volumes/v1 want="$to" >/dev/null || fail "want=$to"
	until_true 10 "$to owns it" eval '[ "$(owner "$via")" = "$to" ]'
	sleep 1
done
wait_load "moved" undisturbed

o=$(owner "$via")
step "directord of the owner, $o, is killed and returns"
load "$via" 10; sleep 3
lab kill "$o" directord
sleep 0.3
lab start "$o"
wait_load "directord killed" undisturbed
until_true 10 "all is in sync" in_sync "$via"

o=$(owner "$via")
step "the owner, $o, is cut"
load "$via" 12; sleep 3
lab cut "$o"
wait_load "owner cut"
owner_is_not "$via" "$o" || fail "$o is still the owner"
lab heal
until_true 20 "all is in sync" in_sync "$via"

o=$(owner "$via")
step "the owner, $o, is paused"
load "$via" 12; sleep 3
lab pause "$o"
wait_load "owner paused"
lab resume "$o"
until_true 20 "all is in sync" in_sync "$via"

o=$(owner "$via")
step "the owner, $o, is killed and returns"
load "$via" 12; sleep 3
lab kill "$o"
wait_load "owner killed"
owner_is_not "$via" "$o" || fail "$o is still the owner"
lab start "$o"
lab wait 20 || fail "all are well again"
until_true 20 "all is in sync" in_sync "$via"

step "the legs are equal"
d "$via" lun remove "$iqn" 0 >/dev/null || fail "lun remove"
sleep 3
for l in a b; do
	n=$(field "$via" v1/legs/$l .data.desired.node) u=$(field "$via" v1/legs/$l .data.uuid)
	lab sh "$n" dd if="/var/lib/director/volumes/$u.img" bs=1M skip=1 status=none | sha256sum
done | sort -u >"$work/sums"
[ "$(wc -l <"$work/sums")" = 1 ] || fail "the legs differ: $(cat "$work/sums")"
check_sanitizers
pass
