/* SPDX-License-Identifier: Apache-2.0 */
/* MODE SENSE and MODE SELECT (SPC-4 6.10 to 6.13, 7.5; SBC-3 6.5): pages as rows, values from the unit. */
#include <string.h>

#include "target/scsi/ops.h"
#include "target/scsi/sense.h"

#define PAGE_MAX 32
#define ALL_PAGES 0x3f
#define ALL_SUBPAGES 0xff

enum page_control { PC_CURRENT, PC_CHANGEABLE, PC_DEFAULT, PC_SAVED };

struct mode_page {
	uint8_t code, len;              /* len: without the two bytes of the page's header */
	/* The page's bytes from byte 2 on. */
	void (*get)(const struct scsi_lu *lu, enum page_control pc, uint8_t *p);
	/* Take what may be changed from bytes that differ only there. Returns whether anything changed. */
	bool (*set)(struct scsi_lu *lu, const uint8_t *p);
};

#define WCE 0x04
#define D_SENSE 0x04
#define SWP 0x08

/* 08h, caching: SBC-3 6.5.5 */
static void caching_get(const struct scsi_lu *lu, enum page_control pc, uint8_t *p)
{
	if (pc == PC_CHANGEABLE)
		p[0] = lu->cache ? WCE : 0;
	else if (lu->cache && (pc == PC_DEFAULT || atomic_load(&lu->wce)))
		p[0] = WCE;
}

static bool caching_set(struct scsi_lu *lu, const uint8_t *p)
{
	bool wce = p[0] & WCE;

	return atomic_exchange(&lu->wce, wce || !lu->cache) != (wce || !lu->cache);
}

/* 0Ah, control: SPC-4 7.5.8 */
static void control_get(const struct scsi_lu *lu, enum page_control pc, uint8_t *p)
{
	if (pc == PC_CHANGEABLE) {
		p[0] = D_SENSE;
		p[2] = SWP;
		return;
	}
	p[1] = 0x10;            /* QUEUE ALGORITHM MODIFIER 1: unrestricted reordering */
	set16(p + 6, 0xffff);   /* BUSY TIMEOUT PERIOD: no limit */
	if (pc != PC_CURRENT)
		return;
	p[0] |= atomic_load(&lu->d_sense) ? D_SENSE : 0;
	p[2] |= atomic_load(&lu->swp) ? SWP : 0;
}

static bool control_set(struct scsi_lu *lu, const uint8_t *p)
{
	bool d_sense = p[0] & D_SENSE, swp = p[2] & SWP;
	bool changed = atomic_exchange(&lu->d_sense, d_sense) != d_sense;

	return (atomic_exchange(&lu->swp, swp) != swp) | changed;
}

/* 01h read-write error recovery, 02h disconnect-reconnect, 1Ch informational exceptions: nothing to state. */
static void zero_get(const struct scsi_lu *lu, enum page_control pc, uint8_t *p)
{
}

static const struct mode_page pages[] = {
	{ 0x01, 10, zero_get, NULL },
	{ 0x02, 14, zero_get, NULL },
	{ 0x08, 18, caching_get, caching_set },
	{ 0x0a, 10, control_get, control_set },
	{ 0x1c, 10, zero_get, NULL },
};

#define N_PAGES (sizeof(pages) / sizeof(pages[0]))

/* ---- MODE SENSE ---- */

