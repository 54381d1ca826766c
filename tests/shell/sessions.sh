#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What initiators use is not deleted from under them unless that is said; a session that has just ended is in nobody's way.
. "${top_srcdir:-.}/tests/shell/functions.sh"
t=iqn.2026-01.org.example:t0000

commands() {
	start --volumes 2 --targets 2 --session $t
	d target delete $t
	d -o json target delete $t
	d lun remove $t 0
	d begin
	d delete /targets/IQN.2026-01.org.example:t0000
	d abort
	d volume delete vol0000
	# What another target has is another's; and what is not there is not there.
	d lun remove iqn.2026-01.org.example:t0001 0
	d target delete iqn.2026-01.org.example:t0001
	d target delete iqn.2026-01.org.example:t0002
	d delete /volumes/vol0001
	d lun remove $t 0 --force
	# Nor are they shut out unless that is said; but where another host or portal lets them in, nobody is.
	d target set $t alias=x
	d host add $t iqn.2026-01.org.example:h1
	d host add $t --any
	d host remove $t iqn.2026-01.org.example:h1
	d host remove $t any
	d host add $t iqn.2026-01.org.example:h2
	d host remove $t iqn.2026-01.org.example:h2
	d portal add $t 10.0.0.2:3260
	d portal remove $t 10.0.0.2:3260
	d portal add $t 10.0.0.3:3260
	d portal remove $t "[::]:3260"
	d set /targets/$t enabled=off
	d target set $t enabled=no --force
	d target set $t enabled=yes
	d undo 20
	d undo 12
	d undo 12 --force
	d begin
	d delete /targets/$t --force
	d commit
	d target list
	stop
	# It ends while the shell looks.
	start --volumes 1 --targets 1 --session $t --session-ends 3
	d session list
	d target delete $t
}
same sessions
