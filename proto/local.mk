# SPDX-License-Identifier: Apache-2.0
# The generated structs and the only code that sees them. One name per proto/NAME.proto:
PB_NAMES =
noinst_LTLIBRARIES += proto/libproto.la
proto_libproto_la_CPPFLAGS = $(AM_CPPFLAGS) $(PROTOBUF_C_CFLAGS) $(SODIUM_CFLAGS)
proto_libproto_la_LIBADD = $(PROTOBUF_C_LIBS) $(SODIUM_LIBS)
proto_libproto_la_SOURCES =
nodist_proto_libproto_la_SOURCES = $(PB_H)

# gossip: proto/peer.proto, proto/peer.c, proto/seal.c
# agree:  proto/agree.proto, proto/agree.c
# names:  proto/txn.proto, proto/txn.c
# shell:  proto/control.proto, proto/control.c


PB_NAMES += target
proto_libproto_la_SOURCES += %D%/target.c %D%/target.h
nodist_proto_libproto_la_SOURCES += proto/target.pb-c.c
