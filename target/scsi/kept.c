/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A unit's kept state as bytes, big-endian:
 *
 *   "DLUK" version(1) flags(1) sanitize(1) type(1) generation(4) n(2)
 *   with FLAG_SPC2, then n times: key(8) holder(1) tag(2) isid(6) length(1) initiator length(1) target
 *   with FLAG_SAVED: bits(1), and per threshold: enabled resource arming (1 each) count(4)
 *   with FLAG_OP (of a sanitize operation that runs): service(1) passes(1) invert(1) length(2) pattern
 *   crc32c(4) of all before it
 */
#include "target/scsi/kept.h"

#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/err.h"
#include "base/mem.h"
#include "target/scsi/bytes.h"

#define MAGIC 0x444c554bu
#define VERSION 1
#define FLAG_APTPL 0x01
#define FLAG_SAVED 0x02
#define FLAG_ALL 0x04
#define FLAG_SPC2 0x08
#define FLAG_OP 0x10
#define FLAGS (FLAG_APTPL | FLAG_SAVED | FLAG_ALL | FLAG_SPC2 | FLAG_OP)
#define BIT_WCE 0x01
#define BIT_SWP 0x02
#define BIT_D_SENSE 0x04
#define BIT_LBPERE 0x08
#define SANITIZE_EXIT 0x80
#define PATTERN_MAX 4096                /* a block */
#define HEAD 14

void kept_fini(struct lu_kept *k)
{
	pr_fini(&k->pr);
	free(k->op);
	memset(k, 0, sizeof(*k));
}

void kept_copy(struct lu_kept *to, const struct lu_kept *from)
{
	*to = *from;
	pr_copy(&to->pr, &from->pr);
	to->op = from->op ? mem_dup(from->op, sizeof(*to->op) + from->op->len) : NULL;
}

/* ---- out ---- */

static void put_name(struct buf *to, const char *name)
{
	uint8_t len = (uint8_t)strlen(name);

	buf_put(to, &len, 1);
	buf_put(to, name, len);
}

static void put_registrant(struct buf *to, const struct pr_registrant *g)
{
	uint8_t b[17];

	set64(b, g->key);
	b[8] = g->holder;
	set16(b + 9, g->port.tag);
	memcpy(b + 11, g->port.isid, 6);
	buf_put(to, b, sizeof(b));
	put_name(to, g->port.initiator);
	put_name(to, g->port.target);
}

static void put_mode(struct buf *to, const struct lu_mode *m)
{
	uint8_t bits = (uint8_t)((m->wce ? BIT_WCE : 0) | (m->swp ? BIT_SWP : 0) | (m->d_sense ? BIT_D_SENSE : 0) |
				 (m->lbpere ? BIT_LBPERE : 0));

	buf_put(to, &bits, 1);
	for (unsigned i = 0; i < LU_THRESHOLDS; i++) {
		const struct lu_threshold *t = &m->thresholds[i];
		uint8_t b[7] = { t->enabled, t->resource, t->arming };

		set32(b + 3, t->count);
		buf_put(to, b, sizeof(b));
	}
}

static void put_op(struct buf *to, const struct sanitize_op *op)
{
	uint8_t b[5] = { op->service, op->passes, op->invert };

	set16(b + 3, op->len);
	buf_put(to, b, sizeof(b));
	buf_put(to, op->pattern, op->len);
}

void kept_encode(const struct lu_kept *k, struct buf *to)
{
	const struct pr_state *pr = &k->pr;
	size_t begin = to->len;
	struct pr_registrant spc2 = { .key = 1, .port = k->spc2 };
	uint8_t head[HEAD] = { 0 }, crc[4];
	bool with = pr->aptpl || k->all, op = k->all && k->sanitize == SANITIZE_RUNNING && k->op;

	set32(head, MAGIC);
	head[4] = VERSION;
	head[5] = (uint8_t)((pr->aptpl ? FLAG_APTPL : 0) | (k->has_saved ? FLAG_SAVED : 0) |
		(k->all ? FLAG_ALL : 0) | (k->all && k->has_spc2 ? FLAG_SPC2 : 0) | (op ? FLAG_OP : 0));
	head[6] = (uint8_t)(k->sanitize | (k->sanitize_exit ? SANITIZE_EXIT : 0));
	if (with) {
		head[7] = (uint8_t)pr->type;
		set32(head + 8, pr->generation);
		set16(head + 12, pr->n);
	}
	buf_put(to, head, sizeof(head));
	if (k->all && k->has_spc2)
		put_registrant(to, &spc2);
	for (unsigned i = 0; with && i < pr->n; i++)
		put_registrant(to, &pr->registrants[i]);
	if (k->has_saved)
		put_mode(to, &k->saved);
	if (op)
		put_op(to, k->op);
	set32(crc, crc32c(0, to->data + begin, to->len - begin));
	buf_put(to, crc, 4);
}

bool kept_same(const struct lu_kept *a, const struct lu_kept *b)
{
	struct buf x = { 0 }, y = { 0 };
	bool same;

	/* What is lost has no bytes; those that stand for it are not these. */
	if (a->pr.lost != b->pr.lost)
		return false;
	kept_encode(a, &x);
	kept_encode(b, &y);
	same = x.len == y.len && memcmp(x.data, y.data, x.len) == 0;
	buf_fini(&x);
	buf_fini(&y);
	return same;
}

/* ---- in: everything is looked at before it is believed ---- */

struct in {
	const uint8_t *p;
	size_t n;
};

/* The next `n` bytes; NULL: there are not so many. */
static const uint8_t *take(struct in *in, size_t n)
{
	const uint8_t *p = in->p;

	if (n > in->n)
		return NULL;
	in->p += n;
	in->n -= n;
	return p;
}

