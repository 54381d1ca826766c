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
