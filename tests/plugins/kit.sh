#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The conformance kit names what is wrong with plugins that break the contract, and finds nothing in one that does not.
. "${top_srcdir:=.}/plugins/test-lib.sh"

bad() # NAME TEST WORDS: this test must fail, with these words
{
	"$top_builddir/director-plugin-test" --deadline 10 --rounds 1000 --only "$2" "$top_builddir/tests/plugins/.libs/bad-$1.so" \
		>"$tmp/out" 2>&1 && { cat "$tmp/out"; fail "bad-$1 passed $2"; }
	grep -q "^not ok .* $2 " "$tmp/out" && grep -q "$3" "$tmp/out" || { cat "$tmp/out"; fail "bad-$1: not for that reason"; }
	echo "bad-$1: $(grep '^#' "$tmp/out")"
}

kit "$top_builddir/tests/plugins/.libs/bad-none.so"
# No fault of the plugin: a small disk, and a process that it leaves running.
kit --size 1M --only model,threads "$top_builddir/tests/plugins/.libs/bad-none.so"
kit --deadline 10 --only life "$top_builddir/tests/plugins/.libs/bad-holder.so"
bad double model 'completed more than once'
bad lost model 'is not what was written last'
bad size edges 'is not what was written'
bad block submit 'slept in'
bad silent drain 'never answered'
bad leak leak 'descriptors open'
bad tail vectors 'arrived otherwise'
exit 0
