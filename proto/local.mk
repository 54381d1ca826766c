# SPDX-License-Identifier: Apache-2.0
# The generated structs and the only code that sees them. One name per proto/NAME.proto.
PB_NAMES = agree control peer target txn
noinst_LTLIBRARIES += proto/libproto.la
proto_libproto_la_CPPFLAGS = $(AM_CPPFLAGS) $(PROTOBUF_C_CFLAGS) $(SODIUM_CFLAGS) $(LIBBSD_CFLAGS)
proto_libproto_la_LIBADD = $(PROTOBUF_C_LIBS) $(SODIUM_LIBS)
proto_libproto_la_SOURCES = \
	%D%/agree.c %D%/agree.h \
	%D%/control.c %D%/control.h %D%/control_pb.c %D%/control_pb.h %D%/control_reply.c %D%/control_req.c \
	%D%/inner.c %D%/inner.h \
	%D%/peer.c %D%/peer.h %D%/seal.c %D%/seal.h \
	%D%/snapshot.c %D%/txn.c %D%/txn.h %D%/txn_ops.h \
	%D%/target.c %D%/target.h
# automake does not see through a list of generated names: each source is named.
nodist_proto_libproto_la_SOURCES = $(PB_H) proto/agree.pb-c.c proto/control.pb-c.c \
	proto/peer.pb-c.c proto/target.pb-c.c proto/txn.pb-c.c
