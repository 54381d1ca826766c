#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The named scenarios of agreement run as they were when somebody last read their traces. After a change
# that is meant to change them: tests/golden/agree.sh --write, and read the difference before committing it.
: "${top_srcdir:=.}" "${top_builddir:=.}"
bad=0
for name in join cut-off power-loss disk-full sequencer-hangs; do
	want=$top_srcdir/tests/golden/agree-$name.trace
	if [ "$1" = --write ]; then
		"$top_builddir/tests/sim/sim_golden" "$name" >"$want" || bad=1
		continue
	fi
	"$top_builddir/tests/sim/sim_golden" "$name" | diff -u "$want" - || { echo "scenario $name differs"; bad=1; }
done
exit $bad
