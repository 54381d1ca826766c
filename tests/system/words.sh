#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The words that scripts rely on, each from another node of a real cluster, each with -o json: status 0, and one valid document.
. "$(dirname "$0")/functions.sh"
requires corosync
has_director
lab up 3 --key-on n1,n2 --no-wait || fail "lab up"
until_true 30 "n1 and n2 are a cluster" status_is n1 voters 2
work=$(mktemp -d) || exit 1
trap 'finish; rm -rf "$work"' EXIT
turn=0
# From the next node that is a member: what it prints is one JSON document with a "data" (or "error").
nodes="n1 n2"
ok() {
	local list
	read -ra list <<<"$nodes"
	at=${list[$((turn++ % ${#list[@]}))]}
	d "$at" "$@" -o json >"$work/out" 2>"$work/err" || fail "$at: director $*: status $?: $(cat "$work/out" "$work/err")"
	jq -es 'length == 1 and (.[0] | has("schema") or has("data"))' "$work/out" >/dev/null || fail "$at: director $* -o json: $(head -c 400 "$work/out")"
}
field() { jq -r "$1" "$work/out"; }

step "nodes"
until_true 10 "n3 waits" status_is n1 pending-nodes 1
ok node list
ok node adopt n3
nodes="n1 n2 n3"
until_true 30 "all vote" status_is n3 voters 3
ok status
ok node show n3
ok device list
ok device list --node n2

step "volumes, targets, LUNs, initiators"
for n in n1 n2 n3; do lab sh $n sh -c 'umask 077; printf "a secret of sixteen" >/run/words-secret; printf "another of sixteen" >/run/words-ours'; done
iqn=$(target words) who=iqn.2026-01.test:host
ok volume create v1 --size 64M --on n2
ok volume create v2 --size 64M --backstore ram
ok volume create v3 --size 64M --on n3 --backstore file
ok volume list
ok volume show v1
ok volume resize v1 --size 128M
ok target create "$iqn"
ok target list
ok target show "$iqn"
ok lun add "$iqn" v1
ok lun add "$iqn" v2 --lun 7
ok host add "$iqn" "$who" --chap user --secret-file /run/words-secret
ok host add "$iqn" "$who"2 --chap user --secret-file /run/words-secret --mutual us --mutual-secret-file /run/words-ours
ok host add "$iqn" --any
ok session list
ok ls
ok ls /volumes
ok get /volumes/v1
[ "$(field .data.desired.size)" = 134217728 ] || fail "get shows the new size: $(cat "$work/out")"
ok set /volumes/v1 comment=hello
ok get /volumes/v1
[ "$(field .data.desired.comment)" = hello ] || fail "set: $(cat "$work/out")"

step "tasks, events"
ok task list
ok volume create slow --size 64M --no-wait
task=$(field '.data.task // .data.id // empty')
[ -z "$task" ] || ok task wait "$task"
ok events
ok events --since 1

step "a transaction, and what became of it"
cat >"$work/script" <<-END
	begin
	volume create t1 --size 16M --on n1
	volume create t2 --size 16M --on n2
	diff
	commit -m "two at once"
	begin
	volume create t3 --size 16M --on n3
	abort
END
lab sh n3 timeout 60 director -e -o json <"$work/script" >"$work/out" 2>"$work/err" || fail "script: $(cat "$work/out" "$work/err")"
jq -es 'length >= 8' "$work/out" >/dev/null || fail "a script answers each line with a document: $(cat "$work/out")"
ok volume show t2
! d n1 volume show t3 >/dev/null 2>&1 || fail "an aborted transaction made something"
ok history
ok blame /volumes/t1
ok dump
id=$(d n1 history -o json | jq -r '.data[0] | .commit // .index // .id // empty')
[ -n "$id" ] || fail "history names its commits: $(d n1 history -o json | head -c 300)"
ok undo "$id"
! d n2 volume show t2 >/dev/null 2>&1 || fail "undone, it is gone"

step "plugins"
ok plugin list
so=$(find "$build/plugins" -name file.so | head -n 1)
ok plugin probe "$so"

step "what an initiator uses is not taken from it unasked"
"$lab" host "$iscsi" bench --rw read --runtime 600s "iscsi://$(lab address n2 4)/$iqn/0" >/dev/null 2>&1 &
load=$!
sessions() { d n1 session list -o json | jq '.data | length'; }
until_true 20 "its session is known" eval '[ "$(sessions)" = 1 ]'
for words in "target delete $iqn" "lun remove $iqn 0" "delete /targets/$iqn" "host remove $iqn any" "target set $iqn enabled=no"; do
	read -ra words <<<"$words"
	d n1 "${words[@]}" -o json >"$work/out" 2>"$work/err"
	[ $? = 4 ] && jq -e '.error.name == "busy" and (.error.text | contains("1 session from"))' "$work/out" >/dev/null || fail "${words[*]}: $(cat "$work/out" "$work/err")"
done
ok lun remove "$iqn" 0 --force
ok lun add "$iqn" v1 --lun 0
kill $load 2>/dev/null
wait $load 2>/dev/null
until_true 20 "its session is over" eval '[ "$(sessions)" = 0 ]'

step "taken back"
ok lun remove "$iqn" 7
ok lun remove "$iqn" 0
ok target delete "$iqn"
for v in v1 v2 v3 slow; do ok volume delete $v; done
ok node drain n3
ok node remove n3
nodes="n1 n2"
until_true 10 "two are left" eval '[ "$(d n1 node list -o json | jq "[.data[] | select(.state == \"alive\")] | length")" = 2 ]'
ok status
pass
