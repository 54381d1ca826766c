#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# One grammar in three places: scripts on standard input, walking the tree, JSON, errors, help, completion.
. "${top_srcdir:-.}/tests/shell/functions.sh"
start --volumes 3 --targets 1

script() {
	echo "\$ director $* <<"
	"$top_builddir/shell/director" "$@" 2>&1 || echo "(status $?)"
}

commands() {
	script <<'EOF'
# a comment, then several commands in a line
pwd; cd /volumes; pwd
ls
create new size=1G node=n1; show new
/targets ls
director volume delete new
cd ..
ls /nodes
ls /none
status extra
pwd
EOF
	script -e <<'EOF'
volume show none
pwd
EOF
	script -o json <<'EOF'
cd /volumes; list
show none
EOF
	d -o json status
	d -o json node list
	d -o json volume create j1 --size 1G --on n3
	d -o json volume delete j1 --no-wait --timeout 5
	d -o json explain no-quorum
	d explain busy
	d explain 5
	d get /volumes/vol0000
	d -o json get /volumes
	d set /volumes/vol0000 comment="two words"
	d set /volumes/vol0000 nonsense=1
	d set /volumes/vol0000 comment
	d volume list -o xml
	d volume
	d volume fly
	d fly
	d help volume create
	d help lun
	d ls /
	d ls -r /targets
	d -q volume create silent --size 1G
	d node adopt n7 --fingerprint 1234
	d cluster rotate-key
	# An option of every command may stand anywhere, and an error is JSON where JSON was asked for, before or behind it.
	d volume -o json list extra
	d fly -o json
	d -o json volume fly
	d --bogus -o json status
	d volume list extra --output=json
	d volume list -o json -o xml
	"$top_builddir/shell/director" volume create "$(printf 'a\377b\033c')" --size 1G -o json 2>&1
	d -m why --no-wait volume --dry-run create m1 --size 1G --on n1
	d target address
	d target -o table address fly
	"$top_builddir/shell/director" set /volumes/vol0000 $(seq -f p.k%g=1 260) 2>&1
	echo "(status $?)"
	d volume create l --size 1G --lun iscsi://10.0.0.9/iqn.2020-01.x:d/1 --user u --secret-file /nonexistent/secret -o json
	d volume convert vol0000 --copies 2 --p.secret=open
	d fly --help
	d help volume fly
	d help target address
	d volume delete vol0000 --help
	d --help volume delete
	d volume delete --help -o json
	d task list -h -o json
	"$top_builddir/shell/director" --help -o json | grep -c '^{"version":1,"command":"help","ok":true,"data":\[{'
	"$top_builddir/shell/director" -h -q | head -n 1
	script <<'EOF'
-o json pwd
director --no-headers -o table node list --help
/volumes delete vol0000 --help; /volumes -o json pwd
EOF
	# A script that cannot be read, and what cannot be printed, is no success.
	script < /
	"$top_builddir/shell/director" help 2>&1 > /dev/full || echo "(status $?)"
	"$top_builddir/shell/director" -o json volume list 2>&1 > /dev/full || echo "(status $?)"
	for line in "" "vol" "volume " "volume show vol" "volume create x --on " "volume create x --" "volume create x read" \
		"set /vol" "set /volumes/vol0000 al" "set /volumes/vol0000 allow-shrink=" "get /targets/" "lun remove iqn.2026-01.org.example:t0000 " \
		"director -o json vol" "ls; sta" "explain no" "volume list -o " "zzz " \
		"volume create x --copies 2 --on n1," "-o " "-m why vol"; do
		echo "\$ complete '$line'"
		"$top_builddir/shell/director" complete --line "$line" | tr '\n' '|'
		echo
	done
}
same script
