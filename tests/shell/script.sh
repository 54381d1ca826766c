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
	for line in "" "vol" "volume " "volume show vol" "volume create x --on " "volume create x --" "volume create x read" \
		"set /vol" "set /volumes/vol0000 al" "set /volumes/vol0000 allow-shrink=" "get /targets/" "lun remove iqn.2026-01.org.example:t0000 " \
		"director -o json vol" "ls; sta" "explain no" "volume list -o " "zzz "; do
		echo "\$ complete '$line'"
		"$top_builddir/shell/director" complete --line "$line" | tr '\n' '|'
		echo
	done
}
same script
