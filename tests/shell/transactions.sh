#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# begin, diff, commit, abort over several processes and a restart of the daemon; history, blame, undo, dump.
. "${top_srcdir:-.}/tests/shell/functions.sh"
mkdir "$dir/state"
start --state "$dir/state"

commands() {
	d commit
	d begin
	d begin
	d diff
	d volume create v1 --size 1G --on n1
	d target create iqn.2026-01.org.example:t1
	d lun add iqn.2026-01.org.example:t1 v1
	d lun add iqn.2026-01.org.example:t1 v2
	d volume list
	d diff
	d status
	d undo 1
	d commit -m "ticket 4711"
	d volume list --no-headers
	d begin
	d volume delete v1
	d volume resize v1 2G
	d --dry-run abort
	d abort
	d --dry-run begin
	d diff
	d --dry-run volume create v9 --size 1G --on n1
	d volume show v9
	d volume resize v1 3G --key once
	d volume resize v1 3G --key once
	d history
	d history /volumes/v1 --limit 1
	d blame /volumes/v1
	d undo 3
	d volume create v2 --size 1G --on n2
	d undo 4 --dry-run
	d undo 4 -m regret
	d undo 4
	d --dry-run plugin reset none
	d undo 99
	d undo x
	d volume list
	d volume show v1 -o json
	d dump
	# A candidate outlives the daemon.
	d begin
	d volume create kept --size 1G --on n1
	stop
	start --state "$dir/state"
	d diff
	d commit -m "after the restart"
	d volume list
}
same transactions
