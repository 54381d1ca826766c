# SPDX-License-Identifier: Apache-2.0
# Each program links the library of one room and what that room may include.
check_PROGRAMS += tests/unit/base
TESTS += tests/unit/base
tests_unit_base_SOURCES = %D%/base.c %D%/check.h
tests_unit_base_LDADD = base/libbase.la

check_PROGRAMS += tests/unit/keys
TESTS += tests/unit/keys
tests_unit_keys_SOURCES = %D%/keys.c %D%/check.h
tests_unit_keys_CPPFLAGS = $(AM_CPPFLAGS) $(SODIUM_CFLAGS)
tests_unit_keys_LDADD = cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)

check_PROGRAMS += tests/unit/facts tests/unit/seal tests/unit/gossip
TESTS += tests/unit/facts tests/unit/seal tests/unit/gossip
tests_unit_facts_SOURCES = %D%/facts.c %D%/check.h
tests_unit_facts_LDADD = cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)
tests_unit_seal_SOURCES = %D%/seal.c %D%/check.h
tests_unit_seal_CPPFLAGS = $(AM_CPPFLAGS) $(SODIUM_CFLAGS)
tests_unit_seal_LDADD = proto/libproto.la cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)
tests_unit_gossip_SOURCES = %D%/gossip.c %D%/check.h
tests_unit_gossip_CPPFLAGS = $(AM_CPPFLAGS) $(SODIUM_CFLAGS)
tests_unit_gossip_LDADD = cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)
