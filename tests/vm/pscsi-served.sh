#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The pscsi backstore served to an initiator outside, from QEMU's disk, which knows only the older commands (the conformance kit
# too), and from the kernel's scsi_debug: the initiator is told when a block cannot be read.
. "$(dirname "$0")/functions.sh"
requires_vm iscsi-ls qemu-io
has_director
stage_director
built tests/system/targetctl && cp "$build/tests/system/targetctl" "$tools" || fail "targetctl does not build"
iqn=$(target pscsi)
lab up 1 --no-start || fail "lab up"
boot g1 -n "$(card 200)" -s 64M -m 512
install_director g1 || fail "install"
g g1 'modprobe -a sg sd_mod && modprobe scsi_debug dev_size_mb=32 lbpu=1 lbpws=1 lbprz=1 && udevadm settle -t 100; lsscsi -g' || fail "scsi_debug"
sg() { g g1 "lsscsi -g | sed -n 's/.* $1 .*\(\/dev\/sg[0-9]*\).*/\1/p'"; }
qemu=$(sg QEMU) debug=$(sg scsi_debug)
step "the conformance kit on $qemu"
g -t 500 g1 "director-plugin-test --deadline 300 --rounds 300 --size 32M pscsi path=$qemu" || fail "director-plugin-test on $qemu"
step "served to an initiator outside"
g g1 'systemd-run -q --unit=target director-target --socket /run/t.sock
	until [ -S /run/t.sock ]; do sleep 0.2; done' || fail "director-target"
ctl() { g g1 "/tools/targetctl /run/t.sock $*"; }
for n in 1 2; do
	[ $n = 1 ] && disk=$qemu size=64M || { disk=$debug size=32M; }
	ctl create 0000000$n-aaaa-4bbb-8ccc-dddddddddddd v$n "$size" pscsi path="$disk" || fail "volume on $disk"
done
ctl target "$iqn" lun=0:00000001-aaaa-4bbb-8ccc-dddddddddddd lun=1:00000002-aaaa-4bbb-8ccc-dddddddddddd portal="$(network).200:3260" host=any ||
	fail "target"
url=iscsi://$(network).200/$iqn
for lun in 0 1; do
	lab host qemu-io -f raw -c 'write -P 0x41 64k 1M' -c 'write -z 128k 64k' -c 'discard 256k 64k' -c flush -c 'read -P 0x41 64k 64k' \
		-c 'read -P 0 128k 64k' -c 'read -P 0x41 512k 512k' "$url/$lun" >"$tools/io" 2>&1
	grep -qE 'failed|error|verification' "$tools/io" && fail "lun $lun: $(cat "$tools/io")"
done
g g1 "sg_dd if=$qemu of=/tmp/is bs=512 skip=1024 count=8 2>/dev/null; head -c 4096 /dev/zero | tr '\0' A | cmp - /tmp/is" || fail "it is on the disk itself"
step "a block that cannot be read"
g g1 'echo 2 >/sys/bus/pseudo/drivers/scsi_debug/opts' || fail "scsi_debug's medium error"
lab host qemu-io -r -f raw -c "read $((0x1234 * 512)) 4k" "$url/1" >"$tools/io" 2>&1
grep -qiE 'medium|input/output error' "$tools/io" || fail "the initiator is told: $(cat "$tools/io")"
lab host qemu-io -r -f raw -c "read 0 4k" "$url/1" | grep -q 'read 4096/4096' || fail "the other blocks can be read"
g g1 'echo 0 >/sys/bus/pseudo/drivers/scsi_debug/opts'
lab host qemu-io -r -f raw -c "read $((0x1234 * 512)) 4k" "$url/1" | grep -q 'read 4096/4096' || fail "and this one too, afterwards"
pass