static bool take_name(struct in *in, char *to, size_t cap)
{
	const uint8_t *len = take(in, 1), *p = len ? take(in, *len) : NULL;

	if (!p || *len >= cap || memchr(p, 0, *len))
		return false;
	memcpy(to, p, *len);
	return true;
}

static bool take_registrant(struct in *in, struct pr_registrant *g)
{
	const uint8_t *b = take(in, 17);

	memset(g, 0, sizeof(*g));
	if (!b || b[8] > 1)
		return false;
	g->key = be64(b);
	g->holder = b[8];
	g->port.tag = (uint16_t)be16(b + 9);
	memcpy(g->port.isid, b + 11, 6);
	return g->key && take_name(in, g->port.initiator, sizeof(g->port.initiator)) &&
	       take_name(in, g->port.target, sizeof(g->port.target));
}

static bool take_mode(struct in *in, struct lu_mode *m)
{
	const uint8_t *bits = take(in, 1);

	if (!bits || *bits & ~(BIT_WCE | BIT_SWP | BIT_D_SENSE | BIT_LBPERE))
		return false;
	m->wce = *bits & BIT_WCE;
	m->swp = *bits & BIT_SWP;
	m->d_sense = *bits & BIT_D_SENSE;
	m->lbpere = *bits & BIT_LBPERE;
	for (unsigned i = 0; i < LU_THRESHOLDS; i++) {
		const uint8_t *b = take(in, 7);

		if (!b || b[0] > 1 || b[1] > 2 || b[2] > 1)
			return false;
		m->thresholds[i] = (struct lu_threshold){ b[0], b[1], b[2], be32(b + 3) };
	}
	return true;
}

/* What SANITIZE could have asked for. */
static bool take_op(struct in *in, struct lu_kept *k)
{
	const uint8_t *b = take(in, 5), *pattern;
	unsigned len;

	if (!b || k->sanitize != SANITIZE_RUNNING || b[0] < 1 || b[0] > 2 || b[1] < 1 || b[1] > 31 || b[2] > 1)
		return false;
	len = be16(b + 3);
	if ((len != 0) != (b[0] == 1) || len > PATTERN_MAX || !(pattern = take(in, len)))
		return false;
	k->op = mem_alloc(sizeof(*k->op) + len);
	*k->op = (struct sanitize_op){ .service = b[0], .passes = b[1], .invert = b[2], .len = (uint16_t)len };
	memcpy(k->op->pattern, pattern, len);
	return true;
}

/* What PERSISTENT RESERVE OUT could have made. */
static bool pr_sane(const struct pr_state *pr)
{
	unsigned holders = 0;

	for (unsigned i = 0; i < pr->n; i++) {
		holders += pr->registrants[i].holder;
		for (unsigned k = 0; k < i; k++)
			if (pr_port_eq(&pr->registrants[i].port, &pr->registrants[k].port))
				return false;
	}
	if (pr->type == PR_NONE)
		return holders == 0;
	if (pr->type > PR_EXCLUSIVE_ACCESS_ALL || pr->type == 2 || pr->type == 4)
		return false;
	return pr_type_all(pr->type) ? pr->n > 0 && holders <= 1 : holders == 1;
}

static bool decode(struct in *in, struct lu_kept *k)
{
	const uint8_t *head = take(in, HEAD);
	struct pr_state *pr = &k->pr;
	unsigned n;

	if (!head || be32(head) != MAGIC || head[4] != VERSION || head[5] & ~FLAGS || (!(head[5] & FLAG_ALL) && head[5] & (FLAG_SPC2 | FLAG_OP)) ||
		(head[6] & ~SANITIZE_EXIT) > SANITIZE_FAILED)
		return false;
	k->sanitize = (enum lu_sanitize)(head[6] & ~SANITIZE_EXIT);
	k->sanitize_exit = head[6] & SANITIZE_EXIT;
	pr->aptpl = head[5] & FLAG_APTPL;
	k->all = head[5] & FLAG_ALL;
	k->has_spc2 = head[5] & FLAG_SPC2;
	pr->type = (enum pr_type)head[7];
	pr->generation = be32(head + 8);
	n = be16(head + 12);
	if (n > PR_REGISTRANTS_MAX || (!pr->aptpl && !k->all && (n || pr->type || pr->generation)))
		return false;
	if (k->has_spc2) {
		struct pr_registrant g;

		if (!take_registrant(in, &g) || g.key != 1 || g.holder)
			return false;
		k->spc2 = g.port;
	}
	pr->cap = n;
	pr->registrants = n ? mem_alloc(n * sizeof(*pr->registrants)) : NULL;
	for (; pr->n < n; pr->n++)
		if (!take_registrant(in, &pr->registrants[pr->n]))
			return false;
	k->has_saved = head[5] & FLAG_SAVED;
	return pr_sane(pr) && (!k->has_saved || take_mode(in, &k->saved)) && (!(head[5] & FLAG_OP) || take_op(in, k)) && in->n == 0;
}

int kept_decode(const uint8_t *p, size_t n, struct lu_kept *k)
{
	struct in in = { p, n - 4 };

	memset(k, 0, sizeof(*k));
	if (n < HEAD + 4 || n > LU_KEPT_MAX || crc32c(0, p, n - 4) != be32(p + n - 4) || !decode(&in, k)) {
		kept_fini(k);
		return ERR_MALFORMED;
	}
	return 0;
}

void kept_power_lost(struct lu_kept *k)
{
	if (!k->pr.aptpl) {
		pr_fini(&k->pr);
		k->pr = (struct pr_state){ .type = PR_NONE };
	}
	k->pr.generation = 0;
	k->has_spc2 = false;
}
