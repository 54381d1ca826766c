#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# One volume spread over several.
. "${top_srcdir:=.}/plugins/test-lib.sh"
kit stripe
kit --over ram --over ram --over ram stripe chunk=64K
kit --over "file path=$tmp/a" --over "file path=$tmp/b" stripe chunk=64K
kit --size 8M --over ram --over ram --over ram --over ram stripe chunk=1M
refuses "power of two" stripe chunk=65537
refuses "64K" stripe chunk=4K
exit 0
