/* SPDX-License-Identifier: Apache-2.0 */
/* Decisions about the persistent reservation of a leg on a foreign target. */
#include "plugins/iscsi/hold.h"

#include <string.h>

#include "base/be.h"
#include "base/crc32c.h"

#define MAGIC "director-claim\0\1"

enum whose { WHOSE_OLD, WHOSE_NEWER, WHOSE_FOREIGN };

/* ---- whose it is ---- */

static uint32_t tag_of(const struct hold_id *id)
{
	return (uint32_t)id->cluster << 16 | id->leg;
}

static uint32_t key_epoch(uint64_t key)
{
	return (uint32_t)(key >> 8) & HOLD_EPOCH_MAX;
}

/* A leg of this cluster that is no more has left its key behind. */
static enum whose whose(const struct hold_id *id, uint64_t key)
{
	uint32_t tag = (uint32_t)(key >> 32);

	if (tag == tag_of(id))
		return key_epoch(key) > id->epoch ? WHOSE_NEWER : WHOSE_OLD;
	if (tag >> 16 != id->cluster || !id->take)
		return WHOSE_FOREIGN;
	for (unsigned i = 0; i < id->n_other; i++)
		if (id->other[i] == tag)
			return WHOSE_FOREIGN;
	return WHOSE_OLD;
}

static bool hex(const char **p, uint32_t *v)
{
	*v = 0;
	for (unsigned i = 0; i < 8; i++, (*p)++) {
		char c = **p;

		if (c >= '0' && c <= '9')
			*v = *v << 4 | (uint32_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			*v = *v << 4 | (uint32_t)(c - 'a' + 10);
		else
			return false;
	}
	return true;
}

bool hold_parse(const char *tag, const char *others, struct hold_id *id)
{
	uint32_t v;

	if (!hex(&tag, &v) || *tag)
		return false;
	id->cluster = (uint16_t)(v >> 16);
	id->leg = (uint16_t)v;
	for (id->n_other = 0; others && *others; others += *others == ',') {
		if (id->n_other == HOLD_OTHERS_MAX || !hex(&others, &id->other[id->n_other++]) || (*others && *others != ','))
			return false;
	}
	return true;
}

uint64_t hold_key(const struct hold_id *id, const struct hold_seen *seen)
{
	uint64_t base = (uint64_t)tag_of(id) << 32 | (uint64_t)id->epoch << 8;
	unsigned last = 0;

	for (unsigned i = 0; i < seen->n_key; i++)
		if (seen->key[i] >> 8 == base >> 8 && (seen->key[i] & 0xff) > last)
			last = (unsigned)(seen->key[i] & 0xff);
	/* 0 would be no key, for a leg of whom all is 0. */
	for (unsigned n = 0; n < 255; n++) {
		uint64_t key = base | ((last + n) % 255 + 1);
		bool taken = false;

		for (unsigned i = 0; i < seen->n_key; i++)
			taken |= seen->key[i] == key;
		if (!taken)
			return key;
	}
	return base | 255;
}

/* ---- what next ---- */

enum hold_step hold_next(const struct hold_id *id, uint64_t mine, const struct hold_seen *seen, uint64_t *key)
{
	bool registered = false, old = false, foreign = seen->more;

	*key = 0;
	for (unsigned i = 0; i < seen->n_key + seen->reserved; i++) {
		uint64_t k = i < seen->n_key ? seen->key[i] : seen->holder;

		if (k == mine) {
			registered |= i < seen->n_key;
			continue;
		}
		switch (whose(id, k)) {
		case WHOSE_NEWER:
			return HOLD_STALE;
		case WHOSE_FOREIGN:
			foreign = true;
			*key = k;
			break;
		case WHOSE_OLD:
			old = true;
			if (!foreign)
				*key = k;
			break;
		}
	}
	if (foreign || (seen->reserved && seen->holder == mine && seen->type != HOLD_TYPE))
		return HOLD_FOREIGN;
	if (!registered)
		return HOLD_REGISTER;
	if (!seen->reserved)
		return HOLD_RESERVE;
	/* Who holds it first, and with it its reservation. */
	if (seen->holder != mine)
		*key = seen->holder;
	return old ? HOLD_PREEMPT : HOLD_DONE;
}

/* ---- what the LUN says ---- */

bool hold_keys_read(const uint8_t *p, uint32_t n, struct hold_seen *seen)
{
	uint64_t len = n >= 8 ? be_get(p + 4, 4) : 0;

	seen->n_key = 0;
	if (n < 8 || len % 8)
		return false;
	seen->more = len / 8 > HOLD_KEYS_MAX || len > n - 8;
	for (uint32_t at = 8; at + 8 <= n && at < 8 + len && seen->n_key < HOLD_KEYS_MAX; at += 8)
		seen->key[seen->n_key++] = be_get(p + at, 8);
	return true;
}

bool hold_reservation_read(const uint8_t *p, uint32_t n, struct hold_seen *seen)
{
	uint64_t len = n >= 8 ? be_get(p + 4, 4) : 0;

	seen->reserved = len != 0;
	seen->holder = 0;
	seen->type = 0;
	if (n < 8 || (len && (len < 16 || n < 24)))
		return false;
	if (len) {
		seen->holder = be_get(p + 8, 8);
		seen->type = p[21] & 15;
	}
	return true;
}

/* ---- the record ---- */

void hold_record_write(const struct hold_id *id, uint32_t seq, uint8_t out[HOLD_RECORD])
{
	memset(out, 0, HOLD_RECORD);
	memcpy(out, MAGIC, sizeof(MAGIC));
	be_put(out + 16, tag_of(id), 4);
	be_put(out + 20, id->epoch, 4);
	be_put(out + 24, seq, 4);
	be_put(out + HOLD_RECORD - 4, crc32c(0, out, HOLD_RECORD - 4), 4);
}

uint32_t hold_record_read(const struct hold_id *id, const uint8_t in[HOLD_RECORD], uint32_t *seq)
{
	*seq = 0;
	if (memcmp(in, MAGIC, sizeof(MAGIC)) != 0 || be_get(in + HOLD_RECORD - 4, 4) != crc32c(0, in, HOLD_RECORD - 4) ||
	    be_get(in + 16, 4) != tag_of(id))
		return 0;
	*seq = (uint32_t)be_get(in + 24, 4);
	return (uint32_t)be_get(in + 20, 4);
}
