#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The filter that names each I/O.
. "${top_srcdir:=.}/plugins/test-lib.sh"
kit log file="$tmp/lines"
grep -q '^write [0-9]* at [0-9]*: ok, [0-9]* us$' "$tmp/lines" || fail "no line about a write"
kit --rounds 500 --over "delay write=1ms" --over "file path=$tmp/a" log
exit 0
