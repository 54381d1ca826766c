#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The initiator against targets that others wrote, tgt and istgt, in a network namespace: discovery, inquiry, data both ways with
# every combination of immediate and unsolicited data, digests, CHAP; and a target that goes away and comes back.
#   tests/system/initiator.sh [tgt] [istgt]         in a build tree, as root
: "${top_builddir:=.}"
build=$(cd "$top_builddir" && pwd)
iscsi=$build/director-iscsi
[ "$(id -u)" = 0 ] || { echo "skipped: not root"; exit 77; }
[ -x "$iscsi" ] || { echo "skipped: director-iscsi is not built"; exit 77; }
peers=${*:-tgt istgt}
if [ -z "$INITIATOR_NS" ]; then
	unshare -n true 2>/dev/null || { echo "skipped: no network namespaces here"; exit 77; }
	INITIATOR_NS=1 top_builddir=$build exec unshare -n -m "$0" $peers
fi
ip link set lo up
dir=$(mktemp -d) pids= port=3260 control=$((100 + $$ % 20000))
finish() {
	for p in $pids; do kill -9 "$p" 2>/dev/null; done
	wait 2>/dev/null
	rm -rf "$dir"
}
trap finish EXIT
mount -t tmpfs none /run 2>/dev/null
fail() { echo "FAIL: $*"; tail -n 5 "$dir"/*.log 2>/dev/null; exit 1; }
run() { timeout 60 "$iscsi" "$@"; }

start_tgt() {
	tgtd -f -C $control --iscsi portal=127.0.0.1:$port >"$dir/tgt.log" 2>&1 & peer=$!
	pids="$pids $peer"
	for _ in $(seq 300); do tgtadm -C $control --op show --mode sys >/dev/null 2>&1 && break; sleep 0.1; done
	adm() { tgtadm -C $control --lld iscsi "$@" || fail "tgtadm $*"; }
	adm --mode target --op new --tid 1 -T "$iqn"
	adm --mode logicalunit --op new --tid 1 --lun 1 --bstype rdwr -b "$dir/disk"
	for k in HeaderDigest DataDigest; do adm --mode target --op update --tid 1 --name $k --value CRC32C,None; done
	adm --mode target --op bind --tid 1 -I ALL
	if [ -n "$1" ]; then
		adm --mode account --op new --user alice --password alicesecret12
		adm --mode account --op bind --tid 1 --user alice
		adm --mode account --op new --user peer --password peersecret123
		adm --mode account --op bind --tid 1 --user peer --outgoing
	fi
}

start_istgt() {
	cat >"$dir/istgt.conf" <<-END
	[Global]
	  NodeBase "iqn.2026-11.peer"
	  PidFile $dir/istgt.pid
	  AuthFile $dir/auth
	  LogFacility "local7"
	  Timeout 30
	  NopInInterval 20
	  DiscoveryAuthMethod None
	  MaxSessions 16
	  MaxConnections 4
	  MaxR2T 32
	  MaxOutstandingR2T 16
	  DefaultTime2Wait 2
	  DefaultTime2Retain 60
	  FirstBurstLength 262144
	  MaxBurstLength 1048576
	  MaxRecvDataSegmentLength 262144
	  InitialR2T Yes
	  ImmediateData Yes
	  DataPDUInOrder Yes
	  DataSequenceInOrder Yes
	  ErrorRecoveryLevel 0
	[UnitControl]
	  AuthMethod None
	  AuthGroup None
	  Portal UC1 127.0.0.1:3261
	  Netmask 127.0.0.1
	[PortalGroup1]
	  Portal DA1 127.0.0.1:$port
	[InitiatorGroup1]
	  InitiatorName "ALL"
	  Netmask ALL
	[LogicalUnit1]
	  TargetName t
	  Mapping PortalGroup1 InitiatorGroup1
	  AuthMethod ${1:-None}
	  AuthGroup AuthGroup1
	  UseDigest Auto
	  UnitType Disk
	  QueueDepth 32
	  LUN0 Storage $dir/disk 64MB
	END
	cat >"$dir/auth" <<-END
	[AuthGroup1]
	  Auth "alice" "alicesecret12" "peer" "peersecret123"
	END
	chmod 600 "$dir/auth"
	istgt -c "$dir/istgt.conf" -D >"$dir/istgt.log" 2>&1 & peer=$!
	pids="$pids $peer"
	for _ in $(seq 300); do (exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null && break; sleep 0.1; done
}

stop() { kill -9 "$peer"; wait "$peer" 2>/dev/null; }

check() { # what the peer is called
	local url=iscsi://127.0.0.1:$port/$iqn/$lun
	run discover 127.0.0.1:$port | grep -q "127.0.0.1:$port,1 $iqn" || fail "$1: discovery"
	run inquiry iscsi://127.0.0.1:$port/"$iqn" | grep -qx "$lun" || fail "$1: REPORT LUNS"
	run inquiry --json "$url" | jq -e '.blocks * .block_size == 67108864' >/dev/null || fail "$1: the size"
	head -c 3000001 /dev/urandom >"$dir/data"
	for mode in "" --initial-r2t --no-immediate-data "--initial-r2t --no-immediate-data"; do
		for digest in none require; do
			run write $mode --header-digest $digest --data-digest $digest --offset 4k "$url" <"$dir/data" || fail "$1: write $mode, digests $digest"
			run read $mode --header-digest $digest --data-digest $digest --offset 4k --length 3000001 "$url" | cmp -s - "$dir/data" ||
				fail "$1: what is read is not what was written ($mode, digests $digest)"
			head -c 1000 /dev/urandom >>"$dir/data"; tail -c 3000001 "$dir/data" >"$dir/data2"; mv "$dir/data2" "$dir/data"
		done
	done
	run verify --runtime 1s --bs 8k --erl 2 --connections 4 "$url" || fail "$1: verify, with ERL 2 and four connections offered"
	echo "ok $1: discovery, inquiry, data in eight ways, verify"
}

check_chap() {
	local url=iscsi://127.0.0.1:$port/$iqn/$lun
	echo alicesecret12 >"$dir/ours"; echo peersecret123 >"$dir/theirs"; echo wrongsecret12 >"$dir/wrong"
	run inquiry --chap md5 "$url" 2>/dev/null && fail "$1: let in without a secret"
	run inquiry --chap md5 --user alice --secret-file "$dir/wrong" "$url" 2>/dev/null && fail "$1: let in with a wrong secret"
	run inquiry --chap md5 --user alice --secret-file "$dir/ours" "$url" >/dev/null || fail "$1: CHAP one way"
	run inquiry --chap md5 --user alice --secret-file "$dir/ours" --target-user peer --target-secret-file "$dir/theirs" "$url" >/dev/null ||
		fail "$1: CHAP both ways"
	run inquiry --chap md5 --user alice --secret-file "$dir/ours" --target-user peer --target-secret-file "$dir/wrong" "$url" 2>/dev/null &&
		fail "$1: a target that cannot prove itself was believed"
	echo "ok $1: CHAP one way and both ways"
}

# Killed and started anew twice under load: no error, no wrong byte.
check_loss() {
	local url=iscsi://127.0.0.1:$port/$iqn/$lun
	truncate -s 64M "$dir/disk"
	run verify --runtime 9s --bs 16k --timeout 50s --verbose "$url" >"$dir/verify" 2>"$dir/verify.log" & local v=$!
	for _ in $(seq 300); do grep -q '^director-iscsi: up' "$dir/verify.log" && break; sleep 0.1; done
	for _ in 1 2; do sleep 1.5; stop; sleep 0.5; "start_$1"; done
	wait $v || fail "$1: verify over two restarts: $(cat "$dir/verify" "$dir/verify.log")"
	grep -qE ' [1-9][0-9]* connections lost' "$dir/verify" || fail "$1: no connection was lost: $(cat "$dir/verify")"
	echo "ok $1: two restarts under load: $(cat "$dir/verify")"
}

tested=
for p in $peers; do
	case $p in
	tgt) command -v tgtd >/dev/null || { echo "tgt is not installed"; continue; }; iqn=iqn.2026-11.peer:tgt lun=1 ;;
	istgt) command -v istgt >/dev/null || { echo "istgt is not installed"; continue; }; iqn=iqn.2026-11.peer:t lun=0 ;;
	esac
	truncate -s 64M "$dir/disk"
	start_$p; check $p; check_loss $p; stop
	chap=; [ $p = istgt ] && chap=CHAP
	start_$p "${chap:-chap}"; check_chap $p; stop
	tested=1
done
[ -n "$tested" ] || { echo "skipped: neither tgt nor istgt is installed"; exit 77; }
exit 0
