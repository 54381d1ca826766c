# SPDX-License-Identifier: Apache-2.0
noinst_LTLIBRARIES += base/libbase.la
base_libbase_la_SOURCES = \
	%D%/addr.c %D%/addr.h \
	%D%/be.h \
	%D%/buf.c %D%/buf.h \
	%D%/clock.c %D%/clock.h \
	%D%/crc32c.c %D%/crc32c.h \
	%D%/err.c %D%/err.h \
	%D%/le.h %D%/leg_record.h \
	%D%/log.c %D%/log.h \
	%D%/mem.c %D%/mem.h \
	%D%/mono.h %D%/rng.h %D%/unstable.h \
	%D%/pin.c %D%/pin.h \
	%D%/seat.c %D%/seat.h \
	%D%/text.c %D%/text.h
