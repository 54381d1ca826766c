# SPDX-License-Identifier: Apache-2.0
# libdirector. It compiles the few nouns that it needs from other rooms itself, so that it links nothing but
# protobuf-c and a program that uses it starts fast.
lib_LTLIBRARIES += lib/libdirector.la
directorincludedir = $(includedir)/director
directorinclude_HEADERS = include/director/client.h
pkgconfigdir = $(libdir)/pkgconfig
nodist_pkgconfig_DATA = lib/director.pc
EXTRA_DIST += lib/director.pc.in lib/libdirector.map
CLEANFILES += lib/director.pc

lib_libdirector_la_CPPFLAGS = $(AM_CPPFLAGS) $(PROTOBUF_C_CFLAGS) $(LIBBSD_CFLAGS)
lib_libdirector_la_LDFLAGS = $(AM_LDFLAGS) -version-info 0:0:0 -no-undefined \
	-Wl,--version-script=$(srcdir)/lib/libdirector.map
lib_libdirector_la_LIBADD = $(PROTOBUF_C_LIBS)
lib_libdirector_la_DEPENDENCIES = lib/libdirector.map
lib_libdirector_la_SOURCES = \
	include/director/client.h \
	%D%/change.c %D%/conn.c %D%/error.c %D%/events.c %D%/history.c %D%/mirror.c %D%/object.c \
	%D%/priv.h %D%/read.c %D%/request.c %D%/task.c %D%/txn.c \
	base/buf.c base/clock.c base/err.c base/mem.c base/text.c cluster/obj.c cluster/txn.c \
	proto/control.c proto/control_pb.c proto/control_reply.c proto/control_req.c
nodist_lib_libdirector_la_SOURCES = proto/control.pb-c.c proto/control.pb-c.h

lib/director.pc: $(srcdir)/lib/director.pc.in Makefile
	$(AM_V_GEN)$(MKDIR_P) lib && sed -e 's|@prefix[@]|$(prefix)|' -e 's|@exec_prefix[@]|$(exec_prefix)|' \
		-e 's|@libdir[@]|$(libdir)|' -e 's|@includedir[@]|$(includedir)|' \
		-e 's|@PACKAGE_VERSION[@]|$(PACKAGE_VERSION)|' -e 's|@PROTOBUF_C_LIBS[@]|$(PROTOBUF_C_LIBS)|' \
		$(srcdir)/lib/director.pc.in > $@
