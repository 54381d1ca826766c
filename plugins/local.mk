# SPDX-License-Identifier: Apache-2.0
# Plugins, and the host side of them. An uninstalled tree is used with DIRECTOR_PLUGIN_PATH=<build>/plugins:
# the loader looks into plugins/NAME/.libs/NAME.so.

# The loader and the backstore host: for director-target, director-plugin-run, director-plugin-test.
noinst_LTLIBRARIES += target/serve/libhost.la
target_serve_libhost_la_SOURCES = \
	target/serve/loader.c target/serve/loader.h target/serve/params.c \
	target/serve/backstore.c target/serve/backstore.h \
	target/serve/bs_host.c target/serve/bs_host.h target/serve/bs_queue.c target/serve/bs_service.c \
	target/serve/bs_pool.c target/serve/bs_submit.c target/serve/bs_emulate.c target/serve/bs_range.c
target_serve_libhost_la_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS) $(LIBBSD_CFLAGS)
target_serve_libhost_la_LIBADD = base/libbase.la $(JANSSON_LIBS) $(LIBBSD_LIBS)

PLUGIN_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -export-symbols-regex '^director_plugin$$'

plugin_LTLIBRARIES += plugins/file/file.la plugins/ram/ram.la
PLUGIN_DISK = %D%/common/disk.c %D%/common/disk.h %D%/common/ring.c %D%/common/aside.c
plugins_file_file_la_SOURCES = %D%/file/file.c $(PLUGIN_DISK)
plugins_file_file_la_CFLAGS = $(AM_CFLAGS) $(URING_CFLAGS)
plugins_file_file_la_LDFLAGS = $(PLUGIN_LDFLAGS)
plugins_file_file_la_LIBADD = $(URING_LIBS)
plugins_ram_ram_la_SOURCES = %D%/ram/ram.c
plugins_ram_ram_la_LDFLAGS = $(PLUGIN_LDFLAGS)

noinst_PROGRAMS += tests/bench/backstore
tests_bench_backstore_SOURCES = tests/bench/backstore.c
tests_bench_backstore_LDADD = target/serve/libhost.la base/libbase.la
