#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# director-target with initiators that we did not write: libiscsi's tools and its test suite, qemu-img.
#   target.sh [--quick] [PORT]        in a build tree, or with $top_builddir naming it
# Prints "ok NAME" or "not ok NAME" per check and a last line with the counts; exit 0 if nothing failed.
. "$(dirname "$0")/functions-target.sh"
quick=
[ "$1" = --quick ] && { quick=1; shift; }
port=${1:-13260}
src=$(cd "$top_srcdir" && pwd)
requires iscsi-ls iscsi-inq iscsi-readcapacity16 iscsi-perf iscsi-test-cu qemu-img mke2fs
sock=$dir/t.sock iqn=iqn.2026-11.test:t url=iscsi://127.0.0.1:$port/iqn.2026-11.test:t
passed=0 failed=0 pid=
finish() { [ -n "$pid" ] && kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null; rm -rf "$dir"; }
trap finish EXIT
check() { # name, status
	if [ "$2" -eq 0 ]; then passed=$((passed + 1)); echo "ok $1"; else failed=$((failed + 1)); echo "not ok $1"; tail -5 "$dir/log"; fi
}
ctl() { "$build/tests/system/targetctl" "$sock" "$@"; }

begin() {
	# SANITIZE must last longer than a test that looks at it on its way.
	"$build/director-target" --socket "$sock" --state "$dir/state" --sanitize-rate 32M --debug link 2>>"$dir/log" &
	pid=$!
	until_true 10 answers "$sock"
}
begin
targets() {
	ctl target $iqn lun=1:"$(uuid 1)" lun=2:"$(uuid 2)" lun=3:"$(uuid 3)" lun=4:"$(uuid 1)":ro lun=5:"$(uuid 5)" \
		portal=127.0.0.1:"$port" portal=127.0.0.2:"$port" "$@"
}

ctl create "$(uuid 1)" v1 256M ram && ctl create "$(uuid 2)" v2 256M ram block-size=4096 &&
	ctl create "$(uuid 3)" v3 512M file path="$dir/v3.img" && ctl create "$(uuid 5)" v5 256M ram removable=yes &&
	ctl create "$(uuid 6)" v6 256M ram block-size=4096 && targets host=any
check volumes-and-target $?
iscsi-ls -s iscsi://127.0.0.1:"$port" | tee "$dir/ls" | grep -q "$iqn" && [ "$(grep -c 'Lun:' "$dir/ls")" -eq 10 ]
check discovery $?
iscsi-inq "$url/1" | grep -q 'Vendor:DIRECTOR'
check inquiry $?
iscsi-readcapacity16 "$url/3" | grep -q 'Total size:536870912'
check capacity $?

# A file system made of our own source, there and back.
truncate -s 200M "$dir/fs.img" && mke2fs -q -t ext4 -d "$src/target" "$dir/fs.img"
for lun in 1 2 3; do
	qemu-img convert -n -f raw -O raw "$dir/fs.img" "$url/$lun" && qemu-img convert -f raw -O raw "$url/$lun" "$dir/back.img" &&
		cmp -n 209715200 "$dir/fs.img" "$dir/back.img"
	check "qemu-img-lun$lun" $?
done
rm -f "$dir/back.img"
qemu-img convert -n -f raw -O raw "$dir/fs.img" "$url/4" 2>/dev/null
[ $? -ne 0 ]
check read-only-lun-refuses-writes $?

# CHAP: the right secret, a wrong one, none, mutual.
targets host=any,alice,secretsecret1
iscsi-inq "iscsi://alice%secretsecret1@127.0.0.1:$port/$iqn/1" | grep -q DIRECTOR
check chap $?
! iscsi-inq "iscsi://alice%wrongwrong12@127.0.0.1:$port/$iqn/1" >/dev/null 2>&1
check chap-wrong-secret $?
! iscsi-inq "$url/1" >/dev/null 2>&1
check chap-none $?
! iscsi-ls "iscsi://127.0.0.1:$port" >/dev/null 2>&1
check discovery-without-the-secret-that-all-targets-ask-for $?
iscsi-ls "iscsi://alice%secretsecret1@127.0.0.1:$port" | grep -q "$iqn"
check discovery-with-chap $?
targets host=any,alice,secretsecret1,target,othersecret12
iscsi-inq "iscsi://alice%secretsecret1@127.0.0.1:$port/$iqn/1?target_user=target&target_password=othersecret12" | grep -q DIRECTOR
check chap-mutual $?
targets host=iqn.2026-11.test:only
! iscsi-inq "$url/1" >/dev/null 2>&1
check other-initiators-are-refused $?
iscsi-inq -i iqn.2026-11.test:only "$url/1" | grep -q DIRECTOR
check its-initiator-is-let-in $?
targets host=any
for d in crc32c none; do
	iscsi-inq "$url/1?header_digest=$d" | grep -q DIRECTOR
	check "header-digest-$d" $?
