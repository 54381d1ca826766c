/* SPDX-License-Identifier: Apache-2.0 */
/* What a logical unit is: INQUIRY with its VPD pages, READ CAPACITY, MODE SENSE, REPORT LUNS. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "initiator/priv.h"

#define TRIES 10                        /* unit attentions in a row */
#define SENSE_UNIT_ATTENTION 6
#define SENSE_NOT_READY 2

struct query {
	struct director_iscsi *h;
	uint64_t lun;
	struct director_iscsi_io io;
	uint8_t data[4096];
	uint32_t got;
};

/* One command with data-in; 0, or a negative errno (-EOPNOTSUPP: the target does not have it). */
static int ask(struct query *q, const uint8_t *cdb, uint32_t len, uint32_t max)
{
	struct iovec iov = { q->data, max };
	int r;

	for (unsigned i = 0; i < TRIES; i++) {
		memset(q->data, 0, sizeof(q->data));
		q->io.lun = q->lun;
		q->io.cdb_len = len;
		memcpy(q->io.cdb, cdb, len);
		q->io.in = &iov;
		q->io.n_in = 1;
		q->io.in_len = max;
		q->io.flags = DIRECTOR_ISCSI_REPEAT;
		r = director_iscsi_do(q->h, &q->io);
		if (r < 0)
			return r;
		q->got = q->io.got;
		if (q->io.status == 0)
			return 0;
		if (q->io.status == 2 && q->io.sense_key != SENSE_UNIT_ATTENTION)
			return q->io.sense_key == SENSE_NOT_READY ? -EAGAIN : -EOPNOTSUPP;
	}
	return -EBUSY;
}

static int inquiry(struct query *q, int page)
{
	uint8_t cdb[6] = { 0x12, page >= 0, page >= 0 ? (uint8_t)page : 0, 0x04, 0x00, 0 };
	int r = ask(q, cdb, 6, 1024);

	if (r == 0 && page >= 0 && (q->got < 4 || q->data[1] != page))
		return -EOPNOTSUPP;
	return r;
}

/* A field of ASCII, padded with blanks. */
static void text(char *out, const uint8_t *p, size_t n)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		if (p[i] > 0x20 && p[i] < 0x7f)
			out[k++] = (char)p[i];
		else if (p[i] == 0x20 && k)
			out[k++] = ' ';
	while (k && out[k - 1] == ' ')
		k--;
	out[k] = '\0';
}

/* SPC-4 7.8.6: the logical unit's designators; NAA before EUI before T10. */
static void designator(struct query *q, struct director_iscsi_disk *d)
{
	uint32_t end = 4u + get16(q->data + 2), at = 4;
	int best = -1;

	if (end > q->got)
		end = q->got;
	while (at + 4 <= end) {
		const uint8_t *p = q->data + at;
		unsigned type = p[1] & 15, n = p[3], rank = type == 3 ? 3 : type == 2 ? 2 : type == 1 ? 1 : 0;

		if (at + 4 + n > end)
			return;
		if ((p[1] >> 4 & 3) == 0 && rank && (int)rank > best) {
			size_t k = (size_t)snprintf(d->id, sizeof(d->id), "%s", rank == 3 ? "naa." : rank == 2 ? "eui." : "t10.");

			if (rank == 1)
				text(d->id + k, p + 4, n < 120 ? n : 120);
			else
				for (unsigned i = 0; i < n && k + 3 < sizeof(d->id); i++)
					k += (size_t)snprintf(d->id + k, sizeof(d->id) - k, "%02x", p[4 + i]);
			best = (int)rank;
		}
		at += 4 + n;
	}
}

static uint64_t get64(const uint8_t *p)
{
	return (uint64_t)get32(p) << 32 | get32(p + 4);
}

static int capacity(struct query *q, struct director_iscsi_disk *d)
{
	uint8_t cdb16[16] = { 0x9e, 0x10, [13] = 32 }, cdb10[10] = { 0x25 };
	int r = ask(q, cdb16, 16, 32);

	if (r == 0 && q->got >= 12) {
		d->blocks = get64(q->data) + 1;
		d->block_size = get32(q->data + 8);
		d->physical_block = d->block_size << (q->data[13] & 15);
		d->thin = q->data[14] >> 7;
		d->zeroes = q->data[14] >> 6 & 1;
		return 0;
	}
	if (r != 0 && r != -EOPNOTSUPP)
		return r;
	r = ask(q, cdb10, 10, 8);
	if (r == 0) {
		d->blocks = (uint64_t)get32(q->data) + 1;
		d->block_size = d->physical_block = get32(q->data + 4);
	}
	return r;
}

