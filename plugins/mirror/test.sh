#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Network RAID1, here over legs of this machine.
. "${top_srcdir:=.}/plugins/test-lib.sh"
kit mirror
kit --over "file path=$tmp/a" --over "file path=$tmp/b" mirror
kit --only resize,persist --over "file path=$tmp/a" --over "file path=$tmp/b" mirror shrink=yes
kit --over "file path=$tmp/a" --over "file path=$tmp/b" --over ram mirror
refuses "legs= cannot be read" mirror legs=nonsense
refuses "power of two" mirror region=5000
exit 0
