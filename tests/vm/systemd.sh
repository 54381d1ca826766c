#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# director as "make install" leaves it, under a real systemd: the unit starts and says when it is ready, its sandbox lets
# everything work, a hung directord is replaced, the target goes on meanwhile, and the machine is a member again after a boot.
# Not for a machine that is busy: Corosync in an emulated guest needs its processor within a second.
. "$(dirname "$0")/functions.sh"
requires_vm iscsi-ls qemu-img qemu-io
has_director
stage_director
iqn=$(target systemd)
unit() { g g1 "systemctl show -P $1 directord"; }
unit_is() { [ "$(unit "$1")" = "$2" ]; }
main_pid() { unit MainPID; }
target_pid() { g g1 'pidof director-target'; }
portal() { echo "$(network).200"; }
url() { echo "iscsi://$(portal)/$iqn/$1"; }
alive() { [ "$(status n1 alive)" = "$1" ] && status_is n1 quorate true; }

lab up 2 || fail "lab up"
# The lab has data: should the guest be so slow that it has founded a cluster of its own, that one is given up.
make_target n1 first || fail "a target"
boot g1 -n "$(card 200)" -d 128M
install_director g1 && g g1 "umask 077 && echo '$(lab sh n1 cat /etc/director/cluster.key)' >/etc/director/cluster.key" || fail "install"
step "the unit is what systemd expects"
g g1 'systemd-analyze verify --man=no directord.service' || fail "systemd-analyze verify"
exposure=$(g g1 'systemd-analyze security --no-pager directord.service' | sed -n 's/.*Overall exposure level[^0-9]*\([0-9.]*\).*/\1/p')
step "systemd-analyze security says $exposure (10: unsafe)"
awk "BEGIN { exit !(${exposure:-10} < 5) }" || fail "the sandbox is too open"

step "start: systemctl returns when it is ready"
g g1 'systemctl enable --now directord' || fail "the unit does not start"
unit_is ActiveState active || fail "active after start"
g g1 'director status' >/dev/null || fail "the control socket answers at once"
until_true 60 "it has joined the two nodes of the lab, and votes" alive 3
until_true 30 "Corosync runs as its child" g g1 'pidof corosync'
unit StatusText | grep -q "3 of 3 nodes alive" || fail "the status line: $(unit StatusText)"

g g1 'director plugin list -o json' | jq -e '[.data[] | select(.state == "broken")] == []' >/dev/null || fail "a plugin is broken"
until_true 30 "the disk is known" eval 'd n1 device list --node g1 | grep -q vdb'
step "sandbox: a volume of each kind, made from another node, works"
d n1 volume create f --size 64M --on g1 >/dev/null && d n1 volume create r --size 64M --on g1 --backstore ram >/dev/null &&
	d n2 volume create b --size 64M --on g1 --backstore block device=vdb >/dev/null &&
	d n2 target create "$iqn" >/dev/null && d n2 host add "$iqn" --any >/dev/null || fail "volumes and target"
for v in f r b; do d n1 lun add "$iqn" $v >/dev/null || fail "lun $v"; done
# All nodes' portals are named; how many disks its own has counts.
disks() { lab host iscsi-ls -s "iscsi://$(portal)" | awk -v p="Portal:$(portal):" '/^Target:/ { its = index($0, p) } /Lun:/ && its' | wc -l; }
until_true 20 "g1 serves three disks" eval '[ "$(disks)" = 3 ]'
one_size() { [ "$(lab host iscsi-ls -s "iscsi://$(portal)" | awk '/Lun:2 / { print $NF }' | sort -u)" = "(Size:63M)" ]; }
until_true 20 "the volume is smaller than its device, and as large at each node" one_size
for lun in 0 1 2; do
	lab host qemu-io -f raw -c 'write -P 0x5a 1M 4M' -c 'flush' -c 'read -P 0x5a 1M 4M' "$(url $lun)" >/dev/null || fail "lun $lun"
done
g g1 'n="nsenter -m -t $(systemctl show -P MainPID directord)"
	! $n touch /usr/x 2>/dev/null && ! $n touch /boot/x 2>/dev/null && $n touch /etc/director/x && $n rm /etc/director/x' ||
	fail "the system is read-only for it, its own folder is not"

step "restart: the target, its sessions and Corosync go on"
t=$(target_pid) c=$(g g1 pidof corosync)
# One session that reads all the time, but leaves the emulated processor to Corosync.
while sleep 0.5; do echo 'read -P 0x5a 1M 64k'; done | lab host qemu-io -r -f raw "$(url 0)" >"$tools/reads" 2>&1 &
reader=$!
session() { d n1 session list -o json | jq -r '.data | map(.name) | join(" ")'; }
reads() { grep -c 'read 65536/' "$tools/reads"; }
until_true 20 "it reads" eval '[ "$(reads)" -gt 0 ] && [ -n "$(session)" ]'
s=$(session)
g g1 'systemctl restart directord' || fail "restart"
[ "$(target_pid)" = "$t" ] && [ "$(g g1 pidof corosync)" = "$c" ] || fail "director-target or Corosync was restarted"
step "kill -9"
n=$(unit NRestarts) p=$(main_pid)
g g1 'systemctl kill -s KILL --kill-who=main directord'
until_true 20 "systemd starts it again" eval '[ "$(unit NRestarts)" -gt '"$n"' ] && unit_is ActiveState active'
[ "$(main_pid)" != "$p" ] && [ "$(target_pid)" = "$t" ] || fail "a new directord with the old target"
step "a hung directord (SIGSTOP): the watchdog replaces it"
n=$(unit NRestarts)
g g1 'kill -STOP $(systemctl show -P MainPID directord)'
until_true 60 "the watchdog bites" eval '[ "$(unit NRestarts)" -gt '"$n"' ] && unit_is ActiveState active'
g g1 'journalctl -q -u directord | grep -qi watchdog' || fail "the journal names the watchdog"
[ "$(target_pid)" = "$t" ] || fail "director-target was restarted"
until_true 30 "all three are well" alive 3
n=$(reads)
until_true 20 "it still reads" eval '[ "$(reads)" -gt '"$n"' ]'
[ "$(session)" = "$s" ] && ! grep -iE 'fail|error' "$tools/reads" && kill $reader || fail "its session went on all the time: $s, now $(session)"

step "reload"
p=$(main_pid)
g g1 'systemctl reload directord' && unit_is ActiveState active && [ "$(main_pid)" = "$p" ] || fail "reload"

step "boot: the machine is a member again, and serves what is on its disks"
g g1 sync
vm restart "$(full g1)" || fail "the guest boots again"
until_true 60 "all three are there" alive 3
until_true 30 "the file is served" lab host qemu-io -r -f raw -c 'read -P 0x5a 1M 4M' "$(url 0)"
lab host qemu-io -r -f raw -c 'read -P 0x5a 1M 4M' "$(url 2)" >/dev/null || fail "what was written to the block device"

step "stop: it says goodbye, and the target serves on"
g g1 'systemctl stop directord' || fail "stop"
unit_is Result success && unit_is ActiveState inactive || fail "stopped in good order"
until_true 5 "n1 knows that it left" eval '[ "$(node_state n1 g1)" = left ]'
lab host qemu-io -r -f raw -c 'read -P 0x5a 1M 4M' "$(url 0)" >/dev/null || fail "the target serves on"
g g1 'journalctl -q -u directord -p warning -b | grep -iE "denied|not permitted|EPERM|failed"' && fail "the sandbox was in the way"
pass
