# SPDX-License-Identifier: Apache-2.0
# API, library and shell end to end, against a daemon that plays a whole cluster.
check_PROGRAMS += tests/shell/fake-directord
tests_shell_fake_directord_SOURCES = %D%/fake.c
tests_shell_fake_directord_CPPFLAGS = $(AM_CPPFLAGS) $(LIBBSD_CFLAGS)
tests_shell_fake_directord_LDADD = directord/libapi.la proto/libproto.la cluster/libcluster.la base/libbase.la \
	$(SODIUM_LIBS) $(PROTOBUF_C_LIBS) $(EV_LIBS)

SHELL_TESTS = %D%/volumes.sh %D%/transactions.sh %D%/script.sh %D%/refusals.sh %D%/events.sh %D%/completion.sh %D%/copies.sh %D%/sessions.sh %D%/examples.sh
dist_check_SCRIPTS += $(SHELL_TESTS)
TESTS += $(SHELL_TESTS)
EXTRA_DIST += %D%/functions.sh $(SHELL_TESTS:.sh=.ok)
dist_check_SCRIPTS += %D%/manual.sh %D%/interactive.sh %D%/iscsi-usage.sh %D%/dump.sh
TESTS += %D%/manual.sh %D%/dump.sh %D%/interactive.sh %D%/iscsi-usage.sh

check_PROGRAMS += tests/shell/lib
tests_shell_lib_SOURCES = %D%/lib.c
tests_shell_lib_LDADD = lib/libdirector.la proto/libproto.la cluster/libcluster.la base/libbase.la \
	$(SODIUM_LIBS) $(PROTOBUF_C_LIBS)
EXTRA_DIST += tests/bench/shell