done

# Several connections in a session, at error recovery level 2; and the same while they are cut.
mcs() { # seconds
	"$build/director-iscsi" bench "$url/1" --connections 4 --erl 2 --header-digest require --data-digest require \
		--rw mix --bs 8k --depth 16 --warmup 0 --runtime "$1" >"$dir/mcs" 2>&1
}
mcs 1
check four-connections-with-digests $?
mcs 4 &
client=$!
cut=0
for _ in 1 2 3; do
	sleep 1
	of=$(ss -tnH state established dport = ":$port" 2>/dev/null | sed -n '2s/.*:\([0-9]*\) .*/\1/p')
	[ -n "$of" ] && ss -K -tn sport = ":$of" 2>/dev/null | grep -q . && cut=$((cut + 1))
done
wait $client
check "connections-cut-under-load ($cut)" $?

# Task attributes, on a LUN whose operations take a time of chance.
ctl create "$(uuid 7)" v7 16M delay/ram delay:jitter=8ms && ctl target $iqn-order lun=1:"$(uuid 7)" portal=127.0.0.1:"$port" host=any
check a-slow-volume $?
for n in 1 4; do
	timeout 300 "$build/tests/system/iscsi-order" --connections $n $iqn-order 1 127.0.0.1:"$port"
	check "ordered-commands-keep-their-place-over-$n-connections" $?
done
ctl untarget $iqn-order && ctl close "$(uuid 7)"
check the-slow-volume-goes $?
targets host=any moved=127.0.0.1:1
! iscsi-inq "$url/1" >/dev/null 2>&1 && iscsi-ls iscsi://127.0.0.1:"$port" | grep -q 'Portal:127.0.0.1:1,1'
check moved-target-sends-logins-away $?
# To a name: our initiator looks it up, and is sent on from there. In a circle, of which it tires.
targets host=any moved=localhost:"$port"
[ "$(timeout 20 "$build/director-iscsi" inquiry --verbose "$url/1" 2>&1 | grep -c "redirected to 0 localhost:$port")" -gt 1 ]
check a-redirection-to-a-name-is-followed $?
targets host=any

# The control connection goes while I/O runs: a client killed in the middle changes nothing (I11).
iscsi-perf -m 16 -b 8 -t 1000 -r "$url/1" >"$dir/perf" 2>&1 &
perf=$!
"$build/tests/system/targetctl" "$sock" events >"$dir/events" &
client=$!
has_session() { ctl list | grep -q '^session'; }
until_true 10 has_session && sleep 1
kill -9 $client
wait $client 2>/dev/null
sleep 1
has_session
check sessions-survive-the-control-connection $?
kill -INT $perf
wait $perf && grep -q finished "$dir/perf"
check io-goes-on $?

# Nothing to write is no error, and is flushed where it would have been written.
"$build/director-iscsi" write "$url/1" </dev/null
check an-empty-write $?
# A socket's place that something else has.
echo precious >"$dir/precious"
! timeout 30 "$build/director-iscsi" serve --socket "$dir/precious" "$url/1" 2>"$dir/serve" && grep -q "is not a socket" "$dir/serve" &&
	grep -qx precious "$dir/precious"
check serve-overwrites-no-file $?

# Resize while a session is there; drop it.
ctl resize "$(uuid 1)" 300M && iscsi-readcapacity16 "$url/1" | grep -q 'Total size:314572800'
check resize $?
! ctl close "$(uuid 1)" 2>/dev/null
check a-mapped-volume-does-not-close $?

