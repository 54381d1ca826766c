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
	rm -f "$tmp/s"
	nbdkit -f -U "$tmp/s" "$@" 2>>"$tmp/nbdkit.log" &
	server=$!
	servers="$servers $server"
	while [ ! -S "$tmp/s" ]; do
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

# Killed and started again, twice, under load: all goes on, but a flush says that what was written before might be lost. With this
# server it never is, and nobody can know.
serve file "$tmp/disk"
"$top_builddir/director-plugin-test" --only model,threads --rounds 60000 --forgets nbd "$uri" connections=2 >"$tmp/kit" 2>&1 &
load=$!
for _ in 1 2; do
	sleep 0.5
	kill -0 $load 2>/dev/null || { cat "$tmp/kit"; fail "the load was over before the server went"; }
	kill -9 "$server"
	sleep 0.2
	serve file "$tmp/disk"
done
wait $load || { cat "$tmp/kit"; fail "a server that was restarted"; }
grep -q 'a flush says that writes may be lost' "$tmp/kit" || { cat "$tmp/kit"; fail "a server that was restarted, and all flushes are good"; }
exit 0
