#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A volume with one copy on a node and one on a LUN of a target that others wrote (tgt), which whichever node serves the volume
# uses directly: its owner is killed and paused, the target dies, forgets its reservations and comes back, its disk is swapped; nothing
# written is lost, the copies are equal in the end, and who does not serve it cannot read or write the LUN.
. "$(dirname "$0")/functions.sh"
requires corosync tgtd tgtadm
iscsi=$build/director-iscsi
[ -x "$iscsi" ] || skip "director-iscsi is not built"
[ -x "$build/tests/system/iscsi-cdb" ] || skip "libiscsi is not installed"
has_director
work=$(mktemp -d /var/tmp/third-XXXXXX) control=$((100 + $$ % 20000))
end() {
	local status=$?
	stop_tgt 2>/dev/null
	(exit $status); finish
	rm -rf "$work"
}
trap end EXIT
lab up 3 || fail "lab up"
here4=$(lab address host 4)
theirs=iqn.2026-01.peer:disk url=iscsi://$here4/$theirs/1 iqn=$(target third)

adm() { tgtadm -C $control --lld iscsi "$@"; }
start_tgt() { # FILE
	# shellcheck disable=SC2016
	lab host bash -c 'echo $$ >"$1"; exec tgtd -f -C "$2" --iscsi "portal=$3:3260"' - "$work/pid" $control "$here4" >>"$work/tgt.log" 2>&1 &
	until_true 20 "tgtd runs" tgtadm -C $control --op show --mode sys
	adm --mode target --op new --tid 1 -T $theirs || fail "tgtadm"
	adm --mode logicalunit --op new --tid 1 --lun 1 --bstype rdwr -b "$1" || fail "tgtadm"
	adm --mode account --op new --user alice --password alicesecret12 || fail "tgtadm"
	adm --mode account --op bind --tid 1 --user alice || fail "tgtadm"
	adm --mode target --op bind --tid 1 -I ALL || fail "tgtadm"
}
stop_tgt() { kill -9 "$(cat "$work/pid")"; until_true 10 "tgtd is gone" eval '! kill -0 "$(cat "$work/pid")" 2>/dev/null'; }

