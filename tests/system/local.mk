# SPDX-License-Identifier: Apache-2.0
# Real processes in namespaces; run by tests/system/run (as root), not by "make check".
check_PROGRAMS += tests/system/ringer
tests_system_ringer_SOURCES = %D%/ringer.c
tests_system_ringer_LDADD = directord/libring.la base/libbase.la $(EV_LIBS)

noinst_PROGRAMS += tests/system/iscsi-order
tests_system_iscsi_order_SOURCES = %D%/iscsi-order.c
tests_system_iscsi_order_LDADD = initiator/libdirector-iscsi.la
noinst_PROGRAMS += tests/system/iscsi-adopt
tests_system_iscsi_adopt_SOURCES = %D%/iscsi-adopt.c
tests_system_iscsi_adopt_LDADD = initiator/libdirector-iscsi.la -lpthread
if HAVE_LIBISCSI
noinst_PROGRAMS += tests/system/iscsi-read
tests_system_iscsi_read_SOURCES = %D%/iscsi-read.c
tests_system_iscsi_read_CFLAGS = $(AM_CFLAGS) $(ISCSI_CFLAGS)
tests_system_iscsi_read_LDADD = $(ISCSI_LIBS)
noinst_PROGRAMS += tests/system/iscsi-cdb
tests_system_iscsi_cdb_SOURCES = %D%/iscsi-cdb.c
tests_system_iscsi_cdb_CFLAGS = $(AM_CFLAGS) $(ISCSI_CFLAGS)
tests_system_iscsi_cdb_LDADD = $(ISCSI_LIBS)
endif
EXTRA_DIST += tests/lab/lab %D%/run %D%/functions.sh %D%/functions-target.sh \
	%D%/adopt.sh %D%/aside.sh %D%/avahi.sh %D%/clash.sh %D%/clone.sh %D%/cut.sh %D%/diskfull.sh \
	%D%/force.sh %D%/giveup.sh %D%/hold.sh %D%/hostring.sh %D%/initiator.sh %D%/ipv6.sh %D%/join.sh %D%/keep.sh %D%/kill.sh %D%/lab.sh \
	%D%/links.sh %D%/many.sh %D%/merge.sh %D%/minority.sh %D%/mirror.sh %D%/orphan.sh %D%/pause.sh %D%/portals.sh \
	%D%/powerloss.sh %D%/recovery.sh %D%/remove.sh %D%/restart.sh %D%/ring.sh %D%/rotate.sh \
	%D%/takeover.sh %D%/third.sh %D%/upgrade.sh %D%/version.sh %D%/wrongkey.sh

# Measuring, by hand: see the first lines of each in tests/bench.
noinst_PROGRAMS += tests/bench/commit
tests_bench_commit_SOURCES = tests/bench/commit.c
tests_bench_commit_CFLAGS = $(AM_CFLAGS) $(COROSYNC_CFLAGS)
tests_bench_commit_LDADD = lib/libdirector.la $(COROSYNC_LIBS)
EXTRA_DIST += tests/bench/boot tests/bench/commit-cost tests/bench/failover tests/bench/membership tests/bench/mirror
noinst_PROGRAMS += tests/bench/pause
tests_bench_pause_SOURCES = tests/bench/pause.c
tests_bench_pause_LDADD = initiator/libdirector-iscsi.la
EXTRA_DIST += tests/bench/boot tests/bench/commit-cost tests/bench/membership
EXTRA_DIST += %D%/moved.sh %D%/seeds.sh %D%/words.sh
EXTRA_DIST += %D%/address.sh %D%/follow.sh %D%/fence.sh
EXTRA_DIST += %D%/convert.sh %D%/forgets.sh %D%/spread.sh %D%/maintain.sh %D%/missing.sh %D%/reserve.sh %D%/striped.sh %D%/swapped.sh %D%/witness.sh
