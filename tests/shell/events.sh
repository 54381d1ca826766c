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
	"$top_builddir/shell/director" events --follow --since 0 /volumes > "$dir/followed" &
	follower=$!
	shown "$dir/followed" v1
	d volume create v2 --size 1G --on n1 -q
	shown "$dir/followed" v2
	d volume delete v2 -q
	shown "$dir/followed" gone
	kill -INT $follower
	wait $follower
	echo "(the follower ends with $?)"
	cat "$dir/followed"
	d events --since 1 /volumes -o json
	d task wait 2
	d task wait 4711
	d task wait /tasks/none -o json
}
same events
