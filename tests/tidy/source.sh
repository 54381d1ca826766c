#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What every source file must have, and what none may.
: "${top_srcdir:=.}"
cd "$top_srcdir" || exit 1
bad=0
files=$(find base proto cluster directord target initiator plugins lib shell include tests -name '*.[ch]' ! -name '*.pb-c.[ch]')
for f in $files; do
	head -n 1 "$f" | grep -q 'SPDX-License-Identifier: Apache-2.0' || { echo "$f: no SPDX line"; bad=1; }
done
words='TO''DO|FIX''ME|XX''X|HA''CK'
# shellcheck disable=SC2086
grep -nE "\b($words)\b" $files && bad=1
# shellcheck disable=SC2086
grep -nE '\b(strcpy|strcat|sprintf|gets|strtok)[[:space:]]*\(' $files && { echo 'use the bounded forms'; bad=1; }
# shellcheck disable=SC2086
grep -nE '^typedef struct' $files && { echo 'no typedef of structs'; bad=1; }
exit $bad
