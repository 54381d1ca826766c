# SPDX-License-Identifier: Apache-2.0

check_PROGRAMS += tests/sim/gossip
TESTS += tests/sim/gossip
tests_sim_gossip_SOURCES = %D%/gossip.c %D%/gossip_world.c %D%/gossip_world.h
tests_sim_gossip_LDADD = cluster/libcluster.la proto/libproto.la base/libbase.la $(SODIUM_LIBS)
