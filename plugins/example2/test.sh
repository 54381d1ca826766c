#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The plugin that blocks.
. "${top_srcdir:=.}/plugins/test-lib.sh"
kit example2 path="$tmp/a"
exit 0
