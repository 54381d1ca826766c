#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A block device (a loop device, where there is one).
. "${top_srcdir:=.}/plugins/test-lib.sh"
truncate -s 32M "$tmp/disk"
dev=$(losetup -f --show "$tmp/disk" 2>/dev/null) || { echo "no loop device here"; exit 77; }
cleanup() { losetup -d "$dev"; }
kit block path="$dev"
kit --only edges,model,zeroes,flush block path="$dev" direct=no
refuses 'not a block device' block path="$tmp/disk"
exit 0
