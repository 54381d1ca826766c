#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A node dies: the others know it soon and go on; it returns and has what it missed.
. "$(dirname "$0")/functions.sh"
requires corosync
has_director
lab up 3 || fail "lab up"
must_make n1 before

step "n3 is killed"
start=$(now_ms)
lab kill n3
for n in n1 n2; do until_true 5 "$n sees n3 dead" state_is_not $n n3 alive; done
step "n3 is known dead by all after $(($(now_ms) - start)) ms"
until_true 5 "commits go on" makes n1 while-dead
for n in n1 n2; do status_is $n quorate true || fail "$n is quorate"; done

step "a volume for the dead node is a task that waits; it can be canceled, and who waits is told"
d n1 --no-wait volume create on-n3 --size 1M --backstore ram --on n3 || fail "volume create"
task=$(d n1 -o json task list | jq -r '[.data[] | select(.what | test("/volumes/on-n3")) | .name] | last')
(d n2 task wait "$task" && echo done) >"/tmp/$LAB.wait" 2>&1 &
waiting=$!
d n2 task cancel "$task" || fail "task cancel $task"
wait $waiting
grep -q 'was canceled' "/tmp/$LAB.wait" || fail "who waits is told: $(cat "/tmp/$LAB.wait")"
rm -f "/tmp/$LAB.wait"
! has n1 /volumes/on-n3 || fail "the volume is still wanted"
d n1 task cancel "$task" 2>/dev/null && fail "canceled twice"
d n1 task cancel 1 2>/dev/null && fail "what is done cannot be canceled"

step "n3 returns and has what it missed"
lab start n3
lab wait 20 || fail "all are well again"
until_true 5 "n3 has it" has n3 "/targets/$(target while-dead)"
until_true 5 "all have the same commit" same_commit n1 n2 n3

step "two of three are killed: no quorum (within a second: tests/sim/sim_cluster), and the tree is still shown"
lab kill n2,n3
until_true 8 "n1 has no quorum" status_is n1 quorate false
refused n1 never
has n1 "/targets/$(target before)" || fail "n1 shows the tree without quorum"

step "one returns: quorum again, nothing lost, nothing invented"
lab start n2
until_true 15 "n1 and n2 are quorate" status_is n1 quorate true
until_true 10 "commits go on" makes n2 again
! has n1 "/targets/$(target never)" || fail "a refused change is there"
lab start n3
lab wait 20 || fail "all are well again"
until_true 5 "all have the same commit" same_commit n1 n2 n3
[ "$(count_targets n3)" = 3 ] || fail "three targets: $(count_targets n3)"
pass
