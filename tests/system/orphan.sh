#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A directord dies and its Corosync lives: nobody can give that one a new list, and still a newcomer comes in.
. "$(dirname "$0")/functions.sh"
requires corosync
has_director
lab up 3 || fail "lab up"

step "n1's directord is killed and not started again; a further node comes"
lab kill n1 directord
lab add --no-wait || fail "lab add"
until_true 40 "n4 is a quorate member" status_is n4 quorate true
until_true 10 "n4 commits" makes n4 first
for n in n2 n3; do status_is $n quorate true || fail "$n is quorate"; done

step "n1's directord returns to a Corosync that is in nobody's ring any more, and all are well"
lab start n1
lab wait 40 || fail "all are well again"
until_true 5 "n1 has it" has n1 "/targets/$(target first)"
until_true 5 "all have the same commit" same_commit n1 n2 n3 n4
pass
