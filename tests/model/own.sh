#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The models of ownership, lease and legs, and of the silence of former owners, searched whole with spin: nothing is violated; and
# with each rule taken out, something is. Bounds are small, so that it takes less than a minute.
: "${top_srcdir:=.}"
command -v spin >/dev/null || { echo "spin is not installed"; exit 77; }
models=$(cd "$top_srcdir" && pwd)/tests/model
model=$models/own.pml
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1
bad=0

search() # NAME EXPECTED-ERRORS DEFINITIONS...
{
	name=$1 want=$2
	shift 2
	spin -a "$@" "$model" >spin.out 2>&1 && ${CC:-gcc} -O2 -DSAFETY -DCOLLAPSE -DMEMLIM=2000 -o pan pan.c 2>>spin.out || {
		cat spin.out
		exit 1
	}
	timeout 300 ./pan -m100000 >out 2>&1
	if ! grep -q "errors: $want" out || grep -q 'max search depth too small\|out of memory' out; then
		echo "FAIL: $name"
		cat out
		bad=1
	fi
	echo "$name: $(sed -n 's/^State-vector.*, errors/errors/p; s/^ *\([0-9.e+]* states, stored\)/\1/p' out | tr '\n' ' ')"
}

search "answers of two owners, three nodes" 0 -DNODES=3 -DWRITES=0 -DEPOCHS=2 -DCHANGES=3
search "writes and legs, two nodes" 0 -DNODES=2 -DWRITES=1 -DEPOCHS=2 -DCHANGES=3
for rule in NO_LEASE NO_ECHO NO_END NO_WAIT SILENT_LIE SILENT_PLACE; do
	search "$rule" 1 -DNODES=3 -DWRITES=0 -DEPOCHS=2 -DCHANGES=3 -D$rule
done
for rule in NO_FENCE NO_OUT; do
	search "$rule" 1 -DNODES=2 -DWRITES=1 -DEPOCHS=2 -DCHANGES=3 -D$rule
done
[ "${MODEL_ALL:-0}" = 1 ] && {
	search "two writes, two nodes" 0 -DNODES=2 -DWRITES=2 -DEPOCHS=2 -DCHANGES=2
	search "writes and legs, three nodes" 0 -DNODES=3 -DWRITES=1 -DEPOCHS=2 -DCHANGES=2
}
[ "${MODEL_ALL:-0}" = 1 ] && more="ORDER ALONE SELF SHORT"
model=$models/silence.pml
search "silence of a former owner" 0
for rule in LIE PLACE STABLE START ASKED ${more:-}; do
	search "silence, $rule" 1 -D$rule
done
exit $bad
