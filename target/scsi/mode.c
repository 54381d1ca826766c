/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MODE SENSE and MODE SELECT (SPC-4 6.10 to 6.13, 7.5; SBC-3 6.5): pages as rows over `struct lu_mode`, of
 * which a unit has three: what is, what was saved, what is the default.
 */
#include <string.h>

#include "target/scsi/ops.h"
#include "target/scsi/proposal.h"
#include "target/scsi/sense.h"

#define PAGE_MAX 64
#define ALL_PAGES 0x3f
#define ALL_SUBPAGES 0xff
#define SPF 0x40

enum page_control { PC_CURRENT, PC_CHANGEABLE, PC_DEFAULT, PC_SAVED };

struct mode_page {
	uint8_t code, sub, len;         /* len: without the page's header */
	/* The page's bytes after the header; NULL `m`: the bits that may change. */
	void (*get)(const struct scsi_lu *lu, const struct lu_mode *m, uint8_t *p);
	/* Take what may be changed from bytes that differ only there; false: it makes no sense. */
	bool (*set)(const struct scsi_lu *lu, struct lu_mode *m, const uint8_t *p);
};

#define WCE 0x04
#define D_SENSE 0x04
#define SWP 0x08
#define LBPERE 0x80

/* 01h, read-write error recovery: SBC-3 6.5.8. Nothing but LBPERE is ours to decide. */
static void recovery_get(const struct scsi_lu *lu, const struct lu_mode *m, uint8_t *p)
{
	if (lu->thin && (!m || m->lbpere))
		p[5] = LBPERE;
}

static bool recovery_set(const struct scsi_lu *lu, struct lu_mode *m, const uint8_t *p)
{
	m->lbpere = p[5] & LBPERE;
	return true;
}

/* 08h, caching: SBC-3 6.5.5 */
static void caching_get(const struct scsi_lu *lu, const struct lu_mode *m, uint8_t *p)
{
	if (lu->cache && (!m || m->wce))
		p[0] = WCE;
}

static bool caching_set(const struct scsi_lu *lu, struct lu_mode *m, const uint8_t *p)
{
	m->wce = p[0] & WCE;
	return true;
}

/* 0Ah, control: SPC-4 7.5.8 */
static void control_get(const struct scsi_lu *lu, const struct lu_mode *m, uint8_t *p)
{
	if (!m || m->d_sense)
		p[0] |= D_SENSE;
	if (!m || m->swp)
		p[2] |= SWP;
	if (!m)
		return;
	p[0] |= 0x20;           /* TST 001b: a task set for each I_T nexus */
	p[1] = 0x10;            /* QUEUE ALGORITHM MODIFIER 1: SIMPLE commands in any order; QERR 0 */
	set16(p + 6, 0xffff);   /* BUSY TIMEOUT PERIOD: no limit */
}

static bool control_set(const struct scsi_lu *lu, struct lu_mode *m, const uint8_t *p)
{
	m->d_sense = p[0] & D_SENSE;
	m->swp = p[2] & SWP;
	return true;
}

/* 0Ah/01h, control extension: SPC-4 7.5.9. Access states change by themselves (IALUAE). */
static void extension_get(const struct scsi_lu *lu, const struct lu_mode *m, uint8_t *p)
{
	if (m)
		p[0] = 0x01;
}

/* 1Ch/02h, logical block provisioning: SBC-3 6.5.9; soft thresholds, of what is used or available. */
static void thresholds_get(const struct scsi_lu *lu, const struct lu_mode *m, uint8_t *p)
{
	for (unsigned i = 0; i < LU_THRESHOLDS; i++) {
		const struct lu_threshold *t = m ? &m->thresholds[i] : NULL;
		uint8_t *d = p + 12 + 8 * i;

		d[0] = t ? (uint8_t)((t->enabled ? 0x80 : 0) | t->arming) : 0x81;
		d[1] = t ? t->resource : 0x03;
		set32(d + 4, t ? t->count : UINT32_MAX);
	}
}

static bool thresholds_set(const struct scsi_lu *lu, struct lu_mode *m, const uint8_t *p)
{
	for (unsigned i = 0; i < LU_THRESHOLDS; i++) {
		const uint8_t *d = p + 12 + 8 * i;

		if (d[1] > 2 || (d[0] & 0x80 && !d[1]))
			return false;
		m->thresholds[i] = (struct lu_threshold){ d[0] >> 7, d[1], d[0] & 0x01, be32(d + 4) };
	}
	return true;
}

