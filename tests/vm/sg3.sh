#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# sg3_utils from a Linux guest, two sessions to the same units: what each command must do to the disk, and what it must refuse.
. "$(dirname "$0")/functions.sh"
requires_vm jq
has_director
iqn=$(target sg)
lab up 1 || fail "lab up"
lab sh n1 ip addr add "$(second_network).1/24" dev eth0 || fail "a second address for n1"
for v in one two; do d n1 volume create $v --size 64M >/dev/null || fail "volume $v"; done
d n1 target create "$iqn" >/dev/null && d n1 lun add "$iqn" one >/dev/null && d n1 lun add "$iqn" two >/dev/null &&
	d n1 host add "$iqn" "$(initiator_name g1)" >/dev/null || fail "target"
boot g1 -n "$(card 200)" -n "$(card 200 "$(second_network)")"
login g1 "$iqn" "$(lab address n1 4):3260" "$(second_network).1:3260"
disks() { g g1 "lsscsi -g | sed -n 's/^\[\([0-9]*\):0:0:$1\].*DIRECTOR.* \(\/dev\/sg[0-9]*\).*/\1 \2/p' | sort -n | cut -d ' ' -f 2"; }
mapfile -t one < <(disks 0)
mapfile -t two < <(disks 1)
[ ${#one[@]} = 2 ] && [ ${#two[@]} = 2 ] || fail "two sessions with two disks each"

# In one go in the guest, where starting a command from outside takes longest.
{ echo "A=${one[0]} B=${one[1]} C=${two[0]} iqn=$iqn initiator=$(initiator_name g1)"; cat "$here/guest/sg3"; } | g -t 600 g1 - ||
	fail "what sg3_utils see, above"
step "the target dies; reservations with APTPL are there when it is back"
lab kill n1 director-target
until_guest 90 "both sessions are back" g1 "sg_turs ${one[0]}; sg_turs ${one[1]}; sg_turs ${one[0]} && sg_turs ${one[1]}"
g g1 "sg_persist --no-inquiry --in --read-keys ${one[1]}" | grep -q 0xa1 || fail "the keys are gone"
g g1 "sg_persist --no-inquiry --in --read-reservation ${one[1]}" | grep -q 'type: Write Exclusive' || fail "the reservation is gone"
g g1 "sg_raw -s 512 -i /tmp/pattern ${one[1]} 2a 00 00 00 00 00 00 00 01 00" >/dev/null 2>&1
[ $? = 24 ] || fail "the other session still may not write"
g g1 "sg_persist --no-inquiry --out --clear --param-rk=0xa1 ${one[0]}" || fail "the holder is still known"
g g1 'dmesg | grep -E "Call Trace|BUG:"' && fail "the kernel stumbled"
pass
