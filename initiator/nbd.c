/* SPDX-License-Identifier: Apache-2.0 */
/* NBD as bytes; names and numbers are those of the NBD project's doc/proto.md. */
#include "initiator/nbd.h"

#include <errno.h>
#include <string.h>

#include "base/be.h"

#define NBDMAGIC 0x4e42444d41474943ull
#define IHAVEOPT 0x49484156454f5054ull
#define OPTION_REPLY 0x0003e889045565a9ull
#define REQUEST_MAGIC 0x25609513u
#define REPLY_MAGIC 0x67446698u

#define FIXED_NEWSTYLE 1u
#define NO_ZEROES 2u

enum { OPT_EXPORT_NAME = 1, OPT_ABORT, OPT_LIST, OPT_PEEK, OPT_STARTTLS, OPT_INFO, OPT_GO };
enum { REP_ACK = 1, REP_SERVER, REP_INFO };
#define REP_ERR_UNSUP (1u << 31 | 1)
#define REP_ERR_INVALID (1u << 31 | 3)
#define REP_ERR_TOO_BIG (1u << 31 | 9)
enum { INFO_EXPORT, INFO_NAME, INFO_DESCRIPTION, INFO_BLOCK_SIZE };

#define FLAG_HAS_FLAGS 1u
#define FLAG_READ_ONLY 2u
#define FLAG_SEND_FLUSH 4u
#define FLAG_SEND_FUA 8u
#define FLAG_SEND_TRIM 32u
#define FLAG_SEND_WRITE_ZEROES 64u
#define FLAG_CAN_MULTI_CONN 256u

#define NBD_EPERM 1u
#define NBD_EIO 5u
#define NBD_ENOMEM 12u
#define NBD_EINVAL 22u
#define NBD_ENOSPC 28u
#define NBD_EOVERFLOW 75u
#define NBD_ENOTSUP 95u

static void put(struct buf *b, uint64_t v, unsigned n)
{
	uint8_t t[8];

	for (unsigned i = n; i--; v >>= 8)
		t[i] = (uint8_t)v;
	buf_put(b, t, n);
}

void nbd_init(struct nbd *n, const struct nbd_export *export)
{
	memset(n, 0, sizeof(*n));
	n->export = export;
	put(&n->out, NBDMAGIC, 8);
	put(&n->out, IHAVEOPT, 8);
	put(&n->out, FIXED_NEWSTYLE | NO_ZEROES, 2);
}

void nbd_fini(struct nbd *n)
{
	buf_fini(&n->out);
}

/* ---- options ---- */

static uint16_t export_flags(const struct nbd_export *e)
{
	return (uint16_t)(FLAG_HAS_FLAGS | FLAG_SEND_FLUSH | FLAG_CAN_MULTI_CONN | (e->read_only ? FLAG_READ_ONLY : 0) |
		(e->fua ? FLAG_SEND_FUA : 0) | (e->trim ? FLAG_SEND_TRIM : 0) | (e->zeroes ? FLAG_SEND_WRITE_ZEROES : 0));
}

static void option_reply(struct nbd *n, uint32_t option, uint32_t type, const struct buf *data)
{
	put(&n->out, OPTION_REPLY, 8);
	put(&n->out, option, 4);
	put(&n->out, type, 4);
	put(&n->out, data ? data->len : 0, 4);
	if (data)
		buf_put(&n->out, data->data, data->len);
}

static void info(struct nbd *n, uint32_t option)
{
	const struct nbd_export *e = n->export;
	struct buf b = { 0 };

	put(&b, INFO_EXPORT, 2);
	put(&b, e->size, 8);
	put(&b, export_flags(e), 2);
	option_reply(n, option, REP_INFO, &b);
	buf_reset(&b);
	put(&b, INFO_BLOCK_SIZE, 2);
	put(&b, e->min_block, 4);
	put(&b, e->preferred_block, 4);
	put(&b, e->max_block, 4);
	option_reply(n, option, REP_INFO, &b);
	option_reply(n, option, REP_ACK, NULL);
	buf_fini(&b);
}

/* The name's length, the name, and what the client would like to know; we tell all there is. */
static bool info_valid(const uint8_t *p, size_t len)
{
	uint64_t name;

	if (len < 6)
		return false;
	name = be_get(p, 4);
	return name <= len - 6 && len == 6 + name + 2 * be_get(p + 4 + name, 2);
}

static enum nbd_found export_name(struct nbd *n)
{
	static const uint8_t zeroes[124];

	put(&n->out, n->export->size, 8);
	put(&n->out, export_flags(n->export), 2);
	if (!n->no_zeroes)
		buf_put(&n->out, zeroes, sizeof(zeroes));
	n->state = NBD_TRANSMISSION;
	return NBD_MORE;
}

static enum nbd_found option(struct nbd *n, uint32_t opt, const uint8_t *p, size_t len)
{
	struct buf b = { 0 };

	switch (opt) {
	case OPT_EXPORT_NAME:
		return export_name(n);
	case OPT_ABORT:
		option_reply(n, opt, REP_ACK, NULL);
		n->state = NBD_END;
		return NBD_CLOSE;
	case OPT_LIST:
		if (len) {
			option_reply(n, opt, REP_ERR_INVALID, NULL);
			return NBD_MORE;
		}
		put(&b, 0, 4);          /* one export, without a name */
		option_reply(n, opt, REP_SERVER, &b);
		option_reply(n, opt, REP_ACK, NULL);
		buf_fini(&b);
		return NBD_MORE;
	case OPT_INFO:
	case OPT_GO:
		if (!info_valid(p, len)) {
			option_reply(n, opt, REP_ERR_INVALID, NULL);
			return NBD_MORE;
		}
		info(n, opt);
		if (opt == OPT_GO)
			n->state = NBD_TRANSMISSION;
		return NBD_MORE;
	default:
		option_reply(n, opt, REP_ERR_UNSUP, NULL);
		return NBD_MORE;
	}
}

