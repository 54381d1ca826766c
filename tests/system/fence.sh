#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A node that stops answering is switched off by a fence agent, here one that kills its processes; its volume is served without it.
. "$(dirname "$0")/functions.sh"
requires corosync iscsi-ls
has_director
dir=$(mktemp -d /var/tmp/fence-XXXXXX)
trap 'rm -rf "$dir"; finish' EXIT
cat >"$dir/fence_lab" <<END
#!/bin/bash
# The node that plug= names; it fails once for those in "broken".
plug=\$(sed -n 's/^plug=//p')
echo "\$plug" >>"$dir/asked"
grep -qx "\$plug" "$dir/broken" 2>/dev/null && { echo "no power controller answers" >&2; exit 1; }
LAB=$LAB LAB_DIR=${LAB_DIR:-/var/tmp/director-lab} "$lab" kill "\$plug" >/dev/null 2>&1
END
chmod 755 "$dir" "$dir/fence_lab"
lab up 3 --conf 'debug = address,own' || fail "lab up"
other() { local n; for n in n1 n2 n3; do [ $n = "$1" ] || { echo $n; return; }; done; }
others() { local n; for n in n1 n2 n3; do [ $n = "$1" ] || echo $n; done; }
reach() { lab host timeout 5 iscsi-ls -s "iscsi://$(lab address "$1" 4)" 2>/dev/null | grep -q 'Lun:0 .*DIRECT'; }
say() { for n in $(others "$1"); do logged "$n" "$2" && return 0; done; return 1; }

d n1 volume create v --size 16M copies=3 >/dev/null || fail "volume create"
must_make n1 a
d n1 lun add "$(target a)" v --lun 0 >/dev/null || fail "lun add"
d n1 host add "$(target a)" --any >/dev/null || fail "host add"
until_true 10 "it has an owner" eval '[ -n "$(owner n1)" ]'
until_true 5 "the plugin is known" eval 'd n1 get /plugins/fence-agent | grep -q "kind.*fence"'
d n1 node set n1 fence=fence-agnet >"$dir/said" 2>&1 && fail "a plugin that nobody has"
grep -q 'there is: fence-agent' "$dir/said" || fail "what a user is told: $(cat "$dir/said")"
d n1 node set n1 fence=fence-agent >/dev/null || fail "node set"
d n1 status | grep -q 'node n1 could not be switched off: its fence-options lack agent=' || fail "options that are missing are not told: $(d n1 status)"
for n in n1 n2 n3; do
	printf 'agent=%s plug=%s' "$dir/fence_lab" $n >"$dir/options"
	d n1 set /nodes/$n fence=fence-agent --secret fence-options --secret-file "$dir/options" >/dev/null || fail "set"
done
d n1 node show n1 | grep -q "$dir" && fail "the options are secret, and are shown"

d n1 status | grep -q 'could not be switched off' && fail "told although they are there: $(d n1 status)"

at=$(owner n1)
step "the owner, $at, is stopped: it is switched off, and its volume is served elsewhere"
forget n1 n2 n3
lab pause "$at"
until_true 10 "it is switched off" say "$at" "fence: node $at is off"
for n in $(others "$at"); do
	lab logs $n | awk -v n=$n '/proposes take|fence: node|plan: serve/ { print n, $2, $4, $5, $6, $7, $8, $9 }' | tail -n 4
done
[ "$(cat "$dir/asked")" = "$at" ] || fail "asked for: $(cat "$dir/asked")"
until_true 10 "it is served elsewhere" reach "$(other "$at")"
lab start "$at"
lab wait 30 || fail "all are well again"

step "an agent that fails changes nothing: the lease is waited for"
until_true 20 "it has an owner" eval '[ -n "$(owner n1)" ]'
at=$(owner n1)
echo "$at" >"$dir/broken"
forget n1 n2 n3
lab kill "$at"
until_true 10 "the failure is told" say "$at" "fence: node $at could not be switched off.*no power controller answers"
until_true 10 "it is served elsewhere" reach "$(other "$at")"
pass
