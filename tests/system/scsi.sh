#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# director-target's units over the wire, by single commands: what outlives the process, copies between units, access states,
# preemption, and commands of chance.
#   scsi.sh [COUNT]        COUNT random commands (20000); in a build tree, or with $top_builddir naming it
# Prints "ok NAME" or "not ok NAME" per check and a last line with the counts; exit 0 if nothing failed.
. "$(dirname "$0")/functions-target.sh"
count=${1:-20000} port=13261
requires "$cdb"
sock=$dir/t.sock t=iqn.2026-11.test:t u=iqn.2026-11.test:u
passed=0 failed=0 pid=
finish() { [ -n "$pid" ] && kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null; rm -rf "$dir"; }
trap finish EXIT
check() { # name, status
	if [ "$2" -eq 0 ]; then passed=$((passed + 1)); echo "ok $1"; else failed=$((failed + 1)); echo "not ok $1"; tail -5 "$dir/log"; fi
}
same() { # name, wanted, got
	[ "$2" = "$3" ] || { echo "  wanted: $2"; echo "  got:    $3"; }
	[ "$2" = "$3" ]
	check "$1" $?
}
ctl() { "$build/tests/system/targetctl" "$sock" "$@"; }
naa() { echo "60244490000000${1}a8cccdddddddddddd"; }
# cdb INITIATOR TARGET LUN STEP…: each initiator has one ISID
cdb() {
	local i=$1 target=$2 lun=$3
	shift 3
	timeout $((60 + count / 1000)) "$build/tests/system/iscsi-cdb" -i "iqn.2026-11.test:$i" -q 7 "iscsi://127.0.0.1:$port/$target/$lun" "$@" | tr '\n' ',' | sed 's/,$//'
}
t_luns() { ctl target $t tag=1 lun=1:"$(uuid 1)" lun=2:"$(uuid 2)" lun=3:"$(uuid 3)" portal=127.0.0.1:$port "$@"; }
start() {
	"$build/director-target" --socket "$sock" --state "$dir/state" --sanitize-rate 1M 2>>"$dir/log" &
	pid=$!
	until_true 10 answers "$sock"
	ctl "${1:-create}" "$(uuid 1)" v1 64M ram && ctl "${1:-create}" "$(uuid 2)" v2 64M file path="$dir/v2.img" thin=yes &&
		ctl "${1:-create}" "$(uuid 3)" v3 16M delay/ram delay:write=4s && t_luns host=any &&
		ctl target $u tag=2 lun=1:"$(uuid 1)" portal=127.0.0.1:$port host=any
}
crash() {
	kill -9 "$pid"
	wait "$pid" 2>/dev/null
	rm -f "$sock"
}
tur=000000000000 read1=28000000000000000100 inquiry=120000006000
start
check begin $?

# ---- persistent reservations: REGISTER AND IGNORE with APTPL, RESERVE exclusive access; the process dies ----
out() { printf '5f%02x%02x0000000000%02x00>%016x%016x00000000%02x000000' "$1" "$2" 24 "$3" "$4" "$5"; }
same aptpl-reserve "good,good,good" "$(cdb a $t 2 "$(out 6 0 0 170 1)" "$(out 1 3 170 0 0)" $read1 | tr -d ' ')"
same others-are-kept-out conflict "$(cdb b $t 2 $read1)"
crash
start set
check restart $?
same a-reservation-outlives-the-process conflict "$(cdb b $t 2 $read1)"
same its-holder-goes-on "good" "$(cdb a $t 2 "$read1")"
same read-reservation "good 000000000000001000000000000000aa0000000000030000" "$(cdb b $t 2 '5e010000000000001800<24')"
# Another initiator registers, preempts and aborts.
same preempt-and-abort "good,good,good" "$(cdb b $t 2 "$(out 6 0 0 187 1)" "$(out 5 3 187 170 0)" $read1)"
same the-preempted-is-out conflict "$(cdb a $t 2 $read1)"
same clear "good" "$(cdb b $t 2 "$(out 3 0 187 0 0)")"
crash
start set
same what-was-cleared-stays-cleared good "$(cdb a $t 2 $read1)"
# What is kept is damaged: nobody is let in as if there had been no reservation, before an initiator replaces it.
same nothing-is-lost-to-replace "check 5 26 04" "$(cdb a $t 2 "$(out 8 3 0 204 1)")"
same reserved-again "good,good" "$(cdb a $t 2 "$(out 6 0 0 170 1)" "$(out 1 3 170 0 0)")"
crash
printf 'x' | dd of="$dir/state/$(uuid 2).unit" bs=1 seek=20 conv=notrunc 2>/dev/null
start set
same a-lost-reservation-is-said "check 7 44 01,check 7 44 01" "$(cdb a $t 2 $read1),$(cdb b $t 2 "$(out 6 0 0 187 1)")"
same it-is-replaced "good,good" "$(cdb b $t 2 "$(out 8 3 0 204 1)" $read1)"
crash
start set
same the-replacement-is-kept "conflict,good" "$(cdb a $t 2 $read1),$(cdb b $t 2 $read1)"
same cleared-again good "$(cdb b $t 2 "$(out 3 0 204 0 0)")"

