# SPDX-License-Identifier: Apache-2.0

# The control socket's server; what it serves comes in as struct api_ops, so tests link it with their own.
noinst_LTLIBRARIES += directord/libapi.la
directord_libapi_la_CPPFLAGS = $(AM_CPPFLAGS) $(LIBBSD_CFLAGS)
directord_libapi_la_LIBADD = $(EV_LIBS)
directord_libapi_la_SOURCES = \
	%D%/api.c %D%/api.h %D%/api_priv.h \
	%D%/api_candidate.c %D%/api_client.c %D%/api_events.c %D%/api_list.c %D%/api_mask.c %D%/api_request.c
