#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Storage elsewhere that may have lost what was written and not flushed: a server of NBD, and a LUN of another target, that is killed and
# started anew. The next SYNCHRONIZE CACHE says so, and initiators hear of a power on; what was flushed is no matter.
#   forgets.sh [PORT]                 in a build tree, or with $top_builddir naming it
. "$(dirname "$0")/functions-target.sh"
port=${1:-13281}
requires "$cdb" nbdkit
iqn=iqn.2026-11.test:forgets
declare -A pid
finish() {
	for p in "${pid[@]}"; do kill -9 "$p" 2>/dev/null; done
	wait 2>/dev/null
	rm -rf "$dir"
}
trap finish EXIT
check() { # name, status
	if [ "$2" -eq 0 ]; then echo "ok $1"; else echo "FAILED: $1"; tail -n 8 "$dir"/*.log "$dir"/out* 2>/dev/null; exit 1; fi
}
ctl() { n=$1; shift; timeout 30 "$build/tests/system/targetctl" "$dir/$n.sock" "$@"; }
target() { # node
	rm -f "$dir/$1.sock"
	"$build/director-target" --socket "$dir/$1.sock" --state "$dir/$1" >>"$dir/$1.log" 2>&1 &
	pid[$1]=$!
	until_true 10 answers "$dir/$1.sock"
}
# The target elsewhere, and the server of NBD: what they have is in files, so it is not lost; but who could know?
far() {
	target far
	ctl far set "$(uuid 1)" far 16M file path="$dir/far.img" &&
		ctl far target $iqn-far lun=0:"$(uuid 1)" portal=127.0.0.1:$((port + 1)) host=any
}
nbd() {
	rm -f "$dir/nbd.sock" "$dir/nbd.pid"
	nbdkit -f -U "$dir/nbd.sock" -P "$dir/nbd.pid" file "$dir/nbd.img" >>"$dir/nbd.log" 2>&1 &
	pid[nbd]=$!
	until_true 10 test -s "$dir/nbd.pid"
}
restart() { kill -9 "${pid[$1]}"; wait "${pid[$1]}" 2>/dev/null; "$1"; }
truncate -s 16M "$dir/far.img" "$dir/nbd.img"
far && nbd && target near
ctl near set "$(uuid 2)" a 16M iscsi portal=127.0.0.1:$((port + 1)) target=$iqn-far &&
	ctl near set "$(uuid 3)" b 16M nbd uri="nbd+unix:///?socket=$dir/nbd.sock" &&
	ctl near target $iqn lun=0:"$(uuid 2)" lun=1:"$(uuid 3)" portal=127.0.0.1:"$port" host=any
check volumes $?

write=2a000000000000000100\>512*aa fua=2a080000000000000100\>512*aa flush=35000000000000000000 ready=000000000000
# What an initiator sees whose server is started anew while it waits.
sees() { # LUN, server, steps before, steps after
	rm -f "$dir/go" "$dir/out"
	# shellcheck disable=SC2086
	timeout 120 "$cdb" "iscsi://127.0.0.1:$port/$iqn/$1" $3 "@$dir/go" $4 >"$dir/out" 2>&1 &
	asked=$!
	until_true 10 has_lines "$dir/out" "$(wc -w <<<"$3")"
	restart "$2"
	touch "$dir/go"
	wait $asked
	seen=$(tr '\n' ',' <"$dir/out")
}
is() { # name, what it should be
	[ "$seen" = "$2" ] || echo "  is: $seen; should be: $2"
	[ "$seen" = "$2" ]
	check "$1" $?
}
for at in 0:far 1:nbd; do
	lun=${at%:*} n=${at#*:}
	sees $lun "$n" "$write" "$flush $flush $flush"
	# The power on comes to the session by itself, before one of these or after them.
	if [[ $seen = *"check 6 29 00,"* ]]; then seen=${seen/check 6 29 00,/}; else seen=${seen%good,}; fi
	is "$n-a-flush-after-a-loss-fails-once" "good,check 3 0c 00,good,"
	sees $lun "$n" "$write $flush" "$flush"
	is "$n-what-was-flushed-is-not-lost" "good,good,good,"
	sees $lun "$n" "$fua" "$flush"
	is "$n-nor-what-was-stable-at-once" "good,good,"
	# shellcheck disable=SC2046
	sees $lun "$n" "$write" "$flush $(printf "$ready %.0s" {1..200})"
	seen=$(grep -o 'check 6 29 00' <<<"$seen")
	is "$n-initiators-hear-of-it" "check 6 29 00"
done
# One of which somebody says that it never loses anything.
ctl near target $iqn portal=127.0.0.1:"$port" host=any
ctl near close "$(uuid 3)" && ctl near set "$(uuid 3)" b 16M nbd uri="nbd+unix:///?socket=$dir/nbd.sock" trust=yes &&
	ctl near target $iqn lun=0:"$(uuid 2)" lun=1:"$(uuid 3)" portal=127.0.0.1:"$port" host=any
check trusted $?
sees 1 nbd "$write" "$flush"
is "what-is-trusted-is-not-doubted" "good,good,"
ctl near events >"$dir/events" 2>/dev/null &
pid[events]=$!
sees 0 far "$write" "$ready $flush"
until_true 10 grep -q 'volume a may have lost what was written' "$dir/events"
check directord-hears-of-it $?
for n in far near; do
	! grep -E 'ERROR: |runtime error|WARNING: ThreadSanitizer' "$dir/$n.log"
	check "no-complaints-$n" $?
done
