#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The plugin in shell.
. "${top_srcdir:=.}/plugins/test-lib.sh"
mkdir "$tmp/images"; truncate -s 1M "$tmp/images/a.img"
x=$top_srcdir/plugins/example4-exec/example4-exec
EXAMPLE4_DIR=$tmp/images "$x" scan </dev/null >"$tmp/out" || fail "scan"
grep -q '"name": "image-a".*"size": 1048576' "$tmp/out" || fail "its answer"
EXAMPLE4_DIR=$tmp/none "$x" scan </dev/null >/dev/null; [ $? = 1 ] || fail "failure is not status 1"
"$x" dance </dev/null; [ $? = 2 ] || fail "an unknown verb is not status 2"
exit 0
