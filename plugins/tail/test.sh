#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The first MiB is kept behind the data; what was there before stays where it is.
. "${top_srcdir:=.}/plugins/test-lib.sh"
kit --size 8M --over ram tail at=3M
kit --size 8M --over "file path=$tmp/a" tail at=1536K
kit --size 4M --over ram tail at=3M
refuses "too few" --size 4M --over ram tail at=4M
refuses "multiple of the block size" --size 8M --over ram tail at=1000
exit 0
