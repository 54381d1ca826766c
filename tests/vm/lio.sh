#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Our initiator against the kernel's target, LIO, at each ErrorRecoveryLevel: data both ways, digests, CHAP, several connections,
# and a task that is reassigned when its connection is cut.
# LIO answers TASK REASSIGN with 255 for "done" and 0 for "no such task"; its kernel stumbles when the status of a reassigned task is acknowledged, and at
# times when a session with several connections ends. So that part comes last, asks only that tasks ended as they should, and is tried with another
# kernel when one falls before the first of them has ended.
. "$(dirname "$0")/functions.sh"
requires_vm jq ss
has_director
lab up 1 || fail "lab up"
iqn=iqn.2003-01.org.linux-iscsi:lio address=$(network).200
iscsi() { lab host timeout 120 "$build/director-iscsi" "$@"; }
url=iscsi://$address/$iqn/0

# lio NAME: a guest with a target.
lio() {
	boot "$1" -n "$(card 200)" -m 512
	g -t 120 "$1" - <<END || fail "LIO"
	set -e
	mkdir -p /etc/target/pr /etc/target/alua
	modprobe target_core_file
	modprobe iscsi_target_mod
	modprobe crc32c_generic
	mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config
	C=/sys/kernel/config/target
	truncate -s 64M /run/f0
	mkdir -p \$C/core/fileio_0/f0
	echo fd_dev_name=/run/f0,fd_dev_size=67108864 >\$C/core/fileio_0/f0/control
	echo 1 >\$C/core/fileio_0/f0/enable
	t=\$C/iscsi/$iqn/tpgt_1
	mkdir -p \$t/np/$address:3260
	# attrib/default_erl is what counts: at login LIO writes it over param/ErrorRecoveryLevel.
	for a in authentication=0 generate_node_acls=1 demo_mode_write_protect=0 cache_dynamic_acls=1 default_erl=2; do
		echo \${a#*=} >\$t/attrib/\${a%=*}
	done
	mkdir -p \$t/lun/lun_0
	ln -s \$C/core/fileio_0/f0 \$t/lun/lun_0/f0
	echo 8 >\$t/param/MaxConnections
	for k in HeaderDigest DataDigest; do echo CRC32C,None >\$t/param/\$k; done
	echo 1 >\$t/enable
END
}
step "a target of LIO"
lio g1
step "discovery and inquiry"
iscsi discover "$address" | grep -qx "$address:3260,1 $iqn" || fail "discovery"
iscsi inquiry --json "$url" | jq -e '.vendor == "LIO-ORG" and .blocks == 131072' >/dev/null || fail "inquiry"
data=$(mktemp "${TMPDIR:-/tmp}/lio.XXXXXX")
head -c 2000001 /dev/urandom >"$data"
step "data in every way"
for mode in "" --initial-r2t --no-immediate-data "--initial-r2t --no-immediate-data --data-digest require --header-digest require"; do
	iscsi write $mode --offset 4k "$url" <"$data" && iscsi read $mode --offset 4k --length 2000001 "$url" | cmp - "$data" ||
		fail "write and read $mode"
done
rm -f "$data"
verified() { # CONDITION OPTIONS...
	local json condition=$1
	shift
	json=$(iscsi verify --json --runtime 4s --bs 8k "$@" "$url")
	[ -n "$json" ] && echo "$json" || fail "verify $*"
	jq -e ".wrong == 0 and .failed == 0 and .reads > 0 and ($condition)" <<<"$json" >/dev/null || fail "verify $*"
}
step "ErrorRecoveryLevel 0 and 1"
verified '.erl == 0'
verified '.erl == 1' --erl 1 --data-digest require
step "CHAP, one way and both ways"
g -t 30 g1 - <<END || fail "CHAP at LIO"
	set -e
	t=/sys/kernel/config/target/iscsi/$iqn/tpgt_1
	echo 1 >\$t/attrib/authentication
	# LIO takes a newline for a part of the name.
	printf alice >\$t/auth/userid; printf alicesecret12 >\$t/auth/password
	printf peer >\$t/auth/userid_mutual; printf peersecret123 >\$t/auth/password_mutual
END
secrets=$(mktemp -d "${TMPDIR:-/tmp}/lio.XXXXXX")
echo alicesecret12 >"$secrets/ours"; echo peersecret123 >"$secrets/theirs"; echo wrongsecret12 >"$secrets/wrong"
iscsi inquiry --user alice --secret-file "$secrets/wrong" "$url" 2>/dev/null && fail "let in with a wrong secret"
both=(--user alice --secret-file "$secrets/ours" --target-user peer)
iscsi inquiry "${both[@]}" --target-secret-file "$secrets/wrong" "$url" 2>/dev/null && fail "a target that cannot prove itself was believed"
for hash in md5 sha1 sha256 sha3-256; do
	iscsi inquiry "${both[@]}" --target-secret-file "$secrets/theirs" --chap $hash "$url" >/dev/null || fail "mutual CHAP with $hash"
done
rm -rf "$secrets"
g g1 "echo 0 >/sys/kernel/config/target/iscsi/$iqn/tpgt_1/attrib/authentication" || fail "no CHAP again"
g g1 'dmesg | grep -E "Call Trace|BUG:"' && fail "the kernel stumbled"

step "ErrorRecoveryLevel 2, four connections; one is cut, its tasks are reassigned"
# reassigned NAME: was one answered, that its connection's loss had not ended? No, if the kernel fell at the first.
reassigned() {
	lab host timeout 60 "$build/director-iscsi" verify --json --reassign-255 --erl 2 --connections 4 --depth 16 --bs 256k --initial-r2t --no-immediate-data --runtime 8s --timeout 5s "$url" \
		>"$tools.json" 2>"$tools.err" &
	local verify=$! port
	sleep 3
	port=$(lab host ss -Htn state established "dst $address" | awk 'NR == 1 { sub(/.*:/, "", $3); print $3 }')
	lab host ss -K state established "sport = :$port" "dst $address" 2>/dev/null | grep -q ":$port" || skip "ss cannot cut connections here"
	wait $verify
	cat "$tools.json"
	[ -s "$tools.json" ] && jq -e '.wrong == 0 and .reads > 10 and .erl == 2 and .connections == 4 and .losses > 0 and .reassigned > 0' "$tools.json" >/dev/null ||
		{ cat "$tools.err"; fail "no task was reassigned"; }
	jq -e '.reassigned_done > 0' "$tools.json" >/dev/null && return
	g -t 20 "$1" true 2>/dev/null && fail "no reassigned task was answered, and the kernel lives"
	return 1
}
for n in g1 g2 g3; do
	[ $n = g1 ] || { step "the kernel fell before the answer: another one"; vm stop "$(full "$before")"; lio $n; }
	reassigned $n && { rm -f "$tools.json" "$tools.err"; pass; exit 0; }
	before=$n
done
fail "no task was reassigned and answered, by three kernels"
