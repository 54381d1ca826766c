#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The initiator and director-target: connections are cut under load at each ErrorRecoveryLevel, the target is killed and started
# anew, and it stands still; no I/O fails and every byte is right. Then the LUN as NBD, for qemu.
: "${top_builddir:=.}"
build=$(cd "$top_builddir" && pwd)
iscsi=$build/director-iscsi ctl=$build/tests/system/targetctl
[ "$(id -u)" = 0 ] || { echo "skipped: not root"; exit 77; }
for f in "$iscsi" "$build/director-target"; do [ -x "$f" ] || { echo "skipped: $f is not built"; exit 77; }; done
[ -x "$ctl" ] || make -s -C "$build" tests/system/targetctl || exit 1
if [ -z "$RECOVERY_NS" ]; then
	unshare -n true 2>/dev/null || { echo "skipped: no network namespaces here"; exit 77; }
	RECOVERY_NS=1 top_builddir=$build exec unshare -n "$0"
fi
ip link set lo up
dir=$(mktemp -d) port=3260 iqn=iqn.2026-11.test:recovery uuid=00000001-aaaa-4bbb-8ccc-dddddddddd77
url=iscsi://127.0.0.1:$port/$iqn/1 pids= target=
export DIRECTOR_PLUGIN_PATH=${DIRECTOR_PLUGIN_PATH:-$build/plugins}
finish() {
	for p in $target $pids; do kill -CONT "$p"; kill -9 "$p"; done 2>/dev/null
	wait 2>/dev/null
	rm -rf "$dir"
}
trap finish EXIT
fail() { echo "FAIL: $*"; tail -n 20 "$dir/out" "$dir/log" 2>/dev/null; exit 1; }
truncate -s 64M "$dir/disk"
start() {
	rm -f "$dir/s"
	"$build/director-target" --socket "$dir/s" 2>>"$dir/log" & target=$!
	for _ in $(seq 600); do "$ctl" "$dir/s" list >/dev/null 2>&1 && break; sleep 0.1; done
	"$ctl" "$dir/s" create $uuid disk 64M file path="$dir/disk" >/dev/null && "$ctl" "$dir/s" target $iqn lun=1:$uuid portal=127.0.0.1:$port host=any >/dev/null ||
		fail "cannot set the target up"
}
start
now_ms() { echo $(($(date +%s%N) / 1000000)); }
# verify SECONDS OPTIONS...: in the background, its report in $dir/json
verify() {
	local s=$1; shift
	timeout 120 "$iscsi" verify --json --verbose --timeout 60s --runtime "$s" --bs 16k "$@" "$url" >"$dir/json" 2>"$dir/out" & verifier=$!
	pids="$pids $verifier"
	for _ in $(seq 600); do grep -q '^director-iscsi: up' "$dir/out" && { up=$(now_ms); return; }; sleep 0.1; done
	fail "verify does not log in"
}
verified() { # CONDITION WHAT
	wait "$verifier" || fail "$2: $(cat "$dir/json")"
	[ -s "$dir/json" ] && jq -e ".wrong == 0 and .failed == 0 and .reads > 0 and ($1)" "$dir/json" >/dev/null || fail "$2: not ($1): $(cat "$dir/json")"
	echo "ok $2: $(cat "$dir/json")"
}
cut_one() {
	local p
	p=$(ss -Htn state established "dport = :$port" | awk '{ sub(/.*:/, "", $3); print $3 }' | shuf -n 1)
	[ -n "$p" ] && ss -K state established "sport = :$p" "dport = :$port" 2>/dev/null | grep -q ":$p"
}

for erl in 0 1 2; do
	for n in 1 3; do
		verify 4s --erl $erl --connections $n --data-digest prefer
		# A command that the target had not seen yet is sent again; several cuts, so that some are to be reassigned.
		cuts=0
		for _ in $(seq $((erl == 2 ? 6 : 3))); do
			sleep 0.5
			[ $(($(now_ms) - up)) -lt 3600 ] || break       # not at its end: what is cut then is not missed
			cut_one && cuts=$((cuts + 1))
		done
		[ $cuts -gt 0 ] || { echo "skipped: ss cannot cut connections here"; exit 77; }
		more=true
		[ $erl = 2 ] && more=".replayed == 0 and .reassigned > 0 and .reassigned_done == .reassigned"
		verified ".losses >= $cuts and .erl == $erl and .connections == $n and $more" "ERL $erl, $n connections, $cuts cut"
	done
done

verify 6s --erl 2 --connections 2
sleep 1
kill -9 $target; wait $target 2>/dev/null
sleep 0.5
start
verified ".losses > 0 and .replayed > 0" "the target is killed and started anew"

verify 9s
sleep 1
kill -STOP $target
sleep 12
kill -CONT $target
verified ".losses > 0" "the target stands still for longer than a ping"

# Another director-target, whose volume is this LUN through the iscsi backstore.
rm -f "$dir/s2"
"$build/director-target" --socket "$dir/s2" 2>"$dir/log2" & pids="$pids $!"
for _ in $(seq 600); do "$ctl" "$dir/s2" list >/dev/null 2>&1 && break; sleep 0.1; done
uuid2=00000001-aaaa-4bbb-8ccc-dddddddddd78
"$ctl" "$dir/s2" create $uuid2 far 64M iscsi portal=127.0.0.1:$port target=$iqn lun=1 ping=1s >"$dir/out" &&
	"$ctl" "$dir/s2" target $iqn-far lun=1:$uuid2 portal=127.0.0.1:3262 host=any >/dev/null || fail "a volume on a LUN elsewhere"
near=$url url=iscsi://127.0.0.1:3262/$iqn-far/1
verify 8s
sleep 1
cut_one
sleep 1
kill -9 $target; wait $target 2>/dev/null
sleep 2
start
verified ".logins == 1 and .losses == 0" "a LUN elsewhere as a volume: its path is cut, its target dies and returns"
grep -q 'path lost' "$dir/log2" && grep -q 'path back' "$dir/log2" || fail "the volume says that its path was lost and is back"
url=$near

if command -v qemu-img >/dev/null && command -v qemu-io >/dev/null; then
	"$iscsi" serve --socket "$dir/nbd" "$url" 2>"$dir/out" & pids="$pids $!"
	for _ in $(seq 100); do [ -S "$dir/nbd" ] && break; sleep 0.1; done
	nbd="nbd+unix:///?socket=$dir/nbd"
	qemu-img info "$nbd" | grep -q '64 MiB' || fail "qemu-img info over NBD"
	head -c 32M /dev/urandom >"$dir/data"
	timeout 60 qemu-img convert -n -f raw -O raw "$dir/data" "$nbd" || fail "qemu-img convert to NBD"
	timeout 60 "$iscsi" read --length 32M "$url" | cmp - "$dir/data" || fail "what came through NBD is not what was sent"
	timeout 60 qemu-io -f raw -c 'write -z 1M 1M' -c 'read -P 0 1M 1M' -c 'discard 4M 1M' -c 'write -P 7 8M 64k' -c 'read -P 7 8M 64k' \
		-c flush "$nbd" >"$dir/out" || fail "qemu-io over NBD"
	timeout 60 qemu-img bench -w -f raw -t none -c 2000 -d 32 -s 4096 "$nbd" >/dev/null || fail "qemu-img bench over NBD"
	command -v nbdinfo >/dev/null && { nbdinfo "$nbd" | grep -q 'export-size: 67108864' || fail "nbdinfo"; }
	echo "ok NBD: qemu-img and qemu-io"
fi
exit 0
