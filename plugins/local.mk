# SPDX-License-Identifier: Apache-2.0
# Plugins, and the host side of them. An uninstalled tree is used with DIRECTOR_PLUGIN_PATH=<build>/plugins:
# the loader looks into plugins/NAME/.libs/NAME.so.

# The loader and the backstore host: for director-target, director-plugin-run, director-plugin-test.
noinst_LTLIBRARIES += target/serve/libhost.la
target_serve_libhost_la_SOURCES = \
	target/serve/loader.c target/serve/loader.h target/serve/params.c \
	target/serve/backstore.c target/serve/backstore.h \
	target/serve/bs_host.c target/serve/bs_host.h target/serve/bs_queue.c target/serve/bs_service.c \
	target/serve/bs_pool.c target/serve/bs_submit.c target/serve/bs_emulate.c target/serve/bs_range.c target/serve/bs_checksum.c \
	target/serve/bs_lend.c target/serve/bs_share.c
target_serve_libhost_la_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS) $(LIBBSD_CFLAGS) $(SODIUM_CFLAGS)
target_serve_libhost_la_LIBADD = base/libbase.la $(JANSSON_LIBS) $(LIBBSD_LIBS) $(SODIUM_LIBS)

PLUGIN_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -export-symbols-regex '^director_plugin$$'

PLUGIN_ERR = %D%/common/err.c %D%/common/err.h
PLUGIN_PIECES = $(PLUGIN_ERR) %D%/common/slice.h
PLUGIN_DISK = $(PLUGIN_ERR) %D%/common/disk.c %D%/common/disk.h %D%/common/life.h %D%/common/ring.c %D%/common/aside.c \
	%D%/common/order.c
plugin_LTLIBRARIES += plugins/file/file.la plugins/block/block.la plugins/ram/ram.la \
	plugins/fault/fault.la plugins/delay/delay.la plugins/log/log.la plugins/null/null.la plugins/nbd/nbd.la \
	plugins/pscsi/pscsi.la

plugins_file_file_la_SOURCES = %D%/file/file.c $(PLUGIN_DISK)
plugins_file_file_la_CFLAGS = $(AM_CFLAGS) $(URING_CFLAGS)
plugins_file_file_la_LDFLAGS = $(PLUGIN_LDFLAGS)
plugins_file_file_la_LIBADD = $(URING_LIBS)
plugins_block_block_la_SOURCES = %D%/block/block.c $(PLUGIN_DISK)
plugins_block_block_la_CFLAGS = $(AM_CFLAGS) $(URING_CFLAGS)
plugins_block_block_la_LDFLAGS = $(PLUGIN_LDFLAGS)
plugins_block_block_la_LIBADD = $(URING_LIBS)
plugins_ram_ram_la_SOURCES = %D%/ram/ram.c %D%/common/life.h $(PLUGIN_ERR)
plugins_ram_ram_la_LDFLAGS = $(PLUGIN_LDFLAGS)
plugins_null_null_la_SOURCES = %D%/null/null.c
plugins_null_null_la_LDFLAGS = $(PLUGIN_LDFLAGS)
plugins_nbd_nbd_la_SOURCES = %D%/nbd/nbd.c %D%/nbd/wire.c %D%/nbd/nbd.h $(PLUGIN_ERR)
plugins_nbd_nbd_la_CFLAGS = $(AM_CFLAGS) $(NBD_CFLAGS)
plugins_nbd_nbd_la_LDFLAGS = $(PLUGIN_LDFLAGS)
plugins_nbd_nbd_la_LIBADD = $(NBD_LIBS)
plugins_pscsi_pscsi_la_SOURCES = %D%/pscsi/pscsi.c %D%/pscsi/learn.c %D%/pscsi/command.c %D%/pscsi/pscsi.h $(PLUGIN_ERR)
plugins_pscsi_pscsi_la_LDFLAGS = $(PLUGIN_LDFLAGS)
check_LTLIBRARIES += tests/plugins/sg_fake.la
tests_plugins_sg_fake_la_SOURCES = tests/plugins/sg_fake.c
tests_plugins_sg_fake_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -rpath /nowhere
check_LTLIBRARIES += tests/plugins/uring_fake.la
tests_plugins_uring_fake_la_SOURCES = tests/plugins/uring_fake.c
tests_plugins_uring_fake_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -rpath /nowhere
plugins_fault_fault_la_SOURCES = %D%/fault/fault.c
plugins_fault_fault_la_LDFLAGS = $(PLUGIN_LDFLAGS)
plugins_delay_delay_la_SOURCES = %D%/delay/delay.c
plugins_delay_delay_la_LDFLAGS = $(PLUGIN_LDFLAGS)
plugins_log_log_la_SOURCES = %D%/log/log.c
plugins_log_log_la_LDFLAGS = $(PLUGIN_LDFLAGS)

