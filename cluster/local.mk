# SPDX-License-Identifier: Apache-2.0
# Every decision. Pure: no descriptor, clock, thread, environment or randomness.
noinst_LTLIBRARIES += cluster/libcluster.la
cluster_libcluster_la_CPPFLAGS = $(AM_CPPFLAGS) $(SODIUM_CFLAGS) $(LIBBSD_CFLAGS)
cluster_libcluster_la_SOURCES = \
	%D%/id.c %D%/id.h \
	%D%/keys.c %D%/keys.h \
	%D%/obj.c %D%/obj.h \
	%D%/txn.c %D%/txn.h
cluster_libcluster_la_SOURCES += \
	%D%/card.c %D%/card.h \
	%D%/facts.c %D%/facts.h
# Gossip: membership and the spreading of facts.
EXTRA_DIST += doc/gossip.md doc/gossip-scale.svg
cluster_libcluster_la_SOURCES += \
	%D%/box.c %D%/box.h \
	%D%/contact.c \
	%D%/gossip.c %D%/gossip.h %D%/gossip_int.h %D%/gossip_msg.h \
	%D%/gossip_out.c \
	%D%/member.c \
	%D%/pending.c \
	%D%/probe.c \
	%D%/rumor.c \
	%D%/suspicion.c \
	%D%/sync.c
