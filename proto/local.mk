# SPDX-License-Identifier: Apache-2.0
# The generated structs and the only code that sees them. One name per proto/NAME.proto.
PB_NAMES = agree control peer target txn
noinst_LTLIBRARIES += proto/libproto.la
proto_libproto_la_CPPFLAGS = $(AM_CPPFLAGS) $(PROTOBUF_C_CFLAGS) $(SODIUM_CFLAGS) $(LIBBSD_CFLAGS)
proto_libproto_la_LIBADD = $(PROTOBUF_C_LIBS) $(SODIUM_LIBS)
proto_libproto_la_SOURCES = \
	%D%/agree.c %D%/agree.h \
	%D%/control.c %D%/control.h %D%/control_pb.c %D%/control_pb.h %D%/control_reply.c %D%/control_req.c \
	%D%/peer.c %D%/peer.h %D%/seal.c %D%/seal.h \
	%D%/snapshot.c %D%/txn.c %D%/txn.h %D%/txn_ops.h \
	%D%/target.c %D%/target.h
# automake does not see through a list of generated names: each source is named.
nodist_proto_libproto_la_SOURCES = $(PB_H) proto/agree.pb-c.c proto/control.pb-c.c \
	proto/peer.pb-c.c proto/target.pb-c.c proto/txn.pb-c.c
proto_libproto_la_SOURCES =
proto_libproto_la_SOURCES += %D%/peer.c %D%/peer.h %D%/seal.c %D%/seal.h
proto_libproto_la_SOURCES += %D%/snapshot.c %D%/txn.c %D%/txn.h %D%/txn_ops.h
proto_libproto_la_CPPFLAGS += $(LIBBSD_CFLAGS)
# automake does not see through $(PB_C): each generated source is named.
nodist_proto_libproto_la_SOURCES = $(PB_H)
nodist_proto_libproto_la_SOURCES += proto/peer.pb-c.c
nodist_proto_libproto_la_SOURCES += proto/txn.pb-c.c

# gossip: proto/peer.proto, proto/peer.c, proto/seal.c
# agree:  proto/agree.proto, proto/agree.c
# names:  proto/txn.proto, proto/txn.c
# shell:  proto/control.proto, proto/control.c
# target: proto/target.proto, proto/target.c

PB_NAMES += control
proto_libproto_la_SOURCES += \
	%D%/control.c %D%/control.h \
	%D%/control_pb.c %D%/control_pb.h \
	%D%/control_reply.c %D%/control_req.c
