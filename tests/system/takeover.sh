#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# directord is killed and returns while an initiator does I/O: session and I/O go on, nothing written is lost (I11).
. "$(dirname "$0")/functions.sh"
requires corosync qemu-img iscsi-perf iscsi-inq
has_director
lab up 2 || fail "lab up"
iqn=$(target io)
url=iscsi://$(lab address n2 4)/$iqn
d n1 volume create data --size 256M --on n2 >/dev/null || fail "volume create"
d n1 volume create perf --size 64M --on n2 --backstore ram >/dev/null || fail "volume create"
d n1 target create "$iqn" >/dev/null || fail "target create"
d n1 lun add "$iqn" data --lun 0 >/dev/null || fail "lun add"
d n1 lun add "$iqn" perf --lun 1 >/dev/null || fail "lun add"
d n1 host add "$iqn" --any >/dev/null || fail "host add"
until_true 10 "the initiator sees the LUN" lab host iscsi-inq "$url/0"
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"; finish' EXIT
head -c 200M /dev/urandom >"$work/in.img"

step "an initiator reads all the time; a second one copies 200 MB in meanwhile"
lab host iscsi-perf -m 8 -b 8 -t 1000 -r "$url/1" >"$work/perf" 2>&1 &
perf=$!
sessions() { d n2 session list -o json 2>/dev/null | jq '.data | length'; }
until_true 5 "the session is listed" eval '[ "$(sessions)" -ge 1 ]'
before=$(d n2 session list -o json | jq -c '[.data[].path] | sort')
lab host qemu-img convert -n -f raw -O raw "$work/in.img" "$url/0" &
copy=$!
for round in 1 2; do
	sleep 0.5
	lab kill n2 directord
	sleep 0.5
	kill -0 $perf 2>/dev/null || fail "the reader ended when directord died: $(tail -n 2 "$work/perf")"
	lab start n2
	until_true 15 "n2 is quorate again" status_is n2 quorate true
	step "round $round: directord is back"
done
wait $copy || fail "the copy failed"
kill -0 $perf 2>/dev/null || fail "the reader ended early: $(tail -n 2 "$work/perf")"
until_true 5 "the same session is listed again" eval '[ "$(d n2 session list -o json | jq -c "[.data[].path] | sort")" = "$before" ]'
end_perf
wait $perf && grep -q finished "$work/perf" || fail "the reader failed: $(tail -n 2 "$work/perf")"
step "what was written is there"
lab host qemu-img convert -f raw -O raw "$url/0" "$work/out.img" || fail "reading back"
cmp -n $((200 << 20)) "$work/in.img" "$work/out.img" || fail "what was written is not what is read"
step "and n2 takes changes again"
d n1 volume resize perf 128M >/dev/null || fail "volume resize"
until_true 5 "the initiator sees it" eval 'lab host iscsi-readcapacity16 "$url/1" | grep -q "Total size:134217728"'
pass
