# SPDX-License-Identifier: Apache-2.0
# API, library and shell end to end, against a daemon that plays a whole cluster.
check_PROGRAMS += tests/shell/fake-directord
tests_shell_fake_directord_SOURCES = %D%/fake.c
tests_shell_fake_directord_CPPFLAGS = $(AM_CPPFLAGS) $(LIBBSD_CFLAGS)
tests_shell_fake_directord_LDADD = directord/libapi.la proto/libproto.la cluster/libcluster.la base/libbase.la \
	$(SODIUM_LIBS) $(PROTOBUF_C_LIBS) $(EV_LIBS)
