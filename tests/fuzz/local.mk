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
EXTRA_DIST += tests/fuzz/corpus tests/fuzz/run
fuzz-targets: $(BUILT_SOURCES)
	$(MAKE) $(FUZZ_TARGETS)
.PHONY: fuzz-targets

# directord's files.
FUZZ_TARGETS += tests/fuzz/fuzz_conf tests/fuzz/fuzz_disk
tests_fuzz_fuzz_conf_SOURCES = %D%/fuzz_conf.c
tests_fuzz_fuzz_conf_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LINK)
tests_fuzz_fuzz_conf_LDADD = $(FUZZ_MAIN) directord/libworld.la cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)
tests_fuzz_fuzz_disk_SOURCES = %D%/fuzz_disk.c
tests_fuzz_fuzz_disk_CPPFLAGS = $(AM_CPPFLAGS) $(SODIUM_CFLAGS) $(LIBBSD_CFLAGS)
tests_fuzz_fuzz_disk_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LINK)
tests_fuzz_fuzz_disk_LDADD = $(FUZZ_MAIN) directord/libworld.la cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)

# Transactions and snapshots.
FUZZ_TARGETS += tests/fuzz/fuzz_txn tests/fuzz/fuzz_snapshot
tests_fuzz_fuzz_txn_SOURCES = %D%/fuzz_txn.c
tests_fuzz_fuzz_txn_CPPFLAGS = $(AM_CPPFLAGS) $(LIBBSD_CFLAGS)
tests_fuzz_fuzz_txn_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LINK)
tests_fuzz_fuzz_txn_LDADD = $(FUZZ_MAIN) proto/libproto.la cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)
tests_fuzz_fuzz_snapshot_SOURCES = %D%/fuzz_snapshot.c
tests_fuzz_fuzz_snapshot_CPPFLAGS = $(AM_CPPFLAGS) $(LIBBSD_CFLAGS)
tests_fuzz_fuzz_snapshot_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LINK)
tests_fuzz_fuzz_snapshot_LDADD = $(FUZZ_MAIN) proto/libproto.la cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)

# The control socket, and the shell's grammar.
FUZZ_TARGETS += tests/fuzz/fuzz_control tests/fuzz/fuzz_grammar
tests_fuzz_fuzz_control_SOURCES = %D%/fuzz_control.c
tests_fuzz_fuzz_control_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LINK)
tests_fuzz_fuzz_control_LDADD = $(FUZZ_MAIN) proto/libproto.la cluster/libcluster.la base/libbase.la \
	$(SODIUM_LIBS) $(PROTOBUF_C_LIBS)
tests_fuzz_fuzz_grammar_SOURCES = %D%/fuzz_grammar.c
tests_fuzz_fuzz_grammar_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
tests_fuzz_fuzz_grammar_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LINK)
tests_fuzz_fuzz_grammar_LDADD = $(FUZZ_MAIN) shell/libshell.la lib/libdirector.la base/libbase.la \
	$(JANSSON_LIBS) $(EDIT_LIBS) $(LIBBSD_LIBS)

# What comes from the network.
FUZZ_TARGETS += tests/fuzz/fuzz_datagram tests/fuzz/fuzz_sync
tests_fuzz_fuzz_datagram_SOURCES = %D%/fuzz_datagram.c
tests_fuzz_fuzz_datagram_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LINK)
tests_fuzz_fuzz_datagram_LDADD = $(FUZZ_MAIN) proto/libproto.la cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)
tests_fuzz_fuzz_sync_SOURCES = %D%/fuzz_sync.c
tests_fuzz_fuzz_sync_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LINK)
tests_fuzz_fuzz_sync_LDADD = $(FUZZ_MAIN) proto/libproto.la cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)
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
FUZZ_TARGETS += tests/fuzz/fuzz_agree
tests_fuzz_fuzz_agree_SOURCES = %D%/fuzz_agree.c
tests_fuzz_fuzz_agree_CPPFLAGS = $(AM_CPPFLAGS) $(SODIUM_CFLAGS)
tests_fuzz_fuzz_agree_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LINK)
tests_fuzz_fuzz_agree_LDADD = $(FUZZ_MAIN) proto/libproto.la cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)
FUZZ_TARGETS += tests/fuzz/fuzz_leg
tests_fuzz_fuzz_leg_SOURCES = %D%/fuzz_leg.c plugins/mirror/meta.c plugins/mirror/meta.h plugins/mirror/mirror_legs.c
tests_fuzz_fuzz_leg_CFLAGS = $(AM_CFLAGS)
tests_fuzz_fuzz_leg_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LINK)
tests_fuzz_fuzz_leg_LDADD = $(FUZZ_MAIN) base/libbase.la

# What a target may send to the initiator, and an NBD client to director-iscsi serve.
FUZZ_TARGETS += tests/fuzz/fuzz_initiator tests/fuzz/fuzz_nbd
tests_fuzz_fuzz_initiator_SOURCES = %D%/fuzz_initiator.c
tests_fuzz_fuzz_initiator_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LINK)
tests_fuzz_fuzz_initiator_LDADD = $(FUZZ_MAIN) target/iscsi/libini.la $(TARGET_ROOMS)
tests_fuzz_fuzz_nbd_SOURCES = %D%/fuzz_nbd.c initiator/nbd.c
tests_fuzz_fuzz_nbd_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LINK)
tests_fuzz_fuzz_nbd_LDADD = $(FUZZ_MAIN) base/libbase.la
FUZZ_TARGETS += tests/fuzz/fuzz_kept
tests_fuzz_fuzz_kept_SOURCES = %D%/fuzz_kept.c
tests_fuzz_fuzz_kept_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LINK)
tests_fuzz_fuzz_kept_LDADD = $(FUZZ_MAIN) $(TARGET_ROOMS)
# Claims of addresses.
FUZZ_TARGETS += tests/fuzz/fuzz_claim
tests_fuzz_fuzz_claim_SOURCES = %D%/fuzz_claim.c
tests_fuzz_fuzz_claim_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LINK)
tests_fuzz_fuzz_claim_LDADD = $(FUZZ_MAIN) directord/libworld.la cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)
FUZZ_TARGETS += tests/fuzz/fuzz_agreed
tests_fuzz_fuzz_agreed_SOURCES = %D%/fuzz_agreed.c
tests_fuzz_fuzz_agreed_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LINK)
tests_fuzz_fuzz_agreed_LDADD = $(FUZZ_MAIN) $(TARGET_ROOMS)
# Legs on foreign targets.
FUZZ_TARGETS += tests/fuzz/fuzz_lun
tests_fuzz_fuzz_lun_SOURCES = %D%/fuzz_lun.c plugins/iscsi/hold.c plugins/iscsi/hold.h
tests_fuzz_fuzz_lun_CFLAGS = $(AM_CFLAGS)
tests_fuzz_fuzz_lun_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LINK)
tests_fuzz_fuzz_lun_LDADD = $(FUZZ_MAIN) cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)
