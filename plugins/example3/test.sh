#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The filter.
. "${top_srcdir:=.}/plugins/test-lib.sh"
kit example3
kit --over "file path=$tmp/a" example3
exit 0
