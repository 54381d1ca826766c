#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A striped volume with copies: verified through two nodes at once while director-target of one shard's owner is killed; the other
# shards are not stopped by it; a shard that is moved and a node that dies; deleted, nothing is left of it.
. "$(dirname "$0")/functions.sh"
cdb=$build/tests/system/iscsi-cdb
[ -x "$cdb" ] || skip "iscsi-cdb is not built (libiscsi)"
one_volume --size 24M --stripe 3 --copies 2
work=$(mktemp -d) || exit 1
trap 'finish; rm -rf "$work"' EXIT

show() { d "$1" volume show v -o json 2>/dev/null | jq -r "$2"; }
owner() { show "${2:-n1}" ".data.parts[$1].derived.node"; }
in_sync() { [ "$(show "$1" '.data.derived["in-sync"]')" = "6 of 6" ]; }
url() { echo "iscsi://$(lab address "$1" 4)/$iqn/0"; }
load() { # NAME NODE SECONDS OPTIONS…
	lab host timeout $(($3 + 200)) "$iscsi" verify --depth 4 --runtime "$3" "${@:4}" "$(url "$2")" >"$work/$1" 2>&1 </dev/null &
	loader[$1]=$!
}
declare -A loader=()
ended() { # NAME WHAT
	wait "${loader[$1]}" && grep -q ' 0 wrong, 0 failed' "$work/$1" || { cat "$work/$1" >&2; fail "$2: $1"; }
	step "$2: $1: $(tail -n 1 "$work/$1")"
}
for n in n1 n2 n3; do until_true 10 "$n offers the target" lab host timeout 5 "$iscsi" inquiry "$(url $n)"; done
[ "$(show n1 '.data.parts | length')" = 3 ] || fail "it has three shards"
[ "$(show n1 '[.data.parts[].derived.node] | unique | length')" -ge 2 ] || fail "the shards have different owners"

step "written through each node, read through the others, over all seams"
for n in n1 n2 n3; do
	head -c 3M /dev/urandom >"$work/data"
	lab host timeout 60 "$iscsi" write "$(url $n)" --offset 100K <"$work/data" || fail "write through $n"
	for m in n1 n2 n3; do
		lab host timeout 60 "$iscsi" read "$(url $m)" --offset 100K --length 3M 2>/dev/null | cmp -s - "$work/data" || fail "written through $n reads otherwise through $m"
	done
done

step "ORWRITE over a seam sets its bits on both sides, whoever takes it"
head -c 1M /dev/zero >"$work/data"
lab host timeout 60 "$iscsi" write "$(url n1)" <"$work/data" || fail "zeroes"
for n in n1:01 n2:02 n3:04; do
	said=$(lab host timeout 60 "$cdb" "$(url "${n%:*}")" "8b0000000000000001fe000000040000>2048*${n#*:}")
	[ "$said" = good ] || fail "ORWRITE through ${n%:*}: $said"
done
lab host timeout 60 "$iscsi" read "$(url n2)" --offset 255K --length 2K 2>/dev/null | tr -d '\007' | wc -c | grep -qx 0 || fail "ORWRITE has lost bits"

step "verified through two nodes at once"
load low n1 6 --size 12M
load high n3 6 --offset 12M --size 12M
ended low "two nodes"
ended high "two nodes"

step "director-target of shard 0's owner, $(owner 0), is killed under load"
load low n1 8 --size 12M
load high n3 8 --offset 12M --size 12M
sleep 2
lab kill "$(owner 0)" director-target
ended low "killed"
ended high "killed"
until_true 10 "all is in sync" in_sync n1

step "shard 1 is moved to its other node under load"
load low n2 6 --size 12M
to=$(show n1 '.data.parts[1] as $p | $p.legs[].desired.node | select(. != $p.derived.node)')
d n1 volume move v.1 --owner "$to" >/dev/null || fail "move"
until_true 10 "$to owns it" eval '[ "$(owner 1)" = "$to" ]'
ended low "moved"
grep -q ' 0 connections lost' "$work/low" || fail "moved: a connection was lost"

step "it grows while it is used"
load low n2 6 --size 12M
d n1 volume resize v 48M >/dev/null || fail "resize"
sizes() { show n1 '[.data.parts[].observed[].attributes.size | select(.)] | unique | tostring'; }
until_true 10 "all shards say so" eval '[ "$(sizes)" = "[$((16 << 20))]" ]'
ended low "resized"
head -c 1M /dev/urandom >"$work/data"
lab host timeout 60 "$iscsi" write "$(url n3)" --offset 46M <"$work/data" || fail "write behind the old end"
lab host timeout 60 "$iscsi" read "$(url n1)" --offset 46M --length 1M 2>/dev/null | cmp -s - "$work/data" || fail "behind the old end it reads otherwise"

# With one copy a shard ends with its node: the others must not care.
step "one shard is gone for a while: what is on the others goes on"
d n2 volume create u --size 24M --stripe 3 --copies 1 --on n1,n2,n3 >/dev/null || fail "volume create"
d n2 lun add "$iqn" u --lun 1 >/dev/null || fail "lun add"
second() { echo "iscsi://$(lab address "$1" 4)/$iqn/1"; }
until_true 10 "it is there" lab host timeout 5 "$iscsi" inquiry "$(second n2)"
gone=$(d n2 volume show u -o json | jq -r '.data.parts | map(.derived.node) | index("n1")')
lab kill n1
until_true 10 "n1 is gone" state_is_not n2 n1 alive
until_true 10 "n2 takes logins" lab host timeout 5 "$cdb" "$(second n2)" 000000000000
# A block of shard K through n2, without the flush at the end, which is for all shards.
put() { lab host timeout "$2" "$cdb" -i "iqn.2026-01.test:shard$1" "$(second n2)" "2a00$(printf %08x $(($1 * 512)))00000800>4096*$(printf %02x $((160 + $1)))" 2>&1; }
get() { lab host timeout 100 "$cdb" -i "iqn.2026-01.test:get$1" "$(second n3)" "2800$(printf %08x $(($1 * 512)))00000100<512" 2>&1; }
put "$gone" 250 >"$work/held" &
held=$!
for k in 0 1 2; do
	[ "$k" = "$gone" ] || for _ in 1 2 3; do said=$(put "$k" 100); [ "$said" = good ] || fail "a write to shard $k, which lives, while $gone does not: $said"; done
done
kill -0 $held 2>/dev/null || fail "a write to shard $gone ended: $(cat "$work/held")"
lab start n1
lab wait 20 || fail "n1 is back"
wait $held
[ "$(cat "$work/held")" = good ] || fail "what waited for shard $gone: $(cat "$work/held")"
for k in 0 1 2; do
	until_true 5 "chunk $k reads as it was written" eval '[[ $(get $k) == "good $(printf "a$k%.0s" {1..512})" ]]'
done

step "deleted: shards, legs and their files are gone"
until_true 20 "all is in sync" in_sync n1
d n1 volume delete v >"$work/text" 2>&1 && fail "deleted while in use"
grep -q 'in use by .*luns/0; first: director lun remove' "$work/text" || fail "what a user is told: $(cat "$work/text")"
for l in 0 1; do d n1 lun remove "$iqn" $l --force >/dev/null || fail "lun remove"; done
for v in u v; do d n1 volume delete $v >/dev/null || fail "volume delete $v"; done
[ "$(d n1 volume list -o json | jq '.data | length')" = 0 ] || fail "left: $(d n1 volume list)"
for n in n1 n2 n3; do until_true 10 "the files at $n are gone" eval '[ -z "$(lab sh '$n' ls /var/lib/director/volumes)" ]'; done
pass
