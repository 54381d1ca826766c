#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Volumes with copies and floating addresses by the commands that scripts rely on.
. "${top_srcdir:-.}/tests/shell/functions.sh"
start

echo alicesecret12 > "$dir/secret"
commands() {
	d volume create v --size 1G --copies 2
	d volume create u --size 1G --on n1,n3
	d volume create w --size 1G --copies 4
	d volume create w --size 1G --copies 3 --on n1,n2
	d volume create w --size 1G --copies 2 --on n1,n1
	d volume create p --size 1G --on n2 --backstore ram
	d volume convert p --copies 2
	d volume list
	d volume show v
	d -o json volume show u
	d volume convert v --copies 3
	d volume convert v
	d volume show v
	d volume resize v 2G
	d volume move v --owner n2
	d volume move v --owner n9
	d volume convert v --copies 1
	d volume move v --to n3
	d volume move v --to n3 --owner n3
	d volume show v
	d volume move u --to n2
	d volume move p --to n1
	d volume move u --leg b
	d volume move u/zz --to n2
	d volume move /volumes/u/legs/zz --to n2
	d volume move u/a --leg b --to n2
	d volume move u/a --owner n2
	d --dry-run volume move /volumes/u/legs/c --to n3
	"$top_builddir/shell/director" complete --line "volume move u --leg "
	d volume scrub u
	d volume scrub p
	d volume set u epoch=5
	d get /volumes/u/legs/a
	d set /volumes/u/legs/a state=new
	d ls /volumes
	d volume create s --size 10G --stripe 2 --copies 2
	d volume show s
	d volume delete s.0
	d volume delete s
	d volume create slow --size 1G --copies 1 --on n1
	d --no-wait volume convert slow --copies 2
	for _ in $(seq 600); do
		"$top_builddir/shell/director" volume show slow | grep -q 'new  *ready' && break
		sleep 0.1
	done
	d volume show slow
	d volume create l --size 1G --on n1 --lun iscsi://10.0.0.9/IQN.2020-01.x:disk/1 --user alice --secret-file "$dir/secret"
	d volume show l
	d get /volumes/l/legs/b
	d dump
	d volume create m --size 1G --lun iscsi://10.0.0.9:3260/iqn.2020-01.x:disk/1
	d volume create m --size 1G --lun iscsi://10.0.0.9/disk/1
	d volume create m --size 1G --on n1,n2 --copies 2 --lun iscsi://10.0.0.9/iqn.2020-01.x:disk/2
	d volume create m --size 1G --stripe 2 --lun iscsi://10.0.0.9/iqn.2020-01.x:disk/2
	d volume create m --size 1G --user alice
	d set /volumes/l/legs/b lun=iscsi://10.0.0.10,10.0.0.11/iqn.2020-01.x:disk/1
	d set /volumes/l/legs/b lun=iscsi://10.0.0.10/iqn.2020-01.x:disk/2
	d set /volumes/l/legs/b p.timeout=3s
	d set /volumes/l/legs/b p.secret=open
	d create /volumes/l/legs/c lun=iscsi://10.0.0.9/iqn.2020-01.x:disk/3
	d volume convert l --copies 3 --lun iscsi://10.0.0.9/iqn.2020-01.x:disk/3
	d volume move l --leg b --to n2
	d volume move l --leg c --lun iscsi://10.0.0.9/iqn.2020-01.x:disk/4
	d volume move l --owner n3
	d volume show l
	d volume delete l
	d status
	d volume delete slow
	d node drain n1
	d volume list
	d node drain n1 --undo
	d node drain n2
	d -o json node drain n2
	d node drain n2 --no-wait
	d node drain n2 --undo
	d begin
	d node drain n2
	d abort
	d history -n 3
	d blame /volumes/u
	d dump
	d target create iqn.2026-01.org.example:t1
	d target address add iqn.2026-01.org.example:t1 10.0.0.9/24 --interface eth0
	d target address add iqn.2026-01.org.example:t1 fd00:0::9/64
	d target address add iqn.2026-01.org.example:t1 10.0.0.9
	d target address add iqn.2026-01.org.example:t1 10.0.0.9/33
	d target address list
	d target address delete iqn.2026-01.org.example:t1 fd00::9/64
	d target address list iqn.2026-01.org.example:t1
	d volume create q --size 1G --on n2 p.thin=no
	d volume convert q --copies 2
	d volume show q
	d dump
}
same copies