static void limits(struct query *q, struct director_iscsi_disk *d)
{
	if (inquiry(q, 0xb0) == 0 && q->got >= 16) {
		d->caw_blocks = q->data[5];
		d->max_blocks = get32(q->data + 8);
		d->optimal_blocks = get32(q->data + 12);
		if (q->got >= 44) {
			d->max_unmap = get32(q->data + 20);
			d->unmap_granularity = get32(q->data + 28);
			d->max_write_same = get64(q->data + 36);
		}
	}
	if (inquiry(q, 0xb2) == 0 && q->got >= 6) {
		d->unmap = q->data[5] >> 7;
		d->write_same = q->data[5] >> 6 & 1;
	}
}

static void mode(struct query *q, struct director_iscsi_disk *d)
{
	uint8_t cdb[6] = { 0x1a, 0x08, 0x3f, 0, 252, 0 };
	uint32_t at, end;

	if (ask(q, cdb, 6, 252) != 0 || q->got < 4)
		return;
	d->read_only = q->data[2] >> 7;
	d->fua = q->data[2] >> 4 & 1;
	end = q->data[0] + 1u < q->got ? q->data[0] + 1u : q->got;
	for (at = 4u + q->data[3]; at + 3 <= end; at += 2u + q->data[at + 1])
		if ((q->data[at] & 0x3f) == 8)
			d->write_cache = q->data[at + 2] >> 2 & 1;
}

int director_iscsi_get_disk(struct director_iscsi *h, uint64_t lun, struct director_iscsi_disk *out, char *why, size_t size)
{
	struct query *q = calloc(1, sizeof(*q));
	struct director_iscsi_disk d = { .struct_size = out->struct_size };
	const char *what = "INQUIRY";
	int r;

	if (!q)
		return -ENOMEM;
	q->h = h;
	q->lun = lun;
	r = inquiry(q, -1);
	if (r == 0 && (q->got < 36 || q->data[0] >> 5 == 3)) {
		what = "there is no such LUN; INQUIRY";
		r = -ENXIO;
	}
	if (r == 0) {
		d.type = q->data[0] & 0x1f;
		d.removable = q->data[1] >> 7;
		text(d.vendor, q->data + 8, 8);
		text(d.product, q->data + 16, 16);
		text(d.revision, q->data + 32, 4);
		if (inquiry(q, 0x80) == 0)
			text(d.serial, q->data + 4, q->data[3] < 64 ? q->data[3] : 64);
		if (inquiry(q, 0x83) == 0)
			designator(q, &d);
		what = "READ CAPACITY";
		r = d.type == 0 ? capacity(q, &d) : 0;
	}
	if (r == 0 && d.type == 0) {
		if (!d.block_size || d.block_size & (d.block_size - 1) || d.block_size > 65536)
			r = -EPROTO;
		limits(q, &d);
		mode(q, &d);
	}
	if (why && size) {
		char t[120];

		snprintf(why, size, "%s%s%s", r ? what : "", r ? ": " : "",
			!r ? "" : q->io.result || !q->io.status ? strerror(-r) : director_iscsi_io_text(&q->io, t, sizeof(t)));
	}
	if (r == 0)
		memcpy(out, &d, out->struct_size < sizeof(d) ? out->struct_size : sizeof(d));
	free(q);
	return r;
}

int director_iscsi_get_luns(struct director_iscsi *h, uint64_t *luns, unsigned max)
{
	struct query *q = calloc(1, sizeof(*q));
	uint8_t cdb[12] = { 0xa0, [8] = 0x10 };         /* 4096 bytes */
	unsigned n = 0;
	uint32_t len;
	int r;

	if (!q)
		return -ENOMEM;
	q->h = h;
	r = ask(q, cdb, 12, 4096);
	len = r == 0 && q->got >= 8 ? get32(q->data) : 0;
	for (uint32_t at = 8; len >= 8 && at + 8 <= q->got; at += 8, len -= 8, n++) {
		const uint8_t *p = q->data + at;
		uint64_t raw = get64(p);
		bool plain = !(raw & 0xffffffffffffull) && (p[0] >> 6 == 1 || p[0] == 0);

		if (n < max)
			luns[n] = plain ? get16(p) & 0x3fffu : raw;
	}
	free(q);
	return r < 0 ? r : (int)n;
}
