#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The manual pages name every command and every function, and mandoc has nothing to say about them.
: "${top_builddir:=.}" "${top_srcdir:=.}"
status=0
page=$top_srcdir/doc/man/director.1

"$top_builddir/shell/director" help | sed -n 's/^  \([a-z][a-z -]*\).*/\1/p' | sed 's/ *$//; s/ -$//' | while read -r words; do
	grep -q "^\.It Ic $words" "$page" || echo "director.1: $words is missing"
done > "manual.$$"
sed -n 's/^DIRECTOR_API .*[ *]\(director_[a-z_]*\)(.*/\1/p' "$top_srcdir/include/director/client.h" | while read -r name; do
	grep -q "^\.Fo $name\$" "$top_srcdir/doc/man/libdirector.3" || echo "libdirector.3: $name is missing"
done >> "manual.$$"
if command -v mandoc > /dev/null; then
	mandoc -Tlint -Wwarning "$page" "$top_srcdir/doc/man/libdirector.3" >> "manual.$$" 2>&1
fi
if [ -s "manual.$$" ]; then
	cat "manual.$$"
	status=1
fi
rm -f "manual.$$"
exit $status
