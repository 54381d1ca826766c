#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Legs of a mirrored volume between director-targets, without directord: claims, who is let in at an inner portal, a leg that
# dies and comes back, a leg that loses its memory, an owner that is succeeded, and forwards.
#   legs.sh        in a build tree, or with $top_builddir naming it; the loss of memory only as root
# Prints "ok NAME" or "not ok NAME" per check and a last line with the counts; exit 0 if nothing failed.
. "$(dirname "$0")/functions-target.sh"
declare -A pid=()
passed=0 failed=0
events='' more=''
finish() { for p in "${pid[@]}" $events $more; do kill "$p" 2>/dev/null; done; wait 2>/dev/null; rm -rf "$dir"; }
trap finish EXIT
check() { # name, status
	if [ "$2" -eq 0 ]; then passed=$((passed + 1)); echo "ok $1"; return; fi
	failed=$((failed + 1))
	echo "not ok $1"
	tail -n 6 "$dir"/*/log
	return 1
}
ctl() { local n=$1; shift; "$build/tests/system/targetctl" "$dir/$n/s" "$@"; }
iscsi() { timeout 60 "$build/director-iscsi" "$@" 2>"$dir/said"; }

key=$(printf '11%.0s' {1..32}) old=$(printf '22%.0s' {1..32}) bad=$(printf '33%.0s' {1..32})
v=00000000-0000-4000-8000-0000000000ff a=00000000-0000-4000-8000-00000000000a b=00000000-0000-4000-8000-00000000000b
f=00000000-0000-4000-8000-0000000000f0
user=iqn.2026-11.test:v url=iscsi://127.0.0.1:13290/iqn.2026-11.test:v/0
port() { case $1 in A) echo 13291 ;; B) echo 13292 ;; C) echo 13293 ;; D) echo 13296 ;; esac }
proof() { "$build/tests/system/targetctl" proof "$1" "$2" "$3"; } # key, volume, epoch
start() { # node, how
	mkdir -p "$dir/$1"
	rm -f "$dir/$1/s"
	${2:-} "$build/director-target" --socket "$dir/$1/s" --state "$dir/$1/state" 2>>"$dir/$1/log" &
	pid[$1]=$!
	until_true 10 answers "$dir/$1/s"
	ctl "$1" inner portal=127.0.0.1:"$(port "$1")" key="$key" key="$old"
}
leg() { ctl "$1" "$2" "$3" leg-"$1" 65M file path="$dir/$1/leg" serve=leg epoch=0; } # node, verb, leg
remote() { # node, leg, epoch
	local secret target
	read -r secret target < <(proof "$key" "$2" "$3")
	echo "child=iscsi+portal=127.0.0.1:$(port "$1")+target=$target+inner=yes+user=$3+secret=$secret"
}
mirror() { # state of leg a, of leg b, more parameters: on A, epoch 1
	ctl A set $v vol 64M mirror uuid=$v "${@:3}" "legs=$a:$1:local,$b:$2:remote" child=volume+uuid=$a "$(remote B $b 1)"
}
on_legs() { # offset, file: is it so on both legs?
	for n in A B; do
		cmp -s <(tail -c +$(($1 + 1048577)) "$dir/$n/leg" | head -c "$(stat -c %s "$2")") "$2" || return 1
	done
}
# at PORTAL KEY VOLUME EPOCH: log in at an inner portal as the iscsi backstore does
at() {
	local portal=$1 secret target
	read -r secret target < <(proof "$2" "$3" "$4")
	printf %s "$secret" >"$dir/secret"
	iscsi inquiry --user "$4" --secret-file "$dir/secret" --header-digest require --data-digest require \
		"iscsi://127.0.0.1:$portal/$target/0" "${@:5}"
}
refused() { # name, status, at's arguments
	local name=$1 status=$2
	shift 2
	! at "$@" >/dev/null && grep -q "$status" "$dir/said"
	check "$name" $? || cat "$dir/said"
}

# ---- two nodes ----
start A && start B && leg A create $a && leg B create $b && mirror first:1:0:0 first:1:0:0 &&
	ctl A target $user lun=0:$v portal=127.0.0.1:13290 host=any
check mirror-over-legs $?
head -c 4M /dev/urandom >"$dir/one"
iscsi write $url --offset 1M <"$dir/one" && iscsi read $url --offset 1M --length 4M | cmp -s - "$dir/one" && on_legs 1048576 "$dir/one"
check both-legs-have-it $?

# ---- who is let in ----
at 13292 "$key" $b 1 | grep -q DIRECTOR
check the-epoch-that-claimed-it $?
at 13292 "$old" $b 1 >/dev/null
check an-older-key $?
refused an-older-epoch 0202 13292 "$key" $b 0
refused a-wrong-key 0201 13292 "$bad" $b 1
refused another-leg-s-secret 0201 13292 "$key" $b 1 --secret-file <(proof "$key" $a 1 | cut -d' ' -f1 | tr -d '\n')
refused no-such-leg 0203 13292 "$key" $a 1
refused an-inner-name-at-a-user-s-portal 0203 13290 "$key" $a 1
refused no-digests 0200 13292 "$key" $b 1 --data-digest none
! iscsi inquiry "iscsi://127.0.0.1:13291/$user/0" && grep -q 0203 "$dir/said"
check a-user-s-target-at-an-inner-portal $?
! iscsi discover 127.0.0.1:13291 && [ "$(iscsi discover 127.0.0.1:13290 | grep -c iqn)" = 1 ]
check nothing-of-it-in-discovery $?

# ---- a leg dies ----
ctl A events >"$dir/ev" & events=$!
until_true 2 grep -q volume "$dir/ev"
head -c 1M /dev/urandom >"$dir/two"
kill -9 "${pid[B]}" && wait "${pid[B]}" 2>/dev/null
iscsi write $url --offset 8M <"$dir/two" & writer=$!
until_true 4 grep -q 'what=9 value=1' "$dir/ev"
check leg-failed-is-told $?
sleep 0.5
kill -0 $writer 2>/dev/null
check the-write-waits-for-agreement $?
mirror in:1:0:1 out:2:0:1 && wait $writer
check the-write-goes-on $?

# ---- and comes back ----
start B && leg B set $b && until_true 5 grep -q 'what=10 value=1' "$dir/ev"
check leg-ready-is-told $?
mirror in:1:0:1 in:3:3:1 && until_true 3 on_legs 8388608 "$dir/two" && on_legs 1048576 "$dir/one"
check resynchronised $?
head -c 1M /dev/urandom >"$dir/three"
iscsi write $url --offset 16M <"$dir/three" && on_legs 16777216 "$dir/three"
check both-legs-again $?

# ---- a leg that has something else is found by its digests, and only what differs goes over the wire ----
on_wire() { awk '/lo:/ { print $2 }' /proc/net/dev; }
dd if=/dev/zero of="$dir/B/leg" bs=4096 seek=$(((16777216 + 1048576 + 65536) / 4096)) count=1 conv=notrunc status=none
! on_legs 16777216 "$dir/three"
check the-leg-is-damaged $?
before=$(on_wire)
mirror in:1:0:1 in:3:3:1 scrub=1 scrub-rate=0 && until_true 5 grep -q 'what=12 value=64 of=1' "$dir/ev" &&
	grep -q 'what=13 value=1 of=0' "$dir/ev" && on_legs 16777216 "$dir/three"
check a-scrub-repairs-it $?
[ -z "${OWN_NETWORK:-}" ] || [ $(($(on_wire) - before)) -lt 4000000 ]
check digests-and-not-the-data $?

# ---- a leg whose process starts anew has all; one whose node does has lost what was not flushed ----
# The mirror clears its intent bits some time after the last write; then nothing goes to the legs any more.
no_bits() { [ "$(tail -c +65537 "$dir/$1/leg" | head -c 983040 | tr -d '\0' | wc -c)" = 0 ]; }
settled() { until_true 6 no_bits A && until_true 6 no_bits B && sleep 0.5; }
again() { # how
	settled
	kill -9 "${pid[B]}" && wait "${pid[B]}" 2>/dev/null
	sleep 1
	: >"$dir/ev2"
	ctl A events >"$dir/ev2" & more=$!
	start B "$@" && leg B set $b && until_true 5 grep -q 'what=3 ' "$dir/ev2"
}
again
head -c 1M /dev/urandom >"$dir/four"
iscsi write $url --offset 20M <"$dir/four" && on_legs 20971520 "$dir/four" && ! grep -q 'what=9 ' "$dir/ev2"
check a-process-that-starts-anew-is-the-same-leg $?
kill $more
echo 01234567-89ab-cdef-0123-456789abcdef >"$dir/boot"
cat >"$dir/other-boot" <<-END
	#!/bin/sh
	exec unshare -m sh -c 'mount --bind "$dir/boot" /proc/sys/kernel/random/boot_id && exec "\$@"' sh "\$@"
	END
chmod +x "$dir/other-boot"
if [ "$(id -u)" = 0 ] && "$dir/other-boot" true 2>/dev/null; then
	# The way is back, but not for what was there before.
	settled
	kill -9 "${pid[B]}" && wait "${pid[B]}" 2>/dev/null
	sleep 1
	ctl A events >"$dir/ev2" & more=$!
	start B "$dir/other-boot" && leg B set $b && sleep 1
	head -c 1M /dev/urandom >"$dir/five"
	iscsi write $url --offset 24M <"$dir/five" & writer=$!
	until_true 4 grep -q 'what=9 value=1' "$dir/ev2"
	check a-leg-without-its-memory-is-out $?
	mirror in:1:0:1 out:4:3:1 && wait $writer && until_true 5 grep -q 'what=10 value=1' "$dir/ev2" && mirror in:1:0:1 in:5:5:1 &&
		until_true 3 on_legs 25165824 "$dir/five"
	check and-gets-what-it-lacks $?
	kill $more
	bstate=in:5:5:1
else
	echo "skip a-leg-without-its-memory-is-out: not root"
	bstate=in:3:3:1
fi

# ---- forwards: a volume of A, reached through C, and then at B ----
leg_size=8M
forward() { # node whose volume it is, epoch
	local secret target
	read -r secret target < <(proof "$key" $f "$2")
	ctl C set $f fwd $leg_size iscsi portal=127.0.0.1:"$(port "$1")" target="$target" inner=yes lazy=yes user="$2" secret="$secret" timeout=20s
}
start C
forward A 1 && ctl C target iqn.2026-11.test:f lun=0:$f portal=127.0.0.1:13294 host=any
check a-forward-opens-without-the-owner $?
furl=iscsi://127.0.0.1:13294/iqn.2026-11.test:f/0
iscsi write $furl <"$dir/two" & writer=$!
sleep 0.3
kill -0 $writer && ctl A create $f only $leg_size file path="$dir/A/only" serve=served && wait $writer && cmp -n 1048576 "$dir/A/only" "$dir/two"
check and-waits-for-it $?
# Epoch 2 is served at B; the file goes with it.
ctl A close $f
iscsi write $furl --offset 2M <"$dir/one" & writer=$!
sleep 0.3
ctl B set $f only $leg_size file path="$dir/A/only" serve=served epoch=2 && forward B 2 && wait $writer &&
	iscsi read $furl --offset 2M --length 4M | cmp -s - "$dir/one" && iscsi read $furl --length 1M | cmp -s - "$dir/two"
check and-goes-on-at-the-new-place $?
refused only-the-epoch-that-is-served 0202 13292 "$key" $f 1

# ---- what a forward writes is done once ----
# One block, in a session of its own that is not made anew: its answer will be in out.NAME.
write() { # name, LBA in hexadecimal, byte
	timeout 60 "$build/tests/system/iscsi-cdb" -i "iqn.2026-11.test:$1" $furl "2a00000000${2}00000100>512*$3" >"$dir/out.$1" 2>&1 &
	more+=" $!"
}
# The same, until the node that serves has it: C has taken it, and sends it on at once.
underway() {
	local before
	before=$(taken "$dir/C/s")
	write "$@" && until_true 5 has_taken "$dir/C/s" "$before" && sleep 1
}
answer() { until_true 5 test -s "$dir/out.$1"; cat "$dir/out.$1"; }
gone() { answer "$1" | grep -q 'the session is gone\|^status f'; }
first() { od -An -tx1 -j $((0x$1 * 512)) -N1 "$only" | tr -d ' '; } # LBA
at_b() { ctl B set $f only $leg_size "$@" path="$only" serve=served agreed=yes epoch="$epoch"; }
slowly="delay/file delay:write=2500ms"
# The volume is moved: held, and served somewhere else. A node that forwards has to be one that is agreed about.
forward() { # node whose volume it is, epoch
	local secret target
	read -r secret target < <(proof "$key" $f "$2")
	ctl C set $f fwd $leg_size iscsi portal=127.0.0.1:"$(port "$1")" target="$target" inner=yes lazy=yes user="$2" secret="$secret" timeout=20s agreed=yes epoch="$2"
}
epoch=3 only=$dir/A/only
# shellcheck disable=SC2086
ctl B close $f; at_b $slowly && forward B 3
check served-slowly $?
underway moved 01 a1
ctl B freeze $f && write held 02 a2 && sleep 0.5 && [ "$(answer moved)" = good ] && ! [ -s "$dir/out.held" ]
check what-runs-is-answered-and-what-comes-waits $?
ctl B close $f
start D
ctl D set $f only $leg_size delay/file delay:write=4s path="$only" serve=served agreed=yes epoch=4 && forward D 4 &&
	[ "$(answer held)" = good ] && [ "$(first 02)" = a2 ]
check a-volume-that-is-moved-loses-nobody $?
if [ "$(id -u)" = 0 ]; then
	underway cut 03 a3
	ss -K state established "dport = :13296" >/dev/null 2>&1
	[ "$(answer cut)" = good ] && [ "$(first 03)" = a3 ] && grep -q 'one more, 1 connections' "$dir/D/log"
	check a-connection-that-is-cut-loses-no-answer $?
fi
# The owner is silent, with a write that it may have done: who is asked next does not do it.
underway lost 04 a4
kill -STOP "${pid[D]}"
cp "$only" "$dir/B/only"
epoch=5 only=$dir/B/only
at_b file && forward B 5 && write later 05 a5 && gone lost && [ "$(first 04)" != a4 ]
check what-may-have-been-done-is-not-done-again $? || echo "  it was told: $(cat "$dir/out.lost"); there is: $(first 04)"
[ "$(answer later)" = good ] && [ "$(first 05)" = a5 ]
check what-comes-later-goes-to-the-new-place $?
sleep 1
write after 06 a6
[ "$(answer after)" = good ] && [ "$(first 06)" = a6 ]
check also-when-the-old-one-is-given-up $?
kill -9 "${pid[D]}" && wait "${pid[D]}" 2>/dev/null

# ---- a successor ----
! ctl C set $v vol 64M mirror epoch=5 uuid=$v "legs=$a:in:1:0:1:remote,$b:$bstate:remote" "$(remote A $a 0)" "$(remote B $b 5)" 2>"$dir/said"
check no-successor-under-an-old-epoch $?
ctl C set $v vol 64M mirror epoch=5 uuid=$v "legs=$a:in:1:0:1:remote,$b:$bstate:remote" "$(remote A $a 5)" "$(remote B $b 5)"
check a-successor-claims-both $?
until_true 2 grep -q 'what=11' "$dir/ev" || { timeout 5 "$build/director-iscsi" write $url <"$dir/two" 2>/dev/null; until_true 2 grep -q 'what=11' "$dir/ev"; }
check the-old-owner-hears-that-it-is-over $?
ctl C target iqn.2026-11.test:w lun=0:$v portal=127.0.0.1:13295 host=any &&
	iscsi read iscsi://127.0.0.1:13295/iqn.2026-11.test:w/0 --offset 16M --length 1M | cmp -s - "$dir/three"
check the-successor-has-all $?
refused the-old-epoch-is-out 0202 13292 "$key" $b 1
kill -9 "${pid[A]}" && wait "${pid[A]}" 2>/dev/null
start A && leg A set $a
refused also-after-a-restart 0202 13291 "$key" $a 1
at 13291 "$key" $a 5 | grep -q DIRECTOR
check the-new-epoch-after-a-restart $?

# ---- a disk that does not answer when its leg is opened ----
g=00000000-0000-4000-8000-00000000000c
quiet() { ctl B "$1" $g leg-g 9M "${@:2}" path="$dir/B/leg-g" serve=leg epoch=0 2>"$dir/said"; }
quiet create file && at 13292 "$key" $g 1 | grep -q DIRECTOR && ctl B close $g
check one-more-leg-is-claimed $?
! quiet set fault/file fault:error=stall fault:stall=20s && grep -q 'does not answer: its first 8192 bytes were not read' "$dir/said"
check a-disk-that-does-not-answer-holds-nobody-up $? || cat "$dir/said"
! quiet set file && grep -q 'still does not answer' "$dir/said"
check nothing-else-of-its-leg-is-opened-meanwhile $? || cat "$dir/said"
refused the-leg-is-missing 0203 13292 "$key" $g 1
until_true 20 quiet set file && at 13292 "$key" $g 1 | grep -q DIRECTOR
check and-is-there-when-the-disk-answers $? || cat "$dir/said"

unset "pid[D]"
# ---- many LUNs elsewhere: their sessions share threads; one that cannot be reached holds up nobody ----
threads() { cat "/proc/${pid[C]}"/task/*/comm 2>/dev/null | grep -cx iscsi; }
many_u() { printf '00000000-0000-4000-8000-0000000001%02x' "$1"; }
luns=''
for i in $(seq 12); do
	ctl A create "$(many_u $((i + 32)))" m$i 4M ram && ctl C create "$(many_u $i)" f$i 4M iscsi portal=127.0.0.1:13298 \
		target=iqn.2026-11.test:m lun=$i open-timeout=20s &
	creates[$i]=$!
	luns="$luns lun=$i:$(many_u $((i + 32)))"
