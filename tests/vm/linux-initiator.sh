#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Linux's own initiator uses a LUN of a three-node lab: discovery, login, ext4, random file operations, while directord dies
# and returns on the node that serves; what was written is there for another initiator.
# Quick: one guest.
. "$(dirname "$0")/functions.sh"
requires_vm iscsi-ls qemu-img e2fsck
has_director
iqn=$(target linux)
lab up 3 || fail "lab up"
step "a volume on n2, for this initiator only"
d n1 volume create disk --size 256M --on n2 >/dev/null && d n3 target create "$iqn" >/dev/null &&
	d n3 lun add "$iqn" disk >/dev/null && d n3 host add "$iqn" "$(initiator_name g1)" >/dev/null || fail "volume and target"
portal=$(lab address n2 4)
until_true 10 "n2 serves it" lab host iscsi-ls -i "$(initiator_name g1)" "iscsi://$portal"

boot g1 -n "$(card 200)"
step "discovery and login"
g g1 "echo InitiatorName=$(initiator_name g1) >/etc/iscsi/initiatorname.iscsi; modprobe iscsi_tcp
	iscsiadm -m discovery -t sendtargets -p $portal" | grep -F "$iqn" || fail "SendTargets names the target"
login g1 "$iqn" "$portal"
g g1 'lsscsi -st; lsscsi | grep -q DIRECTOR' || fail "the disk is there"
d n3 session list -o json | grep -q "$(initiator_name g1)" || fail "n3 shows the session"
disk=$(g g1 "lsscsi | awk '/DIRECTOR/ { print \$NF }'")

step "ext4, and random operations on it while directord of n2 dies and returns"
g g1 "mkfs.ext4 -q $disk && mount -o discard $disk /mnt && cp -a /usr/lib/systemd /mnt && sync" || fail "mkfs, mount, copy"
g g1 'systemd-run -q --unit=fsx --property=Type=oneshot --no-block sh -c "/tools/fsx /mnt/fsx 1 20 >/run/fsx.out 2>&1"'
sleep 4
lab kill n2 directord
sleep 2
lab start n2
until_guest 60 "fsx ends" g1 "! systemctl -q is-active fsx && grep -q . /run/fsx.out"
g g1 'cat /run/fsx.out; grep -q operations /run/fsx.out' || fail "fsx"
step "what was written is there after a new mount"
g g1 "umount /mnt && echo 3 >/proc/sys/vm/drop_caches && e2fsck -fn $disk && mount $disk /mnt && diff -r /usr/lib/systemd /mnt/systemd" ||
	fail "the files are not the same"
step "unmap"
g g1 'rm -r /mnt/systemd && fstrim -v /mnt && umount /mnt' || fail "fstrim"
step "the volume grows under the initiator"
d n1 volume resize disk --size 384M >/dev/null || fail "resize"
g g1 'iscsiadm -m session --rescan' >/dev/null
until_guest 20 "the kernel sees the new size" g1 "[ \$(blockdev --getsize64 $disk) = $((384 << 20)) ]"
g g1 "resize2fs -f $disk && e2fsck -fn $disk" >/dev/null 2>&1 || fail "the file system grows"
g g1 'dmesg | grep -E "I/O error|Medium Error|EXT4-fs error"' && fail "the kernel saw errors"
step "logout; another initiator reads the same file system"
g g1 'iscsiadm -m node --logout' >/dev/null || fail "logout"
copy=$(mktemp "${TMPDIR:-/tmp}/disk.XXXXXX")
lab host qemu-img convert -f raw -O raw \
	"json:{\"driver\":\"raw\",\"file\":{\"driver\":\"iscsi\",\"transport\":\"tcp\",\"portal\":\"$portal\",\"target\":\"$iqn\",\"lun\":\"0\",\"initiator-name\":\"$(initiator_name g1)\"}}" "$copy"
e2fsck -fn "$copy" >/dev/null 2>&1
status=$?
rm -f "$copy"
[ $status = 0 ] || fail "the file system as another initiator reads it"
pass
