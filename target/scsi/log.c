/* SPDX-License-Identifier: Apache-2.0 */
/* LOG SENSE and LOG SELECT (SPC-4 6.6, 6.7, 7.3; SBC-3 6.4): pages as rows. */
#include <string.h>

#include "target/scsi/ops.h"
#include "target/scsi/sense.h"

#define PAGE_MAX 256
#define ALL_SUBPAGES 0xff

struct log_page {
	uint8_t code;
	bool thin;                      /* of thin units only */
	uint8_t *(*fill)(const struct scsi_lu *lu, uint8_t *p);
};

static uint8_t *parameter(uint8_t *p, uint16_t code, uint8_t control, uint8_t len)
{
	set16(p, code);
	p[2] = control;
	p[3] = len;
	return p + 4 + len;
}

/* 0Ch, logical block provisioning: SBC-3 6.4.5. Counts in threshold sets; the whole storage's, not the unit's alone. */
static uint8_t *provisioning(const struct scsi_lu *lu, uint8_t *p)
{
	unsigned shift = lu_threshold_exponent(lu);
	const uint64_t counts[] = { lu->space.available, lu->space.used };

	for (unsigned i = 0; i < 2 && lu->space.known; i++) {
		uint64_t sets = (counts[i] / lu->block_size) >> shift;

		set32(p + 4, sets > UINT32_MAX ? UINT32_MAX : (uint32_t)sets);
		p[8] = 0x02;            /* SCOPE: shared with other units */
		p = parameter(p, (uint16_t)(i + 1), 0x03, 8);   /* FORMAT AND LINKING: binary list */
	}
	return p;
}

/* 0Dh, temperature: SPC-4 7.3.21; there is no sensor. */
static uint8_t *temperature(const struct scsi_lu *lu, uint8_t *p)
{
	p[5] = 0xff;
	p = parameter(p, 0x0000, 0x03, 2);
	p[5] = 0xff;
	return parameter(p, 0x0001, 0x03, 2);
}

/* 2Fh, informational exceptions: SPC-4 7.3.12; none, and no temperature. */
static uint8_t *exceptions(const struct scsi_lu *lu, uint8_t *p)
{
	p[6] = 0xff;
	return parameter(p, 0x0000, 0x03, 4);
}

static uint8_t *list(const struct scsi_lu *lu, uint8_t *p);

static const struct log_page pages[] = {
	{ 0x00, false, list },
	{ 0x0c, true, provisioning },
	{ 0x0d, false, temperature },
	{ 0x2f, false, exceptions },
};

#define N_PAGES (sizeof(pages) / sizeof(pages[0]))

static uint8_t *list(const struct scsi_lu *lu, uint8_t *p)
{
	for (unsigned i = 0; i < N_PAGES; i++)
		if (!pages[i].thin || lu->thin)
			*p++ = pages[i].code;
	return p;
}

/* 00h/FFh: pages and subpages; and the subpages of one page, which are 00h and FFh. */
static uint8_t *subpages(const struct scsi_lu *lu, uint8_t code, uint8_t *p)
{
	for (unsigned i = 0; i < N_PAGES; i++) {
		if ((pages[i].thin && !lu->thin) || (code && pages[i].code != code))
			continue;
		*p++ = pages[i].code;
		*p++ = 0x00;
		*p++ = pages[i].code;
		*p++ = ALL_SUBPAGES;
	}
	return p;
}

/* PARAMETER POINTER (SPC-4 6.6.1): parameters from this code on; the new end, NULL if there are none. */
static uint8_t *parameters_from(uint32_t first, uint8_t *p, const uint8_t *end)
{
	uint8_t *to = p;

	for (const uint8_t *at = p; at < end; ) {
		unsigned len = 4u + at[3];

		if (be16(at) >= first) {
			memmove(to, at, len);
			to += len;
		}
		at += len;
	}
	return to == p && first ? NULL : to;
}

int log_sense(struct task *t)
{
	const struct scsi_lu *lu = task_lu(t);
	uint8_t code = t->cdb[2] & 0x3f, sub = t->cdb[3], *p, *end;
	const struct log_page *page = NULL;

	/* Only cumulative values (PC 01b); thresholds and defaults of counters are not kept. */
	if (t->cdb[2] >> 6 != 1)
		return scsi_bad_cdb(t, 2, 7);
	for (unsigned i = 0; i < N_PAGES; i++)
		if (pages[i].code == code && (!pages[i].thin || lu->thin))
			page = &pages[i];
	if (!page)
		return scsi_bad_cdb(t, 2, 5);
	if (sub && sub != ALL_SUBPAGES)
		return scsi_bad_cdb(t, 3, -1);
	if (!(p = scsi_room(t, PAGE_MAX)))
		return SCSI_DONE;
	p[0] = (uint8_t)(0x80 | (sub ? 0x40 : 0) | code);       /* DS: nothing is saved */
	p[1] = sub;
	end = sub ? subpages(lu, code, p + 4) : page->fill(lu, p + 4);
	if (!sub && code && !(end = parameters_from(be16(t->cdb + 5), p + 4, end)))
		return scsi_bad_cdb(t, 5, -1);
	set16(p + 2, (uint32_t)(end - p) - 4);
	return scsi_data(t, (uint32_t)(end - p), be16(t->cdb + 7));
}

/* Nothing here counts anything that could be reset; to ask for that is no error (SPC-4 6.6: PCR). */
int log_select(struct task *t)
{
	if (be16(t->cdb + 7))
		return scsi_bad_cdb(t, 7, -1);
	return scsi_good(t);
}