# Logins that no good initiator makes.
ulimit -n 4096 2>/dev/null
"$build/tests/system/rawlogin" "$port" $iqn "$pid"
check raw-logins $?

# Every suite of iscsi-test-cu on a LUN, each in a run of its own. The one for two paths, through two portals, comes first:
# it wants LBA 256 to be zero and does not write it. The others have one path: with two Sanitize.Reservations leaves its
# reservation to Sanitize.Reset. A test counts as passed only if it skipped no part.
cu() { # lun, address of its target
	local names="-i iqn.2026-11.test:cu$1a -I iqn.2026-11.test:cu$1b"
	# shellcheck disable=SC2086
	timeout 600 iscsi-test-cu $names -t ALL.MultipathIO --dataloss -V "$2/$1" "iscsi://127.0.0.2:${2#*:*:}/$1" 2>&1
	for suite in $(iscsi-test-cu -l | sed -n 's/^.*ALL\.\([A-Za-z0-9]*\)\..*/\1/p' | sort -u | grep -v MultipathIO); do
		# shellcheck disable=SC2086
		timeout 600 iscsi-test-cu $names -t "ALL.$suite" --dataloss --allow-sanitize -V "$2/$1" 2>&1
	done
}
judge() { # lun, how many must pass, which may be skipped (a pattern)
	awk -v want="$2" -v may="$3" '
	function done() {
		if (t == "") return
		name = s "." t
		if (bad) { f++; print "  failed: " name }
		else if (sk) { k++; if (name !~ may) { f++; print "  skipped: " name } }
		else p++
		t = ""
	}
	/^Suite: / { done(); s = $2 }
	/^  Test: / { done(); t = $2; bad = sk = 0 }
	/\[SKIPPED\]/ { sk = 1 }
	/^FAILED$|\.\.\.FAILED|FAILED *$/ { bad = 1 }
	/^Run Summary/ { done(); over++ }
	END { printf "  iscsi-test-cu lun '"$1"': passed %d failed %d skipped %d of %d in %d suites\n", p, f, k, p + f + k, over
		exit !(p >= want && !f) }' "$dir/cu$1"
	check "iscsi-test-cu-lun$1" $?
}
if [ -z "$quick" ]; then
	# What no unit of ours can have (doc/data-plane.md says why): cryptographic erase, WRITE SAME of no blocks, unaligned
	# what has no alignment; and on LUN 6 what needs a medium that can be taken out.
	never='Sanitize.(CryptoErase|Readonly|Reservations)|WriteSame1..ZeroBlocks|WriteAtomic16.VPD|ReadOnly'
	aligned='(CompareAndWrite|WriteSame1.).(InvalidDataOutSize|UnmapUnaligned)'
	# Each has a target of its own: some tests reset all of it.
	ctl target $iqn-cu lun=6:"$(uuid 6)" portal=127.0.0.1:"$port" portal=127.0.0.2:"$port" host=any
	cu 5 "$url" >"$dir/cu5" &
	cu 6 "$url-cu" >"$dir/cu6"
	wait $!
	ctl untarget $iqn-cu
	judge 5 218 "$never|$aligned"
	judge 6 206 "$never|$aligned|NoMedia|PreventAllow|StartStopUnit"
fi
ctl target $iqn portal=127.0.0.1:"$port" host=any && ctl close "$(uuid 1)" && ctl destroy "$(uuid 3)" && [ ! -e "$dir/v3.img" ]
check unmap-close-destroy $?
ctl untarget $iqn && ! iscsi-ls iscsi://127.0.0.1:"$port" >/dev/null 2>&1
check no-target-no-listener $?
kill "$pid"
wait "$pid"
check orderly-end $?
pid=

mkdir "$dir/link"
"$build/tests/system/targetlink" "$build/director-target" "$dir/link" >"$dir/log" 2>&1
check spawn-adopt-restart $?
# What it left behind if it failed.
[ -f "$dir/link/t.pid" ] && kill "$(cut -d' ' -f1 "$dir/link/t.pid")" 2>/dev/null
echo "$passed passed, $failed failed, 0 skipped"
[ $failed -eq 0 ]