static uint8_t *page_put(const struct scsi_lu *lu, const struct mode_page *page, enum page_control pc,
	uint8_t *p)
{
	p[0] = page->code;
	p[1] = page->len;
	page->get(lu, pc, p + 2);
	return p + 2 + page->len;
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

int op_mode_sense(struct task *t)
{
	const struct scsi_lu *lu = task_lu(t);
	bool ten = t->cdb[0] == 0x5a, dbd = t->cdb[1] & 0x08, longlba = ten && t->cdb[1] & 0x10;
	enum page_control pc = (enum page_control)(t->cdb[2] >> 6);
	uint8_t code = t->cdb[2] & 0x3f, sub = t->cdb[3], *begin, *p, *d;
	bool found = false, protect;

	if (pc == PC_SAVED)
		return scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_SAVING_NOT_SUPPORTED);
	if (sub != 0 && sub != ALL_SUBPAGES)
		return scsi_bad_cdb(t, 3, -1);
	if (!(begin = scsi_room(t, 256)))
		return SCSI_DONE;
	d = begin + (ten ? 8 : 4);
	p = dbd ? d : descriptor_put(lu, longlba, d);
	protect = lu->read_only || t->scsi.nexus->read_only || atomic_load(&lu->swp);
	if (ten) {
		begin[3] = (uint8_t)((protect ? 0x80 : 0) | 0x10);      /* WP, DPOFUA */
		begin[4] = longlba && !dbd;
		set16(begin + 6, (uint32_t)(p - d));
	} else {
		begin[2] = (uint8_t)((protect ? 0x80 : 0) | 0x10);
		begin[3] = (uint8_t)(p - d);
	}
	for (unsigned i = 0; i < N_PAGES; i++)
		if (code == ALL_PAGES || code == pages[i].code) {
			p = page_put(lu, &pages[i], pc, p);
			found = true;
		}
	if (!found)
		return scsi_bad_cdb(t, 2, 5);
	if (ten)
		set16(begin, (uint32_t)(p - begin) - 2);
	else
		begin[0] = (uint8_t)(p - begin - 1);
	return scsi_data(t, (uint32_t)(p - begin), ten ? be16(t->cdb + 7) : t->cdb[4]);
}

/* ---- MODE SELECT: every page is checked before any is taken ---- */

/* Looks at the page at p[0..n): its length with header; 0 with the answer set. `apply`: takes it. */
static uint32_t page_take(struct task *t, struct scsi_lu *lu, const uint8_t *p, uint32_t n, uint32_t at,
	bool apply, bool *changed)
{
	uint8_t may[PAGE_MAX] = { 0 }, now[PAGE_MAX] = { 0 };

	for (unsigned i = 0; i < N_PAGES; i++) {
		const struct mode_page *page = &pages[i];

		if ((p[0] & 0x7f) != page->code)
			continue;
		if (n < 2 || p[1] != page->len) {
			scsi_bad_parameter(t, at + 1, -1);
			return 0;
		}
		if (n < 2u + page->len)
			break;
		page->get(lu, PC_CHANGEABLE, may);
		page->get(lu, PC_CURRENT, now);
		for (unsigned k = 0; k < page->len; k++)
			if ((p[2 + k] ^ now[k]) & ~may[k]) {
				scsi_bad_parameter(t, at + 2 + k, -1);
				return 0;
			}
		if (apply && page->set)
			*changed |= page->set(lu, p + 2);
		return 2u + page->len;
	}
	if (n < 2)
		scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH);
	else
		scsi_bad_parameter(t, at, 5);
	return 0;
}

int op_mode_select(struct task *t)
{
	struct scsi_lu *lu = task_lu(t);
	bool ten = t->cdb[0] == 0x55, changed = false;
	uint32_t list = ten ? be16(t->cdb + 7) : t->cdb[4], head = ten ? 8 : 4, at, skip;

	if (t->cdb[1] & 0x01)
		return scsi_bad_cdb(t, 1, 0);           /* SP: nothing is saved */
	if (!(t->cdb[1] & 0x10) && list)
		return scsi_bad_cdb(t, 1, 4);           /* PF: only standard pages */
	if (list == 0)
		return scsi_good(t);
	if (!scsi_have(t, list))
		return SCSI_DONE;
	if (list < head)
		return scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH);
	skip = ten ? be16(t->out.p + 6) : t->out.p[3];
	if (skip > list - head || (skip && skip != 8 && skip != 16))
		return scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH);
	/* The shape of the unit does not change by its descriptor. */
	if (skip && be32(t->out.p + head + (skip == 8 ? 4 : 12)) % (1u << 24) != lu->block_size)
		return scsi_bad_parameter(t, head + 4, -1);
	for (int apply = 0; apply < 2; apply++)
		for (at = head + skip; at < list; ) {
			uint32_t n = page_take(t, lu, t->out.p + at, list - at, at, apply, &changed);

			if (n == 0)
				return SCSI_DONE;
			at += n;
		}
	if (changed)
		lu_attention(lu, UA_MODE_CHANGED, t->scsi.nexus);
	return scsi_good(t);
}
