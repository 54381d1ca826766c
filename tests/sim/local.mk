# SPDX-License-Identifier: Apache-2.0
# Not a test: run it by hand, see its first lines.
check_PROGRAMS += tests/bench/gossip-scale
tests_bench_gossip_scale_SOURCES = tests/bench/gossip-scale.c %D%/gossip_world.c %D%/gossip_world.h
tests_bench_gossip_scale_LDADD = cluster/libcluster.la proto/libproto.la base/libbase.la $(SODIUM_LIBS)

check_PROGRAMS += tests/sim/gossip
TESTS += tests/sim/gossip
tests_sim_gossip_SOURCES = %D%/gossip.c %D%/gossip_world.c %D%/gossip_world.h
tests_sim_gossip_LDADD = cluster/libcluster.la proto/libproto.la base/libbase.la $(SODIUM_LIBS)
