#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Volumes that are held, leased and switched under real initiators (doc/ownership.md 2, 9 and 10): this script is directord.
#   hold.sh [PORT]                    in a build tree, or with $top_builddir naming it
. "$(dirname "$0")/functions-target.sh"
port=${1:-13261}
requires "$cdb" "$build/director-iscsi"
sock=$dir/t.sock iqn=iqn.2026-11.test:h url=iscsi://127.0.0.1:$port/iqn.2026-11.test:h
pid=
finish() {
	[ -n "$pid" ] && kill "$pid" 2>/dev/null && wait "$pid"
	[ $? -le 143 ] || cat "$dir/log"
	rm -rf "$dir"
}
trap finish EXIT
check() { # name, status
	if [ "$2" -eq 0 ]; then echo "ok $1"; else echo "FAILED: $1"; tail -n 8 "$dir/log" "$dir"/out.* 2>/dev/null; exit 1; fi
}
ctl() { timeout 30 "$build/tests/system/targetctl" "$sock" "$@"; }
# A volume as its next definition: uuid number, epoch, store and the rest.
vol() { n=$1 e=$2; shift 2; ctl set "$(uuid "$n")" "v$n" "${size:-64M}" "$@" epoch="$e" agreed=yes; }
slow() { echo "delay/file delay:read=$1 delay:write=$1 path=$dir/v1.img"; }
# One command in a session of its own, in the background: its answer will be in out.NAME.
ask() { # name, lun, cdb
	timeout 60 "$cdb" -i "iqn.2026-11.test:$1" "$url/$2" "$3" >"$dir/out.$1" 2>&1 &
	asked=$!
}
# Is there an answer by now? A command that the target has, and does not answer, has none after a second either.
answered() { sleep "${2:-1}"; [ -s "$dir/out.$1" ]; }
answer() {
	until_true 10 test -s "$dir/out.$1"
	cat "$dir/out.$1"
}
sessions_are() { [ "$(ctl list | grep -c '^session')" -eq "$1" ]; }
# LBA 0, one block of 512 bytes.
read0=28000000000000000100\<512 write0=2a000000000000000100\>512*
# Of LBA 1, which has zeroes.
caw1=89000000000000000001000000010000\>1024*

"$build/director-target" --socket "$sock" --state "$dir/state" 2>>"$dir/log" &
pid=$!
until_true 10 answers "$sock"
truncate -s 64M "$dir/v1.img" "$dir/v2.img" "$dir/v3.img"
# shellcheck disable=SC2046
vol 1 1 $(slow 2ms) && vol 2 1 file path="$dir/v2.img" leased=yes && vol 3 1 file path="$dir/v3.img" &&
	ctl target $iqn lun=1:"$(uuid 1)" lun=2:"$(uuid 2)" lun=3:"$(uuid 3)" portal=127.0.0.1:"$port" host=any
check volumes $?

# The store goes and comes under load, three times at least: in order, and with all that is under way given up.
switched=0 e=1
while [ $switched -lt 3 ]; do
	"$build/director-iscsi" verify "$url/1" --depth 16 --bs 8k --size 32M --runtime 4s >"$dir/out.verify" 2>&1 &
	load=$!
	until_true 10 sessions_are 1
	while kill -0 $load 2>/dev/null; do
		e=$((e + 1))
		# shellcheck disable=SC2046
		vol 1 $e $(slow 30ms) && sleep 0.15 && vol 1 $e file path="$dir/v1.img" && switched=$((switched + 1))
		sleep 0.15
	done
	wait $load
	check "switched-$switched-times-and-back-and-the-data-is-right" $?
	grep -q ' 0 failed, 0 retries' "$dir/out.verify"
	check no-command-failed $?
done

