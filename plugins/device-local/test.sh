#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The finder of block devices, on a machine made of files.
. "${top_srcdir:=.}/plugins/test-lib.sh"
run="$top_builddir/director-plugin-run"
so=$top_builddir/plugins/device-local/.libs/device-local.so
r=$tmp/root
# A machine made of files: a mounted disk with a partition, a free one with an identity, swap, an empty drive.
disk() { # NAME SECTORS MAJOR:MINOR
	mkdir -p "$r/sys/class/block/$1/queue"
	echo "$2" >"$r/sys/class/block/$1/size"
	echo "$3" >"$r/sys/class/block/$1/dev"
	echo 512 >"$r/sys/class/block/$1/queue/logical_block_size"
	echo 0 >"$r/sys/class/block/$1/queue/rotational"
}
mkdir -p "$r/dev" "$r/proc/self"
disk sda 2048 8:0
disk sdb 4096 8:16; echo 'naa.5000c500a1b2c3d4' >"$r/sys/class/block/sdb/wwid"
mkdir "$r/sys/class/block/sdb/device"; echo 'A  Model' >"$r/sys/class/block/sdb/device/model"
disk sdc 8192 8:32
disk sdd 0 8:48
disk sde 1024 8:64; mkdir -p "$r/sys/class/block/sde/holders/dm-0"
disk sdf 1024 8:80
mkdir "$r/sys/class/block/sda/sda1"; echo 1 >"$r/sys/class/block/sda/sda1/partition"
echo '20 1 8:0 / /home rw - ext4 /dev/sda rw' >"$r/proc/self/mountinfo"
printf 'Filename Type\n/dev/sdc partition\n' >"$r/proc/swaps"
printf 'XFSB' >"$r/dev/sdf"
marked() { # NAME OFFSET BYTES: a disk whose owner is known by a mark alone
	disk "$1" 1024 9:0
	truncate -s 512K "$r/dev/$1"
	printf "$3" | dd of="$r/dev/$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}
marked sdg 3 'EXFAT   '
marked sdh 1024 '\020\040\365\362'
marked sdi 32768 JFS1
marked sdj 65588 ReIsEr2Fs
marked sdk 65536 '\001\026\031\160'
marked sdl 16408 version
marked sdm 0 'bluestore block device'
marked sdn 4120 '\306\205\163\366\116\032\105\312'
marked sdo 4120 '\306\205\163\366\146\316\220\251'
# At the end: a beginning of another kind is that of what lies on it.
marked sdp 458752 '\374\116\053\251'; printf XFSB | dd of="$r/dev/sdp" conv=notrunc 2>/dev/null
marked sdq 516096 '\374\116\053\251'
marked sdr 520252 '\203\164\002\155'
marked sds 523264 'Intel Raid ISM Cfg Sig. 1.3'
marked sdt 458752 '\374\116\053\251'; truncate -s 550000 "$r/dev/sdt"
mkdir "$tmp/images"; truncate -s 1M "$tmp/images/one two.img"; : >"$tmp/images/empty"
printf '{"params": {"root": "%s", "files": "%s"}}' "$r" "$tmp/images" | "$run" "$so" scan >"$tmp/out" || fail "scan failed"
has() { grep -qF "$1" "$tmp/out" || { cat "$tmp/out"; fail "not there: $1"; }; }
has '{"name":"sda","path":"/dev/sda","kind":"disk","size":1048576,"block-size":512,"used-by":"ext4 on /home"'
has '"name":"wwn-naa.5000c500a1b2c3d4","path":"/dev/sdb","kind":"disk","size":2097152,"block-size":512,"model":"A  Model"'
has '"name":"sdc"'; has '"used-by":"swap"'; has '"used-by":"held by dm-0"'; has '"used-by":"xfs file system"'
for what in exFAT f2fs JFS reiserfs GFS2 bcachefs; do has "\"used-by\":\"$what file system\""; done
for d in p q s t; do has "\"name\":\"sd$d\",\"path\":\"/dev/sd$d\",\"kind\":\"disk\",\"size\":524288,\"block-size\":512,\"used-by\":\"RAID member\""; done
has '"used-by":"DRBD disk"'
has '"used-by":"ZFS member"'; has '"used-by":"Ceph OSD"'; has '"used-by":"bcache device"'
has '"name":"file-one-two.img"'
if grep -q '"sdd"\|empty' "$tmp/out"; then fail "an empty drive is listed"; fi
grep -o '"wwn":"naa[^}]*' "$tmp/out" | grep -q used-by && fail "a free disk is called used"
printf '{"params": {"rot": "x"}}' | "$run" "$so" scan >"$tmp/out" && fail "a wrong parameter was taken"
has 'did you mean root?'
printf '[]' | "$run" "$so" scan >"$tmp/out" && fail "input that is no object was taken"
"$run" "$so" dance </dev/null; [ $? = 2 ] || fail "an unknown verb is not status 2"
"$run" "$so" probe </dev/null | grep -q '"kind":"device"' || fail "probe"
exit 0
