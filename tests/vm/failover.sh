#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Linux's own initiator on a volume with two copies on a lab of three: ext4 under a load of writes with fsync, while the owner is
# killed ten times in a row: over a floating address, then with dm-multipath over all nodes' portals. Each file that was
# reported as synced is there afterwards with its content, and the file system saw no error.
#   ROUNDS=N: other than ten owner kills
. "$(dirname "$0")/functions.sh"
requires_vm jq
has_director
rounds=${ROUNDS:-10}
iqn=$(target failover)
lab up 3 || fail "lab up"
floating=$(network).240
any() { local n; for n in n1 n2 n3; do d $n "$@" 2>/dev/null && return; done; return 1; }
owner() { any volume show v1 -o json | jq -r '.data.derived.node // empty'; }
in_sync() { [ "$(any volume show v1 -o json | jq -r '[.data.legs[].desired.state] | length > 0 and all(. == "in-sync")')" = true ]; }
owner_is_not() { local o; o=$(owner) && [ -n "$o" ] && [ "$o" != "$1" ]; }
d n1 volume create v1 --size 192M --copies 2 >/dev/null && d n1 target create "$iqn" >/dev/null && d n1 lun add "$iqn" v1 >/dev/null &&
	d n1 host add "$iqn" --any >/dev/null && d n1 target address add "$iqn" "$floating/24" >/dev/null || fail "volume and target"
until_true 30 "in sync" in_sync
until_true 20 "the floating address answers" lab host iscsi-ls "iscsi://$floating"

boot g1 -n "$(card 200)"
# One file after the other: written, synced, and only then named in the list, which lies in the guest's memory.
g g1 - <<'END' || fail "the load is not there"
cat >/run/load <<'LOAD'
#!/bin/sh
: >/run/synced; : >/run/errors
n=0
while [ -e /run/go ]; do
	n=$((n + 1)); f=/mnt/f$((n % 400))
	if head -c $((n % 13 * 1000 + 1)) /dev/urandom >"$f.new" && sync "$f.new" && mv "$f.new" "$f" && sync /mnt; then
		echo "$n $f $(md5sum <"$f") $(cut -d ' ' -f 1 /proc/uptime)" >>/run/synced
	else
		echo "$n" >>/run/errors
	fi
done
echo ended >/run/ended
LOAD
chmod +x /run/load
END
load_starts() {
	g g1 'rm -f /run/ended /run/synced; touch /run/go; systemd-run -q --unit=load-$(date +%s%N) --no-block /run/load'
	until_guest 60 "the load starts" g1 '[ -s /run/synced ]'
}
load_ends() {
	g g1 'rm -f /run/go'
	until_guest 120 "the load ends" g1 '[ -e /run/ended ]'
	g g1 '[ ! -s /run/errors ]' || fail "the load saw errors"
}
goes_on() { # the list of synced files grows
	local n
	n=$(g g1 'wc -l </run/synced')
	until_guest 90 "I/O goes on" g1 "[ \$(wc -l </run/synced) -gt $((n + 2)) ]"
}
check() { # DISK
	g g1 "umount /mnt && echo 3 >/proc/sys/vm/drop_caches && e2fsck -fn $1 && mount $1 /mnt" || fail "the file system is damaged"
	g g1 'awk "{ last[\$2] = \$3 } END { for (f in last) print last[f] \"  \" f }" /run/synced | md5sum -c --quiet' || fail "a synced file is not as it was"
	g g1 "umount /mnt; awk '{ gap = \$5 - last; if (NR > 1 && gap > most) most = gap; last = \$5 }
		END { print NR \" files, the longest pause \" most \" s\" }' /run/synced
		dmesg | grep -E 'conn error|recovery timed out|access state changed|offline device|Failing path|device reset occurred' |
			sed 's/.*\\] *//; s/[0-9][0-9:]*//g' | sort | uniq -c"
	g g1 "dmesg | grep -E 'EXT4-fs (error|warning)|Buffer I/O error|I/O error, dev $(g g1 "basename \$(readlink -f $1)")'" && fail "the file system saw errors"
	return 0
}
# A node that has just started says what it knew when it was killed.
rejoined() {
	lab wait 60 || fail "all three nodes are there"
	until_true 60 "all know the same" same_commit n1 n2 n3
	until_true 120 "in sync" in_sync
}
kills() { # [CMD]: what else is to be before each
	local i o
	for i in $(seq "$rounds"); do
		rejoined
		"$@"
		o=$(owner)
		lab kill "$o"
		step "round $i: $o, the owner, is killed"
		until_true 30 "another owns it" owner_is_not "$o"
		goes_on
		lab start "$o"
	done
	rejoined
}

step "over the floating address"
login g1 "$iqn" "$floating:3260"
disk=$(g g1 "lsscsi | awk '/DIRECTOR/ { print \$NF; exit }'")
g g1 "mkfs.ext4 -q $disk && mount $disk /mnt" || fail "mkfs, mount"
load_starts
kills
load_ends
check "$disk"
g g1 'iscsiadm -m node --logout; iscsiadm -m node -o delete' >/dev/null || fail "logout"

step "with dm-multipath over all nodes"
g g1 "printf 'defaults {\nuser_friendly_names yes\nfind_multipaths no\npolling_interval 2\nno_path_retry queue\npath_grouping_policy group_by_prio\nprio alua\nfailback immediate\n}\n' >/etc/multipath.conf
	modprobe dm-multipath; systemctl start multipathd" || fail "multipathd"
REPLACEMENT=5
login g1 "$iqn" "$(lab address n1 4):3260" "$(lab address n2 4):3260" "$(lab address n3 4):3260"
paths_are() { [ "$(g g1 'multipathd show paths format "%t %T"' | grep -cE '^active +ready')" = "$1" ]; }
until_true 60 "three paths" paths_are 3
[ "$(g g1 'multipathd show paths format "%w"' | tail -n +2 | sort -u | wc -l)" = 1 ] || fail "all nodes give the disk the same name"
# The only path with the priority of an optimized one leads to the owner.
follows() {
	local at
	paths_are 3 || return
	at=$(g g1 'for p in $(multipathd show paths format "%p %d" | awk "\$1 == 50 { print \$2 }"); do
		cat $(readlink -f /sys/block/$p/device/../..)/connection*/iscsi_connection/*/address; done')
	[ "$at" = "$(lab address "$(owner)" 4)" ]
}
settled() { until_true 60 "three paths, and the owner's is preferred" follows; }
g g1 'multipath -ll'
map=$(g g1 'ls /dev/mapper/mpath?')
g g1 "mkfs.ext4 -q -F $map && mount -t ext4 $map /mnt" || fail "mkfs, mount"
load_starts
kills settled
settled
load_ends
check "$map"
pass