# Frozen: nothing of the medium, everything else.
ctl freeze "$(uuid 3)" 1
check freeze $?
ask frozen 3 $read0
! answered frozen
check a-read-of-a-frozen-volume-waits $?
[ "$("$cdb" "$url/3" 000000000000 120000002400\<36 | cut -c1-4 | tr '\n' ' ')" = "good good " ]
check test-unit-ready-and-inquiry-do-not $?
! vol 3 2 file path="$dir/nowhere/v3.img" 2>/dev/null
check a-store-that-cannot-be-opened $?
! answered frozen
check it-stays-held $?
size=96M
truncate -s 96M "$dir/v3.img"
vol 3 2 file path="$dir/v3.img" && answer frozen | grep -q '^check 6 2a 09\|^good'
check it-goes-on $?
ask size 3 9e100000000000000000000000200000\<32
answer size | grep -q '^good 000000000002ffff'
check with-its-new-size $?
size=

# Without a lease there are no answers.
ask before 2 $read0
! answered before
check nothing-is-answered-before-the-first-lease $?
ctl lease "$(uuid 2)" 1 60000 && answer before | grep -q '^good'
check the-lease-lets-it-go $?
vol 2 2 file path="$dir/v2.img" leased=yes && ask epoch 2 $read0
! answered epoch
check the-lease-of-an-older-epoch-does-not-count $?
ctl lease "$(uuid 2)" 1 60000
! answered epoch
check nor-does-a-new-one-of-it $?
ctl lease "$(uuid 2)" 2 3000 && answer epoch | grep -q '^good'
check that-of-its-epoch-does $?
sleep 3.5
ask late 2 ${write0}aa
! answered late
check past-the-lease-nothing-is-answered $?
ask ready 2 000000000000
answer ready | grep -q '^good'
check but-test-unit-ready $?
ctl lease "$(uuid 2)" 2 3000 && answer late | grep -q '^good'
check a-lease-that-comes-back $?

# What was not answered is void when the right is gone. What has been written is not written again at the new store, where others may
# have written since: nobody knows whether it stayed, and the session of who asked is closed. A read is read again.
gone() { answer "$1" | grep -q 'the session is gone\|^status f'; }
sleep 3.5
ask void 2 ${write0}bb
ask void2 2 ${caw1}00
ask void3 2 $read0
! answered void
check a-write-waits-for-its-lease $?
ctl hold "$(uuid 2)" 2
check hold $?
cp "$dir/v3.img" "$dir/v4.img" && truncate -s 64M "$dir/v4.img"
vol 2 3 file path="$dir/v4.img" leased=yes && ctl lease "$(uuid 2)" 3 60000 && sleep 1
gone void && [ "$(od -An -tx1 -N1 "$dir/v4.img" | tr -d ' ')" != bb ]
check a-write-is-not-done-twice $?
gone void2
check nor-a-compare-and-write $?
answer void3 | grep -q '^good'
check a-read-is $?
[ "$(grep -c 'is closed: what became of a write is not known' "$dir/log")" -eq 2 ]
check and-nobody-else-is-sent-away $?

# A definition that says nothing new changes nothing: what waits inside for the lease of the volume below is not void.
truncate -s 64M "$dir/v5.img"
again() { vol 4 1 file path="$dir/v5.img" leased=yes serve=served; }
again && vol 9 1 volume uuid="$(uuid 4)" && ctl target $iqn-i lun=1:"$(uuid 9)" portal=127.0.0.1:"$port" host=any
check a-volume-over-another $?
timeout 60 "$cdb" -i iqn.2026-11.test:inside "$url-i/1" ${write0}ee >"$dir/out.inside" 2>&1 &
! answered inside
check a-write-waits-for-the-lease-below $?
again && again && ctl lease "$(uuid 4)" 1 60000 && [ "$(answer inside)" = good ]
check the-same-again-voids-nothing $?

# What an initiator aborts, or leaves behind, does not stay.
ctl hold "$(uuid 2)" 3
until_true 10 sessions_are 0
ask gone 2 $read0
until_true 10 sessions_are 1 && ! answered gone
check a-session-with-a-held-command $?
kill $asked; wait $asked 2>/dev/null
until_true 10 sessions_are 0
check it-goes-with-its-connection $?
# A unit that is unmapped lets its commands go.
ask unmap 2 $read0
until_true 10 sessions_are 1 && ! answered unmap
ctl target $iqn lun=1:"$(uuid 1)" lun=3:"$(uuid 3)" portal=127.0.0.1:"$port" host=any && answer unmap | grep -q '^check 5 25 00'
check a-held-command-of-a-unit-that-is-unmapped $?
ctl close "$(uuid 2)"
check close-while-held $?