# ---- saved mode pages: the control page with software write protect, by MODE SELECT with SP ----
same mode-select-saved "good,check 7 27 00" "$(cdb a $t 2 '151100001000>000000000a0a201008000000ffff0000' '2a000000000000000100>512*00')"
crash
start set
same a-saved-page-outlives-the-process "check 7 27 00,good,good" "$(cdb a $t 2 '2a000000000000000100>512*00' \
	'151100001000>000000000a0a201000000000ffff0000' '2a000000000000000100>512*00')"
# ---- copies: from v1, that only the second target shows at LUN 1, to v2 of the first ----
same write-source good "$(cdb a $u 1 '2a000000000000000800>4096*5a')"
copy() { # source, destination: blocks 0 to 7, to block 100
	printf '83000000000000000000%08x0000>01180040000000000000001c00000000' $((16 + 64 + 28))
	printf 'e400000001030010%s0000000000000200' "$(naa "$1")" "$(naa "$2")"
	printf '0200001800000001000000080000000000000000 0000000000000064' | tr -d ' '
}
same copy-between-targets good "$(cdb a $u 1 "$(copy 1 2)")"
same copied "good $(printf '5a%.0s' $(seq 512))" "$(cdb a $t 2 '28000000006b00000100<512')"
t_luns host=iqn.2026-11.test:b
same nobody-copies-to-what-he-may-not-see "check a 08 04" "$(cdb a $u 1 "$(copy 1 2)")"
t_luns host=any

# ---- copies in the background: answered when they begin, with IMMED ----
copy4() { # source, destination, how many segments, each of 8 blocks
	printf '83010000000000000000%08x0000>01000020' $((48 + 64 + 28 * $3))
	printf '%022d01ff000000%08x%036d0040%04x0000' 0 7 0 $((28 * $3))
	printf 'e400000001030010%s0000000000000200' "$(naa "$1")" "$(naa "$2")"
	for _ in $(seq "$3"); do printf '020000180000000100000008%016x%016x' 0 200; done
}
how='84050000000700000000000000400000<64' stop=831c0000000700000000000000000000
seen() { tr ',' '\n' | sed -n 's/^good 000000..01\(..\).*/\1/p' | tr '\n' ' '; }
no_session() { ! ctl list | grep -q '^session'; }
# Who ends it waits for it, and of so short a one nothing is left to be ended.
same a-copy-ends-in-the-background "01" "$(cdb a $t 1 "$(copy4 1 2 1)" $stop "$how" | seen)"
same it-has-copied "good $(printf '5a%.0s' $(seq 512))" "$(cdb a $t 2 '2800000000c800000100<512')"
# On v3 a write takes four seconds: a long one is under way until somebody ends it, or its nexus goes.
same a-copy-is-under-way-and-is-ended "12 60" "$(cdb a $t 1 "$(copy4 1 3 60)" "$how" $stop "$how" | seen)"
same its-nexus-goes "good,check 5 24 00" "$(cdb a $t 1 "$(copy4 1 3 60)"),$(cdb a $t 1 $stop)"
until_true 20 no_session
check and-the-copy-with-it $?
same a-reset-ends-it "good,good 12,done,check 6 29 03,good 60" "$(cdb a $t 1 "$(copy4 1 3 60)" "$how" '!reset' $tur "$how" | sed 's/ 000000..01\(..\)[^,]*/ \1/g')"
same so-does-that-of-its-nexus-and-waits-for-it "12 60" "$("$build/tests/system/rawlogin" --nexus-reset $port $t 1 "$(copy4 1 3 60)" "${how%<*}")"
until_true 20 no_session
# Preempted: whoever does that is answered when it has ended.
has_written() { ctl list | sed -n 's/^session .* written=\([0-9]*\) .*/\1/p' | grep -qx '[0-9]\{4,\}'; }
rm -f "$dir/preempted"
cdb a $t 1 "$(out 6 0 0 170 0)" "$(copy4 1 3 60)" "$how" "@/$dir/preempted" $tur "$how" >"$dir/copy" &
copier=$!
until_true 20 has_written
same a-copy-is-preempted "good,good,good" "$(cdb b $t 1 "$(out 6 0 0 187 0)" "$(out 5 0 187 170 0)" "$(out 3 0 187 0 0)")"
touch "$dir/preempted"
wait $copier
same and-has-ended "12 60" "$(seen <"$dir/copy")"

