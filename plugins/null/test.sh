#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The disk that keeps nothing: the kit expects zeroes from it.
. "${top_srcdir:=.}/plugins/test-lib.sh"
kit null
kit null block-size=4096
exit 0
