#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A pure room has no descriptor, clock, thread, environment, randomness or stdio stream: its undefined
# symbols and its includes are looked at, so that the linker is the police and not a reviewer.
: "${top_srcdir:=.}" "${top_builddir:=.}"
bad=0

forbidden='open|openat|close|read|write|pread|pwrite|readv|writev|ioctl|fcntl|socket|bind|connect|send|sendto|sendmsg|recv|recvfrom|recvmsg|poll|epoll_.*|select|time|gettimeofday|clock|clock_gettime|nanosleep|usleep|sleep|localtime.*|gmtime.*|rand|random|srand|srandom|rand_r|getrandom|randombytes.*|getenv|secure_getenv|setenv|pthread_.*|thrd_.*|mtx_.*|fopen|fdopen|fread|fwrite|fprintf|printf|puts|putchar|fputs|vprintf|stdout|stderr|stdin|fork|exec.*|kill|getpid|gethostname|getuid|mmap|munmap|sqlite3_.*|zmq_.*|ev_.*|cpg_.*|avahi_.*|io_uring_.*'

for lib in cluster/libcluster target/iscsi/libiscsi target/scsi/libscsi target/libiscsi target/libscsi; do
	objs=$(ls "$top_builddir/$(dirname $lib)"/*.o "$top_builddir/$(dirname $lib)"/.libs/*.o 2>/dev/null | grep -v conftest)
	[ -n "$objs" ] || continue
	# shellcheck disable=SC2086
	found=$(nm -u --no-sort $objs 2>/dev/null | awk '$1 == "U" { sub(/@.*/, "", $2); print $2 }' | sort -u |
		grep -Ex "($forbidden)(64)?(_chk)?|__($forbidden)(64)?_chk")
	if [ -n "$found" ]; then
		echo "$lib is not pure; it uses: $(echo $found)"
		bad=1
	fi
done

check_includes() # room, pattern of allowed project includes
{
	[ -d "$top_srcdir/$1" ] || return
	found=$(grep -nE '^#include "' "$top_srcdir/$1"/*.[ch] 2>/dev/null | grep -vE "\"($2)/")
	if [ -n "$found" ]; then
		echo "$1 includes against the arrows:"; echo "$found"
		bad=1
	fi
	found=$(grep -nE '^#include <(stdio_ext|unistd|fcntl|time|sys/(time|socket|stat|epoll|mman|uio)|pthread|threads|poll|netinet/.*|ev|zmq|sqlite3|signal)\.h>' \
		"$top_srcdir/$1"/*.[ch] 2>/dev/null)
	if [ -n "$found" ]; then
		echo "$1 includes the world:"; echo "$found"
		bad=1
	fi
}
check_includes cluster 'base|cluster'
check_includes target/iscsi 'base|target/iscsi|target/task.h|target'
check_includes target/scsi 'base|target/scsi|target/task.h|target|director'

one_way() # room, forbidden include pattern
{
	found=$(grep -nE "^#include \"($2)/" "$top_srcdir/$1"/*.[ch] 2>/dev/null)
	if [ -n "$found" ]; then
		echo "$1 includes against the arrows:"; echo "$found"
		bad=1
	fi
}
one_way base 'cluster|proto|directord|target|lib|shell|director'
one_way proto 'directord|target|lib|shell'
one_way lib 'cluster/gossip|cluster/agree|directord|target|shell'
one_way initiator 'directord|cluster|proto|lib|shell|target/serve|target/scsi'
one_way shell 'cluster/gossip|cluster/agree|directord|target'
one_way directord 'target/serve|target/iscsi|target/scsi|lib|shell'
one_way target/serve 'directord|cluster|lib|shell'
exit $bad
