/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's side of NBD (fixed newstyle, simple replies) as bytes in, bytes and requests out; no sockets. One export, under
 * any name. What a client sends is judged here; the owner only moves the data.
 */
#ifndef INITIATOR_NBD_H
#define INITIATOR_NBD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define NBD_DATA_MAX (32u << 20)        /* of one READ or WRITE; what every client assumes */
#define NBD_OPTION_MAX 4096             /* data of an option that is looked at */

enum nbd_type { NBD_READ, NBD_WRITE, NBD_DISCONNECT, NBD_FLUSH, NBD_TRIM, NBD_CACHE, NBD_WRITE_ZEROES };

#define NBD_FLAG_FUA 1u
#define NBD_FLAG_NO_HOLE 2u

struct nbd_export {
	uint64_t size;
	uint32_t min_block, preferred_block, max_block;
	bool read_only, fua, trim, zeroes;
};

struct nbd_request {
	uint16_t flags, type;
	uint64_t cookie, offset;
	uint32_t len;
	uint32_t error;                 /* 0, or what to answer instead of doing it */
	uint32_t payload;               /* bytes of the client's that follow, in any case */
};

enum nbd_state { NBD_CLIENT_FLAGS, NBD_OPTIONS, NBD_TRANSMISSION, NBD_END };

/* What nbd_take found. */
enum nbd_found { NBD_MORE, NBD_REQUEST, NBD_CLOSE };

struct nbd {
	enum nbd_state state;
	const struct nbd_export *export;
	bool no_zeroes;
	struct buf out;                 /* to be sent */
	uint64_t skip;                  /* of an option too long to be looked at */
	uint32_t skip_option;
};

/* The greeting is in n->out. `export` is borrowed for the life of `n`. */
void nbd_init(struct nbd *n, const struct nbd_export *export);
void nbd_fini(struct nbd *n);
/*
 * Look at p[0..len): how much of it was used is *used. NBD_MORE: all that could be was used, bring more behind the rest.
 * NBD_REQUEST: *req is the next request; its payload follows what was used. NBD_CLOSE: send n->out, and close.
 */
enum nbd_found nbd_take(struct nbd *n, const uint8_t *p, size_t len, size_t *used, struct nbd_request *req);
/* The header of a simple reply, 16 bytes. */
void nbd_reply(uint8_t out[16], uint64_t cookie, uint32_t error);
/* NBD's number for a negative errno. */
uint32_t nbd_error(int e);

#endif
