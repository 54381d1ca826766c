# SPDX-License-Identifier: Apache-2.0
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
