#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mandoc has no warning about any manual page, and a page that is referred to exists, here or on the system.
: "${top_srcdir:=.}"
command -v mandoc >/dev/null || { echo "skipped: mandoc is not installed"; exit 77; }
cd "$top_srcdir" || exit 1
bad=0
pages=$(find doc plugins initiator -name '*.[1-8]')
[ -n "$pages" ] || { echo "no pages found"; exit 1; }
for page in $pages; do
	found=$(mandoc -Tlint -Wwarning "$page" 2>&1 | grep -v 'outdated mandoc.db')
	[ -z "$found" ] || { echo "$found"; bad=1; }
	for xr in $(sed -n 's/^\.Xr \(director[a-z.-]*\) \([1-8]\).*/\1.\2/p' "$page" | sort -u); do
		echo "$pages" | grep -q "/$xr\$" || { echo "$page: there is no $xr"; bad=1; }
	done
done
exit $bad