# Reads that leave from the memory of the store: it goes when they have left, also if one does not take them.
vol 8 1 ram && ctl target $iqn-r lun=1:"$(uuid 8)" portal=127.0.0.1:"$port" host=any
"$build/director-iscsi" bench "$url-r/1" --rw read --bs 64k --depth 32 --warmup 0 --runtime 100 >"$dir/out.lent" 2>&1 &
load=$!
sleep 0.7
switched=0
for e in 2 3 4; do
	ctl freeze "$(uuid 8)" && vol 8 $e ram && switched=$((switched + 1))
	sleep 0.2
done
kill -STOP $load
sleep 0.2
ctl freeze "$(uuid 8)"
check a-connection-that-takes-nothing-does-not-stop-a-freeze $?
kill -CONT $load
vol 8 5 ram
kill $load
wait $load 2>/dev/null
[ $switched -eq 3 ]
check lent-memory $?

# A mirror that waits for a word that does not come lets go at once, when its right is gone.
truncate -s 65M "$dir/m1" "$dir/m2"
a=aaaaaaaa-0000-4000-8000-00000000000a b=bbbbbbbb-0000-4000-8000-00000000000b
mirror() { # epoch, state of leg b, the file it is in
	vol 7 "$1" mirror leased=yes uuid="$(uuid 7)" "legs=$a:$([ "$1" = 1 ] && echo first || echo in):1:0:0:local,$b:$2:local" child=file+path="$dir/m1" child=file+path="$dir/$3"
}
mirror 1 first:1:0:0 m2 && ctl lease "$(uuid 7)" 1 60000 && ctl target $iqn-m lun=1:"$(uuid 7)" portal=127.0.0.1:"$port" host=any &&
	[ "$("$cdb" "$url-m/1" ${write0}cc)" = good ]
check mirror $?
ctl freeze "$(uuid 7)" 1 && mirror 2 in:1:0:1 nowhere/m2 && ctl lease "$(uuid 7)" 2 60000
check with-a-leg-that-is-missing $?
timeout 60 "$cdb" -i iqn.2026-11.test:stuck "$url-m/1" ${write0}dd >"$dir/out.stuck" 2>&1 &
! answered stuck
check a-write-waits-until-the-leg-is-agreed-to-be-out $?
begin=$(date +%s%N)
timeout 20 "$build/director-iscsi" write "$url-m/1" --timeout 1s <"$dir/out.verify" >"$dir/out.abort" 2>&1
[ $? -ne 124 ] && ctl hold "$(uuid 7)" 2
took=$((($(date +%s%N) - begin) / 1000000))
[ $took -lt 8000 ]
check "it-is-held-though-the-write-waits ($took ms)" $?
mirror 3 out:2:0:2 nowhere/m2 && ctl lease "$(uuid 7)" 3 60000 && [ "$(answer stuck)" = good ] &&
	[ "$(od -An -tx1 -j1048576 -N1 "$dir/m1" | tr -d ' ')" = dd ]
check and-done-where-that-was-agreed $?

