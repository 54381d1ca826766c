# SPDX-License-Identifier: Apache-2.0
# Each program links the library of one room and what that room may include.
check_PROGRAMS += tests/unit/base
TESTS += tests/unit/base
tests_unit_base_SOURCES = %D%/base.c %D%/check.h
tests_unit_base_LDADD = base/libbase.la

check_PROGRAMS += tests/unit/store
tests_unit_store_SOURCES = %D%/store.c %D%/crashvfs.c %D%/crashvfs.h %D%/check.h
tests_unit_store_CFLAGS = $(AM_CFLAGS) $(SQLITE_CFLAGS)
tests_unit_store_LDADD = directord/libstore.la base/libbase.la $(SQLITE_LIBS) $(EV_LIBS) -lpthread

check_PROGRAMS += tests/unit/corosync_conf
TESTS += tests/unit/corosync_conf
tests_unit_corosync_conf_SOURCES = %D%/corosync_conf.c %D%/check.h
tests_unit_corosync_conf_LDADD = directord/libring.la base/libbase.la

check_PROGRAMS += tests/unit/keys
TESTS += tests/unit/keys
tests_unit_keys_SOURCES = %D%/keys.c %D%/check.h
tests_unit_keys_CPPFLAGS = $(AM_CPPFLAGS) $(SODIUM_CFLAGS)
tests_unit_keys_LDADD = cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)

# directord's adapters, against the real thing each.
DIRD_TEST_CPPFLAGS = $(AM_CPPFLAGS) -D_GNU_SOURCE $(SODIUM_CFLAGS) $(LIBBSD_CFLAGS)
DIRD_TEST_LDADD = directord/libworld.la cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)
DIRD_TESTS = tests/unit/conf tests/unit/identity tests/unit/udp tests/unit/mesh tests/unit/seeds tests/unit/record tests/unit/discover tests/unit/announce tests/unit/trim
check_PROGRAMS += $(DIRD_TESTS)
TESTS += $(DIRD_TESTS)
tests_unit_conf_SOURCES = %D%/conf.c %D%/check.h
tests_unit_conf_CPPFLAGS = $(DIRD_TEST_CPPFLAGS)
tests_unit_conf_LDADD = $(DIRD_TEST_LDADD)
tests_unit_identity_SOURCES = %D%/identity.c %D%/check.h
tests_unit_identity_CPPFLAGS = $(DIRD_TEST_CPPFLAGS)
tests_unit_identity_LDADD = $(DIRD_TEST_LDADD)
tests_unit_udp_SOURCES = %D%/udp.c %D%/check.h %D%/loop.h
tests_unit_udp_CPPFLAGS = $(DIRD_TEST_CPPFLAGS)
tests_unit_udp_LDADD = $(DIRD_TEST_LDADD)
tests_unit_mesh_SOURCES = %D%/mesh.c %D%/check.h %D%/loop.h
tests_unit_mesh_CPPFLAGS = $(DIRD_TEST_CPPFLAGS)
tests_unit_mesh_LDADD = $(DIRD_TEST_LDADD)
tests_unit_seeds_SOURCES = %D%/seeds.c %D%/check.h %D%/loop.h
tests_unit_seeds_CPPFLAGS = $(DIRD_TEST_CPPFLAGS)
tests_unit_seeds_LDADD = $(DIRD_TEST_LDADD)
tests_unit_record_SOURCES = %D%/record.c %D%/check.h
tests_unit_record_CPPFLAGS = $(DIRD_TEST_CPPFLAGS)
tests_unit_record_LDADD = $(DIRD_TEST_LDADD)
tests_unit_discover_SOURCES = %D%/discover.c %D%/check.h %D%/loop.h
tests_unit_discover_CPPFLAGS = $(DIRD_TEST_CPPFLAGS)
tests_unit_discover_LDADD = $(DIRD_TEST_LDADD)
tests_unit_announce_SOURCES = %D%/announce.c %D%/check.h %D%/loop.h
tests_unit_announce_CPPFLAGS = $(DIRD_TEST_CPPFLAGS) $(AVAHI_CFLAGS)
tests_unit_announce_LDADD = $(DIRD_TEST_LDADD)
tests_unit_trim_SOURCES = %D%/trim.c directord/trim.c %D%/check.h
tests_unit_trim_CPPFLAGS = $(DIRD_TEST_CPPFLAGS)
tests_unit_trim_LDADD = base/libbase.la

