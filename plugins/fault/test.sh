#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The filter that makes I/O fail.
. "${top_srcdir:=.}/plugins/test-lib.sh"
kit fault
kit --over "file path=$tmp/a" fault
exit 0
