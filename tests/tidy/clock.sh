#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Somebody sets the clock while we run: what waits, or counts how long ago something was, asks a clock that nobody can set. Only what is
# shown to people asks the other one, and the files that are named here, with why. libev's ev_now and ev_time are that other one too.
cd "${top_srcdir:-.}" || exit 1
status=0
allowed() {
	case $1 in
	base/clock.c) ;;                # wall_ms, which says in its name what it is
	directord/logger.c) ;;          # the time in front of a line
	directord/run.c) ;;             # wake_at looks whether somebody has set it
	directord/cpg.c) ;;             # one second at the very end: pthread_timedjoin_np knows no other clock
	*) return 1 ;;
	esac
}
settable='CLOCK_REALTIME|\<gettimeofday *\(|[^_a-z.>]time *\((NULL|0|&)|\<ev_(now|time) *\(|\<ev_periodic'
for f in $(grep -rlE --include='*.[ch]' "$settable" base cluster proto directord target plugins lib initiator shell include); do
	allowed "$f" && continue
	grep -HnE "$settable" "$f"
	status=1
done
# A condition that was made without a word about it waits by the clock that can be set.
for f in $(grep -rlE --include='*.c' pthread_cond_timedwait directord target plugins lib initiator shell); do
	grep -qE 'CLOCK_MONOTONIC|cond_until' "$f" && continue
	echo "$f: pthread_cond_timedwait by which clock?"
	status=1
done
exit $status