# The server of the control socket.
check_PROGRAMS += tests/unit/api
TESTS += tests/unit/api
tests_unit_api_SOURCES = %D%/api.c %D%/check.h %D%/loop.h
tests_unit_api_CPPFLAGS = $(AM_CPPFLAGS) -D_GNU_SOURCE $(LIBBSD_CFLAGS)
tests_unit_api_LDADD = directord/libapi.la proto/libproto.la cluster/libcluster.la base/libbase.la \
	$(SODIUM_LIBS) $(PROTOBUF_C_LIBS) $(JANSSON_LIBS) $(EV_LIBS) $(LIBBSD_LIBS)

# The backstore host and the loader.
check_PROGRAMS += tests/unit/backstore
TESTS += tests/unit/backstore
tests_unit_backstore_SOURCES = %D%/backstore.c %D%/check.h
tests_unit_backstore_LDADD = target/serve/libhost.la base/libbase.la

# The namespace.
NAMES_TESTS = tests/unit/catalog tests/unit/names tests/unit/plan tests/unit/schema tests/unit/txn_codec
check_PROGRAMS += $(NAMES_TESTS)
TESTS += $(NAMES_TESTS)
EXTRA_DIST += %D%/names_world.h %D%/txns.h
tests_unit_catalog_SOURCES = %D%/catalog.c
tests_unit_catalog_CPPFLAGS = $(AM_CPPFLAGS) $(LIBBSD_CFLAGS)
tests_unit_catalog_LDADD = cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)
tests_unit_names_SOURCES = %D%/names.c
tests_unit_names_CPPFLAGS = $(AM_CPPFLAGS) $(LIBBSD_CFLAGS)
tests_unit_names_LDADD = cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)
check_PROGRAMS += tests/unit/own
TESTS += tests/unit/own
tests_unit_own_SOURCES = %D%/own.c
tests_unit_own_CPPFLAGS = $(AM_CPPFLAGS) $(LIBBSD_CFLAGS)
tests_unit_own_LDADD = cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)
tests_unit_plan_SOURCES = %D%/plan.c
tests_unit_plan_CPPFLAGS = $(AM_CPPFLAGS) $(LIBBSD_CFLAGS)
tests_unit_plan_LDADD = cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)
tests_unit_schema_SOURCES = %D%/schema.c
tests_unit_schema_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
tests_unit_schema_LDADD = cluster/libcluster.la base/libbase.la $(SODIUM_LIBS) $(JANSSON_LIBS)
tests_unit_txn_codec_SOURCES = %D%/txn_codec.c
tests_unit_txn_codec_CPPFLAGS = $(AM_CPPFLAGS) $(LIBBSD_CFLAGS)
tests_unit_txn_codec_LDADD = proto/libproto.la cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)
check_PROGRAMS += tests/unit/facts tests/unit/seal tests/unit/gossip
TESTS += tests/unit/facts tests/unit/seal tests/unit/gossip
tests_unit_facts_SOURCES = %D%/facts.c %D%/check.h
tests_unit_facts_LDADD = cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)
tests_unit_seal_SOURCES = %D%/seal.c %D%/check.h
tests_unit_seal_CPPFLAGS = $(AM_CPPFLAGS) $(SODIUM_CFLAGS)
tests_unit_seal_LDADD = proto/libproto.la cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)
tests_unit_gossip_SOURCES = %D%/gossip.c %D%/check.h
tests_unit_gossip_CPPFLAGS = $(AM_CPPFLAGS) $(SODIUM_CFLAGS)
tests_unit_gossip_LDADD = cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)