/* 02h disconnect-reconnect, 1Ch informational exceptions: nothing to state. */
static void zero_get(const struct scsi_lu *lu, const struct lu_mode *m, uint8_t *p)
{
}

static const struct mode_page pages[] = {
	{ 0x01, 0, 10, recovery_get, recovery_set },
	{ 0x02, 0, 14, zero_get, NULL },
	{ 0x08, 0, 18, caching_get, caching_set },
	{ 0x0a, 0, 10, control_get, control_set },
	{ 0x0a, 1, 28, extension_get, NULL },
	{ 0x1c, 0, 10, zero_get, NULL },
	{ 0x1c, 2, 12 + 8 * LU_THRESHOLDS, thresholds_get, thresholds_set },
};

#define N_PAGES (sizeof(pages) / sizeof(pages[0]))

static bool has_page(const struct scsi_lu *lu, const struct mode_page *page)
{
	return page->get != thresholds_get || lu->thin;
}

/* ---- MODE SENSE ---- */

static const struct lu_mode *mode_of(const struct scsi_lu *lu, enum page_control pc, struct lu_mode *m)
{
	if (pc == PC_CHANGEABLE)
		return NULL;
	if (pc == PC_CURRENT) {
		lu_mode_get(lu, m);
		return m;
	}
	*m = (struct lu_mode){ .wce = lu->cache };
	if (pc == PC_SAVED && lu->kept.has_saved)
		*m = lu->kept.saved;
	return m;
}

static uint8_t *page_put(const struct scsi_lu *lu, const struct mode_page *page, const struct lu_mode *m, uint8_t *p)
{
	uint8_t *data = p + (page->sub ? 4 : 2);

	p[0] = (uint8_t)((page->set ? 0x80 : 0) | page->code);  /* PS: it can be saved */
	if (page->sub) {
		p[0] |= SPF;
		p[1] = page->sub;
		set16(p + 2, page->len);
	} else {
		p[1] = page->len;
	}
	page->get(lu, m, data);
	return data + page->len;
}

/* Block descriptor, SBC-3 6.5.2: short, or long with LLBAA. */
static uint8_t *descriptor_put(const struct scsi_lu *lu, bool longlba, uint8_t *p)
{
	uint64_t blocks = atomic_load(&lu->blocks);

	if (longlba) {
		set64(p, blocks);
		set32(p + 12, lu->block_size);
		return p + 16;
	}
	set32(p, blocks > UINT32_MAX ? UINT32_MAX : (uint32_t)blocks);
	set32(p + 4, lu->block_size);
	return p + 8;
}

static bool wanted(const struct mode_page *page, uint8_t code, uint8_t sub)
{
	return (code == ALL_PAGES || code == page->code) && (sub == ALL_SUBPAGES || sub == page->sub);
}

int op_mode_sense(struct task *t)
{
	const struct scsi_lu *lu = task_lu(t);
	bool ten = t->cdb[0] == 0x5a, dbd = t->cdb[1] & 0x08, longlba = ten && t->cdb[1] & 0x10;
	enum page_control pc = (enum page_control)(t->cdb[2] >> 6);
	uint8_t code = t->cdb[2] & 0x3f, sub = t->cdb[3], *begin, *p, *d, bits;
	struct lu_mode mode;
	const struct lu_mode *m = mode_of(lu, pc, &mode);
	bool found = false;

	if (!(begin = scsi_room(t, 512)))
		return SCSI_DONE;
	d = begin + (ten ? 8 : 4);
	p = dbd ? d : descriptor_put(lu, longlba, d);
	bits = (uint8_t)((nexus_protected(t->scsi.nexus) ? 0x80 : 0) | 0x10);   /* WP, DPOFUA */
	if (ten) {
		begin[3] = bits;
		begin[4] = longlba && !dbd;
		set16(begin + 6, (uint32_t)(p - d));
	} else {
		begin[2] = bits;
		begin[3] = (uint8_t)(p - d);
	}
	for (unsigned i = 0; i < N_PAGES; i++)
		if (has_page(lu, &pages[i]) && wanted(&pages[i], code, sub)) {
			p = page_put(lu, &pages[i], m, p);
			found = true;
		}
	if (!found)
		return scsi_bad_cdb(t, sub && sub != ALL_SUBPAGES ? 3 : 2, sub ? -1 : 5);
	if (ten)
		set16(begin, (uint32_t)(p - begin) - 2);
	else
		begin[0] = (uint8_t)(p - begin - 1);
	return scsi_data(t, (uint32_t)(p - begin), ten ? be16(t->cdb + 7) : t->cdb[4]);
}

