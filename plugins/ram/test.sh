#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The disk in memory.
. "${top_srcdir:=.}/plugins/test-lib.sh"
kit ram
kit ram block-size=4096
exit 0
