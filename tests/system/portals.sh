#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Each node's portals are one group, with its own tag in all targets; sessions are counted; discovery asks for CHAP where all do.
. "$(dirname "$0")/functions.sh"
requires corosync iscsi-ls iscsi-perf
has_director
lab up 2 || fail "lab up"
for n in n1 n2; do d n1 volume create v$n --size 8M --on $n --backstore ram >/dev/null || fail "volume create"; done
for t in a b; do
	must_make n1 $t
	d n1 lun add "$(target $t)" vn1 --lun 1 >/dev/null || fail "lun add"
	d n1 lun add "$(target $t)" vn2 --lun 2 >/dev/null || fail "lun add"
	d n1 host add "$(target $t)" --any >/dev/null || fail "host add"
done
tag() { lab host iscsi-ls "iscsi://$(lab address "$1" 4)" 2>/dev/null | awk -v t="$(target "$2")" 'index($1, t) { sub(/.*,/, "", $2); print $2 }'; }
until_true 10 "n1 offers a" eval '[ -n "$(tag n1 a)" ]'
until_true 10 "n2 offers b" eval '[ -n "$(tag n2 b)" ]'
step "n1's portal group is $(tag n1 a), n2's $(tag n2 a)"
[ "$(tag n1 a)" = "$(tag n1 b)" ] && [ "$(tag n2 a)" = "$(tag n2 b)" ] || fail "one tag for all targets of a node"
[ "$(tag n1 a)" != "$(tag n2 a)" ] || fail "both nodes have portal group $(tag n1 a)"
before=$(tag n2 a)
lab kill n2
lab start n2
lab wait 20 || fail "all are well again"
until_true 10 "n2 offers a" eval '[ -n "$(tag n2 a)" ]'
[ "$(tag n2 a)" = "$before" ] || fail "after a restart n2's portal group is $(tag n2 a) and no longer $before"

step "sessions are counted"
lab host iscsi-perf -m 1 -b 8 -t 1000 -r "iscsi://$(lab address n1 4)/$(target a)/1" >/dev/null 2>&1 &
row() { d n2 target list --no-headers | awk -v t="$(target "$1")" '$1 == t { for (i = 2; i <= NF; i++) if ($i ~ /^[0-9]+$/) print $i }'; }
until_true 7 "target a has one session" eval '[ "$(row a)" = 1 ]'
[ "$(row b)" = 0 ] || fail "target b has $(row b) sessions"
[ "$(d n2 session list -o json | jq -r '.data[0].connections')" = 1 ] || fail "it has one connection: $(d n2 session list -o json)"
end_perf
wait

step "where every target asks for CHAP so does discovery"
printf 'secretsecret1' >/tmp/secret-$$
for t in a b; do
	d n1 host remove "$(target $t)" any --force >/dev/null || fail "host remove"
	d n1 host add "$(target $t)" --any --chap alice --secret-file /tmp/secret-$$ >/dev/null || fail "host add"
done
rm -f /tmp/secret-$$
until_true 10 "discovery without the secret is refused" eval '! lab host iscsi-ls "iscsi://$(lab address n1 4)" >/dev/null 2>&1'
lab host iscsi-ls "iscsi://alice%secretsecret1@$(lab address n1 4)" | grep -q "$(target a)" || fail "discovery with it works"
pass
