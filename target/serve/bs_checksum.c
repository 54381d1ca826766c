/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CHECKSUM for plugins that cannot: the range is read piece by piece where the storage is, and hashed by a worker, so
 * that no thread that serves other disks waits for the arithmetic.
 */
#include "config.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "target/serve/bs_host.h"

#define PIECE (256u << 10)

struct sum {
	struct director_io sub;
	struct bs_job job;
	struct director_io *io;         /* the one that is answered */
	struct backstore *bs;
	struct director_iov data;
	uint64_t done;                  /* bytes hashed */
	uint64_t put;                   /* bytes of digests given */
	crypto_generichash_state state;
};

static void sum_end(struct sum *s, int32_t result)
{
	struct director_io *io = s->io;

	free(s->data.base);
	free(s);
	io->done(io, result);
}

/* The digest that is ready, into whatever buffers the caller has. */
static void digest_put(struct sum *s, const uint8_t digest[DIRECTOR_CHECKSUM_SIZE])
{
	uint64_t at = s->put;
	unsigned i, n = 0;

	for (i = 0; i < s->io->n_iov && n < DIRECTOR_CHECKSUM_SIZE; i++) {
		const struct director_iov *v = &s->io->iov[i];

		for (; at < v->len && n < DIRECTOR_CHECKSUM_SIZE; at++)
			((uint8_t *)v->base)[at] = digest[n++];
		at -= at < v->len ? at : v->len;
	}
	s->put += DIRECTOR_CHECKSUM_SIZE;
}

static void piece_hash(struct sum *s)
{
	uint8_t digest[DIRECTOR_CHECKSUM_SIZE];
	const uint8_t *p = s->data.base;
	uint64_t left = s->data.len, take;

	for (; left; left -= take, p += take) {
		uint64_t in = s->done % DIRECTOR_CHECKSUM_GROUP;

		take = DIRECTOR_CHECKSUM_GROUP - in < left ? DIRECTOR_CHECKSUM_GROUP - in : left;
		if (in == 0)
			crypto_generichash_init(&s->state, NULL, 0, sizeof(digest));
		crypto_generichash_update(&s->state, p, take);
		s->done += take;
		if (s->done % DIRECTOR_CHECKSUM_GROUP && s->done < s->io->len)
			continue;
		crypto_generichash_final(&s->state, digest, sizeof(digest));
		digest_put(s, digest);
	}
}

static void piece_done(struct director_io *sub, int32_t result);

static void piece_read(struct sum *s)
{
	uint64_t left = s->io->len - s->done, most = s->bs->max_io && s->bs->max_io < PIECE ? s->bs->max_io : PIECE;

	s->data.len = (size_t)(left < most ? left : most);
	s->sub = (struct director_io){ .struct_size = sizeof(s->sub), .op = DIRECTOR_READ, .offset = s->io->offset + s->done,
		.len = s->data.len, .iov = &s->data, .n_iov = 1, .epoch = s->io->epoch, .sense = s->io->sense, .done = piece_done };
	bs_hand(s->bs, &s->sub);
}

/* On a worker. */
static void piece_work(struct bs_job *job)
{
	struct sum *s = (struct sum *)((char *)job - offsetof(struct sum, job));

	piece_hash(s);
	if (s->done == s->io->len)
		sum_end(s, 0);
	else
		piece_read(s);
}

static void piece_done(struct director_io *sub, int32_t result)
{
	struct sum *s = (struct sum *)sub;

	if (result == 0)
		result = bs_pool_job(s->bs->host->pool, s->bs, &s->job);
	if (result < 0)
		sum_end(s, result);
}

void bs_checksum(struct backstore *bs, struct director_io *io)
{
	struct sum *s = calloc(1, sizeof(*s));

	if (!s || posix_memalign(&s->data.base, bs->align_mask + 1 < 4096 ? 4096 : bs->align_mask + 1, PIECE) != 0) {
		free(s);
		io->done(io, -ENOMEM);
		return;
	}
	s->io = io;
	s->bs = bs;
	s->job.run = piece_work;
	piece_read(s);
}
