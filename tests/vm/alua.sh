#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Linux's dm-multipath and ALUA: one unit behind two target port groups. I/O follows the states that the target reports and
# those that the initiator sets; a group that refuses, and a cable that is pulled, cost the file system nothing.
. "$(dirname "$0")/functions.sh"
requires_vm jq
has_director
built tests/system/targetctl || fail "targetctl does not build"
REPLACEMENT=5
uuid=12345678-aaaa-4bbb-8ccc-dddddddddddd
socket=/run/director/t.sock
lab up 1 --program "DIRECTOR_PLUGIN_PATH=$build/plugins exec $build/director-target --socket $socket --state /var/lib/director/target" \
	--ready "test -S $socket" || fail "lab up"
ctl() { lab sh n1 "$build/tests/system/targetctl" $socket "$@"; }
first=$(lab address n1 4) second=$(second_network).1
lab sh n1 ip addr add "$second/24" dev eth0 || fail "a second address for n1"
optimized=0 nonoptimized=1 standby=2 unavailable=3
ctl create $uuid disk 256M ram &&
	ctl target "$(target one)" tag=1 lun=0:$uuid portal="$first:3260" host=any &&
	ctl target "$(target two)" tag=2 lun=0:$uuid portal="$second:3260" host=any &&
	ctl access $uuid implicit 1=$optimized 2=$nonoptimized || fail "one unit behind two groups"
# Implicit: else Linux makes the group optimized that it likes best itself, and there is nothing to follow.
access() { ctl access $uuid implicit "$@" || fail "access $*"; }
commands() { ctl list | sed -n "s/^session .*$(target "$1") .*commands=\([0-9]*\) .*/\1/p"; }

boot g1 -n "$(card 200)" -n "$(card 200 "$(second_network)")"
g g1 "printf 'defaults {\nuser_friendly_names yes\nfind_multipaths no\npolling_interval 1\nmax_polling_interval 2\nno_path_retry queue\nfailback immediate\npath_grouping_policy group_by_prio\n}\n' >/etc/multipath.conf
	modprobe -a dm-multipath scsi_dh_alua; systemctl start multipathd" || fail "multipathd"
login g1 "$(target one)" "$first:3260"
login g1 "$(target two)" "$second:3260"
paths() { g g1 'multipathd show paths format "%t %T %p"' | sed -n 's/^active *ready *\([0-9]*\) *$/\1/p' | sort -n | tr '\n' ' '; }
paths_are() { [ "$(paths)" = "$1" ]; }
until_true 60 "both paths, with the priorities of their states" paths_are "10 50 "
g g1 'multipath -ll; for p in /dev/sg?; do sg_rtpg -d $p && sg_vpd -p di $p | grep -A3 "port group"; done'
g g1 "multipath -ll | grep -q \"hwhandler='1 alua'\"" || fail "the kernel's ALUA handler is in use"
map=$(g g1 'ls /dev/mapper/mpath?')
g g1 "mkfs.ext4 -q $map && mount -t ext4 $map /mnt" || fail "mkfs, mount"
g g1 'systemd-run -q --unit=fsx --property=Type=oneshot --no-block bash -c "while [ ! -e /run/enough ]; do /tools/fsx /mnt/fsx \$RANDOM 5 || break; done >/run/fsx 2>&1; echo ended >>/run/fsx"'

# goes_by GROUP: of the commands of three seconds most come through it (the other is only asked how it is)
goes_by() {
	local a b one two
	a=$(commands one) b=$(commands two)
	sleep 3
	one=$(($(commands one) - a)) two=$(($(commands two) - b))
	echo "one: $one, two: $two"
	case $1 in one) [ $one -gt $((5 * two + 20)) ] ;; two) [ $two -gt $((5 * one + 20)) ] ;; esac
}
step "the optimized group is used"
until_true 30 "I/O goes through the first" goes_by one
step "the target says that the other one is"
access 1=$nonoptimized 2=$optimized
until_true 60 "I/O goes through the second" goes_by two
step "the second is on standby: its commands are refused, the first takes over"
access 1=$nonoptimized 2=$standby
until_true 60 "I/O goes through the first" goes_by one
access 1=$unavailable 2=$optimized
step "the first is unavailable"
until_true 60 "I/O goes through the second" goes_by two
access 1=$optimized 2=$nonoptimized
until_true 60 "both are ready" paths_are "10 50 "
until_true 60 "I/O is back on the first" goes_by one
step "the optimized path's cable is pulled"
cable g1 eth0 off
until_true 60 "I/O goes through the second" goes_by two
cable g1 eth0 on
until_true 90 "both are ready" paths_are "10 50 "
until_true 60 "I/O is back on the first" goes_by one
step "the initiator sets the states itself, where it may"
# What it says, for its exit status is 0.
g g1 'sg_stpg --tp 1,2 --state an,ao /dev/sg0 2>&1' | grep -q 'Illegal request' || fail "SET TARGET PORT GROUPS is refused while states are implicit"
ctl access $uuid 1=$optimized 2=$nonoptimized || fail "access"
g g1 'sg_turs -n 4 /dev/sg0; sg_stpg --tp 1,2 --state an,ao /dev/sg0' >/dev/null 2>&1 || fail "SET TARGET PORT GROUPS"
[ "$(ctl list | sed -n 's/^group disk //p' | tr '\n' ' ')" = "1 state=$nonoptimized 2 state=$optimized " ] || fail "the target took it: $(ctl list | grep ^group)"
until_true 60 "I/O goes through the second" goes_by two
g g1 'touch /run/enough'
until_guest 60 "fsx ends" g1 'grep -q ended /run/fsx'
g g1 'cat /run/fsx; grep -q operations /run/fsx && ! grep -v -e operations -e ended /run/fsx' || fail "fsx"
g g1 "umount /mnt && e2fsck -fn $map" || fail "the file system is damaged"
g g1 'dmesg | grep -E "EXT4-fs (error|warning)|Buffer I/O error"' && fail "the file system saw errors"
pass
