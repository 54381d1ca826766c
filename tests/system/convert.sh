#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A volume that was made without copies gets some while it is used: what it has stays where it lies, what was reserved stays
# reserved, and then it is as any other: it outlives its node, grows, moves, and leaves nothing behind.
. "$(dirname "$0")/functions.sh"
cdb=$build/tests/system/iscsi-cdb
make_work
one_volume --size 16M --on n2
serves_all n1 n2 n3
mark n1
plain=/var/lib/director/volumes/$(show .data.uuid).img
inode() { lab sh n2 stat -c %i "$1" 2>/dev/null; }
was=$(inode "$plain")
[ -n "$was" ] || fail "where is its file? $(lab sh n2 ls -l /var/lib/director/volumes)"
keys() { lab host timeout 100 "$cdb" -i iqn.2026-01.test:looks "$(url "$1")" '5e000000000000020000<512' 2>/dev/null | sed 's/^good ........//'; }
if [ -x "$cdb" ]; then
	lab host timeout 100 "$cdb" -i iqn.2026-01.test:one "$(url n3)" '5f000000000000001800>000000000000000000000000000000c50000000000000000' >/dev/null || fail "register"
	held=$(keys n1)
	grep -q c5 <<<"$held" || fail "the key is not listed: $held"
fi

step "two copies, under load, through a node that forwards to it"
load n3 8 --size 14M
sleep 2
d n1 volume convert v --copies 2 >"$work/text" 2>&1 || fail "convert: $(cat "$work/text")"
until_true 20 "two copies are in sync" in_sync 2
ended "converted"
for n in n1 n2 n3; do marked $n || fail "converted: the data is another through $n"; done
grep -qw n2 <<<"$(nodes)" || fail "its node has no leg of it: $(nodes)"
[ "$(inode "$(file_of n2)")" = "$was" ] || fail "its file is another one now"
lab sh n2 test ! -e "$plain" || fail "its old file is still there"
[ -z "${held:-}" ] || [ "$(keys n3)" = "$held" ] || fail "reservations: $(keys n3) instead of $held"

# What of the data lies in front of what the leg keeps, and what behind it: MiB.
sums() { # BEHIND
	local o
	lab sh n2 sh -c "dd if=$(file_of n2) bs=1M count=16 status=none; dd if=$(file_of n2) bs=1M skip=17 count=$1 status=none" | sha256sum
	o=$(nodes | tr ' ' '\n' | grep -vx n2)
	lab sh "$o" dd if="$(file_of "$o")" bs=1M skip=1 status=none | sha256sum
}
same_sums() { [ "$(sums "$1" | sort -u | wc -l)" = 1 ]; }
until_true 10 "the legs are equal" same_sums 0

step "its node is killed: the other copy serves"
other=$(nodes | tr ' ' '\n' | grep -vx n2)
left=$([ "$other" = n1 ] && echo n3 || echo n1)
load "$left" 8 --size 14M
sleep 2
lab kill n2
ended "killed"
marked "$left" || fail "killed: the data is another"
mark "$left"
lab start n2
lab wait 20 || fail "n2 is back"
until_true 30 "all is in sync" in_sync 2
d n1 volume move v --owner n2 >/dev/null || fail "move"
until_true 10 "n2 owns it" owner_is n2
for n in n1 n2 n3; do marked $n || fail "back: the data is another through $n"; done

step "it grows, and is scrubbed"
d n1 volume resize v 24M >/dev/null || fail "resize"
until_true 10 "the size is told" eval '[ "$(show ".data.observed[].attributes.size | select(.)")" = $((24 << 20)) ]'
head -c 2M /dev/urandom >"$work/seam"
lab host timeout 60 "$iscsi" write "$(url n1)" --offset 15M <"$work/seam" || fail "write over the old end"
lab host timeout 60 "$iscsi" read "$(url n3)" --offset 15M --length 2M 2>/dev/null | cmp -s - "$work/seam" || fail "over the old end it reads otherwise"
until_true 10 "the legs are equal" same_sums 8
d n1 volume scrub v >/dev/null || fail "scrub"
until_true 20 "the scrub ends" eval '[ "$(show ".data.derived[\"scrub-done\"]")" = 1 ]'
[ "$(show '.data.derived["scrub-found"]')" = 0 ] || fail "the scrub found something: $(d n1 volume show v)"

step "all nodes lose power"
head -c 1M "$work/seam" >"$work/mark"
lab kill n1,n2,n3
lab start all
lab wait 30 || fail "all are well again"
serves_all n1 n2 n3
for n in n1 n2 n3; do marked $n || fail "power loss: the data is another through $n"; done
until_true 30 "all is in sync" in_sync 2

step "the copy that it was leaves its node; nothing stays behind"
d n1 volume move v --leg "$(leg_of n2)" --to "$left" >"$work/text" 2>&1 || fail "move: $(cat "$work/text")"
until_true 20 "it has left" eval 'in_sync 2 && [ -z "$(leg_of n2)" ]'
for n in n1 n2 n3; do marked $n || fail "moved: the data is another through $n"; done
until_true 10 "n2 has no file" eval '[ -z "$(lab sh n2 ls /var/lib/director/volumes)" ]'

step "what has no room is told what to do"
d n1 volume create r --size 4M --on n1 --backstore ram >/dev/null || fail "volume create"
d n1 volume convert r --copies 2 >"$work/text" 2>&1 && fail "memory became longer"
grep -q 'cannot be made longer; make another volume with --copies 2' "$work/text" || fail "what a user is told: $(cat "$work/text")"
pass
