# SPDX-License-Identifier: Apache-2.0
# Every decision. Pure: no descriptor, clock, thread, environment or randomness.
noinst_LTLIBRARIES += cluster/libcluster.la
cluster_libcluster_la_CPPFLAGS = $(AM_CPPFLAGS) $(SODIUM_CFLAGS) $(LIBBSD_CFLAGS)
cluster_libcluster_la_SOURCES = \
	%D%/id.c %D%/id.h \
	%D%/keys.c %D%/keys.h \
	%D%/obj.c %D%/obj.h \
	%D%/txn.c %D%/txn.h
# Gossip: membership and the spreading of facts.
cluster_libcluster_la_SOURCES += \
	%D%/card.c %D%/card.h \
	%D%/facts.c %D%/facts.h %D%/said.c %D%/said.h \
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
# Agreement: the log, the roster, the growth of the ring.
cluster_libcluster_la_SOURCES += \
	%D%/roster.c %D%/roster.h %D%/voters.c %D%/growth.c %D%/growth.h %D%/growth_int.h %D%/growth_lead.c \
	%D%/agree.c %D%/agree.h %D%/agree_msg.h %D%/agree_int.h %D%/agree_log.c %D%/agree_log.h \
	%D%/agree_keep.c %D%/agree_view.c %D%/agree_order.c %D%/agree_pull.c %D%/agree_direct.c %D%/agree_ask.c %D%/plant.h
# The namespace.
cluster_libcluster_la_SOURCES += \
	%D%/catalog.c %D%/catalog.h \
	%D%/names.c %D%/names.h %D%/names_int.h %D%/names_status.c %D%/names_volume.c \
	%D%/history.c %D%/history.h \
	%D%/overlay.c %D%/overlay.h \
	%D%/plan.c %D%/plan.h %D%/plan_int.h %D%/plan_make.c %D%/plan_memo.c %D%/plan_copies.c \
	%D%/place.c %D%/place.h \
	%D%/prepare.c %D%/prepare.h %D%/prepare_copies.c %D%/prepare_int.h \
	%D%/schema.c %D%/schema.h \
	%D%/schema_check.c %D%/schema_print.c %D%/schema_table.c \
	%D%/snapshot.c \
	%D%/tree.c %D%/tree.h
# The whole.
cluster_libcluster_la_SOURCES += \
	%D%/admit.c %D%/aside.c %D%/aside.h %D%/carry.c %D%/owner.c %D%/owner_keep.c %D%/owner_view.c %D%/cluster.c %D%/cluster.h %D%/cluster_priv.h %D%/found.c %D%/kept.c %D%/knock.c %D%/level.c %D%/power.c %D%/request.c %D%/rotate.c %D%/ring.c %D%/ring_host.c
# Who serves a mirrored volume, and what of it is agreed.
cluster_libcluster_la_SOURCES += %D%/lunurl.c %D%/lunurl.h
cluster_libcluster_la_SOURCES += %D%/move.c %D%/move.h %D%/overlay_machine.c %D%/volume.c %D%/volume.h
cluster_libcluster_la_SOURCES += %D%/own.c %D%/own.h %D%/own_int.h %D%/own_row.c %D%/own_balance.c
# Floating addresses.
cluster_libcluster_la_SOURCES += %D%/address.c %D%/address.h %D%/float.c %D%/float.h %D%/floating.c %D%/plan_float.c
# Switching nodes off.
cluster_libcluster_la_SOURCES += %D%/fencing.c
