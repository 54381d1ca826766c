#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Discovery through the avahi-daemon of the host, instead of the embedded responder.
. "$(dirname "$0")/functions.sh"
requires corosync avahi-daemon dbus-daemon
has_director
lab up 3 --daemon-avahi || fail "lab up"
for n in n1 n2 n3; do lab logs $n | grep -q 'mdns by avahi-daemon\|mdns by daemon\|discover: .*daemon' || fail "$n uses the daemon"; done
must_make n1 first
step "avahi-daemon dies: nobody minds; a new node is found when it is back"
lab kill n1 avahi-daemon
sleep 2
must_make n2 second
lab add || fail "a fourth node"
must_make n4 third
pass
