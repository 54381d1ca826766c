# SPDX-License-Identifier: Apache-2.0
# Every decision. Pure: no descriptor, clock, thread, environment or randomness.
noinst_LTLIBRARIES += cluster/libcluster.la
cluster_libcluster_la_CPPFLAGS = $(AM_CPPFLAGS) $(SODIUM_CFLAGS) $(LIBBSD_CFLAGS)
cluster_libcluster_la_SOURCES = \
	%D%/id.c %D%/id.h \
	%D%/keys.c %D%/keys.h \
	%D%/obj.c %D%/obj.h \
	%D%/txn.c %D%/txn.h \
	%D%/roster.c %D%/roster.h %D%/voters.c \
	%D%/agree.c %D%/agree.h %D%/agree_msg.h %D%/agree_int.h %D%/agree_log.c %D%/agree_log.h \
	%D%/agree_keep.c %D%/agree_view.c %D%/agree_order.c %D%/agree_pull.c %D%/agree_ask.c %D%/plant.h
cluster_libcluster_la_SOURCES += %D%/growth.c %D%/growth.h
