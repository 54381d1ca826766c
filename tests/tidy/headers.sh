#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every header compiles alone, and the public ones also as C++.
: "${top_srcdir:=.}" "${top_builddir:=.}" "${CC:=cc}"
bad=0
for h in $(cd "$top_srcdir" && find base cluster target lib initiator directord include/director -name '*.h'); do
	inc=$h
	[ "${h#include/}" = "$h" ] || inc=${h#include/}
	echo "#include \"$inc\"" | $CC -std=gnu11 -fsyntax-only -I"$top_srcdir" -I"$top_builddir" -I"$top_srcdir/include" \
		$(pkg-config --cflags libbsd-overlay jansson libsodium 2>/dev/null) -x c - 2>/tmp/headers.$$ ||
		{ echo "$h does not compile alone:"; head -5 /tmp/headers.$$; bad=1; }
done
if command -v c++ >/dev/null; then
	for h in "$top_srcdir"/include/director/*.h; do
		echo "#include \"director/$(basename "$h")\"" | c++ -fsyntax-only -I"$top_srcdir/include" -x c++ - 2>/tmp/headers.$$ ||
			{ echo "$h does not compile as C++:"; head -5 /tmp/headers.$$; bad=1; }
	done
fi
rm -f /tmp/headers.$$
exit $bad
