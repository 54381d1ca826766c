#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Floating addresses: on the node that serves the first LUN and nowhere else, announced and defended; gone by themselves when directord
# is killed or stopped.
. "$(dirname "$0")/functions.sh"
requires corosync iscsi-ls sysctl
has_director
lab up 3 --conf 'debug = address' || fail "lab up"
net=$(lab address host 4)
net=${net%.*}
net6=$(lab address host 6)
net6=${net6%::*}
ns() { echo "dl-$LAB-$1"; }
mac() { ip -n "$(ns "$1")" -o link show eth0 | sed 's/.*ether \([0-9a-f:]*\).*/\1/'; }
# The nodes that have an address now, on one line.
holders() { local n; for n in n1 n2 n3; do ip -n "$(ns $n)" -o addr show | grep -qF " $1/" && printf '%s ' $n; done; }
held_by() { [ "$(holders "$1")" = "${2:+$2 }" ]; }
neighbour() { ip -n "$(ns host)" neigh show "$1" | grep -o 'lladdr [0-9a-f:]*' | cut -d' ' -f2; }
neighbour_is() { [ "$(neighbour "$1")" = "$2" ]; }
reach() { lab host timeout 5 iscsi-ls "iscsi://$1" 2>/dev/null | grep -qF "$(target a)"; }
add() { d n1 --no-wait target address add "$(target "${2:-a}")" "$1" "${@:3}"; }
refused_as() { local text; text=$(add "$1" "${3:-a}" 2>&1) && fail "$1 was taken"; grep -q "$2" <<<"$text" || fail "$1: $text"; }

for n in n2 n3; do d n1 volume create v$n --size 8M --on $n --backstore ram >/dev/null || fail "volume create"; done
must_make n1 a
must_make n1 b
d n1 lun add "$(target a)" vn2 --lun 0 >/dev/null || fail "lun add"
d n1 lun add "$(target a)" vn3 --lun 1 >/dev/null || fail "lun add"
d n1 host add "$(target a)" --any >/dev/null || fail "host add"

step "what no floating address can be is refused with the reason"
refused_as 0.0.0.0/24 'no address of a host'
refused_as 224.0.0.9/24 'multicast'
refused_as "$net.99/0" 'prefix'
refused_as 127.0.0.1/8 'loopback'
refused_as "$net.255/24" 'broadcast'
refused_as "$(lab address n3 4)/24" 'address of node n3 itself'
refused_as fe80::9/64 'link-local'
refused_as ff02::9/64 'multicast'

step "it comes to the node of the first LUN, in both families"
d n1 target address add "$(target a)" "$net.99/24" >/dev/null || fail "add"
add "$net6::99/64" >/dev/null || fail "add"
refused_as "$net.99/25" 'already'
refused_as "$net.99/24" 'already' b
until_true 10 "IPv4 is on n2" held_by "$net.99" n2
until_true 10 "IPv6 is on n2" held_by "$net6::99" n2
until_true 10 "reached" reach "$net.99"
until_true 10 "reached" reach "[$net6::99]"
d n1 target address list --no-headers | grep -qE " $net\.99/24 .* n2 +up " || fail "the list says: $(d n1 target address list)"
neighbour_is "$net.99" "$(mac n2)" || fail "the neighbour of $net.99 is $(neighbour "$net.99")"
d n1 status -o json | grep -qF "$net.99" && fail "the floating address is told as one of the node's own"

step "SendTargets gives it with the tag of its node, wherever it is asked"
tag() { lab host iscsi-ls "iscsi://$1" 2>/dev/null | sed -n "s/.*Portal:$2:3260,//p" | sort -u | tr '\n' ' '; }
on_n2=$(tag "$(lab address n2 4)" "$net.99")
[ -n "$on_n2" ] && [ "$on_n2" = "$(tag "$(lab address n2 4)" "$(lab address n2 4)")" ] || fail "n2 gives it with tag \"$on_n2\""
until_true 15 "n3 gives it with n2's tag" eval '[ "$(tag "$(lab address n3 4)" "$net.99")" = "$on_n2" ]'

step "another LUN comes first: it moves, and those who knew it follow without asking"
d n1 lun remove "$(target a)" 0 --force >/dev/null || fail "lun remove"
until_true 10 "IPv4 is on n3" held_by "$net.99" n3
until_true 10 "IPv6 is on n3" held_by "$net6::99" n3
until_true 15 "the neighbour table follows" neighbour_is "$net.99" "$(mac n3)"
until_true 15 "the one of IPv6 too" neighbour_is "$net6::99" "$(mac n3)"
until_true 10 "reached" reach "$net.99"