# The control protocol, and the words of the shell.
check_PROGRAMS += tests/unit/control tests/unit/line
TESTS += tests/unit/control tests/unit/line
tests_unit_control_SOURCES = %D%/control.c %D%/check.h
tests_unit_control_LDADD = proto/libproto.la cluster/libcluster.la base/libbase.la $(SODIUM_LIBS) $(PROTOBUF_C_LIBS)
tests_unit_line_SOURCES = %D%/line.c %D%/check.h
tests_unit_line_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
tests_unit_line_LDADD = shell/libshell.la lib/libdirector.la base/libbase.la $(JANSSON_LIBS) $(EDIT_LIBS) $(LIBBSD_LIBS)
check_PROGRAMS += tests/unit/plugins
TESTS += tests/unit/plugins
tests_unit_plugins_SOURCES = %D%/plugins.c %D%/check.h
tests_unit_plugins_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_plugins_LDADD = directord/libplugins.la cluster/libcluster.la base/libbase.la $(JANSSON_LIBS) $(EV_LIBS)
check_PROGRAMS += tests/unit/loader tests/unit/filters
TESTS += tests/unit/loader tests/unit/filters
tests_unit_loader_SOURCES = %D%/loader.c %D%/check.h
tests_unit_loader_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_loader_LDADD = target/serve/libhost.la base/libbase.la $(JANSSON_LIBS)
tests_unit_filters_SOURCES = %D%/filters.c %D%/check.h
tests_unit_filters_LDADD = target/serve/libhost.la base/libbase.la
check_PROGRAMS += tests/unit/torn tests/unit/order
TESTS += tests/unit/torn tests/unit/order
check_PROGRAMS += tests/unit/place
TESTS += tests/unit/place
tests_unit_place_SOURCES = %D%/place.c %D%/check.h target/serve/place.c target/serve/place.h
tests_unit_place_LDADD = base/libbase.la
tests_unit_order_SOURCES = %D%/order.c %D%/check.h plugins/common/order.c plugins/common/disk.h
tests_unit_torn_SOURCES = %D%/torn.c %D%/check.h
tests_unit_torn_LDADD = target/serve/libhost.la base/libbase.la
check_PROGRAMS += tests/unit/zeroes
TESTS += tests/unit/zeroes
tests_unit_zeroes_SOURCES = %D%/zeroes.c %D%/check.h plugins/common/disk.c plugins/common/disk.h
check_PROGRAMS += tests/unit/stripe
TESTS += tests/unit/stripe
tests_unit_stripe_SOURCES = %D%/stripe.c %D%/check.h
tests_unit_stripe_LDADD = target/serve/libhost.la base/libbase.la

check_PROGRAMS += tests/unit/mirror_rate
TESTS += tests/unit/mirror_rate
tests_unit_mirror_rate_SOURCES = %D%/mirror_rate.c %D%/check.h plugins/mirror/assemble.c plugins/mirror/machine.c plugins/mirror/machine_bits.c \
	plugins/mirror/machine_copy.c plugins/mirror/machine_scrub.c plugins/mirror/machine_size.c plugins/mirror/machine.h plugins/mirror/machine_int.h
tests_unit_mirror_rate_CPPFLAGS = $(AM_CPPFLAGS) -DUNIT_MIRROR_RATE
tests_unit_mirror_rate_LDADD = base/libbase.la

