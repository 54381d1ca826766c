# SPDX-License-Identifier: Apache-2.0
# Every decision. Pure: no descriptor, clock, thread, environment or randomness.
noinst_LTLIBRARIES += cluster/libcluster.la
cluster_libcluster_la_CPPFLAGS = $(AM_CPPFLAGS) $(SODIUM_CFLAGS) $(LIBBSD_CFLAGS)
cluster_libcluster_la_SOURCES = \
	%D%/id.c %D%/id.h \
	%D%/keys.c %D%/keys.h \
	%D%/obj.c %D%/obj.h \
	%D%/txn.c %D%/txn.h
