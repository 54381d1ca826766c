#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Volumes, targets, LUNs and hosts by the commands that scripts rely on.
. "${top_srcdir:-.}/tests/shell/functions.sh"
start

commands() {
	d volume list
	d volume create v1 --size 1G --on n2
	d volume create v2 --size 512M --backstore ram --on n3 -m "scratch"
	d volume create v1 --size 1G
	d volume create v3
	d volume create v3 --size 1G --on nowhere
	d volume list
	d volume show v1
	d volume resize v1 2G
	d volume resize v1 1G
	d target create iqn.2026-01.org.example:t1
	d target create disks
	d lun add iqn.2026-01.org.example:t1 v1
	d lun add iqn.2026-01.org.example:t1 v2 --lun 7
	d lun add iqn.2026-01.org.example:t1 nothing
	d lun list iqn.2026-01.org.example:t1
	d lun list iqn.2026-01.org.example:none
	d target address list iqn.2026-01.org.example:t1
	d -o json target address list iqn.2026-01.org.example:none
	d device list --node n9
	echo "secret-of-twelve" > "$dir/secret"
	d host add iqn.2026-01.org.example:t1 iqn.2026-01.org.example:h1 --chap user1 --secret-file "$dir/secret"
	echo "another-of-twelve" | d host set iqn.2026-01.org.example:t1 iqn.2026-01.org.example:h1 --chap user1 --secret-file -
	d host add iqn.2026-01.org.example:t1 --any
	d host add iqn.2026-01.org.example:t1
	d host add iqn.2026-01.org.example:t1 iqn.2026-01.org.example:h2 chap-secret=open
	d set /targets/iqn.2026-01.org.example:t1/hosts/any chap-secret=open
	d host list
	d get /targets/iqn.2026-01.org.example:t1/hosts/iqn.2026-01.org.example:h1
	d target list
	d target show iqn.2026-01.org.example:t1
	d volume delete v1
	d lun remove iqn.2026-01.org.example:t1 7
	d lun remove iqn.2026-01.org.example:t1 0
	d volume delete v1
	d host remove iqn.2026-01.org.example:t1 any
	d target delete iqn.2026-01.org.example:t1
	d target list --no-headers
	d session list
	d device list --node n1
	d node list
	d node drain n3
	d node drain n3 --undo
	d volume create bad --size 1G
	d volume create bad2 --size 1G -o json
	d status
	d task list
}
same volumes
