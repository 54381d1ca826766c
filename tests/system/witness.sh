#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two nodes with a witness: it holds no data, and a node's death is survived. Two nodes without one: what status says. A side
# without a majority serves nothing, and sends initiators elsewhere.
. "$(dirname "$0")/functions.sh"
requires corosync
iscsi=$build/director-iscsi
[ -x "$iscsi" ] || skip "director-iscsi is not built"
has_director
work=$(mktemp -d) || exit 1
trap 'finish; rm -rf "$work"' EXIT
iqn=$(target witness)
lab up 2 || fail "lab up"
show() { d "${2:-n1}" volume show v -o json 2>/dev/null | jq -r "$1"; }
owner() { show '.data.derived.node // empty' "$@"; }
in_sync() { [ "$(show '.data.derived["in-sync"]' "$1")" = "2 of 2" ]; }
url() { echo "iscsi://$(lab address "$1" 4)/$iqn/0"; }

step "two nodes: status says which would survive"
d n1 volume create v --size 16M --copies 2 >/dev/null || fail "volume create"
must_make n1 witness
d n1 lun add "$iqn" v --lun 0 >/dev/null || fail "lun add"
d n1 host add "$iqn" --any >/dev/null || fail "host add"
for n in n1 n2; do until_true 10 "$n serves" lab host timeout 5 "$iscsi" inquiry "$(url $n)"; done
d n1 status
d n1 volume convert v --copies 3 >"$work/text" 2>&1 && fail "three copies on two nodes"
cat "$work/text"

step "a third one is made a witness: it holds no data"
lab add 1 || fail "lab add"
until_true 20 "n3 is a node" has n1 /nodes/n3
d n1 node set n3 role=witness >/dev/null || fail "role=witness"
d n1 volume convert v --copies 3 >"$work/text" 2>&1 && fail "three copies with a witness"
grep -qi 'witness' "$work/text" || fail "what a user is told: $(cat "$work/text")"
d n1 status
