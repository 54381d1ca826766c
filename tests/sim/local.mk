# SPDX-License-Identifier: Apache-2.0
# Not a test: run it by hand, see its first lines.
EXTRA_DIST += %D%/run
check_PROGRAMS += tests/bench/gossip-scale
tests_bench_gossip_scale_SOURCES = tests/bench/gossip-scale.c %D%/gossip_world.c %D%/gossip_world.h
tests_bench_gossip_scale_LDADD = cluster/libcluster.la proto/libproto.la base/libbase.la $(SODIUM_LIBS)

check_PROGRAMS += tests/sim/gossip
TESTS += tests/sim/gossip
tests_sim_gossip_SOURCES = %D%/gossip.c %D%/gossip_world.c %D%/gossip_world.h
tests_sim_gossip_LDADD = cluster/libcluster.la proto/libproto.la base/libbase.la $(SODIUM_LIBS)
# Agreement under faults. sim_agree_planted has bugs built in that it must find.
sim_agree_world = %D%/agree_node.c %D%/agree_node.h %D%/agree_check.c %D%/agree_check.h %D%/world.c %D%/world.h \
	%D%/cpg.c %D%/cpg.h %D%/net.c %D%/net.h %D%/store.c %D%/store.h
sim_agree_libs = proto/libproto.la cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)
check_PROGRAMS += tests/sim/sim_agree tests/sim/sim_agree_planted tests/sim/sim_golden
dist_check_SCRIPTS += %D%/planted.sh tests/golden/agree.sh
TESTS += tests/sim/sim_agree %D%/planted.sh tests/golden/agree.sh
EXTRA_DIST += tests/golden/agree-join.trace tests/golden/agree-cut-off.trace tests/golden/agree-power-loss.trace \
	tests/golden/agree-disk-full.trace tests/golden/agree-sequencer-hangs.trace
tests_sim_sim_agree_SOURCES = %D%/agree.c $(sim_agree_world)
tests_sim_sim_agree_CPPFLAGS = $(AM_CPPFLAGS) $(SODIUM_CFLAGS)
tests_sim_sim_agree_LDADD = $(sim_agree_libs)
tests_sim_sim_golden_SOURCES = %D%/agree_golden.c $(sim_agree_world)
tests_sim_sim_golden_CPPFLAGS = $(AM_CPPFLAGS) $(SODIUM_CFLAGS)
tests_sim_sim_golden_LDADD = $(sim_agree_libs)
tests_sim_sim_agree_planted_SOURCES = %D%/agree.c $(sim_agree_world) cluster/id.c cluster/roster.c cluster/voters.c \
	cluster/agree.c cluster/agree_keep.c cluster/agree_log.c cluster/agree_view.c cluster/agree_order.c cluster/agree_pull.c \
	cluster/agree_direct.c cluster/agree_ask.c
tests_sim_sim_agree_planted_CPPFLAGS = $(AM_CPPFLAGS) $(SODIUM_CFLAGS) -DDIRECTOR_PLANT
tests_sim_sim_agree_planted_LDADD = proto/libproto.la base/libbase.la $(SODIUM_LIBS)

check_PROGRAMS += tests/sim/sim_cluster
TESTS += tests/sim/sim_cluster
tests_sim_sim_cluster_SOURCES = %D%/sim_cluster.c %D%/cluster_data.c %D%/cluster_data.h %D%/world.c %D%/world.h %D%/cpg.c %D%/cpg.h
tests_sim_sim_cluster_CPPFLAGS = $(AM_CPPFLAGS) $(SODIUM_CFLAGS) $(LIBBSD_CFLAGS)
tests_sim_sim_cluster_LDADD = proto/libproto.la cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)

# Initiator against target.
check_PROGRAMS += tests/sim/iscsi
TESTS += tests/sim/iscsi
tests_sim_iscsi_SOURCES = %D%/iscsi.c %D%/iscsi_world.c %D%/iscsi_world.h
tests_sim_iscsi_LDADD = target/iscsi/libini.la $(TARGET_ROOMS)
# Mirrored volumes under faults. sim_mirror_planted has protections taken out that must be missed.
sim_mirror_world = %D%/sim_mirror.c %D%/mirror_world.h %D%/mirror_log.c %D%/mirror_node.c %D%/mirror_target.c %D%/world.c %D%/world.h \
	plugins/mirror/assemble.c plugins/mirror/machine.c plugins/mirror/machine_bits.c plugins/mirror/machine_copy.c plugins/mirror/machine_scrub.c plugins/mirror/machine_size.c \
	plugins/mirror/machine.h plugins/mirror/machine_int.h cluster/own.c cluster/own_row.c
check_PROGRAMS += tests/sim/sim_mirror tests/sim/sim_mirror_planted
TESTS += tests/sim/sim_mirror
dist_check_SCRIPTS += %D%/mirror_planted.sh
tests_sim_sim_mirror_SOURCES = $(sim_mirror_world)
tests_sim_sim_mirror_CPPFLAGS = $(AM_CPPFLAGS) -DSIM_MIRROR
tests_sim_sim_mirror_LDADD = cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)
tests_sim_sim_mirror_planted_SOURCES = $(sim_mirror_world)
tests_sim_sim_mirror_planted_CPPFLAGS = $(AM_CPPFLAGS) -DDIRECTOR_PLANT
tests_sim_sim_mirror_planted_LDADD = cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)
# The smallest model of the same rules, searched whole.
dist_check_SCRIPTS += tests/model/own.sh
EXTRA_DIST += tests/model/own.pml tests/model/silence.pml
