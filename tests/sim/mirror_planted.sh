#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The simulator misses every protection of mirrored volumes that is taken out on purpose (enum sim_plant).
: "${top_builddir:=.}"
bad=0
while read -r bug last name; do
	if out=$("$top_builddir/tests/sim/sim_mirror_planted" --plant "$bug" --first --seeds "1-$last"); then
		echo "not found: $name"
		bad=1
	elif [ -z "$out" ]; then
		echo "did not run: $name"
		bad=1
	else
		echo "found: $name: $(echo "$out" | head -1)"
	fi
done <<END
1 1000 answers without a lease
2 1000 legs that do not look at the epoch
3 1000 a write is answered before the leg that failed it is out
4 1000 no intent bits
5 1000 committed before a majority has it on disk
6 1000 a beat is a lease, whoever echoes it
7 1000 a successor does not wait for the old lease
8 1000 echoes count whatever the voter's log holds
9 1000 a leg is called in sync before it has everything
10 1000 a leg that lost its memory is trusted
11 1000 reads go past the machine beside writes
12 1000 a scrub repairs beside writes
13 1000 what is new is not made equal
14 1000 a new size is told before it is on all legs
15 1000 a fencing counts whenever it began
16 1000 voters call everybody silent
END
exit $bad
