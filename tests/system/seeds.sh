#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Where multicast is blocked: nodes find each other by seeds alone, of which one is enough, and one that is not there harms nobody.
. "$(dirname "$0")/functions.sh"
requires corosync
has_director
lab up 3 --no-start --conf 'discovery = off' || fail "lab up"
for n in n1 n2 n3; do
	echo "seeds = $(lab address n1 4) $(lab address host 4)" | lab sh $n sh -c 'cat >>/etc/director/director.conf'
done
lab start all
lab wait 30 || fail "three nodes"
must_make n3 first
for n in n1 n2 n3; do lab logs $n | grep -q 'mdns by' && fail "$n speaks mDNS"; done
step "a further one has a seed that is no longer there; the others come to know of it through another"
lab kill n1
lab add --no-start || fail "lab add"
echo "seeds = $(lab address n1 4), $(lab address n2 4)" | lab sh n4 sh -c 'cat >>/etc/director/director.conf'
lab start n4
for n in n2 n3; do until_true 20 "$n lists n4" state_is $n n4 alive; done
lab start n1
lab wait 40 || fail "four nodes"
pass
