#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Reservations that two director-targets agree about (doc/ownership.md 11); this script is the directords of both nodes.
#   keep.sh [PORT]                    in a build tree, or with $top_builddir naming it
. "$(dirname "$0")/functions-target.sh"
port=${1:-13271}
requires "$cdb" "$build/director-iscsi"
iqn=iqn.2026-11.test:k v=00000001-aaaa-4bbb-8ccc-dddddddddddd
declare -A pid reader
finish() {
	for p in "${reader[@]}" "${pid[@]}"; do kill "$p" 2>/dev/null; done
	wait
	rm -rf "$dir"
}
trap finish EXIT
check() { # name, status
	if [ "$2" -eq 0 ]; then echo "ok $1"; else echo "FAILED: $1"; tail -n 8 "$dir"/*.log "$dir"/out.* "$dir/agreed" 2>/dev/null; exit 1; fi
}
ctl() { n=$1; shift; timeout 30 "$build/tests/system/targetctl" "$dir/$n.sock" "$@"; }
at() { [ "$1" = A ] && echo "$port" || echo $((port + 1)); }
other() { [ "$1" = A ] && echo B || echo A; }
tag() { [ "$1" = A ] && echo 1 || echo 2; }

# What is agreed: "VERSION BLOB", under a lock. A proposal goes to the other node first, then its own is told.
echo "0 none" >"$dir/agreed"
propose() ( # node, proposal, version that it goes on from, blob
	flock 9
	read -r version blob <"$dir/agreed"
	if [ "$3" = "$version" ]; then
		echo "$((version + 1)) $4" >"$dir/agreed"
		ctl "$(other "$1")" keep $v $((version + 1)) 0 "$4"
		ctl "$1" keep $v $((version + 1)) "$2" "$4"
		echo won >>"$dir/count"
	else
		ctl "$1" keep $v "$version" 0 "$blob"
		ctl "$1" keep $v "$version" "$2" "$blob" refused
		echo refused >>"$dir/count"
	fi
) 9>"$dir/lock"
listen() { # node
	"$build/tests/system/targetctl" "$dir/$1.sock" events | while read -r _ _ _ kind _ _ _ value of _ blob; do
		[ "$kind" = 6 ] && propose "$1" "${value#value=}" "${of#of=}" "$blob" &
	done
}
begin() { # node
	rm -f "$dir/$1.sock"
	"$build/director-target" --socket "$dir/$1.sock" --state "$dir/$1" --sanitize-rate 4M 2>>"$dir/$1.log" &
	pid[$1]=$!
	until_true 10 answers "$dir/$1.sock"
	ctl "$1" set $v v 16M file path="$dir/v.$1" agreed=yes keeps=yes epoch=1 &&
		ctl "$1" target $iqn lun=1:$v tag="$(tag "$1")" portal=127.0.0.1:"$(at "$1")" host=any \
			elsewhere=127.0.0.1:"$(at "$(other "$1")")","$(tag "$(other "$1")")"
	check "volume-and-target-$1" $?
	listen "$1" &
	reader[$1]=$!
}
# Commands of an initiator through a node: their answers with commas.
scsi() { # node, initiator, steps…
	n=$1 i=$2
	shift 2
	timeout 30 "$cdb" -i "iqn.2026-11.test:$i" -q 7 "iscsi://127.0.0.1:$(at "$n")/$iqn/1" "$@" 2>&1 | tr '\n' ',' | sed 's/,$//'
}
# The first of them, the others when it is told to go on: their answers with commas.
begins() { # node, initiator, step, steps…
	rm -f "$dir/go" "$dir/out.begun"
	timeout 120 "$cdb" -i "iqn.2026-11.test:$2" -q 7 "iscsi://127.0.0.1:$(at "$1")/$iqn/1" "$3" "@$dir/go" "${@:4}" >"$dir/out.begun" 2>&1 &
	begun=$!
	until_true 10 has_lines "$dir/out.begun" 1
}
goes_on() { touch "$dir/go"; wait $begun; said=$(tr '\n' ',' <"$dir/out.begun" | sed 's/,$//'); }
is() { # name, what it is, what it should be
	[ "$2" = "$3" ] || echo "  is: $2; should be: $3"
	[ "$2" = "$3" ]
	check "$1" $?
}
list() { printf '%016x%016x00000000%02x000000' "$1" "$2" "${3:-0}"; }         # key, service action key, flags
register() { echo "5f00000000000000180000>$(list 0 "$1" "${2:-0}")" | sed 's/^\(.\{20\}\)00>/\1>/'; }
pr() { echo "5f$1$2000000000018000>$3" | sed 's/^\(5f....\)\(.*\)>/\100000000001800>/'; }
keys=5e000000000000020000\<512 held=5e010000000000020000\<512
write=2a000000000000000100\>512*aa read=28000000000000000100\<512

truncate -s 16M "$dir/v.A" "$dir/v.B"
begin A
begin B
timeout 30 "$cdb" "iscsi://127.0.0.1:$port/$iqn/1" 000000000000 $write >"$dir/out.first" 2>&1 &
sleep 1
is "before-anything-is-known-a-write-waits" "$(cat "$dir/out.first")" good
ctl A keep $v 0 0 none && ctl B keep $v 0 0 none
check "nothing-is-reserved" $?
wait $!
is "and-the-write-goes-on" "$(tr '\n' ' ' <"$dir/out.first")" "good good "
"$build/director-iscsi" discover 127.0.0.1:"$port" | sort >"$dir/out.discover"
[ "$(cut -d' ' -f1 "$dir/out.discover" | tr '\n' ' ')" = "127.0.0.1:$port,1 127.0.0.1:$((port + 1)),2 " ]
check "discovery-names-the-portals-of-both" $?

is "register-at-A" "$(scsi A one "$(register 1)")" good
is "its-key-is-at-B" "$(scsi B two $keys)" "good 00000001000000080000000000000001"
is "reserve-at-A" "$(scsi A one "$(pr 01 05 "$(list 1 0)")")" good
is "the-reservation-is-at-B" "$(scsi B two $held)" "good 000000010000001000000000000000010000000000050000"
is "it-denies-writes-at-B" "$(scsi B two $write $read | cut -c1-13)" "conflict,good"
is "another-port-is-another-nexus" "$(scsi B one $write)" conflict
# Registered at all ports at once: those of the other node too.
is "all-target-ports" "$(scsi A three "$(register 3 4)")" good
is "count-at-both" "$(scsi B two $keys | cut -c14-21) $(scsi A two $keys | cut -c14-21)" "00000018 00000018"
is "through-B-it-may-write" "$(scsi B three $write)" good
# A preemption at B is told to whom it concerns at A.
begins A one 000000000000 $write $write
is "preempt-and-abort-at-B" "$(scsi B three "$(pr 05 05 "$(list 3 1)")")" good
goes_on
is "the-preempted-at-A-hears-of-it" "$said" "good,check 6 2a 05,conflict"

# Both at once: one of two proposals is refused, and its command goes on from what has won.
rm -f "$dir/count"
for i in 1 2 3 4 5 6; do
	scsi A "a$i" "$(register $((16 + i)))" >"$dir/out.a$i" &
	scsi B "b$i" "$(register $((32 + i)))" >"$dir/out.b$i" &
done
for _ in $(seq 300); do [ "$(cat "$dir"/out.[ab][1-6] | grep -o good | wc -l)" -eq 12 ] && break; sleep 0.1; done
is "twelve-registrations-at-once" "$(cat "$dir"/out.[ab][1-6] | grep -o good | wc -l)" 12
echo "  $(grep -c won "$dir/count") won, $(grep -c refused "$dir/count") refused"
is "the-same-at-both" "$(scsi A two $keys | cut -c6-400)" "$(scsi B two $keys | cut -c6-400)"
is "all-of-them" "$(scsi A two $keys | cut -c14-21)" "00000070"
is "clear" "$(scsi B three "$(pr 03 00 "$(list 3 0)")")" good
is "cleared-at-A" "$(scsi A two $keys | cut -c14-21)" 00000000

# SPC-2: the whole unit, and it ends with the session.
begins A one 160000000000
is "reserved-at-A" "$(scsi B two $write)" conflict
goes_on
for _ in $(seq 250); do [ "$(scsi B two $write)" = good ] && break; sleep 0.1; done
is "it-ends-with-its-session" "$(scsi B two $write)" good

# A mode page is everyone's, saved or not: the control mode page with SWP, and without.
page=$(scsi A two 1a080a00ff00\<255 | cut -c14-37)
protect() { scsi "$1" two "15${3:-11}00001000>00000000${page:0:8}$2${page:10}"; }
is "protect-at-A" "$(protect A 08)" good
is "it-is-write-protected-at-B" "$(scsi B two $write)" "check 7 27 00"
is "unprotect-at-B" "$(protect B 00)" good
is "and-not-any-more-at-A" "$(scsi A two $write)" good
is "protect-at-B-without-saving" "$(protect B 08 10)" good
is "it-is-write-protected-at-A" "$(scsi A two $write)" "check 7 27 00"
is "unprotect-at-A" "$(protect A 00 10)" good
is "and-not-any-more-at-B" "$(scsi B two $write)" good

# One that comes back knows nothing until it is told.
is "register-again" "$(scsi A one "$(register 9)")" good
kill "${reader[A]}"
kill "${pid[A]}"
wait "${pid[A]}"
check "A-ends" $?
begin A
timeout 30 "$cdb" "iscsi://127.0.0.1:$port/$iqn/1" $keys >"$dir/out.again" 2>&1 &
sleep 1
is "A-holds-what-needs-them" "$(cat "$dir/out.again")" ""
read -r version blob <"$dir/agreed"
ctl A keep $v "$version" 0 "$blob"
wait $!
is "A-has-them-again" "$(cut -c14-21 "$dir/out.again")" 00000008

# A sanitize operation goes on where the unit is served, wherever the command came; and at the next one, if that dies.
served() { ctl "$1" set $v v 16M file path="$dir/v.$1" agreed=yes keeps=yes epoch="$2" serve=served; }
forwarded() { # what cannot be reached: all that matters is that it is not here
	ctl "$1" set $v v 16M iscsi agreed=yes keeps=yes epoch="$2" portal=127.0.0.1:1 target=iqn.x:y inner=yes lazy=yes size=16M user=EPOCH secret=x
}
sanitize() { echo "48810000000000000500>01000001$1"; }
ready=000000000000
is_all() { [ "$(tr -d "\\$2" <"$dir/v.$1" | wc -c)" = 0 ]; }         # only this byte, in octal
until_all() { for _ in $(seq 300); do is_all "$1" "$2" && [ "$(scsi "$1" two $ready)" = good ] && return; sleep 0.1; done; return 1; }
served A 2 && forwarded B 2
check "A-serves-it" $?
is "sanitize-through-B" "$(scsi B two "$(sanitize 42)")" good
is "it-goes-on-for-both" "$(scsi A two $ready) $(scsi B two $ready)" "check 2 04 1b check 2 04 1b"
until_all A 102
check "it-is-done-at-A" $?
is "and-over-for-B" "$(scsi B two $ready)" good
is "sanitize-again" "$(scsi B two "$(sanitize 43)")" good
sleep 1
kill "${reader[A]}"
kill -9 "${pid[A]}"
wait "${pid[A]}" 2>/dev/null
is "it-goes-on-for-B-when-A-dies" "$(scsi B two @1000 $ready)" "check 2 04 1b"
served B 3
until_all B 103
check "B-serves-it-and-does-it-all" $?
! is_all A 103
check "A-had-not-ended" $?
begin A
read -r version blob <"$dir/agreed"
ctl A keep $v "$version" 0 "$blob" && forwarded A 3
is "A-comes-back-and-does-nothing" "$(scsi A two $ready) $(is_all A 103 || echo not)" "good not"
kill "${reader[@]}" 2>/dev/null
for n in A B; do
	kill "${pid[$n]}"
	wait "${pid[$n]}"
	check "orderly-end-$n" $?
done
! grep -E 'ERROR: |runtime error|WARNING: ThreadSanitizer' "$dir"/*.log
check "no-complaints" $?
