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

# The backstore host and the loader.
check_PROGRAMS += tests/unit/backstore
TESTS += tests/unit/backstore
tests_unit_backstore_SOURCES = %D%/backstore.c %D%/check.h
tests_unit_backstore_LDADD = target/serve/libhost.la base/libbase.la

# The target's pure rooms, alone, over a disk in memory.
TARGET_ROOMS = target/scsi/libscsi.la target/iscsi/libiscsi.la base/libbase.la
TARGET_TESTS = tests/unit/iscsi_keys tests/unit/iscsi_login tests/unit/iscsi_conn tests/unit/scsi
check_PROGRAMS += $(TARGET_TESTS)
TESTS += $(TARGET_TESTS)
check_LTLIBRARIES += tests/unit/libworld.la
tests_unit_libworld_la_SOURCES = %D%/target_world.c %D%/target_world.h
tests_unit_iscsi_keys_SOURCES = %D%/iscsi_keys.c %D%/check.h
tests_unit_iscsi_keys_LDADD = $(TARGET_ROOMS)
tests_unit_iscsi_login_SOURCES = %D%/iscsi_login.c %D%/check.h
tests_unit_iscsi_login_LDADD = tests/unit/libworld.la $(TARGET_ROOMS)
tests_unit_iscsi_conn_SOURCES = %D%/iscsi_conn.c %D%/check.h
tests_unit_iscsi_conn_LDADD = tests/unit/libworld.la $(TARGET_ROOMS)
tests_unit_scsi_SOURCES = %D%/scsi.c %D%/check.h
tests_unit_scsi_LDADD = $(TARGET_ROOMS)
check_PROGRAMS += tests/unit/plugins
TESTS += tests/unit/plugins
tests_unit_plugins_SOURCES = %D%/plugins.c %D%/check.h
tests_unit_plugins_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_plugins_LDADD = directord/libplugins.la cluster/libcluster.la base/libbase.la $(JANSSON_LIBS) $(EV_LIBS)
check_PROGRAMS += tests/unit/loader tests/unit/filters
TESTS += tests/unit/loader tests/unit/filters
tests_unit_loader_SOURCES = %D%/loader.c %D%/check.h
tests_unit_loader_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_loader_LDADD = target/serve/libhost.la base/libbase.la $(JANSSON_LIBS)
tests_unit_filters_SOURCES = %D%/filters.c %D%/check.h
tests_unit_filters_LDADD = target/serve/libhost.la base/libbase.la