/* ---- MODE SELECT: every page is checked before any is taken ---- */

static const struct mode_page *page_find(const struct scsi_lu *lu, const uint8_t *p)
{
	uint8_t sub = p[0] & SPF ? p[1] : 0;

	for (unsigned i = 0; i < N_PAGES; i++)
		if (has_page(lu, &pages[i]) && (p[0] & 0x3f) == pages[i].code && sub == pages[i].sub)
			return &pages[i];
	return NULL;
}

/* Looks at the page at p[0..n) and takes it into *m: its length with header; 0 with the answer set. */
static uint32_t page_take(struct task *t, const uint8_t *p, uint32_t n, uint32_t at, struct lu_mode *m)
{
	const struct scsi_lu *lu = task_lu(t);
	uint8_t may[PAGE_MAX] = { 0 }, now[PAGE_MAX] = { 0 };
	uint32_t head = p[0] & SPF ? 4 : 2, len;
	const struct mode_page *page;

	if (n < head)
		return (uint32_t)scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH);
	page = page_find(lu, p);
	if (!page)
		return (uint32_t)scsi_bad_parameter(t, at, 5);
	len = head == 4 ? be16(p + 2) : p[1];
	if (len != page->len)
		return (uint32_t)scsi_bad_parameter(t, at + head / 2, -1);
	if (n < head + len)
		return (uint32_t)scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH);
	page->get(lu, NULL, may);
	page->get(lu, m, now);
	for (unsigned k = 0; k < len; k++)
		if ((p[head + k] ^ now[k]) & ~may[k])
			return (uint32_t)scsi_bad_parameter(t, at + head + k, -1);
	if (page->set && !page->set(lu, m, p + head))
		return (uint32_t)scsi_bad_parameter(t, at + head, -1);
	return head + len;
}

/* The whole list into *m; false with the answer set. */
static bool list_take(struct task *t, uint32_t list, uint32_t head, struct lu_mode *m)
{
	uint32_t skip, n;

	if (list < head)
		return scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH), false;
	skip = head == 8 ? be16(t->out.p + 6) : t->out.p[3];
	if (skip > list - head || (skip && skip != 8 && skip != 16))
		return scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH), false;
	/* The shape of the unit does not change by its descriptor. */
	if (skip && be32(t->out.p + head + (skip == 8 ? 4 : 12)) % (1u << 24) != task_lu(t)->block_size)
		return scsi_bad_parameter(t, head + 4, -1), false;
	for (uint32_t at = head + skip; at < list; at += n)
		if (!(n = page_take(t, t->out.p + at, list - at, at, m)))
			return false;
	return true;
}

static void take(struct task *t, const struct lu_mode *m)
{
	struct scsi_lu *lu = task_lu(t);
	struct lu_mode now;

	lu_mode_get(lu, &now);
	lu_mode_set(lu, m);
	if (memcmp(&now, m, sizeof(now)) != 0)
		lu_attention(lu, UA_MODE_CHANGED, t->scsi.nexus);
}

static int saved(struct task *t, struct scsi_proposal *p)
{
	take(t, &task_lu(t)->kept.saved);
	return scsi_good(t);
}

int op_mode_select(struct task *t)
{
	bool ten = t->cdb[0] == 0x55;
	uint32_t list = ten ? be16(t->cdb + 7) : t->cdb[4];
	struct scsi_proposal *p;
	struct lu_mode m;

	if (!(t->cdb[1] & 0x10) && list)
		return scsi_bad_cdb(t, 1, 4);           /* PF: only standard pages */
	if (list == 0)
		return scsi_good(t);
	lu_mode_get(task_lu(t), &m);
	if (!scsi_have(t, list) || !list_take(t, list, ten ? 8 : 4, &m))
		return SCSI_DONE;
	/* SP; and where nodes agree, always: all ports of the unit have one set of pages (VPD page 87h). */
	if (t->cdb[1] & 0x01 || task_lu(t)->kept.all) {
		p = proposal_new(t, saved);
		p->next.saved = m;
		p->next.has_saved = true;
		return proposal_go(t, &p);
	}
	take(t, &m);
	return scsi_good(t);
}
