#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A node that died and returned gets volumes to serve again: not at once, one after the other, without an error, and then nothing moves
# any more. Volumes of a target with a floating address go together.
# Slow: a node must be back for a minute before it gets anything.
. "$(dirname "$0")/functions.sh"
requires corosync
iscsi=$build/director-iscsi
[ -x "$iscsi" ] || skip "director-iscsi is not built"
has_director
lab up 3 || fail "lab up"
iqn=$(target spread)
make_work
all=(v1 v2 v3 v4 v5 v6)
for v in "${all[@]}"; do d n3 volume create $v --size 4M --copies 2 --on n1,n2 >/dev/null || fail "volume create $v"; done
must_make n3 spread
must_make n3 together
for i in 1 2 3 4; do d n3 lun add "$iqn" v$i --lun $((i - 1)) >/dev/null || fail "lun add"; done
for i in 5 6; do d n3 lun add "$(target together)" v$i >/dev/null || fail "lun add"; done
net=$(lab address n1 4)
d n3 target address add "$(target together)" "${net%.*}.99/24" >/dev/null || fail "address add"
d n3 host add "$iqn" --any >/dev/null || fail "host add"
serves_all n1 n2 n3

# Who serves each volume, under which epoch: "v1=n1/3 …".
who() { d n3 volume list -o json 2>/dev/null | jq -r '[.data[] | "\(.name)=\(.derived.node)/\(.desired.epoch)"] | join(" ")'; }
count() { who | tr ' ' '\n' | grep -c "=$1/"; }
counts_are() { [ "$(count n1) $(count n2)" = "$1 $2" ]; }
all_in_sync() { [ "$(d n3 volume list -o json 2>/dev/null | jq '[.data[] | select(.derived["in-sync"] == "2 of 2")] | length')" = ${#all[@]} ]; }
at() { who | tr ' ' '\n' | sed -n "s/^$1=\(.*\)\/.*/\1/p"; }
until_true 20 "all are served, and in sync" eval 'all_in_sync && [ $(($(count n1) + $(count n2))) = ${#all[@]} ]'
step "at first: $(who)"

step "n2 dies: n1 serves all of them; it returns, and gets nothing at once"
# What is written through n3 all the time; a line for each that failed.
while [ ! -e "$work/enough" ]; do
	for lun in 0 1 2 3; do
		head -c 64K /dev/urandom | lab host timeout 100 "$iscsi" write "iscsi://$(lab address n3 4)/$iqn/$lun" >/dev/null 2>"$work/said" ||
			{ date; cat "$work/said"; } >>"$work/failed"
		echo >>"$work/written"
	done
	sleep 1
done &
loader=$!
lab kill n2
until_true 10 "n1 serves all" counts_are 6 0
lab start n2
lab wait 20 || fail "n2 is back"
back=$SECONDS
until_true 20 "all are in sync" all_in_sync
while [ $((SECONDS - back)) -lt 30 ]; do
	counts_are 6 0 || fail "after $((SECONDS - back)) s: $(who)"
	sleep 2
done

step "within two minutes of its return it serves half of them"
until_true 120 "half of them are at n2" counts_are 3 3
step "after $((SECONDS - back)) s: $(who)"
[ "$(at v5)" = "$(at v6)" ] || fail "v5 and v6 do not belong together: $(who)"

step "and there it ends: nothing moves for a while"
now=$(who)
for _ in $(seq 15); do
	sleep 2
	[ "$(who)" = "$now" ] || fail "it was $now, and is $(who)"
done
touch "$work/enough"
wait $loader
[ ! -e "$work/failed" ] || fail "of $(wc -l <"$work/written") writes some failed: $(head -n 4 "$work/failed")"
step "$(wc -l <"$work/written") writes, none failed"
pass
