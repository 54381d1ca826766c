# SPDX-License-Identifier: Apache-2.0
# The data plane: two pure rooms, and the process around them.
noinst_LTLIBRARIES += target/iscsi/libiscsi.la target/scsi/libscsi.la
target_iscsi_libiscsi_la_SOURCES = %D%/task.h %D%/task.c \
	%D%/iscsi/chap.c %D%/iscsi/chap.h \
	%D%/iscsi/conn.c %D%/iscsi/conn.h \
	%D%/iscsi/cover.c %D%/iscsi/cover.h \
	%D%/iscsi/data.c \
	%D%/iscsi/fence.c \
	%D%/iscsi/keys.c %D%/iscsi/keys.h \
	%D%/iscsi/login.c %D%/iscsi/login.h \
	%D%/iscsi/logout.c \
	%D%/iscsi/lost.c \
	%D%/iscsi/out.c \
	%D%/iscsi/pdu.c %D%/iscsi/pdu.h \
	%D%/iscsi/request.c \
	%D%/iscsi/session.c %D%/iscsi/session.h \
	%D%/iscsi/sn.h \
	%D%/iscsi/snack.c \
	%D%/iscsi/task_set.c %D%/iscsi/task_set.h \
	%D%/iscsi/text.c \
	%D%/iscsi/tmf.c
target_iscsi_libiscsi_la_CFLAGS = $(AM_CFLAGS) $(NETTLE_CFLAGS)
target_iscsi_libiscsi_la_LIBADD = base/libbase.la $(NETTLE_LIBS)
# The initiator's side of the same protocol.
noinst_LTLIBRARIES += target/iscsi/libini.la
INI_SOURCES = target/iscsi/ini.h target/iscsi/ini_conn.c target/iscsi/ini_life.c target/iscsi/ini_login.c target/iscsi/ini_login.h \
	target/iscsi/ini_out.c target/iscsi/ini_pdu.c target/iscsi/ini_recover.c target/iscsi/ini_session.c \
	target/iscsi/ini_text.c target/iscsi/ini_tmf.c
target_iscsi_libini_la_SOURCES = $(INI_SOURCES)
target_iscsi_libini_la_CFLAGS = $(AM_CFLAGS) $(NETTLE_CFLAGS)
target_scsi_libscsi_la_SOURCES = \
	%D%/scsi/agreed.c %D%/scsi/agreed.h \
	%D%/scsi/alua.c %D%/scsi/alua.h %D%/scsi/bytes.h \
	%D%/scsi/copy.c %D%/scsi/copy.h %D%/scsi/copy_record.c %D%/scsi/copy_record.h \
	%D%/scsi/core.c %D%/scsi/op.h \
	%D%/scsi/inquiry.c %D%/scsi/limits.h \
	%D%/scsi/kept.c %D%/scsi/kept.h %D%/scsi/log.c \
	%D%/scsi/lu.c %D%/scsi/lu.h \
	%D%/scsi/mode.c \
	%D%/scsi/pr.c %D%/scsi/pr.h %D%/scsi/proposal.c %D%/scsi/proposal.h \
	%D%/scsi/ops.c %D%/scsi/ops.h \
	%D%/scsi/report.c \
	%D%/scsi/reserve.c %D%/scsi/reserve.h \
	%D%/scsi/rw.c %D%/scsi/rw.h \
	%D%/scsi/same.c %D%/scsi/sanitize.c \
	%D%/scsi/sense.c %D%/scsi/sense.h \
	%D%/scsi/verify.c %D%/scsi/checksum.c
target_scsi_libscsi_la_LIBADD = target/iscsi/libiscsi.la base/libbase.la

sbin_PROGRAMS += director-target
director_target_SOURCES = %D%/serve/serve.h \
	%D%/serve/agree.c %D%/serve/alone.c %D%/serve/ask.c %D%/serve/away.c %D%/serve/background.c %D%/serve/control.c %D%/serve/exec.c %D%/serve/follow.c %D%/serve/gone.c %D%/serve/hold.c %D%/serve/inner.c %D%/serve/judge.c %D%/serve/sanitize.c \
	%D%/serve/job.c %D%/serve/jobs.c %D%/serve/keep.c %D%/serve/lease.c %D%/serve/link.c %D%/serve/listen.c \
	%D%/serve/main.c %D%/serve/others.c %D%/serve/plant.h %D%/serve/registry.c %D%/serve/session.c %D%/serve/source.c %D%/serve/switch.c \
	%D%/serve/tmf.c %D%/serve/worker.c
director_target_CFLAGS = $(AM_CFLAGS) $(SODIUM_CFLAGS)
director_target_LDADD = target/iscsi/libiscsi.la target/scsi/libscsi.la target/serve/libhost.la proto/libproto.la \
	base/libbase.la $(SODIUM_LIBS) $(EV_LIBS) -lpthread

# What the tests of the data plane say to director-target.
check_PROGRAMS += tests/system/targetctl
tests_system_targetctl_SOURCES = tests/system/targetctl.c
tests_system_targetctl_LDADD = proto/libproto.la base/libbase.la

dist_man_MANS += doc/man/director-target.8
check_PROGRAMS += tests/system/targetlink
tests_system_targetlink_SOURCES = tests/system/targetlink.c directord/target.c directord/target.h
tests_system_targetlink_LDADD = proto/libproto.la base/libbase.la $(EV_LIBS)
EXTRA_DIST += tests/system/legs.sh tests/system/scsi.sh tests/system/target.sh tests/bench/target
check_PROGRAMS += tests/system/rawlogin
tests_system_rawlogin_SOURCES = tests/system/rawlogin.c
tests_system_rawlogin_LDADD = base/libbase.la -lpthread