# ---- access states ----
ctl access "$(uuid 1)" 1=0:preferred 2=2
check access-set $?
same standby-refuses "check 2 04 0b" "$(cdb a $u 1 $read1)"
same optimized-goes-on good "$(cdb a $t 1 $read1)"
same target-port-groups "good 00000018808f00010000000100000001028f00020002000100000002" "$(cdb a $u 1 'a30a00000000000000ff0000<255')"
same an-initiator-sets-states good "$(cdb a $t 1 'a40a000000000000000c0000>000000000200000100000002')"
same it-is-so "check 2 04 0b,good" "$(cdb a $t 1 $read1),$(cdb a $u 1 $read1)"
ctl access "$(uuid 1)" implicit
same implicit-only "check 5 24 00" "$(cdb a $t 1 'a40a00000000000000080000>0000000002000001')"

# ---- commands under way: on v3 a write takes four seconds. Whoever preempts or sanitizes is answered when they have ended ----
word=2a000000000000000100
same registered "good,good" "$(cdb b $t 3 "$(out 6 0 0 187 0)"),$(cdb a $t 3 "$(out 6 0 0 170 0)")"
before=$(taken "$sock")
cdb b $t 3 "$word>512*77" >/dev/null 2>&1 &
until_true 10 has_taken "$sock" "$before"
same the-preempted-write-came-before "good,good $(printf '77%.0s' $(seq 512))" "$(cdb a $t 3 "$(out 5 5 170 187 0)" "$read1<512")"
same clear-again good "$(cdb a $t 3 "$(out 3 0 170 0 0)")"
before=$(taken "$sock")
cdb b $t 3 "$word>512*66" >"$dir/late" 2>&1 &
late=$!
until_true 10 has_taken "$sock" "$before"
same nothing-comes-after-a-sanitize "good,good $(printf '00%.0s' $(seq 512))" "$(cdb a $t 3 48020000000000000000 "$read1<512")"
wait $late
same a-write-under-way-ends-well good "$(cat "$dir/late")"
same and-stays-sanitized "good $(printf '00%.0s' $(seq 512))" "$(cdb a $t 3 "$read1<512")"

# ---- room below a thin unit; sanitize does not survive power, and says so ----
cdb a $t 2 '4d004c00000000010000<256' | grep -Eq '^good 8c000018000103080*[1-9a-f]'
check room-is-reported $?
same sanitize-begins good "$(cdb a $t 1 '48810000000000000600>01000002a55a')"
same it-goes-on "check 2 04 1b" "$(cdb b $t 1 $read1)"
same inquiry-meanwhile good "$(cdb b $t 1 $inquiry)"
crash
start set
same what-did-not-end-has-failed "check 3 31 03" "$(cdb b $t 1 $read1)"

