#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A SCSI disk by its own commands: one that is made up, and scsi_debug's where the kernel has it.
. "${top_srcdir:=.}/plugins/test-lib.sh"
fake=$top_builddir/tests/plugins/.libs/sg_fake.so
truncate -s 32M "$tmp/disk"
SG_FAKE_FILE=$tmp/disk
export SG_FAKE_FILE
# The device has to be one of some kind: SG_IO never reaches it.
with_fake()
{
	ASAN_OPTIONS="$ASAN_OPTIONS:verify_asan_link_order=0" LD_PRELOAD=$(realpath "$fake") "$@"
}
with_fake "$top_builddir/director-plugin-test" --rounds 1000 pscsi path=/dev/null >"$tmp/kit" 2>&1 || { cat "$tmp/kit"; fail "the kit on the made-up disk"; }
tail -n 1 "$tmp/kit"
grep -q '^ok [0-9]* extents - ' "$tmp/kit" || fail "extents were not looked at"
grep -q '^ok [0-9]* compare - ' "$tmp/kit" || fail "compare-and-write was not looked at"

# What the device says is what comes out: medium error, no space, write protection.
for case in '8a 3 c 0:Input/output error' '8a 7 27 7:No space left' '8a 7 27 0:Read-only' '88 4 44 0:Input/output error'; do
	SG_FAKE_SENSE=${case%%:*} with_fake "$top_builddir/director-plugin-test" --only edges pscsi path=/dev/null >"$tmp/kit" 2>&1 &&
		fail "${case%%:*}: nothing failed"
	grep -q "${case#*:}" "$tmp/kit" || { cat "$tmp/kit"; fail "${case%%:*} became something else"; }
done
# A compare-and-write that may have been done is not tried again: it would compare with what it wrote itself.
SG_FAKE_DISRUPTED=89 with_fake "$top_builddir/director-plugin-test" --only compare pscsi path=/dev/null >"$tmp/kit" 2>&1 &&
	fail "a compare-and-write without an answer succeeded"
grep -q 'timed out' "$tmp/kit" || { cat "$tmp/kit"; fail "a compare-and-write without an answer was tried again"; }
refuses 'does not answer SCSI' pscsi path=/dev/null
refuses 'not a device' pscsi path="$tmp/disk"

dev=$(grep -l scsi_debug /sys/class/scsi_generic/sg*/device/model 2>/dev/null | sed 's|/device/model||; s|.*/|/dev/|' | head -n 1)
[ -n "$dev" ] && [ -w "$dev" ] && kit pscsi path="$dev"
exit 0