static enum nbd_found take_option(struct nbd *n, const uint8_t *p, size_t len, size_t *used)
{
	uint64_t size;

	if (n->skip) {
		size_t k = n->skip < len ? (size_t)n->skip : len;

		*used = k;
		n->skip -= k;
		if (!n->skip)
			option_reply(n, n->skip_option, REP_ERR_TOO_BIG, NULL);
		return NBD_MORE;
	}
	if (len < 16)
		return NBD_MORE;
	if (be_get(p, 8) != IHAVEOPT)
		return NBD_CLOSE;
	size = be_get(p + 12, 4);
	if (size > NBD_OPTION_MAX) {
		n->skip = size;
		n->skip_option = (uint32_t)be_get(p + 8, 4);
		*used = 16;
		return NBD_MORE;
	}
	if (len < 16 + size)
		return NBD_MORE;
	*used = 16 + (size_t)size;
	return option(n, (uint32_t)be_get(p + 8, 4), p + 16, (size_t)size);
}

/* ---- requests ---- */

static uint32_t judge(const struct nbd_export *e, const struct nbd_request *r)
{
	bool moves = r->type == NBD_READ || r->type == NBD_WRITE;

	if (r->type > NBD_WRITE_ZEROES || r->type == NBD_CACHE || r->flags & ~(NBD_FLAG_FUA | NBD_FLAG_NO_HOLE))
		return NBD_EINVAL;
	if (r->type == NBD_FLUSH)
		return r->offset || r->len ? NBD_EINVAL : 0;
	if (r->type != NBD_READ && e->read_only)
		return NBD_EPERM;
	if ((r->type == NBD_TRIM && !e->trim) || (r->type == NBD_WRITE_ZEROES && !e->zeroes))
		return NBD_ENOTSUP;
	if (r->flags & NBD_FLAG_FUA && !e->fua)
		return NBD_EINVAL;
	if (r->offset > e->size || r->len > e->size - r->offset)
		return r->type == NBD_READ ? NBD_EINVAL : NBD_ENOSPC;
	if (!r->len || r->offset % e->min_block || r->len % e->min_block)
		return NBD_EINVAL;
	return moves && r->len > NBD_DATA_MAX ? NBD_EOVERFLOW : 0;
}

static enum nbd_found take_request(struct nbd *n, const uint8_t *p, size_t len, size_t *used, struct nbd_request *r)
{
	if (len < 28)
		return NBD_MORE;
	*used = 28;
	if (be_get(p, 4) != REQUEST_MAGIC)
		return NBD_CLOSE;
	r->flags = (uint16_t)be_get(p + 4, 2);
	r->type = (uint16_t)be_get(p + 6, 2);
	r->cookie = be_get(p + 8, 8);
	r->offset = be_get(p + 16, 8);
	r->len = (uint32_t)be_get(p + 24, 4);
	r->payload = r->type == NBD_WRITE ? r->len : 0;
	if (r->type == NBD_DISCONNECT) {
		n->state = NBD_END;
		return NBD_CLOSE;
	}
	/* A payload that nobody has room for cannot be skipped in any useful time. */
	if (r->payload > NBD_DATA_MAX)
		return NBD_CLOSE;
	r->error = judge(n->export, r);
	return NBD_REQUEST;
}

enum nbd_found nbd_take(struct nbd *n, const uint8_t *p, size_t len, size_t *used, struct nbd_request *req)
{
	*used = 0;
	switch (n->state) {
	case NBD_CLIENT_FLAGS:
		if (len < 4)
			return NBD_MORE;
		*used = 4;
		/* A flag that we did not offer is one whose meaning we do not know. */
		if (be_get(p, 4) & ~(uint64_t)(FIXED_NEWSTYLE | NO_ZEROES))
			return NBD_CLOSE;
		n->no_zeroes = p[3] & NO_ZEROES;
		n->state = NBD_OPTIONS;
		return NBD_MORE;
	case NBD_OPTIONS:
		return take_option(n, p, len, used);
	case NBD_TRANSMISSION:
		return take_request(n, p, len, used, req);
	default:
		return NBD_CLOSE;
	}
}

void nbd_reply(uint8_t out[16], uint64_t cookie, uint32_t error)
{
	for (unsigned i = 4; i--;) {
		out[3 - i] = (uint8_t)(REPLY_MAGIC >> 8 * i);
		out[7 - i] = (uint8_t)(error >> 8 * i);
	}
	for (unsigned i = 8; i--;)
		out[15 - i] = (uint8_t)(cookie >> 8 * i);
}

uint32_t nbd_error(int e)
{
	switch (-e) {
	case 0:
		return 0;
	case EPERM:
	case EROFS:
	case EACCES:
	case EBADE:
		return NBD_EPERM;
	case ENOMEM:
		return NBD_ENOMEM;
	case EINVAL:
	case ERANGE:
		return NBD_EINVAL;
	case ENOSPC:
		return NBD_ENOSPC;
	case EOPNOTSUPP:
		return NBD_ENOTSUP;
	default:
		return NBD_EIO;
	}
}