# ---- the target dies with what was written and not flushed. Our initiator writes it again; who has it by NBD is told ----
iscsi=$build/director-iscsi lun2=iscsi://127.0.0.1:$port/$t/2
shown() { # FILE BYTES: the file begins as the data does
	for _ in $(seq 600); do cmp -s -n "$2" "$dir/data" "$1" && return; sleep 0.1; done
	return 1
}
forget() {
	crash
	: >"$dir/v2.img"
	truncate -s 64M "$dir/v2.img"
	start set 9>&-          # or the pipe would not end
}
head -c 6M /dev/urandom >"$dir/data"
mkfifo "$dir/in"
timeout 200 "$iscsi" write --timeout 90s "$lun2" <"$dir/in" &
writer=$!
exec 9>"$dir/in"
head -c 4M "$dir/data" >&9
shown "$dir/v2.img" 4194304
check the-first-half-is-written $?
forget
tail -c +4194305 "$dir/data" >&9
exec 9>&-
wait $writer && cmp -s -n 6291456 "$dir/data" "$dir/v2.img"
check what-was-forgotten-is-written-again $?
if command -v qemu-io >/dev/null; then
	timeout 300 "$iscsi" serve --timeout 90s --socket "$dir/nbd" "$lun2" 2>"$dir/serve" &
	server=$!
	for _ in $(seq 300); do [ -S "$dir/nbd" ] && break; sleep 0.1; done
	timeout 200 stdbuf -oL qemu-io -t writeback -f raw "nbd+unix:///?socket=$dir/nbd" <"$dir/in" >"$dir/io" 2>&1 &
	client=$!
	exec 9>"$dir/in"
	# A line at a time: of several that it has read it does only the first until more comes.
	typed=0
	prompts() { [ "$(grep -o 'qemu-io> ' "$dir/io" | wc -l)" -gt "$typed" ]; }
	type_in() { until_true 12 prompts; echo "$1" >&9; typed=$((typed + 1)); }
	for line in 'write -P 7 0 64k' flush 'write -P 8 0 64k' 'read 1M 64k'; do type_in "$line"; done
	until_true 12 prompts
	forget
	type_in flush
	type_in quit
	exec 9>&-
	! wait $client && grep -q 'may be lost' "$dir/serve" &&
		timeout 100 qemu-io -t writeback -f raw -c 'write -P 9 0 64k' -c flush -c 'read -P 9 0 64k' "nbd+unix:///?socket=$dir/nbd" >"$dir/io" 2>&1
	check nbd-is-told-of-what-was-forgotten $?
	kill $server
	wait $server
fi
# ---- a store that takes no writes: the unit says so, also when the volume was changed ----
truncate -s 1M "$dir/ro.img"
ctl create "$(uuid 4)" ro 1M file path="$dir/ro.img" read-only=yes && t_luns lun=4:"$(uuid 4)" host=any
check a-store-that-is-read-only $?
same its-unit-is-write-protected "good 0f009000" "$(cdb a $t 4 '1a080a000400<4')"
ctl set "$(uuid 4)" other-name 1M file path="$dir/ro.img" read-only=yes
check it-is-renamed $?
same and-still-write-protected "good 0f009000" "$(cdb a $t 4 '1a080a000400<4')"

# ---- commands of chance, then it is as before ----
crash
rm -rf "$dir/state"
start set
cdb a $t 2 --random "$count" 1 | tee "$dir/random"
grep -q good "$dir/random"
check "$count-random-commands" $?
# What it may have registered goes by REGISTER AND IGNORE EXISTING KEY with 0.
cdb a $t 2 "$(out 6 0 0 0 0)" >"$dir/unregistered"
same and-it-works-after "good,good,good" "$(cdb c $t 2 $tur "2a000000000700000100>512*77" $inquiry)"
kill "$pid"
wait "$pid"
check orderly-end $?
pid=
echo "$passed passed, $failed failed, 0 skipped"
[ $failed -eq 0 ]
