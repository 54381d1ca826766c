#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The disk in a file.
. "${top_srcdir:=.}/plugins/test-lib.sh"
kit file path="$tmp/a"
kit file path="$tmp/b" thin=no cache=through
# O_DIRECT is not everywhere (tmpfs).
if dd if=/dev/zero of="$tmp/c" bs=4096 count=1 oflag=direct 2>/dev/null; then
	kit file path="$tmp/d" direct=yes block-size=4096
fi
# What is in the way is not overwritten; what was begun and left by a crash is made anew.
mkdir "$tmp/dir"
refuses 'not a regular file' file path="$tmp/dir"
echo rubbish >"$tmp/.e.new"
kit --only life,edges file path="$tmp/e"
[ ! -e "$tmp/.e.new" ] || fail "a half-made file was left behind"
refuses 'No such file' file path="$tmp/none/f"
refuses 'neither' file path="$tmp/g" was="$tmp/h"
# A disk that has another name, and is shorter, becomes this one; one that has it already stays.
truncate -s 1M "$tmp/was"
kit --only life file path="$tmp/turned" was="$tmp/was"
[ ! -e "$tmp/was" ] || fail "the old name is still there"
truncate -s 1M "$tmp/turned"
kit --only life file path="$tmp/turned" was="$tmp/was"

# A kernel that is short of something takes nothing, or not at once: all of it is done all the same, with the ring or without.
for turns in "again" "busy" "ok again again intr" "intr ok busy"; do
	URING_FAKE=$turns LD_PRELOAD=$(realpath "$top_builddir/tests/plugins/.libs/uring_fake.so") ASAN_OPTIONS="$ASAN_OPTIONS:verify_asan_link_order=0" \
		"$top_builddir/director-plugin-test" --deadline 60 --rounds 2000 --only model,threads,drain,vectors file path="$tmp/ring" >"$tmp/kit" 2>&1 ||
		{ cat "$tmp/kit"; fail "submissions that end with $turns"; }
done

# A file system that is full, with rings and without waiting (tmpfs): the write says so, reads go on.
full()
{
	"$top_builddir/director-plugin-test" --only model file path="$tmp/small/a" >"$tmp/kit" 2>&1 && fail "$1: a full file system took everything"
	grep -q "No space left on device" "$tmp/kit" || { cat "$tmp/kit"; fail "$1: a full file system became another error"; }
}
mkdir "$tmp/small"
cleanup() { umount "$tmp/small" 2>/dev/null; }
if mount -t tmpfs -o size=1M tmpfs "$tmp/small" 2>/dev/null; then
	full tmpfs
	rm -f "$tmp/small/a"
	umount "$tmp/small"
	mount -t tmpfs -o size=64M tmpfs "$tmp/small" && kit file path="$tmp/small/b"
	umount "$tmp/small"
fi
truncate -s 4M "$tmp/image"
if mke2fs -q -t ext4 -b 4096 -O ^has_journal "$tmp/image" 2>/dev/null && mount -o loop "$tmp/image" "$tmp/small" 2>/dev/null; then
	full ext4
	umount "$tmp/small"
fi
exit 0