# What is held for long sends its initiators elsewhere, and lets them come again.
vol 6 1 file path="$dir/v2.img" fail-over=yes && ctl target $iqn-f lun=1:"$(uuid 6)" portal=127.0.0.1:"$port" host=any
check fail-over $?
ctl freeze "$(uuid 6)"
timeout 60 "$cdb" -i iqn.2026-11.test:away "$url-f/1" 000000000000 $read0 >"$dir/out.away" 2>&1
grep -q '^good' "$dir/out.away" && grep -q 'the session is gone\|status f' "$dir/out.away"
check a-session-of-a-unit-that-is-held-for-long-is-closed $?
"$build/director-iscsi" inquiry "$url-f/1" --timeout 2s >"$dir/out.refused" 2>&1
grep -qi 'unavailable\|0301\|0x301' "$dir/out.refused"
check and-a-login-is-refused $?
reads() { "$cdb" "$url-f/1" $read0 | grep -q '^good'; }
refused() { "$build/director-iscsi" inquiry "$url-f/1" --timeout 2s 2>&1 | grep -qi 'unavailable\|0301\|0x301'; }
vol 6 1 file path="$dir/v2.img" fail-over=yes && until_true 10 reads
check until-the-hold-is-over $?
vol 6 1 file path="$dir/v2.img" apart=yes && until_true 10 refused
check what-is-out-of-reach-refuses-a-login-at-once $?
vol 6 1 file path="$dir/v2.img" && until_true 10 reads
check and-takes-it-when-it-is-there-again $?

# A copy in the background was answered long ago: of the piece that it was reading nothing has happened, and it goes on where its volume is
# served next. One that it was writing may be there or not.
copy() { # from LBA 0 to LBA 200h, twice 8 blocks
	printf '83010000000000000000%08x0000>01000020%022d01ff000000%08x%036d002000380000' $((48 + 32 + 2 * 28)) 0 7 0
	printf e400000001030010602444900000001a8cccdddddddddddd0000000000000200
	for _ in 1 2; do printf '020000180000000000000008%016x%016x' 0 512; done
}
how='84050000000700000000000000400000<64'
copies() { # NAME, delays: $became of a copy whose volume is held, and opened anew, in the middle of a piece
	local before polls=()
	e=$((e + 1))
	vol 1 $e delay/file "$2" path="$dir/v1.img" || return
	before=$(taken "$sock")
	for _ in $(seq 20); do polls+=(@500 "$how"); done
	rm -f "$dir/over"
	timeout 100 "$cdb" -i "iqn.2026-11.test:$1" "$url/1" "$(copy)" "@/$dir/over" "${polls[@]}" >"$dir/out.$1" 2>&1 &
	until_true 10 has_taken "$sock" "$before" && sleep 0.5 && ctl hold "$(uuid 1)" $e
	e=$((e + 1))
	vol 1 $e file path="$dir/v1.img"
	touch "$dir/over"
	wait $!
	grep -q '^good$' "$dir/out.$1" && became=$(sed -n 's/^good 000000..01\(..\).*/\1/p' "$dir/out.$1" | tail -n 1)
}
copies reads delay:read=2s && [ "$became" = 01 ]
check a-copy-in-the-background-goes-on $?
copies writes delay:write=2s && [ "$became" = 60 ]
check but-not-over-a-write-of-which-nobody-knows $?

# Volumes do not wait for each other: one that takes six seconds to open, and one that does not.
# Who listens there takes the connection and never says a word.
perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(Listen => 5, LocalAddr => "127.0.0.1:13999") or die; sleep' &
black=$!
until_true 10 eval 'ss -ltn | grep -q 127.0.0.1:13999'
begin=$(date +%s%N)
timeout 30 "$build/tests/system/targetctl" "$sock" set "$(uuid 5)" v5 64M iscsi portal=127.0.0.1:13999 target=iqn.x:y open-timeout=6s >/dev/null 2>&1 &
other=$!
until_true 10 eval 'ss -tnH state established | grep -q 127.0.0.1:13999'
ctl freeze "$(uuid 1)" && vol 1 1000 file path="$dir/v1.img"
took=$((($(date +%s%N) - begin) / 1000000))
kill -0 $other 2>/dev/null
check "a-switch-beside-an-open-that-waits ($took ms)" $?
wait $other
kill $black 2>/dev/null

kill "$pid"
wait "$pid"
status=$?
# The sanitizer's own failure, of a thread that is just ending, is not this program's.
[ $status = 0 ] || ! grep -q "LeakSanitizer has encountered a fatal error" "$dir/log" || status=0
check orderly-end $status
! grep -E 'ERROR: |runtime error|WARNING: ThreadSanitizer' "$dir/log"
check no-complaints $?
pid=
