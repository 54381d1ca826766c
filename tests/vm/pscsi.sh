#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The conformance kit on disks that only a kernel of our own has: pscsi and block on scsi_debug, thin, with errors, in two block sizes.
. "$(dirname "$0")/functions.sh"
requires_vm
tools=$(mktemp -d "${TMPDIR:-/tmp}/vm-tools.XXXXXX")
cp "$build/director-plugin-test" "$tools" || skip "director-plugin-test is not built"
for p in pscsi block; do cp "$build/plugins/$p/.libs/$p.so" "$tools" || skip "$p is not built"; done
boot g1 -m 512
# in_guest SECTOR OPTIONS...: scsi_debug anew; says its sg node and its disk
debug_disk() {
	g -t 120 g1 "rmmod scsi_debug 2>/dev/null; modprobe scsi_debug dev_size_mb=32 delay=0 sector_size=$1 ${*:2} &&
		udevadm settle; lsscsi -g | sed -n 's/.*scsi_debug.* \(\/dev\/sd[a-z]*\) *\(\/dev\/sg[0-9]*\).*/\2 \1/p'"
}
kit() { g -t 600 g1 "DIRECTOR_PLUGIN_PATH=/tools /tools/director-plugin-test --rounds 300 --deadline 300 $*"; }
for sector in 512 4096; do
	read -r sg sd < <(debug_disk $sector lbpu=1 lbpws=1 lbprz=1)
	[ -n "$sg" ] || fail "there is no scsi_debug of $sector bytes"
	out=$(kit pscsi path="$sg") || fail "pscsi on $sg, blocks of $sector: $out"
	echo "pscsi, $sector: $(tail -n 1 <<<"$out")"
	out=$(kit block path="$sd") || fail "block on $sd, blocks of $sector: $out"
	echo "block, $sector: $(tail -n 1 <<<"$out")"
done
out=$(kit --only tables,life pscsi path="$sd") || fail "pscsi by the block device: $out"

# It holds the disk against others while it is open: what is mounted is refused.
read -r sg sd < <(debug_disk 512)
g g1 "mke2fs -q -F $sd && mkdir -p /m && mount $sd /m" || fail "a file system on $sd"
out=$(kit --only life pscsi path="$sg") && fail "pscsi took a mounted disk"
grep -q "is in use on this node" <<<"$out" || fail "a mounted disk: $out"
g g1 "umount /m"

# A medium error (opts=2: ten blocks from LBA 1234h on) is one for the initiator too. So many rounds that a read meets it.
read -r sg sd < <(debug_disk 512 opts=2)
out=$(kit --rounds 3000 --only threads pscsi path="$sg") && fail "no medium error came through"
grep -q "Input/output error" <<<"$out" || fail "a medium error became: $out"
pass
