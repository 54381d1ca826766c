#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What `dump` prints makes all of it again: by commands one after the other and in one transaction, in a cluster with the same nodes, whose
# dump is then the same. All kinds of objects are in it with all their parameters.
. "${top_srcdir:-.}/tests/shell/functions.sh"
command -v jq > /dev/null || { echo "skipped: jq is missing"; exit 77; }
director=$top_builddir/shell/director
fail() { echo "dump: $*"; exit 1; }
do_it() { "$director" -q "$@" || fail "director $*"; }
iqn=iqn.2026-01.org.example
echo "secret-of-twelve" > "$dir/secret"
echo "another-of-twelve" > "$dir/mutual"
echo "agent=fence_x ip=10.0.0.1" > "$dir/options"

make_all() {
	do_it cluster set name="a test's" auto-adopt=yes portal=10.1.1.1 comment='# "why" $HOME'
	do_it node set n2 comment="second rack"
	do_it set /nodes/n2 fence=fence-agent --secret fence-options --secret-file "$dir/options"
	# Volumes without copies: all parameters, a file, a device, a plugin's secret.
	do_it volume create plain --size 1G --on n1 block-size=4096 read-only=yes allow-shrink=yes comment="a  b" p.depth=4
	do_it volume create file --size 1G --on n2 path=/srv/file
	do_it volume create device --on n1 device=sda
	do_it create /volumes/secret size=1G node=n1 backstore=iscsi p.user=me --secret p.secret --secret-file "$dir/secret"
	# With copies: wherever, on named nodes with parameters of their plugin, striped, on LUNs, on named files, stored differently, moved.
	do_it volume create two --size 1G --copies 2 resync-limit=50M scrub-limit=0
	do_it volume create ram --size 1G --on n3,n1 --backstore ram p.b=c comment=here
	do_it volume create striped --size 1G --copies 2 --stripe 2 --backstore ram resync-limit=20M
	do_it volume create spread --size 1G --stripe 2 --on n3,n1
	do_it volume create lun --size 1G --on n1 --lun "iscsi://10.0.0.9/$iqn:d/1 iscsi://10.0.0.9/$iqn:d/2" --user u --secret-file "$dir/secret"
	do_it create /volumes/named size=1G copies=3 /volumes/named/legs/a node=n2 path=/srv/a comment=left \
		/volumes/named/legs/b node=n3 backstore=ram /volumes/named/legs/x "lun=iscsi://10.0.0.9/$iqn:d/3" p.timeout=3s
	do_it volume create moved --size 1G --on n1,n2
	do_it volume move moved --leg b --to n3
	# Targets by their portals: the one that each gets, another, both, none, and that one with a parameter.
	do_it target create $iqn:own alias="Disk 1" enabled=no auth=chap comment=x
	do_it begin
	do_it target create $iqn:other
	do_it portal add $iqn:other 10.1.1.2:3261 comment=slow
	do_it commit
	do_it target create $iqn:both
	do_it portal add $iqn:both "[fd00::1]:3260"
	do_it target create $iqn:none
	do_it portal remove $iqn:none 10.1.1.1:3260
	do_it target create $iqn:said
	do_it set "/targets/$iqn:said/portals/10.1.1.1:3260" comment=fast
	do_it lun add $iqn:own plain --lun 7 read-only=yes comment=y
	do_it lun add $iqn:own two
	do_it host add $iqn:own $iqn:h1 --chap user1 --secret-file "$dir/secret" --mutual us --mutual-secret-file "$dir/mutual" comment=z
	do_it host add $iqn:both --any
	do_it --no-wait target address add $iqn:own 10.0.0.9/24 --interface eth0 comment=floats
	do_it --no-wait target address add $iqn:both fd00::9/64
	"$director" -q node set n3 role=witness 2> "$dir/refused" && fail "a witness holds data"
	do_it volume move moved --leg c --to n2
}

# dumped FILE: the dump, without the remarks about secrets, which it does not have.
dumped() {
	"$director" dump > "$1.raw" || fail "dump"
	sed 's/  # the secret is not shown: .*//' "$1.raw" > "$1"
}

# loaded FILE: the same dump of a new cluster that has read FILE.
loaded() {
	sed "s,^director target address add,& --no-wait,; s,MUTUAL-SECRET-FILE,$dir/mutual,; s,CHAP-SECRET-FILE,$dir/secret," "$1" > "$dir/commands"
	stop
	start
	"$director" -e < "$dir/commands" > "$dir/said" 2>&1 || fail "it cannot be read again: $(tail -n 3 "$dir/said")"
	dumped "$dir/again"
	diff -u "$dir/dump" "$dir/again" || fail "$2"
}

start
make_all
dumped "$dir/dump"
grep -q "not shown: fence-options" "$dir/dump.raw" && grep -q "not shown: p.secret" "$dir/dump.raw" || fail "of secrets it says that they are missing"
grep -qe secret-of -e another-of -e fence_x -e '(secret)' "$dir/dump.raw" && fail "a secret is shown"
"$director" -o json dump | jq -r '.data[]' | diff - "$dir/dump.raw" || fail "in JSON it is another"

# All parameters of all types but those that the cluster keeps itself and those that ask for something to be done once.
for type in cluster/"cluster set" node/"node set" volume/"volume create" leg/"volume move" target/"target create" lun/"lun add" host/"host add" portal/"portal add" \
	address/"target address add"; do
	"$director" -o json help ${type#*/} | jq -r --arg t "${type%%/*}" '.data[0].parameters[] | "\($t) \(.name)"'
done > "$dir/parameters"
[ "$(wc -l < "$dir/parameters")" -gt 30 ] || fail "which parameters are there? $(cat "$dir/parameters")"
while read -r type name; do
	case "$type $name" in
	"cluster level" | "cluster lineage" | "cluster key-epoch") continue ;;
	"node id" | "node key" | "node key-box" | "node portal-group" | "node drain") continue ;;
	"volume want" | "volume scrub-asked" | "volume part-of" | "leg device" | "leg replaces") continue ;;
	"node fence-options") continue ;;               # said to be missing
	"node role") continue ;;                        # see below
	"host chap-secret" | "host mutual-secret") pattern=SECRET-FILE ;;
	"host chap-user") pattern="--chap " ;;
	"host mutual-user") pattern="--mutual " ;;
	"lun volume") pattern="lun add" ;;
	*) pattern=" $name=" ;;
	esac
	grep -qe "$pattern" "$dir/dump" || fail "no $type in this test has $name"
done < "$dir/parameters"

loaded "$dir/dump.raw" "read command by command"
{ echo "director begin"; cat "$dir/dump.raw"; echo "director commit --no-wait"; } > "$dir/whole"
loaded "$dir/whole" "read as one transaction"
stop
start
"$director" -q node set n3 role=witness
dumped "$dir/dump"
grep -q "role=witness" "$dir/dump" || fail "role"
loaded "$dir/dump.raw" "a witness"
