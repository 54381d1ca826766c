#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The disk in a file.
. "${top_srcdir:=.}/plugins/test-lib.sh"
kit file path="$tmp/a"
kit file path="$tmp/b" thin=no cache=through
# O_DIRECT is not everywhere (tmpfs).
if dd if=/dev/zero of="$tmp/c" bs=4096 count=1 oflag=direct 2>/dev/null; then
	kit file path="$tmp/d" direct=yes block-size=4096
fi
# What is in the way is not overwritten; what was begun and left by a crash is made anew.
mkdir "$tmp/dir"
refuses 'not a regular file' file path="$tmp/dir"
echo rubbish >"$tmp/.e.new"
kit --only life,edges file path="$tmp/e"
[ ! -e "$tmp/.e.new" ] || fail "a half-made file was left behind"
refuses 'No such file' file path="$tmp/none/f"
exit 0
