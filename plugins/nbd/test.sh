#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A disk behind an NBD server: nbdkit, with filters that make it small, forgetful, failing or absent.
. "${top_srcdir:=.}/plugins/test-lib.sh"
command -v nbdkit >/dev/null || { echo "skip: nbdkit is missing"; exit 77; }
servers=
cleanup()
{
	for s in $servers; do kill -9 "$s" 2>/dev/null; done
}
serve() # ARGUMENTS...
{
	rm -f "$tmp/s" "$tmp/ready" "$tmp/served"
	nbdkit -f -U "$tmp/s" -P "$tmp/ready" "$@" 2>>"$tmp/nbdkit.log" &
	server=$!
	servers="$servers $server"
	until [ -s "$tmp/ready" ]; do         # it listens; the socket is there before
		kill -0 "$server" 2>/dev/null || { cat "$tmp/nbdkit.log"; fail "nbdkit $*"; }
		sleep 0.05
	done
}
uri="uri=nbd+unix:///?socket=$tmp/s"

serve memory 32M
kit nbd "$uri"
kit nbd "$uri" block-size=4096 connections=3
truncate -s 32M "$tmp/disk"
serve --filter=blocksize-policy file "$tmp/disk" blocksize-minimum=4096 blocksize-maximum=64K blocksize-preferred=32K \
	blocksize-error-policy=error
kit nbd "$uri" block-size=4096 connections=2
refuses "use block-size=4096" nbd "$uri"
refuses "is not nbd://" nbd uri=http://localhost/
refuses "" nbd "uri=nbd+unix:///?socket=$tmp/none"

# It is read only, and says so.
serve -r memory 32M
"$top_builddir/director-plugin-test" --only edges nbd "$uri" >"$tmp/kit"
grep -q "SKIP read only" "$tmp/kit" || { cat "$tmp/kit"; fail "a read-only export"; }

# Errors of the server are the errors of the disk.
for e in EIO ENOSPC; do
	serve --filter=error memory 32M error-pwrite=$e error-pwrite-rate=100%
	"$top_builddir/director-plugin-test" --only edges nbd "$uri" >"$tmp/kit" && fail "$e: nothing failed"
	case $e in EIO) words="Input/output error" ;; ENOSPC) words="No space left" ;; esac
	grep -q "$words" "$tmp/kit" || { cat "$tmp/kit"; fail "$e became something else"; }
done

# A server that does not answer: the time of the I/O ends, and not the kit's.
serve --filter=delay memory 32M delay-write=60
"$top_builddir/director-plugin-test" --only edges --deadline 30 nbd "$uri" timeout=1s >"$tmp/kit" && fail "nothing timed out"
grep -q "timed out" "$tmp/kit" || { cat "$tmp/kit"; fail "no time-out"; }

# Killed and started again, over and over, under load: all goes on, but a flush says that what was written before might be lost. With
# this server it never is, and nobody can know. Each server lives until it has written something; the load ends when it was told twice.
written() { [ "$(grep -cs '\.\.\.Write .*return=0' "$tmp/served")" -ge 500 ]; }
for test in model threads; do
	serve --filter=log file "$tmp/disk" logfile="$tmp/served"
	"$top_builddir/director-plugin-test" --only $test --rounds 2000 --forgets 2 --deadline 300 nbd "$uri" connections=2 >"$tmp/load" 2>&1 &
	load=$!
	kills=0
	while kill -0 $load 2>/dev/null; do
		written || { sleep 0.05; continue; }
		kill -9 "$server"
		wait "$server" 2>/dev/null
		kills=$((kills + 1))
		serve --filter=log file "$tmp/disk" logfile="$tmp/served"
	done
	wait $load || { cat "$tmp/load"; fail "$test: a server that was restarted $kills times"; }
	[ $kills -ge 2 ] || { cat "$tmp/load"; fail "$test: told twice of a server that was restarted $kills times"; }
	grep 'flushes told of' "$tmp/load" || fail "$test: a server that was restarted $kills times, and all flushes are good"
done
exit 0
