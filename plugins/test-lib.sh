# SPDX-License-Identifier: Apache-2.0
# For plugins/*/test.sh: a folder of its own, the conformance kit, reasons.
: "${top_builddir:=.}"
DIRECTOR_PLUGIN_PATH=$top_builddir/plugins
export DIRECTOR_PLUGIN_PATH
tmp=$(mktemp -d) || exit 1
cleanup() { :; }
trap 'cleanup; rm -rf "$tmp"' EXIT

fail()
{
	echo "FAIL: $*"
	exit 1
}

# The kit with these arguments must find nothing.
kit()
{
	"$top_builddir/director-plugin-test" --rounds 1000 "$@" >"$tmp/kit" 2>&1 ||
		# LeakSanitizer's tracer itself may die of a thread that is just ending: then nothing was found out, and it is done again.
		{ grep -q 'LeakSanitizer has encountered a fatal error' "$tmp/kit" &&
			"$top_builddir/director-plugin-test" --rounds 1000 "$@" >"$tmp/kit" 2>&1; } || {
		cat "$tmp/kit"
		fail "director-plugin-test $*"
	}
	echo "director-plugin-test $*: $(tail -n 1 "$tmp/kit")"
}

# Creating or opening must be refused, with these words.
refuses() # WORDS ARGUMENTS...
{
	words=$1; shift
	"$top_builddir/director-plugin-test" --only life "$@" >"$tmp/kit" 2>&1 && fail "it was not refused: $*"
	grep -q "$words" "$tmp/kit" || { cat "$tmp/kit"; fail "refused with other words than $words: $*"; }
}
