#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The smallest plugin.
. "${top_srcdir:=.}/plugins/test-lib.sh"
# It forgets what it is given, so it can pass only what does not read back.
kit --only tables,check,life,leak,fence,submit,drain example1
if "$top_builddir/director-plugin-test" --only edges example1 >/dev/null; then fail "the kit believed a null disk"; fi
exit 0
