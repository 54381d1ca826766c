#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Numbered events: what happened, from a number on, and the gap that a small ring leaves.
. "${top_srcdir:-.}/tests/shell/functions.sh"
start --events 16

commands() {
	d volume create v1 --size 1G --on n2
	d events --since 0 /volumes
	d events --since 77:1000 /volumes/v1
	d events --since 76:1
	d events --since x
	"$top_builddir/shell/director" events --follow /volumes > "$dir/followed" &
	follower=$!
	sleep 0.3
	d volume create v2 --size 1G --on n1 -q
	d volume delete v2 -q
	sleep 0.3
	kill -INT $follower
	wait $follower
	echo "(the follower ends with $?)"
	cat "$dir/followed"
	d events --since 1 /volumes -o json
}
same events