field() { d "$1" get "/volumes/$2" -o json 2>/dev/null | jq -r "$3"; }
owner() { field "$1" v .data.derived.node; }
owner_is() { [ "$(owner "$1")" = "$2" ]; }
owner_is_not() { local o; o=$(owner "$1"); [ -n "$o" ] && [ "$o" != null ] && [ "$o" != "$2" ]; }
in_sync() { [ "$(field "$1" v '.data.derived["in-sync"]')" = "$2 of 2" ]; }
in_sync_not() { local s; s=$(field "$1" v '.data.derived["in-sync"]'); [ -n "$s" ] && [ "$s" != "2 of 2" ]; }
at() { echo "iscsi://$(lab address "$1" 4)/$iqn/0"; }
load() { lab host timeout $(($2 + 120)) "$iscsi" verify --verbose --depth 4 --runtime "$2" "$(at "$1")" >"$work/load" 2>&1 </dev/null & loader=$!; }
wait_load() {
	wait $loader || { cat "$work/load" >&2; fail "$1: the load ended with an error"; }
	grep -q ' 0 wrong, 0 failed' "$work/load" || { cat "$work/load" >&2; fail "$1: something is wrong"; }
	step "$1: $(tail -n 1 "$work/load")"
}
# What the LUN says of its registrations, in one line; of a key its epoch.
cdb() { lab host "$build/tests/system/iscsi-cdb" "iscsi://alice%alicesecret12@$here4:3260/$theirs/$1" "$2"; }
claims() { cdb "$1" '5e00000000000000ff00<255' | sed -n 's/^good //p' | tr -d ' ' | sed 's/^.\{16\}//' | fold -w 16 | grep -v '^0*$' | xargs; }
epoch() { echo $((16#${1:8:6})); }
newer() { local c; c=$(claims "$1"); [ -n "$c" ] && [ "$c" != "$2" ] && [ "$(epoch "$c")" -gt "$(epoch "$2")" ]; }
size=32
# The data of each copy: behind the first MiB.
own_sum() { lab sh n1 dd if="/var/lib/director/volumes/$(field n1 v/legs/a .data.uuid).img" bs=1M skip=1 count=$size status=none | sha256sum; }
lun_sum() { dd if="$work/disk" bs=1M skip=1 count=$size status=none | sha256sum; }
equal() { # WHAT: with nothing under way
	local a b
	d n2 lun remove "$iqn" 0 --force >/dev/null || fail "lun remove"
	sleep 3
	a=$(own_sum) b=$(lun_sum)
	[ "$a" = "$b" ] || fail "$1: the copies differ: $a $b"
	d n2 lun add "$iqn" v >/dev/null || fail "lun add"
	until_true 10 "it is offered again" lab host timeout 5 "$iscsi" inquiry "$(at n2)"
	step "$1: both copies are ${a%% *}"
}

truncate -s 40M "$work/disk"
head -c 40M /dev/urandom >"$work/disk"
start_tgt "$work/disk"
echo alicesecret12 >"$work/secret"
step "a volume on n1 and the LUN"
d n1 volume create v --size 32M --on n1 --lun "$url" --user alice --secret-file "$work/secret" >"$work/out" 2>&1 || fail "volume create: $(cat "$work/out")"
until_true 30 "all is in sync" in_sync n1 2
d n1 target create "$iqn" >/dev/null || fail "target create"
d n1 lun add "$iqn" v >/dev/null || fail "lun add"
d n1 host add "$iqn" --any >/dev/null || fail "host add"
for n in n1 n2 n3; do until_true 10 "$n offers the target" lab host timeout 5 "$iscsi" inquiry "$(at $n)"; done
for what in dump "history --full" "history" "get /volumes/v/legs/b" "get /volumes/v/legs/b -o json" "volume show v -o json"; do
	d n1 $what 2>/dev/null | grep -q alicesecret12 && fail "\"director $what\" shows the secret"
done
d n1 dump | grep -q -- "--lun iscsi://$here4:3260/$theirs/1 --user alice --secret-file" || fail "the dump: $(d n1 dump)"
load n2 4
wait_load "served by $(owner n1)"
equal "written"

step "who does not serve it can neither read nor write the LUN"
lab host timeout 20 "$iscsi" read --user alice --secret-file "$work/secret" --chap md5 --length 4k "$url" >/dev/null 2>"$work/out" && fail "it can be read"
grep -qi "reserv" "$work/out" || fail "it is not refused for its reservation: $(cat "$work/out")"

step "the owner, n1, is killed and returns: the others have the LUN"
owner_is n2 n1 || fail "the node that has a copy serves: $(owner n2)"
load n2 12; sleep 3
lab kill n1
wait_load "owner killed"
owner_is_not n2 n1 || fail "n1 is still the owner"
lab start n1
lab wait 20 || fail "all are well again"
until_true 30 "all is in sync" in_sync n2 2
equal "owner killed"

step "the owner is paused: its claim is taken from it while it sleeps, and what it wakes up with is not written any more"
o=$(owner n2) via=n2
[ "$o" != n2 ] || via=n3
was=$(claims 1) || fail "the LUN says who has it"
[ "$(wc -w <<<"$was")" = 1 ] || fail "one key, and not: $was"
load $via 12; sleep 3
lab pause "$o"
until_true 20 "another has claimed it" newer 1 "$was"
now=$(claims 1)
[ "$(wc -w <<<"$now")" = 1 ] || fail "the key of $o, which sleeps, is still there: $was, and now $now"
step "epoch $(epoch "$was") was preempted by epoch $(epoch "$now") while $o sleeps"
wait_load "owner, $o, paused"
owner_is_not $via "$o" || fail "$o is still the owner"
now=$(claims 1)
lab resume "$o"
sleep 3
[ "$(epoch "$(claims 1)")" -ge "$(epoch "$now")" ] || fail "$o has taken it back"
until_true 30 "all is in sync" in_sync $via 2
equal "owner paused"

step "moved to n1 and away"
for to in n1 n3 n1; do
	d n2 volume move v --owner $to >/dev/null || fail "move to $to"
	until_true 10 "$to owns it" owner_is n2 $to
done

step "the target dies, and comes back without its reservations"
load n2 25; sleep 2
stop_tgt
until_true 20 "the copy is out of sync" in_sync_not n2
sleep 2
start_tgt "$work/disk"
until_true 30 "all is in sync" in_sync n2 2
wait_load "target killed"
equal "target killed"

step "it restarts in a moment, three times"
load n2 15; sleep 1
for i in 1 2 3; do stop_tgt; start_tgt "$work/disk"; sleep 2; done
wait_load "target restarted"
until_true 30 "all is in sync" in_sync n2 2
equal "target restarted"

o=$(owner n2)
step "director-target of the owner, $o, is killed"
load n2 10; sleep 2
lab kill "$o" director-target
wait_load "director-target killed"
until_true 30 "all is in sync" in_sync n2 2

step "it grows, as far as the LUN does"
d n2 volume resize v 36M >"$work/out" 2>&1 || fail "resize: $(cat "$work/out")"
size=36
until_true 30 "all is in sync" in_sync n2 2
equal "grown"

step "its disk is another: all is copied"
stop_tgt
until_true 20 "the copy is out of sync" eval 'lab host timeout 10 "$iscsi" write "$(at n2)" --length 4k </dev/zero >/dev/null 2>&1; in_sync_not n2'
rm "$work/disk"; truncate -s 40M "$work/disk"
start_tgt "$work/disk"
until_true 30 "all is in sync" in_sync n2 2
equal "disk swapped"

step "a volume on a LUN alone is served by whoever is there"
truncate -s 20M "$work/disk2"
adm --mode logicalunit --op new --tid 1 --lun 2 --bstype rdwr -b "$work/disk2" || fail "tgtadm"
d n1 volume create w --size 8M --lun "${url%/1}/2" --user alice --secret-file "$work/secret" >"$work/out" 2>&1 || fail "volume create: $(cat "$work/out")"
d n1 lun add "$iqn" w --lun 1 >/dev/null || fail "lun add"
head -c 1M /dev/urandom >"$work/data"
w() { echo "iscsi://$(lab address "$1" 4)/$iqn/1"; }
same() { lab host timeout 20 "$iscsi" read "$(w "$1")" --length 1M 2>/dev/null | cmp -s - "$work/data"; }
until_true 10 "it is offered" lab host timeout 5 "$iscsi" inquiry "$(w n2)"
lab host timeout 30 "$iscsi" write "$(w n2)" <"$work/data" || fail "write"
o=$(field n2 w .data.derived.node)
step "$o, which serves it, is killed"
lab kill "$o"
n=n2; [ "$o" != n2 ] || n=n3
until_true 20 "it is served, with what was written" same $n
lab start "$o"
lab wait 20 || fail "all are well again"

step "a LUN is one copy of one volume; it is free when that is deleted"
d n1 volume create x --size 8M --lun "${url%/1}/2" >"$work/out" 2>&1 && fail "two volumes on one LUN"
d n1 lun remove "$iqn" 1 --force >/dev/null && d n1 volume delete w >/dev/null || fail "delete"
until_true 20 "it can be used again" d n1 volume create x --size 8M --lun "${url%/1}/2" --user alice --secret-file "$work/secret"

step "what a leg of another volume has left on a LUN does not keep it from being one"
truncate -s 40M "$work/disk4"
dd if="$work/disk" of="$work/disk4" bs=1M count=1 conv=notrunc status=none
adm --mode logicalunit --op new --tid 1 --lun 4 --bstype rdwr -b "$work/disk4" || fail "tgtadm"
d n1 volume create z --size 8M --on n1 --lun "${url%/1}/4" --user alice --secret-file "$work/secret" >"$work/out" 2>&1 || fail "volume create: $(cat "$work/out")"
until_true 30 "it is in sync" eval '[ "$(field n1 z ".data.derived[\"in-sync\"]")" = "2 of 2" ]'

step "a LUN that somebody else has registered is left alone, and the reason is said"
truncate -s 20M "$work/disk3"
adm --mode logicalunit --op new --tid 1 --lun 3 --bstype rdwr -b "$work/disk3" || fail "tgtadm"
cdb 3 '5f060000000000001800>000000000000000000000000deadbeef0000000000000000' | grep -q good || fail "a key can be registered"
d n1 --timeout 15s volume create y --size 8M --lun "${url%/1}/3" --user alice --secret-file "$work/secret" >"$work/out" 2>&1 && fail "it was taken from somebody else"
grep -q "in use by somebody else" "$work/out" || fail "the reason is not said: $(cat "$work/out")"
cmp -s "$work/disk3" <(head -c 20M /dev/zero) || fail "it was written"
pass
