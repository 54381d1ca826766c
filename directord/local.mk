# SPDX-License-Identifier: Apache-2.0
# The world around cluster/. A library of adapters, so that tests link them one by one, and the program.
noinst_LTLIBRARIES += directord/libworld.la
directord_libworld_la_CPPFLAGS = $(AM_CPPFLAGS) -D_GNU_SOURCE $(SODIUM_CFLAGS) $(ZMQ_CFLAGS) $(AVAHI_CFLAGS) $(LIBBSD_CFLAGS) $(MNL_CFLAGS)
directord_libworld_la_SOURCES = \
	%D%/avahi_client.c %D%/avahi_core.c \
	%D%/avahi_ev.c %D%/avahi_ev.h \
	%D%/avahi_names.c %D%/avahi_own.c \
	%D%/avahi_way.c %D%/avahi_way.h \
	%D%/claim.c %D%/claim.h \
	%D%/conf.c %D%/conf.h \
	%D%/discover.c %D%/discover.h \
	%D%/file.c %D%/file.h \
	%D%/floataddr.c %D%/floataddr.h \
	%D%/identity.c %D%/identity.h \
	%D%/logger.c %D%/logger.h \
	%D%/mesh.c %D%/mesh.h \
	%D%/netaddr.c %D%/netaddr.h \
	%D%/notify.c %D%/notify.h \
	%D%/record.c %D%/record.h \
	%D%/rtaddr.c %D%/rtaddr.h \
	%D%/tcpend.c %D%/tcpend.h %D%/trim.c %D%/trim.h \
	%D%/seeds.c %D%/seeds.h \
	%D%/sock.c %D%/sock.h \
	%D%/udp.c %D%/udp.h
directord_libworld_la_LIBADD = $(EV_LIBS) $(MNL_LIBS) $(ZMQ_LIBS) $(AVAHI_LIBS) $(SODIUM_LIBS) -lpthread

# The control socket's server; what it serves comes in as struct api_ops, so tests link it with their own.
noinst_LTLIBRARIES += directord/libapi.la
directord_libapi_la_CPPFLAGS = $(AM_CPPFLAGS) $(LIBBSD_CFLAGS)
directord_libapi_la_LIBADD = $(EV_LIBS)
directord_libapi_la_SOURCES = \
	%D%/api.c %D%/api.h %D%/api_priv.h \
	%D%/api_candidate.c %D%/api_client.c %D%/api_events.c %D%/api_list.c %D%/api_mask.c %D%/api_request.c \
	%D%/view.c %D%/view.h %D%/view_priv.h %D%/view_status.c
# Adapters that tests link alone, as libraries of the daemon.
noinst_LTLIBRARIES += directord/libstore.la
directord_libstore_la_SOURCES = \
	%D%/store.c %D%/store.h \
	%D%/storedb.c %D%/storedb.h %D%/storedb_int.h \
	%D%/storeput.c %D%/storeload.c \
	%D%/factsdb.c %D%/factsdb.h
directord_libstore_la_CFLAGS = $(AM_CFLAGS) $(SQLITE_CFLAGS) -pthread
directord_libstore_la_LIBADD = base/libbase.la $(SQLITE_LIBS) $(EV_LIBS) -lpthread

noinst_LTLIBRARIES += directord/libring.la
directord_libring_la_SOURCES = \
	%D%/cpg.c %D%/cpg.h \
	%D%/corosync.c %D%/corosync.h %D%/corosync_int.h \
	%D%/corosync_conf.c %D%/corosync_call.c
directord_libring_la_CFLAGS = $(AM_CFLAGS) $(COROSYNC_CFLAGS) $(SODIUM_CFLAGS) -pthread
directord_libring_la_LIBADD = base/libbase.la $(COROSYNC_LIBS) -lcorosync_common $(SODIUM_LIBS) $(EV_LIBS) -lpthread

sbin_PROGRAMS += directord/directord
directord_directord_CPPFLAGS = $(AM_CPPFLAGS) -D_GNU_SOURCE $(SODIUM_CFLAGS) $(JANSSON_CFLAGS) $(LIBBSD_CFLAGS) -DVERSION='"$(PACKAGE_VERSION)"'
directord_directord_SOURCES = \
	%D%/answer.c %D%/answer.h \
	%D%/fence.c %D%/fence.h %D%/drive.c %D%/drive.h %D%/target.c %D%/target.h \
	%D%/main.c \
	%D%/run.c %D%/run.h %D%/run_int.h \
	%D%/run_disk.c %D%/run_facts.c %D%/run_host.c %D%/run_net.c %D%/run_ring.c
directord_directord_LDADD = directord/libplugins.la directord/libworld.la directord/libapi.la directord/libstore.la directord/libring.la \
	proto/libproto.la cluster/libcluster.la base/libbase.la $(JANSSON_LIBS) $(EV_LIBS) $(SODIUM_LIBS)

# What the system needs to run it.
EXTRA_DIST += %D%/directord.service.in %D%/director.sysusers %D%/director.tmpfiles
CLEANFILES += %D%/directord.service
systemdsystemunit_DATA = %D%/directord.service
directord/directord.service: %D%/directord.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) directord && $(SED) -e 's|@sbindir[@]|$(sbindir)|g' -e 's|@sysconfdir[@]|$(sysconfdir)|g' \
		$(srcdir)/directord/directord.service.in >$@
install-data-hook: install-directord
install-directord:
	$(MKDIR_P) $(DESTDIR)$(sysusersdir) $(DESTDIR)$(tmpfilesdir) $(DESTDIR)$(sysconfdir)/director
	$(INSTALL_DATA) $(srcdir)/directord/director.sysusers $(DESTDIR)$(sysusersdir)/director.conf
	$(INSTALL_DATA) $(srcdir)/directord/director.tmpfiles $(DESTDIR)$(tmpfilesdir)/director.conf
	test -e $(DESTDIR)$(sysconfdir)/director/director.conf || \
		$(INSTALL_DATA) $(srcdir)/doc/director.conf $(DESTDIR)$(sysconfdir)/director/director.conf
uninstall-hook: uninstall-directord
uninstall-directord:
	rm -f $(DESTDIR)$(sysusersdir)/director.conf $(DESTDIR)$(tmpfilesdir)/director.conf
	! cmp -s $(srcdir)/doc/director.conf $(DESTDIR)$(sysconfdir)/director/director.conf || \
		rm -f $(DESTDIR)$(sysconfdir)/director/director.conf
.PHONY: install-directord uninstall-directord
