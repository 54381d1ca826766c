#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# agreement = host: Corosyncs that the administrator wrote and started; director uses them and touches nothing of them.
. "$(dirname "$0")/functions.sh"
requires corosync corosync-cfgtool
has_director
lab up 4 --family 4 --no-start --conf 'agreement = host' || fail "lab up"

# Nodeids of the administrator's own choice: n1 is 11, n2 is 12 …
ring_conf() { # NODES...
	local n
	cat <<'EOF'
totem {
  version: 2
  cluster_name: byhand
  transport: knet
  token: 1000
}
quorum {
  provider: corosync_votequorum
}
logging {
  to_stderr: no
  to_syslog: no
  to_logfile: yes
  logfile: /var/lib/corosync/log
  timestamp: hires
}
system {
  allow_knet_handle_fallback: yes
  move_to_root_cgroup: no
}
nodelist {
EOF
	for n in "$@"; do printf '  node {\n    nodeid: 1%s\n    name: %s\n    ring0_addr: %s\n  }\n' "${n#n}" "$n" "$(lab address "$n" 4)"; done
	echo '}'
}
eval "directord_$(declare -f show_logs)"
show_logs() {
	directord_show_logs
	for n in n1 n2 n3 n4; do echo "---- $n's Corosync"; lab sh $n tail -n 60 /var/lib/corosync/log; done >&2
}
give_conf() { # TO NODES...
	local to=$1
	shift
	ring_conf "$@" | lab sh "$to" sh -c 'cat >/etc/corosync/corosync.conf' || fail "corosync.conf for $to"
}
start_ring() { lab sh "$1" sh -c 'corosync >/var/lib/corosync/out 2>&1' || fail "corosync on $1: $(lab sh "$1" cat /var/lib/corosync/out)"; }
ring_has() { [ "$(lab sh "$1" corosync-quorumtool -s | sed -n 's/^Nodes: *//p')" = "$2" ]; }       # NODE COUNT
lists() { lab sh "$1" corosync-cmapctl nodelist.node.$(($2 - 1)).nodeid; }                          # NODE COUNT
ring_pid() { lab sh "$1" cat /run/corosync.pid; }
conf_sum() { lab sh "$1" sha256sum /etc/corosync/corosync.conf | cut -d' ' -f1; }

step "without a Corosync nobody decides, and each node says why"
lab start n1
until_true 10 "n1 says what it waits for" eval "d n1 status | grep -q \"host's Corosync does not run\""
! make_target n1 too-early 2>/dev/null || fail "a change without a ring"

step "three by hand: one cluster, three votes"
for n in n1 n2 n3; do give_conf $n n1 n2 n3; start_ring $n; done
sum=$(conf_sum n1) pid=$(ring_pid n1)
lab start n2,n3
for n in n1 n2 n3; do until_true 20 "$n is quorate and counts three votes" eval "status_is $n quorate true && status_is $n voters 3"; done
for n in n1 n2 n3; do must_make $n by-$n; done
until_true 5 "all have the same commit" same_commit n1 n2 n3

step "a node dies: the others go on; it returns"
lab kill n3
until_true 10 "commits go on" makes n1 while-dead
start_ring n3
lab start n3
until_true 20 "n3 has what it missed" has n3 "/targets/$(target while-dead)"
until_true 20 "n3 is quorate" status_is n3 quorate true

step "a minority refuses"
lab cut n3
until_true 10 "n3 has no quorum" status_is n3 quorate false
refused n3 minority
until_true 10 "commits go on" makes n2 majority
lab heal
until_true 25 "n3 has what it missed" has n3 "/targets/$(target majority)"

step "the administrator adds n4 to the list; it comes in by itself"
for n in n1 n2 n3 n4; do give_conf $n n1 n2 n3 n4; done
# A reload reaches who is in the ring, and a ring of different lists stops: so an administrator looks first, and after.
for n in n1 n2 n3; do until_true 20 "$n's ring has three" ring_has $n 3; done
lab sh n1 corosync-cfgtool -R >/dev/null || fail "reload"
for n in n1 n2 n3; do until_true 5 "$n has the new list" lists $n 4; done
start_ring n4
lab start n4
until_true 30 "n4 has what there is" has n4 "/targets/$(target majority)"
until_true 30 "n4 is in the view" status_is n4 quorate true
must_make n4 by-n4

step "directord restarts, Corosync does not"
lab kill n2 directord
must_make n1 without-n2
lab start n2
until_true 20 "n2 has it" has n2 "/targets/$(target without-n2)"

step "n4 is removed: it is out, whatever its Corosync does"
d n1 node remove n4 || fail "node remove"
until_true 10 "n4 is not quorate" status_is n4 quorate false
must_make n1 after-removal
! has n4 "/targets/$(target after-removal)" || fail "the removed node follows"

step "nothing of Corosync's was touched"
[ "$(ring_pid n1)" = "$pid" ] || fail "Corosync was restarted"
give_conf n2 n1 n2 n3
[ "$(conf_sum n2)" = "$sum" ] || fail "the comparison is of no use"
give_conf n2 n1 n2 n3 n4
for n in n1 n3; do [ "$(conf_sum $n)" = "$(conf_sum n2)" ] || fail "$n's corosync.conf was written"; done
for n in n1 n2 n3 n4; do lab sh $n test ! -e /var/lib/director/corosync || fail "$n has a ring of its own"; done
pass