check_PROGRAMS += tests/unit/mirror
TESTS += tests/unit/mirror
tests_unit_mirror_SOURCES = %D%/mirror.c %D%/check.h plugins/mirror/meta.c plugins/mirror/meta.h
tests_unit_mirror_CPPFLAGS = $(AM_CPPFLAGS) -DUNIT_MIRROR
tests_unit_mirror_LDADD = target/serve/libhost.la base/libbase.la
check_PROGRAMS += tests/unit/share
TESTS += tests/unit/share
tests_unit_share_SOURCES = %D%/share.c %D%/check.h
tests_unit_share_LDADD = target/serve/libhost.la base/libbase.la -lpthread
check_PROGRAMS += tests/unit/inner
TESTS += tests/unit/inner
tests_unit_inner_SOURCES = %D%/inner.c %D%/check.h
tests_unit_inner_LDADD = proto/libproto.la base/libbase.la
# The target's pure rooms, alone, over a disk in memory.
TARGET_ROOMS = target/scsi/libscsi.la target/iscsi/libiscsi.la base/libbase.la
TARGET_TESTS = tests/unit/iscsi_keys tests/unit/iscsi_login tests/unit/iscsi_conn tests/unit/iscsi_recovery tests/unit/iscsi_cover tests/unit/task_set \
	tests/unit/scsi tests/unit/scsi_copy tests/unit/scsi_pr tests/unit/scsi_random tests/unit/scsi_state
check_PROGRAMS += $(TARGET_TESTS)
TESTS += $(TARGET_TESTS)
check_LTLIBRARIES += tests/unit/libworld.la
tests_unit_libworld_la_SOURCES = %D%/target_world.c %D%/target_world.h
tests_unit_iscsi_keys_SOURCES = %D%/iscsi_keys.c %D%/check.h
tests_unit_iscsi_keys_LDADD = $(TARGET_ROOMS)
tests_unit_iscsi_login_SOURCES = %D%/iscsi_login.c %D%/check.h
tests_unit_iscsi_login_LDADD = tests/unit/libworld.la $(TARGET_ROOMS)
tests_unit_iscsi_conn_SOURCES = %D%/iscsi_conn.c %D%/check.h
tests_unit_iscsi_conn_LDADD = tests/unit/libworld.la $(TARGET_ROOMS)
tests_unit_iscsi_recovery_SOURCES = %D%/iscsi_recovery.c %D%/check.h
tests_unit_iscsi_recovery_LDADD = tests/unit/libworld.la $(TARGET_ROOMS)
tests_unit_iscsi_cover_SOURCES = %D%/iscsi_cover.c %D%/check.h
tests_unit_iscsi_cover_LDADD = $(TARGET_ROOMS)
tests_unit_task_set_SOURCES = %D%/task_set.c %D%/check.h
tests_unit_task_set_LDADD = tests/unit/libworld.la $(TARGET_ROOMS)
tests_unit_scsi_SOURCES = %D%/scsi.c %D%/check.h %D%/scsi_run.h
tests_unit_scsi_LDADD = $(TARGET_ROOMS)
tests_unit_scsi_copy_SOURCES = %D%/scsi_copy.c %D%/scsi_world.h
tests_unit_scsi_copy_LDADD = $(TARGET_ROOMS)
tests_unit_scsi_pr_SOURCES = %D%/scsi_pr.c %D%/scsi_world.h
tests_unit_scsi_pr_LDADD = $(TARGET_ROOMS)
tests_unit_scsi_random_SOURCES = %D%/scsi_random.c %D%/scsi_world.h
tests_unit_scsi_random_LDADD = $(TARGET_ROOMS)
tests_unit_scsi_state_SOURCES = %D%/scsi_state.c %D%/scsi_world.h
tests_unit_scsi_state_LDADD = $(TARGET_ROOMS)
check_PROGRAMS += tests/unit/agree
TESTS += tests/unit/agree
tests_unit_agree_SOURCES = %D%/agree.c %D%/check.h
tests_unit_agree_CPPFLAGS = $(AM_CPPFLAGS) $(SODIUM_CFLAGS)
tests_unit_agree_LDADD = proto/libproto.la cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)

check_PROGRAMS += tests/unit/agree_direct
TESTS += tests/unit/agree_direct
tests_unit_agree_direct_SOURCES = %D%/agree_direct.c %D%/check.h
tests_unit_agree_direct_CPPFLAGS = $(AM_CPPFLAGS) $(SODIUM_CFLAGS)
tests_unit_agree_direct_LDADD = proto/libproto.la cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)

