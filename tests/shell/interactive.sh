#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The interactive shell on a terminal: prompt, TAB, the open transaction, Ctrl-C, history.
. "${top_srcdir:-.}/tests/shell/functions.sh"
command -v script > /dev/null || { echo "skipped: there is no script(1)"; exit 77; }
start --volumes 3 --targets 1
TERM=vt100
export TERM

# Has the terminal shown a text N times?
shows() { [ "$(tr -d '\r' < "$dir/screen" | sed 's/\x1b\[[0-9;?]*[a-zA-Z]//g' | grep -cF "$2")" -ge "$1" ]; }

# Wait until it has, then type.
type_when() {
	i=0
	until shows "$1" "$2" || [ $i -ge 600 ]; do
		sleep 0.1
		i=$((i + 1))
	done
	printf "$3"
	sleep 0.2
}

: > "$dir/screen"
{
	type_when 1 'director:/> ' 'cd /vol\t\r'
	type_when 1 'director:/volumes> ' 'show vol0001\r'
	type_when 2 'director:/volumes> ' 'begin\r'
	type_when 1 '(tx)> ' 'create new size=1G\r'
	type_when 2 '(tx)> ' 'abort\r'
	type_when 3 'director:/volumes> ' 'events --follow\r'
	# It may not have begun to follow when it is interrupted for the first time.
	for _ in $(seq 100); do
		sleep 0.5
		printf '\003'
		sleep 0.2
		if shows 4 'director:/volumes> '; then break; fi
	done
	type_when 4 'director:/volumes> ' '/targets/iqn\t\r'
	type_when 1 'director:/targets/iqn.2026-01.org.example:t0000> ' 'vol cre\025exit\r'
	sleep 0.5
} | script -qec "'$top_builddir/shell/director'" /dev/null > "$dir/screen" 2>&1

tr -d '\r' < "$dir/screen" | sed 's/\x1b\[[0-9;?]*[a-zA-Z]//g' > "$dir/text"
status=0
for text in '/volumes/vol0001  volume  ok' 'a transaction is open' 'added to the open transaction (1 change)' \
	'the transaction is thrown away' 'director:/targets/iqn.2026-01.org.example:t0000> '; do
	grep -qF "$text" "$dir/text" || { echo "not seen: $text"; status=1; }
done
grep -q 'show.*vol0001' "$HOME/.director_history" || { echo "no history"; status=1; }
[ "$(stat -c %a "$HOME/.director_history")" = 600 ] || { echo "others can read the history"; status=1; }
[ $status = 0 ] || cat "$dir/text"
exit $status
