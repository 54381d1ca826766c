#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Linux's dm-multipath over two portals of one target: each cable is pulled in turn, then both, then the target is killed, all
# under random file operations on ext4. The file system notices nothing.
. "$(dirname "$0")/functions.sh"
requires_vm jq
has_director
iqn=$(target mp)
REPLACEMENT=5
lab up 1 || fail "lab up"
second=$(second_network).1
lab sh n1 ip addr add "$second/24" dev eth0 || fail "a second address for n1"
d n1 volume create disk --size 256M >/dev/null && d n1 target create "$iqn" >/dev/null &&
	d n1 lun add "$iqn" disk >/dev/null && d n1 host add "$iqn" "$(initiator_name g1)" >/dev/null || fail "volume and target"

boot g1 -n "$(card 200)" -n "$(card 200 "$(second_network)")"
paths() { g g1 'multipathd show paths format "%t %T"' | grep -cE '^active +ready'; }
paths_are() { [ "$(paths)" = "$1" ]; }
fsx() { # SECONDS
	g g1 "systemd-run -q --unit=fsx-$SECONDS --property=Type=oneshot --no-block sh -c \"rm -f /run/fsx; /tools/fsx /mnt/fsx \$RANDOM $1 >/run/fsx 2>&1; echo ended >>/run/fsx\""
}
fsx_ends() { # SECONDS
	until_guest "$1" "fsx ends" g1 'grep -q ended /run/fsx'
	g g1 'cat /run/fsx; grep -q operations /run/fsx' || fail "fsx"
}

g g1 "printf 'defaults {\nuser_friendly_names yes\nfind_multipaths no\npolling_interval 2\nno_path_retry queue\n}\n' >/etc/multipath.conf
	modprobe dm-multipath; systemctl start multipathd" || fail "multipathd"
login g1 "$iqn" "$(lab address n1 4):3260" "$second:3260"
until_true 30 "both paths are one disk" paths_are 2
g g1 'multipath -ll'
map=$(g g1 'ls /dev/mapper/mpath?')
g g1 "mkfs.ext4 -q $map && mount -t ext4 $map /mnt" || fail "mkfs, mount"

for card in eth0 eth1; do
	step "the cable of $card is pulled"
	fsx 30
	sleep 3
	cable g1 $card off
	until_true 40 "one path is left" paths_are 1
	cable g1 $card on
	until_true 60 "the path is back" paths_are 2
	fsx_ends 60
done
step "both cables: I/O waits, and goes on"
fsx 30
sleep 3
cable g1 eth0 off
cable g1 eth1 off
until_true 60 "no path is left" paths_are 0
cable g1 eth0 on
cable g1 eth1 on
until_true 90 "both paths are back" paths_are 2
fsx_ends 90
step "director-target is killed: its sessions come back"
fsx 20
sleep 3
lab kill n1 director-target
fsx_ends 120
until_true 60 "both paths are back" paths_are 2
g g1 "umount /mnt && e2fsck -fn $map" || fail "the file system is damaged"
g g1 'dmesg | grep -E "EXT4-fs (error|warning)|Buffer I/O error"' && fail "the file system saw errors"
pass
