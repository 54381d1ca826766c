#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The iscsi backstore over director-target's own ram disk: the conformance kit, at each error recovery level.
# As root in a network of its own, where nobody else has its port.
if [ -z "${OWN_NETWORK:-}" ] && [ "$(id -u)" = 0 ] && unshare -n ip link set lo up 2>/dev/null; then
	OWN_NETWORK=1 exec unshare -n bash -c 'ip link set lo up && exec bash "$0"' "$0"
fi
. "${top_srcdir:=.}/plugins/test-lib.sh"
target=$top_builddir/director-target ctl=$top_builddir/tests/system/targetctl
[ -x "$target" ] && [ -x "$ctl" ] || { echo "skipped: director-target or targetctl is not built"; exit 77; }
port=$((20000 + $$ % 12000)) iqn=iqn.2026-11.test:plugin uuid=00000001-aaaa-4bbb-8ccc-dddddddddd13
"$target" --socket "$tmp/s" --state "$tmp/state" 2>"$tmp/log" & pid=$!
cleanup() { kill $pid 2>/dev/null; wait $pid 2>/dev/null; }
for _ in $(seq 600); do "$ctl" "$tmp/s" list >/dev/null 2>&1 && break; sleep 0.1; done
"$ctl" "$tmp/s" create $uuid plugin 32M ram && "$ctl" "$tmp/s" target $iqn lun=3:$uuid portal=127.0.0.1:$port host=any ||
	fail "cannot set the target up: $(tail -n 3 "$tmp/log")"
at="portal=127.0.0.1:$port target=$iqn lun=3"
kit iscsi $at
kit iscsi $at erl=0 header-digest=require data-digest=require
kit iscsi $at connections=3 queue-depth=4
refuses 'no such target' iscsi portal=127.0.0.1:$port target=iqn.2026-11.test:other
refuses 'no such LUN' iscsi portal=127.0.0.1:$port target=$iqn lun=9
refuses 'refused' iscsi portal=127.0.0.1:1 target=$iqn open-timeout=300ms
refuses 'secret' iscsi $at target-secret=x
# The library's example, in a loop of its own: the first block.
example=$top_builddir/doc/examples/iscsi-read
if [ -x "$example" ]; then
	"$example" 127.0.0.1:$port $iqn 3 | wc -c | grep -qx 512 || fail "the example reads the first block"
fi
# Threads that take turns at the library's loop.
adopt=$top_builddir/tests/system/iscsi-adopt
if [ -x "$adopt" ]; then
	timeout 300 "$adopt" $iqn 3 127.0.0.1:$port || fail "threads take turns at a loop"
fi
# A leg of a mirrored volume, whose claim stays on the LUN; what is claimed by another one is refused, also for a new leg while that other one is there.
kit --only life,caps,reconfigure,submit,edges,vectors,zeroes,checksum,flush,drain,threads iscsi $at claim=12340001 size=24M
refuses 'in use by somebody else' iscsi $at claim=12340002 size=24M
refuses 'in use by somebody else' iscsi $at claim=12340002 size=24M fresh=take others=12340001,12340003
refuses 'in use by somebody else' iscsi $at claim=43210001 size=24M fresh=blank
kit --only persist iscsi $at claim=12340002 size=24M fresh=take
refuses 'are needed' iscsi $at claim=12340002 size=64M
exit 0
