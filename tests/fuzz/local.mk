# SPDX-License-Identifier: Apache-2.0
# One target per decoder. Built with libFuzzer by --enable-fuzzers (tests/fuzz/run), else with a main that
# replays the stored corpus, as part of make check. A block per target:
#
#	FUZZ_TARGETS += tests/fuzz/fuzz_NAME
#	tests_fuzz_fuzz_NAME_SOURCES = %D%/fuzz_NAME.c
#	tests_fuzz_fuzz_NAME_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LINK)
#	tests_fuzz_fuzz_NAME_LDADD = $(FUZZ_MAIN) … the room's library and what it needs
FUZZ_TARGETS =
if FUZZERS
FUZZ_LINK = -fsanitize=fuzzer
FUZZ_MAIN =
else
FUZZ_LINK =
FUZZ_MAIN = tests/fuzz/libreplay.la
check_LTLIBRARIES += tests/fuzz/libreplay.la
tests_fuzz_libreplay_la_SOURCES = %D%/replay.c
endif
check_PROGRAMS += $(FUZZ_TARGETS)
TESTS += $(FUZZ_TARGETS)
EXTRA_DIST += tests/fuzz/corpus tests/fuzz/run tests/fuzz/replay.c

# The data plane's decoders.
FUZZ_TARGETS += tests/fuzz/fuzz_pdu tests/fuzz/fuzz_keys tests/fuzz/fuzz_cdb tests/fuzz/fuzz_target
tests_fuzz_fuzz_pdu_SOURCES = %D%/fuzz_pdu.c
tests_fuzz_fuzz_pdu_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LINK)
tests_fuzz_fuzz_pdu_LDADD = $(FUZZ_MAIN) tests/unit/libworld.la $(TARGET_ROOMS)
tests_fuzz_fuzz_keys_SOURCES = %D%/fuzz_keys.c
tests_fuzz_fuzz_keys_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LINK)
tests_fuzz_fuzz_keys_LDADD = $(FUZZ_MAIN) $(TARGET_ROOMS)
tests_fuzz_fuzz_cdb_SOURCES = %D%/fuzz_cdb.c
tests_fuzz_fuzz_cdb_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LINK)
tests_fuzz_fuzz_cdb_LDADD = $(FUZZ_MAIN) $(TARGET_ROOMS)
tests_fuzz_fuzz_target_SOURCES = %D%/fuzz_target.c
tests_fuzz_fuzz_target_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LINK)
tests_fuzz_fuzz_target_LDADD = $(FUZZ_MAIN) proto/libproto.la base/libbase.la