plugin_LTLIBRARIES += plugins/mirror/mirror.la
plugins_mirror_mirror_la_SOURCES = %D%/mirror/mirror.c %D%/mirror/mirror.h %D%/mirror/mirror_thread.c %D%/mirror/mirror_io.c \
	%D%/mirror/mirror_gate.c %D%/mirror/mirror_leg.c %D%/mirror/mirror_legs.c \
	%D%/mirror/assemble.c %D%/mirror/machine.c %D%/mirror/machine_bits.c %D%/mirror/machine_copy.c %D%/mirror/machine_scrub.c %D%/mirror/machine_size.c %D%/mirror/machine.h \
	%D%/mirror/machine_int.h %D%/mirror/meta.c %D%/mirror/meta.h $(PLUGIN_ERR)
plugins_mirror_mirror_la_LDFLAGS = $(PLUGIN_LDFLAGS)
plugins_mirror_mirror_la_LIBADD = base/libbase.la $(LIBBSD_LIBS)

plugin_LTLIBRARIES += plugins/stripe/stripe.la
plugins_stripe_stripe_la_SOURCES = %D%/stripe/stripe.c $(PLUGIN_PIECES)
plugins_stripe_stripe_la_LDFLAGS = $(PLUGIN_LDFLAGS)

plugin_LTLIBRARIES += plugins/tail/tail.la
plugins_tail_tail_la_SOURCES = %D%/tail/tail.c $(PLUGIN_PIECES)
plugins_tail_tail_la_LDFLAGS = $(PLUGIN_LDFLAGS)

# The numbered examples: built with every build so that they stay true, not installed. -rpath makes a module of them.
noinst_LTLIBRARIES += plugins/example1/example1.la plugins/example2/example2.la plugins/example3/example3.la
PLUGIN_HERE_LDFLAGS = $(PLUGIN_LDFLAGS) -rpath /nowhere
plugins_example1_example1_la_SOURCES = %D%/example1/example1.c
plugins_example1_example1_la_LDFLAGS = $(PLUGIN_HERE_LDFLAGS)
plugins_example2_example2_la_SOURCES = %D%/example2/example2.c
plugins_example2_example2_la_LDFLAGS = $(PLUGIN_HERE_LDFLAGS)
plugins_example3_example3_la_SOURCES = %D%/example3/example3.c
plugins_example3_example3_la_LDFLAGS = $(PLUGIN_HERE_LDFLAGS)

noinst_PROGRAMS += tests/bench/backstore tests/bench/echo
tests_bench_echo_SOURCES = tests/bench/echo.c
tests_bench_backstore_SOURCES = tests/bench/backstore.c
tests_bench_backstore_LDADD = target/serve/libhost.la base/libbase.la

# The conformance kit, and plugins that it must refuse.
bin_PROGRAMS += director-plugin-test
director_plugin_test_SOURCES = %D%/kit/main.c %D%/kit/kit.c %D%/kit/kit.h %D%/kit/life.c %D%/kit/data.c %D%/kit/crash.c
director_plugin_test_LDADD = target/serve/libhost.la base/libbase.la

check_LTLIBRARIES += tests/plugins/bad-none.la tests/plugins/bad-double.la tests/plugins/bad-lost.la \
	tests/plugins/bad-size.la tests/plugins/bad-block.la tests/plugins/bad-silent.la tests/plugins/bad-leak.la \
	tests/plugins/bad-tail.la tests/plugins/bad-holder.la
tests_plugins_bad_holder_la_SOURCES = tests/plugins/bad.c
tests_plugins_bad_holder_la_CPPFLAGS = $(AM_CPPFLAGS) -DBAD=HOLDER
tests_plugins_bad_holder_la_LDFLAGS = $(PLUGIN_HERE_LDFLAGS)
tests_plugins_bad_none_la_SOURCES = tests/plugins/bad.c
tests_plugins_bad_none_la_CPPFLAGS = $(AM_CPPFLAGS) -DBAD=NONE
tests_plugins_bad_none_la_LDFLAGS = $(PLUGIN_HERE_LDFLAGS)
tests_plugins_bad_double_la_SOURCES = tests/plugins/bad.c
tests_plugins_bad_double_la_CPPFLAGS = $(AM_CPPFLAGS) -DBAD=DOUBLE
tests_plugins_bad_double_la_LDFLAGS = $(PLUGIN_HERE_LDFLAGS)
tests_plugins_bad_lost_la_SOURCES = tests/plugins/bad.c
tests_plugins_bad_lost_la_CPPFLAGS = $(AM_CPPFLAGS) -DBAD=LOST
tests_plugins_bad_lost_la_LDFLAGS = $(PLUGIN_HERE_LDFLAGS)
tests_plugins_bad_size_la_SOURCES = tests/plugins/bad.c
tests_plugins_bad_size_la_CPPFLAGS = $(AM_CPPFLAGS) -DBAD=SIZE
tests_plugins_bad_size_la_LDFLAGS = $(PLUGIN_HERE_LDFLAGS)
tests_plugins_bad_block_la_SOURCES = tests/plugins/bad.c
tests_plugins_bad_block_la_CPPFLAGS = $(AM_CPPFLAGS) -DBAD=BLOCK
tests_plugins_bad_block_la_LDFLAGS = $(PLUGIN_HERE_LDFLAGS)
tests_plugins_bad_silent_la_SOURCES = tests/plugins/bad.c
tests_plugins_bad_silent_la_CPPFLAGS = $(AM_CPPFLAGS) -DBAD=SILENT
tests_plugins_bad_silent_la_LDFLAGS = $(PLUGIN_HERE_LDFLAGS)
tests_plugins_bad_leak_la_SOURCES = tests/plugins/bad.c
tests_plugins_bad_leak_la_CPPFLAGS = $(AM_CPPFLAGS) -DBAD=LEAK
tests_plugins_bad_leak_la_LDFLAGS = $(PLUGIN_HERE_LDFLAGS)
tests_plugins_bad_tail_la_SOURCES = tests/plugins/bad.c
tests_plugins_bad_tail_la_CPPFLAGS = $(AM_CPPFLAGS) -DBAD=TAIL
tests_plugins_bad_tail_la_LDFLAGS = $(PLUGIN_HERE_LDFLAGS)

