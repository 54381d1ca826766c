# SPDX-License-Identifier: Apache-2.0
# libdirector-iscsi: sockets, time and threads around the initiator of target/iscsi. The sources go into one archive, which
# the shared library and the plugin are made of.
noinst_LTLIBRARIES += initiator/libinitiator.la
initiator_libinitiator_la_SOURCES = include/director/iscsi.h %D%/priv.h %D%/address.c %D%/disk.c %D%/discover.c %D%/io.c %D%/judge.c \
	%D%/lookup.c %D%/loop.c %D%/session.c %D%/stay.c $(INI_SOURCES) target/iscsi/chap.c target/iscsi/keys.c target/iscsi/pdu.c \
	base/buf.c base/clock.c base/crc32c.c base/err.c base/mem.c base/pin.c base/seat.c base/text.c
initiator_libinitiator_la_CFLAGS = $(AM_CFLAGS) $(NETTLE_CFLAGS)
initiator_libinitiator_la_LIBADD = $(NETTLE_LIBS) -lpthread

lib_LTLIBRARIES += initiator/libdirector-iscsi.la
initiator_libdirector_iscsi_la_SOURCES =
initiator_libdirector_iscsi_la_LIBADD = initiator/libinitiator.la
initiator_libdirector_iscsi_la_LDFLAGS = $(AM_LDFLAGS) -version-info 0:0:0 -no-undefined \
	-Wl,--version-script=$(srcdir)/initiator/libdirector-iscsi.map
initiator_libdirector_iscsi_la_DEPENDENCIES = initiator/libinitiator.la initiator/libdirector-iscsi.map
directorinclude_HEADERS += include/director/iscsi.h
nodist_pkgconfig_DATA += initiator/director-iscsi.pc
EXTRA_DIST += initiator/director-iscsi.pc.in initiator/libdirector-iscsi.map
CLEANFILES += initiator/director-iscsi.pc
initiator/director-iscsi.pc: $(srcdir)/initiator/director-iscsi.pc.in Makefile
	$(AM_V_GEN)$(MKDIR_P) initiator && sed -e 's|@prefix[@]|$(prefix)|' -e 's|@exec_prefix[@]|$(exec_prefix)|' \
		-e 's|@libdir[@]|$(libdir)|' -e 's|@includedir[@]|$(includedir)|' \
		-e 's|@PACKAGE_VERSION[@]|$(PACKAGE_VERSION)|' -e 's|@NETTLE_LIBS[@]|$(NETTLE_LIBS)|' \
		$(srcdir)/initiator/director-iscsi.pc.in > $@

bin_PROGRAMS += director-iscsi
director_iscsi_SOURCES = %D%/tool.h %D%/tool_main.c %D%/tool_bench.c %D%/tool_data.c %D%/tool_verify.c \
	%D%/nbd.c %D%/nbd.h %D%/tool_serve.c
director_iscsi_LDADD = initiator/libdirector-iscsi.la base/libbase.la -lpthread
dist_man_MANS += %D%/director-iscsi.1
dist_bashcomp_DATA += %D%/completion/director-iscsi
