#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A floating address follows the owner of a volume with copies: moved, killed, stopped, cut off; and is never on two nodes.
. "$(dirname "$0")/functions.sh"
requires corosync iscsi-ls
has_director
lab up 3 --conf 'debug = address,own' || fail "lab up"
net=$(lab address host 4)
net=${net%.*}
ip=$net.99
ns() { echo "dl-$LAB-$1"; }
mac() { ip -n "$(ns "$1")" -o link show eth0 | sed 's/.*ether \([0-9a-f:]*\).*/\1/'; }
holders() { local n; for n in n1 n2 n3; do ip -n "$(ns $n)" -4 -o addr show eth0 2>/dev/null | grep -qF " $ip/" && printf '%s ' $n; done; }
held_by() { [ "$(holders)" = "$1 " ]; }
held_not_by() { local h; h=$(holders); [ -n "$h" ] && [ "$h" != "$1 " ]; }
reach() { lab host timeout 5 iscsi-ls -s "iscsi://$ip" 2>/dev/null | grep -q 'Lun:0 .*DIRECT'; }
neighbour_is() { [ "$(ip -n "$(ns host)" neigh show $ip | grep -o 'lladdr [0-9a-f:]*' | cut -d' ' -f2)" = "$1" ]; }
other() { local n; for n in n1 n2 n3; do [ $n = "$1" ] || { echo $n; return; }; done; }

d n1 volume create v --size 16M copies=3 >/dev/null || fail "volume create"
must_make n1 a
d n1 lun add "$(target a)" v --lun 0 >/dev/null || fail "lun add"
d n1 host add "$(target a)" --any >/dev/null || fail "host add"
d n1 target address add "$(target a)" "$ip/24" >/dev/null || fail "address"
until_true 10 "it has an owner" eval '[ -n "$(owner n1)" ]'
first=$(owner n1)
until_true 10 "the address is at the owner, $first" held_by "$first"
until_true 10 "reached" reach

# Looks all the time; two looks at once are no proof, since nodes are looked at one after the other.
two=$(mktemp)
(
	twice=0
	while [ -e "$two" ]; do
		h=$(holders)
		if [ "$(wc -w <<<"$h")" -gt 1 ]; then twice=$((twice + 1)); else twice=0; fi
		[ $twice -lt 5 ] || echo "$(date +%T.%3N) $h" >>"$two"
		sleep 0.02
	done
) &
watcher=$!

step "a planned move"
to=$(other "$first")
d "$to" volume move v --owner "$to" >/dev/null || fail "move"
until_true 5 "it moved to $to" held_by "$to"
until_true 1 "the neighbour table follows" neighbour_is "$(mac "$to")"
until_true 5 "reached" reach

step "director-target dies: it stays"
forget "$to"
lab kill "$to" director-target
until_true 10 "reached again" reach
held_by "$to" || fail "it is on $(holders)"

step "directord dies: another node takes it"
lab kill "$to" directord
until_true 10 "another has it" held_not_by "$to"
until_true 10 "reached" reach
lab start "$to"
lab wait 20 || fail "all are well again"
until_true 10 "one has it" eval '[ "$(holders | wc -w)" = 1 ]'

step "its node is stopped: another takes it; and when it goes on, it has it not"
at=$(holders)
at=${at% }
start=$(now_ms)
lab pause "$at"
until_true 10 "another has it" held_not_by "$at"
step "elsewhere $(($(now_ms) - start)) ms after SIGSTOP of all"
until_true 10 "reached" reach
now=$(holders)
lab resume "$at"
sleep 1
[ "$(holders)" = "$now" ] || fail "after it goes on $(holders) has it, not $now"
lab wait 20 || fail "all are well again"

step "its node is cut off: it lets go, another takes it"
at=$(holders)
at=${at% }
start=$(now_ms)
lab cut "$at"
until_true 10 "another has it" held_not_by "$at"
step "elsewhere $(($(now_ms) - start)) ms after the cut"
until_true 10 "reached" reach
lab heal
lab wait 30 || fail "all are well again"

step "the whole node dies"
until_true 10 "one has it" eval '[ "$(holders | wc -w)" = 1 ]'
at=$(holders)
at=${at% }
lab kill "$at"
until_true 10 "another has it" eval 'h=$(holders); [ -n "${h/$at /}" ]'
until_true 10 "reached" reach

lines=$(cat "$two")
rm -f "$two"
wait $watcher
[ -z "$lines" ] || fail "two nodes had it: $lines"
pass
