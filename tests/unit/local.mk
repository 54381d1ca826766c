# SPDX-License-Identifier: Apache-2.0
# Each program links the library of one room and what that room may include.
check_PROGRAMS += tests/unit/base
TESTS += tests/unit/base
tests_unit_base_SOURCES = %D%/base.c %D%/check.h
tests_unit_base_LDADD = base/libbase.la

check_PROGRAMS += tests/unit/store
TESTS += tests/unit/store
tests_unit_store_SOURCES = %D%/store.c %D%/crashvfs.c %D%/crashvfs.h %D%/check.h
tests_unit_store_CFLAGS = $(AM_CFLAGS) $(SQLITE_CFLAGS)
tests_unit_store_LDADD = directord/libstore.la base/libbase.la $(SQLITE_LIBS) $(EV_LIBS) -lpthread

check_PROGRAMS += tests/unit/corosync_conf
TESTS += tests/unit/corosync_conf
tests_unit_corosync_conf_SOURCES = %D%/corosync_conf.c %D%/check.h
tests_unit_corosync_conf_LDADD = directord/libring.la base/libbase.la

check_PROGRAMS += tests/unit/keys
TESTS += tests/unit/keys
tests_unit_keys_SOURCES = %D%/keys.c %D%/check.h
tests_unit_keys_CPPFLAGS = $(AM_CPPFLAGS) $(SODIUM_CFLAGS)
tests_unit_keys_LDADD = cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)