step "director-target dies: it stays, and is served again"
lab kill n3 director-target
until_true 10 "reached again" reach "$net.99"
held_by "$net.99" n3 || fail "it is on $(holders "$net.99")"

step "directord dies: the kernel forgets it; directord comes back: so does it"
lab kill n3 directord
killed=$(now_ms)
until_true 15 "it is gone" held_by "$net.99" ""
step "gone $(($(now_ms) - killed)) ms after kill -9 of directord"
held_by "$net6::99" "" || until_true 15 "IPv6 too" held_by "$net6::99" ""
lab start n3
until_true 10 "it is back" held_by "$net.99" n3
until_true 10 "reached again" reach "$net.99"

step "the node is stopped: the kernel forgets it all the same"
lab pause n3
killed=$(now_ms)
until_true 15 "it is gone" held_by "$net.99" ""
step "gone $(($(now_ms) - killed)) ms after SIGSTOP of all"
lab resume n3
until_true 15 "it is back" held_by "$net.99" n3

step "somebody takes it from the interface: it is put there again"
ip -n "$(ns n3)" addr del "$net.99/24" dev eth0 || fail "addr del"
until_true 15 "it is back" held_by "$net.99" n3

step "a foreign machine claims it: reported with its link address, and defended"
until_true 10 "the announcements are over" eval '[ "$(lab logs n3 | grep -c "announce $net.99")" -ge 4 ]'
sleep 4
forget n3
ip -n "$(ns host)" addr add "$net.99/32" dev eth0
# Whoever sends from an address claims it when it asks for its peer.
claim() { ip -n "$(ns host)" neigh flush dev eth0; ip -n "$(ns host)" route replace "$net.1" dev eth0 src "$net.99"; lab host bash -c "echo >/dev/udp/$net.1/9"; }
claim
reported() { d n1 get "/targets/$(target a)/addresses/$net.99-24" | grep -q "claims this address: $(mac host) on eth0"; }
until_true 15 "it is reported with the other's link address" reported
expect n3 15 "announce $net.99"
held_by "$net.99" n3 || fail "it was given up"
ip -n "$(ns host)" route del "$net.1"
ip -n "$(ns host)" addr del "$net.99/32" dev eth0

step "one that a foreign machine has already is not taken"
ip -n "$(ns host)" addr add "$net.98/32" dev eth0
add "$net.98/24" >/dev/null 2>&1
until_true 15 "it is reported" eval 'd n1 get "/targets/$(target a)/addresses/$net.98-24" | grep -q "another machine has this address: $(mac host)"'
held_by "$net.98" "" || fail "it was taken"
ip -n "$(ns host)" addr del "$net.98/32" dev eth0
until_true 15 "once it is free it is taken" held_by "$net.98" n3
ip -n "$(ns host)" addr add "$net6::98/128" dev eth0 nodad
add "$net6::98/64" >/dev/null 2>&1
until_true 15 "the same of IPv6" eval 'd n1 get "/targets/$(target a)/addresses/$net6::98-64" | grep -q "another machine has this address"'
held_by "$net6::98" "" || fail "it was taken"
ip -n "$(ns host)" addr del "$net6::98/128" dev eth0

step "without an interface for it: an error that says what to do; with one: taken, with a route"
add 10.99.0.9/24 >/dev/null 2>&1
until_true 15 "it is reported" eval 'd n1 get "/targets/$(target a)/addresses/10.99.0.9-24" | grep -q "name an interface"'
d n1 set "/targets/$(target a)/addresses/10.99.0.9-24" interface=eth0 >/dev/null || fail "set interface"
until_true 15 "it is taken" held_by 10.99.0.9 n3
ip -n "$(ns n3)" route show | grep -q '^10.99.0.0/24 dev eth0' || fail "there is no route to its network"

step "without quorum it is let go"
lab cut n3
until_true 10 "it is gone" held_by "$net.99" ""
lab heal
until_true 20 "it is back" held_by "$net.99" n3

step "a target that goes takes its addresses along; so does directord when it ends in good order"
lab stop n3
held_by "$net.99" "" || fail "directord left it behind"
lab start n3
until_true 15 "it is back" held_by "$net.99" n3
d n1 target address delete "$(target a)" "$net.99/24" >/dev/null || fail "address delete"
until_true 15 "it is gone" held_by "$net.99" ""
d n1 target delete "$(target a)" --force >/dev/null || fail "delete"
for a in "$net.99" "$net.98" "$net6::99" 10.99.0.9; do until_true 15 "$a is gone" held_by "$a" ""; done
pass
