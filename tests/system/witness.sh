#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two nodes with a witness: it holds no data, and a node's death is survived. Two nodes without one: what status says. A side
# without a majority serves nothing, and sends initiators elsewhere.
. "$(dirname "$0")/functions.sh"
requires corosync
iscsi=$build/director-iscsi
[ -x "$iscsi" ] || skip "director-iscsi is not built"
cdb=$build/tests/system/iscsi-cdb
[ -x "$cdb" ] || skip "iscsi-cdb is not built (libiscsi)"
has_director
make_work
iqn=$(target witness)
lab up 2 || fail "lab up"

step "two nodes: status says which would survive"
d n1 volume create v --size 16M --copies 2 >/dev/null || fail "volume create"
must_make n1 witness
d n1 lun add "$iqn" v --lun 0 >/dev/null || fail "lun add"
d n1 host add "$iqn" --any >/dev/null || fail "host add"
serves_all n1 n2
d n1 status | grep -q 'two voters: if either is lost, neither survives alone' || fail "what status says: $(d n1 status)"
d n1 volume convert v --copies 3 >"$work/text" 2>&1 && fail "three copies on two nodes"
grep -q 'each on a node of its own: there are 2 nodes' "$work/text" || fail "what a user is told: $(cat "$work/text")"
# By the status of its login an initiator knows that it had better try another portal.
refuses() { lab host timeout 20 "$cdb" "$(url "$1")" 000000000000 2>&1 | grep -q 'Service unavailable'; }

step "and as it says: one is cut off, neither serves, and initiators are sent elsewhere"
at=$(owner)
lab cut n1 n2
for n in n1 n2; do until_true 10 "$n has no quorum" eval '[ "$(status '$n' quorate)" != true ]'; done
until_true 10 "$at, who served, sends initiators elsewhere" refuses "$at"
lab heal
lab wait 30 || fail "all are well again"
for n in n1 n2; do until_true 10 "$n serves again" lab host timeout 5 "$iscsi" inquiry "$(url $n)"; done
until_true 20 "in sync" in_sync 2

step "a third one is made a witness: it holds no data"
lab add 1 || fail "lab add"
until_true 20 "n3 is a node" has n1 /nodes/n3
d n1 node set n3 role=witness >/dev/null || fail "role=witness"
d n1 volume convert v --copies 3 >"$work/text" 2>&1 && fail "three copies with a witness"
grep -qi 'witness' "$work/text" || fail "what a user is told: $(cat "$work/text")"
d n1 status | grep -q 'two voters' && fail "status still warns: $(d n1 status)"
[ "$(show '[.data.legs[].desired.node] | sort | join(" ")')" = "n1 n2" ] || fail "the legs are at: $(d n1 volume show v)"
lab sh n3 ls /var/lib/director/volumes 2>/dev/null | grep -q . && fail "the witness holds a leg"

step "a node that only forwards is cut off: it sends initiators elsewhere, and takes them again"
until_true 10 "n3 forwards" lab host timeout 5 "$iscsi" inquiry "$(url n3)"
lab cut n3 n1
lab cut n3 n2
until_true 10 "n3 sends initiators elsewhere" refuses n3
for n in n1 n2; do lab host timeout 20 "$iscsi" inquiry "$(url $n)" >/dev/null || fail "$n does not serve"; done
lab heal
lab wait 30 || fail "all are well again"
until_true 10 "n3 forwards again" lab host timeout 5 "$iscsi" inquiry "$(url n3)"

step "a node with data is killed: it goes on"
dead=$(owner)
left=$([ "$dead" = n1 ] && echo n2 || echo n1)
load "$left" 10
sleep 3
lab kill "$dead"
ended "killed"
[ "$(owner "$left")" = "$left" ] || fail "$left serves it: $(d "$left" volume show v)"
until_true 5 "through the witness too" lab host timeout 5 "$iscsi" inquiry "$(url n3)"
lab start "$dead"
lab wait 20 || fail "all are well again"
until_true 20 "in sync" in_sync 2

step "the owner is cut off: it stops, and sends initiators elsewhere; the others go on"
alone=$(owner)
left=$([ "$alone" = n1 ] && echo n2 || echo n1)
lab cut "$left" "$alone"
lab cut n3 "$alone"
until_true 10 "$left serves it" eval '[ "$(owner "$left")" = "$left" ]'
until_true 10 "$alone sends initiators elsewhere" refuses "$alone"
lab host timeout 60 "$iscsi" verify --depth 4 --runtime 2 "$(url "$left")" >"$work/load" 2>&1 || { cat "$work/load" >&2; fail "$left does not serve"; }
lab heal
until_true 30 "in sync" in_sync 2 "$left"
pass
