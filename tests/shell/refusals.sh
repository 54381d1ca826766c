#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What cannot be done says so, with the status that scripts rely on: no daemon, no quorum, no permission.
. "${top_srcdir:-.}/tests/shell/functions.sh"

commands() {
	d status
	d -o json status
	start --no-quorum
	d volume create v1 --size 1G
	d -o json volume create v1 --size 1G
	d volume list
	d -o json volume list
	d -o json ls /
	d status
	echo "(state of the socket)" "$(stat -c %A "$DIRECTOR_SOCKET")"
	d volume create v1 --size 1G --secret-file
	d host add iqn.2026-01.org.example:t1 iqn.2026-01.org.example:h1 --chap u --secret-file "$dir/none" < /dev/null
	d host add iqn.2026-01.org.example:t1 iqn.2026-01.org.example:h1 --chap u < /dev/null
	stop
	start --volumes 1 --targets 1
	d set /volumes/vol0000
	d -o json set /volumes/vol0000
	d set /volumes/vol0000 /cluster comment=x
	d set /volumes/vol0000 comment=x /cluster
	d volume set vol0000
	d target set iqn.2026-01.org.example:t0000
	d node set n1
	d cluster set
	d host set iqn.2026-01.org.example:t0000 --any
	d history
	d begin
	d commit --dry-run
	d commit
	d -o json begin
	d -o json commit
	d diff
	d history -n 1
}
same refusals