# Control-plane plugins: run in a process of their own.
plugin_LTLIBRARIES += plugins/device-local/device-local.la
plugins_device_local_device_local_la_SOURCES = %D%/device-local/device-local.c %D%/device-local/local.h \
	%D%/device-local/used.c %D%/device-local/signature.c
plugins_device_local_device_local_la_LDFLAGS = $(PLUGIN_LDFLAGS)
pkglibexec_PROGRAMS += director-plugin-run
director_plugin_run_SOURCES = %D%/run/main.c
director_plugin_run_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
director_plugin_run_LDADD = target/serve/libhost.la base/libbase.la $(JANSSON_LIBS)
EXTRA_DIST += plugins/example4-exec/example4-exec
plugin_PROGRAMS = plugins/fence-agent/fence-agent
plugins_fence_agent_fence_agent_SOURCES = %D%/fence-agent/main.c
plugins_fence_agent_fence_agent_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
plugins_fence_agent_fence_agent_LDADD = $(JANSSON_LIBS)

# directord's side of plugins: linked into directord.
noinst_LTLIBRARIES += directord/libplugins.la
directord_libplugins_la_SOURCES = directord/plugins.c directord/plugins.h directord/plugin_run.c directord/plugin_run.h \
	directord/plugin_answer.c directord/plugin_answer.h
directord_libplugins_la_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS) $(LIBBSD_CFLAGS)
directord_libplugins_la_LIBADD = $(JANSSON_LIBS) $(EV_LIBS)

# Each plugin's test: the kit on it, and what is its own.
PLUGIN_TESTS = %D%/ram/test.sh %D%/file/test.sh %D%/block/test.sh %D%/fault/test.sh %D%/delay/test.sh %D%/log/test.sh %D%/mirror/test.sh %D%/stripe/test.sh %D%/tail/test.sh \
	%D%/null/test.sh %D%/nbd/test.sh %D%/pscsi/test.sh \
	%D%/device-local/test.sh %D%/example1/test.sh %D%/example2/test.sh %D%/example3/test.sh \
	%D%/example4-exec/test.sh %D%/fence-agent/test.sh tests/plugins/kit.sh
dist_check_SCRIPTS += $(PLUGIN_TESTS)
TESTS += $(PLUGIN_TESTS)
EXTRA_DIST += %D%/test-lib.sh

pkginclude_HEADERS += include/director/plugin.h
dist_man_MANS += %D%/director-plugin.3 %D%/kit/director-plugin-test.1 %D%/run/director-plugin-run.8 \
	%D%/block/director-plugin-block.7 %D%/delay/director-plugin-delay.7 \
	%D%/device-local/director-plugin-device-local.7 %D%/fault/director-plugin-fault.7 \
	%D%/nbd/director-plugin-nbd.7 %D%/null/director-plugin-null.7 \
	%D%/pscsi/director-plugin-pscsi.7 \
	%D%/file/director-plugin-file.7 %D%/log/director-plugin-log.7 %D%/mirror/director-plugin-mirror.7 %D%/stripe/director-plugin-stripe.7 %D%/tail/director-plugin-tail.7 %D%/ram/director-plugin-ram.7

# A LUN elsewhere: the initiator goes into the plugin.
plugin_LTLIBRARIES += plugins/iscsi/iscsi.la
plugins_iscsi_iscsi_la_SOURCES = %D%/iscsi/iscsi.c %D%/iscsi/inner.c %D%/iscsi/loops.c %D%/iscsi/claim.c %D%/iscsi/hold.c %D%/iscsi/hold.h %D%/iscsi/lun.h $(PLUGIN_ERR)
plugins_iscsi_iscsi_la_LDFLAGS = $(PLUGIN_LDFLAGS)
plugins_iscsi_iscsi_la_LIBADD = initiator/libinitiator.la
dist_check_SCRIPTS += %D%/iscsi/test.sh
TESTS += %D%/iscsi/test.sh
dist_man_MANS += %D%/iscsi/director-plugin-iscsi.7
dist_man_MANS += plugins/fence-agent/director-plugin-fence-agent.7