check_PROGRAMS += tests/unit/growth
TESTS += tests/unit/growth
tests_unit_growth_SOURCES = %D%/growth.c %D%/check.h
tests_unit_growth_LDADD = cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)

# The initiator's machine.
check_PROGRAMS += tests/unit/ini
TESTS += tests/unit/ini
tests_unit_ini_SOURCES = %D%/ini.c %D%/check.h
tests_unit_ini_LDADD = target/iscsi/libini.la $(TARGET_ROOMS)

# Floating addresses: the decision, in a world of its own.
check_PROGRAMS += tests/unit/float
TESTS += tests/unit/float
tests_unit_float_SOURCES = %D%/float.c %D%/check.h
tests_unit_float_LDADD = cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)
# Volumes with copies.
check_PROGRAMS += tests/unit/copies tests/unit/volume
TESTS += tests/unit/copies tests/unit/volume
tests_unit_copies_SOURCES = %D%/copies.c
tests_unit_copies_CPPFLAGS = $(AM_CPPFLAGS) $(LIBBSD_CFLAGS)
tests_unit_copies_LDADD = cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)
tests_unit_volume_SOURCES = %D%/volume.c
tests_unit_volume_CPPFLAGS = $(AM_CPPFLAGS) $(PROTOBUF_C_CFLAGS) $(LIBBSD_CFLAGS)
tests_unit_volume_LDADD = proto/libproto.la cluster/libcluster.la base/libbase.la $(PROTOBUF_C_LIBS) $(SODIUM_LIBS)
check_PROGRAMS += tests/unit/claim
TESTS += tests/unit/claim
tests_unit_claim_SOURCES = %D%/claim.c %D%/check.h
tests_unit_claim_LDADD = directord/libworld.la cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)
check_PROGRAMS += tests/unit/fenced
TESTS += tests/unit/fenced
tests_unit_fenced_SOURCES = %D%/fenced.c %D%/own_world.h %D%/check.h
tests_unit_fenced_LDADD = cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)
check_PROGRAMS += tests/unit/unstable
TESTS += tests/unit/unstable
tests_unit_unstable_SOURCES = %D%/unstable.c %D%/check.h base/unstable.h
# Claims of LUNs of foreign targets.
check_PROGRAMS += tests/unit/hold
TESTS += tests/unit/hold
tests_unit_hold_SOURCES = %D%/hold.c %D%/check.h plugins/iscsi/hold.c plugins/iscsi/hold.h
tests_unit_hold_CFLAGS = $(AM_CFLAGS)
tests_unit_hold_LDADD = cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)
check_PROGRAMS += tests/unit/lease
TESTS += tests/unit/lease
tests_unit_lease_SOURCES = %D%/lease.c %D%/own_world.h %D%/check.h
tests_unit_lease_LDADD = cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)
check_PROGRAMS += tests/unit/request
TESTS += tests/unit/request
tests_unit_request_SOURCES = %D%/request.c %D%/check.h
tests_unit_request_CPPFLAGS = $(AM_CPPFLAGS) $(PROTOBUF_C_CFLAGS) $(LIBBSD_CFLAGS)
tests_unit_request_LDADD = proto/libproto.la cluster/libcluster.la base/libbase.la $(PROTOBUF_C_LIBS) $(SODIUM_LIBS)
check_PROGRAMS += tests/unit/link
TESTS += tests/unit/link
tests_unit_link_SOURCES = %D%/link.c %D%/check.h %D%/loop.h directord/target.c directord/target.h
tests_unit_link_LDADD = proto/libproto.la base/libbase.la $(EV_LIBS)
check_PROGRAMS += tests/unit/silence
TESTS += tests/unit/silence
tests_unit_silence_SOURCES = %D%/silence.c %D%/own_world.h %D%/check.h
tests_unit_silence_LDADD = cluster/libcluster.la base/libbase.la $(SODIUM_LIBS)