done
sleep 0.5
# shellcheck disable=SC2086
ctl A target iqn.2026-11.test:m $luns portal=127.0.0.1:13298 host=any
ok=0
for p in "${creates[@]}"; do wait "$p" || ok=1; done
check opened-when-the-target-is-there $ok
n=$(threads)
[ "$n" -ge 1 ] && [ "$n" -le "$(nproc)" ]
check twelve-sessions-on-few-threads $?
# shellcheck disable=SC2046
ctl C target iqn.2026-11.test:x $(for i in $(seq 12); do echo "lun=$i:$(many_u "$i")"; done) portal=127.0.0.1:13299 host=any
io() { # LUN: what is written is read
	head -c 1M /dev/urandom >"$dir/io.$1" && timeout 100 "$build/director-iscsi" write iscsi://127.0.0.1:13299/iqn.2026-11.test:x/"$1" --offset 1M <"$dir/io.$1" &&
		timeout 100 "$build/director-iscsi" read iscsi://127.0.0.1:13299/iqn.2026-11.test:x/"$1" --offset 1M --length 1M | cmp -s - "$dir/io.$1"
}
all_io() {
	local r=0 p=()
	for i in $(seq 12); do io $i & p+=($!); done
	for i in "${p[@]}"; do wait "$i" || r=1; done
	return $r
}
all_io
check io-on-all-at-once $?
kill -STOP "${pid[A]}"
all_io & more=$!
sleep 3
kill -CONT "${pid[A]}"
wait $more
check io-goes-on-after-a-silence $?
ok=0
ctl C target iqn.2026-11.test:x portal=127.0.0.1:13299 host=any
for i in $(seq 12); do ctl C close "$(many_u "$i")" || ok=1; done
check closed $ok

for n in A B C; do kill "${pid[$n]}"; wait "${pid[$n]}" || echo "not ok $n ends"; done
! grep -E 'Sanitizer|runtime error|Assertion' "$dir"/*/log
check no-trouble $?
echo "$passed passed, $failed failed"
[ $failed = 0 ]
