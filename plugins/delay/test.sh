#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The filter that makes I/O slow.
. "${top_srcdir:=.}/plugins/test-lib.sh"
kit --rounds 300 delay write=1ms read=1ms jitter=2ms
kit --only killed,persist,drain --over "file path=$tmp/a" delay write=2ms
exit 0
