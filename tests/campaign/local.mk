# SPDX-License-Identifier: Apache-2.0
# What judges I/O under faults: a load whose history is checked. tests/faults runs it; see there.
check_PROGRAMS += tests/unit/linear
TESTS += tests/unit/linear
tests_unit_linear_SOURCES = tests/unit/linear.c tests/unit/check.h %D%/linear.c %D%/linear.h
if HAVE_LIBISCSI
noinst_PROGRAMS += %D%/campaign-load
tests_campaign_campaign_load_SOURCES = %D%/load.c %D%/linear.c %D%/linear.h
tests_campaign_campaign_load_CFLAGS = $(AM_CFLAGS) $(ISCSI_CFLAGS)
tests_campaign_campaign_load_LDADD = $(ISCSI_LIBS)
endif
EXTRA_DIST += tests/faults
# What falls ill below a leg, and the wall clock that jumps.
noinst_LTLIBRARIES += %D%/sick.la %D%/clock.la
tests_campaign_sick_la_SOURCES = %D%/sick.c $(PLUGIN_DISK)
tests_campaign_sick_la_CFLAGS = $(AM_CFLAGS) $(URING_CFLAGS)
tests_campaign_sick_la_LDFLAGS = $(PLUGIN_LDFLAGS) -rpath /nowhere
tests_campaign_sick_la_LIBADD = $(URING_LIBS)
tests_campaign_clock_la_SOURCES = %D%/clock.c
tests_campaign_clock_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -rpath /nowhere
