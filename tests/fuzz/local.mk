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
FUZZ_TARGETS += tests/fuzz/fuzz_plugin_answer tests/fuzz/fuzz_plugin_params
tests_fuzz_fuzz_plugin_answer_SOURCES = %D%/fuzz_plugin_answer.c
tests_fuzz_fuzz_plugin_answer_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
tests_fuzz_fuzz_plugin_answer_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LINK)
tests_fuzz_fuzz_plugin_answer_LDADD = $(FUZZ_MAIN) directord/libplugins.la cluster/libcluster.la base/libbase.la \
	$(JANSSON_LIBS)
tests_fuzz_fuzz_plugin_params_SOURCES = %D%/fuzz_plugin_params.c
tests_fuzz_fuzz_plugin_params_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LINK)
tests_fuzz_fuzz_plugin_params_LDADD = $(FUZZ_MAIN) target/serve/libhost.la base/libbase.la

check_PROGRAMS += $(FUZZ_TARGETS)
TESTS += $(FUZZ_TARGETS)
EXTRA_DIST += tests/fuzz/corpus tests/fuzz/run tests/fuzz/replay.c
