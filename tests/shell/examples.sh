#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The examples of doc/examples do what their first comment says.
. "${top_srcdir:-.}/tests/shell/functions.sh"
start --volumes 2 --targets 1

e() {
	name=$1
	shift
	echo "\$ $name $*"
	"$top_builddir/doc/examples/$name" "$@" 2>&1 || echo "(status $?)"
}

# until_watched N TEXT: until the watcher said it N times
until_watched() {
	i=0
	while [ $i -lt 600 ] && [ "$(grep -c "$2" "$dir/watched")" -lt "$1" ]; do
		sleep 0.1
		i=$((i + 1))
	done
}

commands() {
	e list
	e create v1 1G key-1
	e create v1 1G key-1
	e create v1 1G key-2
	e task 2
	e task none
	: > "$dir/watched"
	"$top_builddir/doc/examples/watch" > "$dir/watched" &
	watcher=$!
	until_watched 1 "up to date"
	e create v2 1G key-3
	d volume delete v2
	until_watched 1 "removed /volumes/v2"
	kill -USR1 $daemon          # the daemon's server starts anew
	until_watched 2 "up to date"
	kill $watcher
	echo "(watched)"
	grep -v changed "$dir/watched"
	e cancel | sed '5,$d'
	stop
	e list
}
same examples
