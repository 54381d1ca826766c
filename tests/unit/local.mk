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

check_PROGRAMS += tests/unit/agree
TESTS += tests/unit/agree
tests_unit_agree_SOURCES = %D%/agree.c %D%/check.h
tests_unit_agree_CPPFLAGS = $(AM_CPPFLAGS) $(SODIUM_CFLAGS)
tests_unit_agree_LDADD = proto/libproto.la cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)

check_PROGRAMS += tests/unit/growth
TESTS += tests/unit/growth
tests_unit_growth_SOURCES = %D%/growth.c %D%/check.h
tests_unit_growth_LDADD = cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)
