/* SPDX-License-Identifier: Apache-2.0 */
/* INQUIRY: what the unit is (SPC-4 6.6, 7.8; SBC-3 6.6). Identity comes from the volume's UUID, so every
 * node says the same. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "target/scsi/copy.h"
#include "target/scsi/ops.h"
#include "target/scsi/sense.h"

#define VENDOR "DIRECTOR"
#define PORTS_MAX 16
#define PAGE_MAX (1024 + (PORTS_MAX + ALUA_GROUPS_MAX + 1) * 256)

static void ascii_pad(uint8_t *p, size_t n, const char *s)
{
	size_t len = strlen(s);

	memset(p, ' ', n);
	memcpy(p, s, len < n ? len : n);
}

static int standard(struct task *t, const struct scsi_lu *lu, uint32_t allocation)
{
	static const uint16_t versions[] = {
		0x0960,         /* iSCSI */
		0x00a0,         /* SAM-5 */
		0x0460,         /* SPC-4 */
		0x04c0,         /* SBC-3 */
	};
	uint8_t *p = scsi_room(t, 96);

	if (!p)
		return SCSI_DONE;
	p[0] = lu ? 0x00 : 0x7f;        /* no LUN: qualifier 3, type 1Fh */
	p[2] = 0x06;                    /* SPC-4 */
	p[1] = lu && lu->removable ? 0x80 : 0x00;
	p[3] = 0x12;                    /* HISUP, response data format 2 */
	p[4] = 96 - 5;
	/* TPGS: implicit, and explicit if it is offered; 3PC */
	if (lu)
		p[5] = (uint8_t)(0x08 | 0x10 | (lu->alua.explicit_ok ? 0x20 : 0));
	p[6] = 0x10;                    /* MULTIP */
	p[7] = 0x02;                    /* CMDQUE */
	ascii_pad(p + 8, 8, VENDOR);
	ascii_pad(p + 16, 16, lu ? lu->product : "");
	ascii_pad(p + 32, 4, "0001");
	for (unsigned i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
		set16(p + 58 + 2 * i, versions[i]);
	return scsi_data(t, 96, allocation);
}

static void serial(const struct scsi_lu *lu, char *out)
{
	text_hex(lu->uuid, 16, out);
}

/* ---- VPD 83h: designators (7.8.6) ---- */

#define ASSOC_LU 0x00
#define ASSOC_PORT 0x10
#define ASSOC_TARGET 0x20
#define CODE_BINARY 1
#define CODE_ASCII 2
#define CODE_UTF8 3
#define PROTOCOL_ISCSI 0x50

static uint8_t *designator(uint8_t *p, unsigned code, unsigned assoc, unsigned type, const void *data,
	unsigned len)
{
	p[0] = (uint8_t)((assoc ? PROTOCOL_ISCSI : 0) | code);
	p[1] = (uint8_t)((assoc ? 0x80 : 0) | assoc | type);
	p[3] = (uint8_t)len;
	memcpy(p + 4, data, len);
	return p + 4 + len;
}

/* SCSI name strings are NUL-terminated and padded to a multiple of 4 (7.8.6.10). */
static uint8_t *name_string(uint8_t *p, unsigned assoc, const char *s)
{
	char name[264] = { 0 };
	unsigned len = (unsigned)strlen(s);

	memcpy(name, s, len);
	return designator(p, CODE_UTF8, assoc, 8, name, (len + 4u) & ~3u);
}

static uint8_t *identification(const struct task *t, uint8_t *p)
{
	const struct scsi_lu *lu = task_lu(t);
	const struct scsi_it *it = t->scsi.it;
	uint8_t naa[NAA_LEN], uuid[18] = { 0x10, 0 }, number[4] = { 0 };
	char text[8 + 32 + 1] = VENDOR, port[264];

	lu_naa(lu, naa);
	p = designator(p, CODE_BINARY, ASSOC_LU, 3, naa, sizeof(naa));
	serial(lu, text + 8);
	p = designator(p, CODE_ASCII, ASSOC_LU, 1, text, 40);
	memcpy(uuid + 2, lu->uuid, 16);
	p = designator(p, CODE_BINARY, ASSOC_LU, 0xa, uuid, sizeof(uuid));
	set16(number + 2, it->tag);
	p = designator(p, CODE_BINARY, ASSOC_PORT, 4, number, 4);       /* relative target port */
	p = designator(p, CODE_BINARY, ASSOC_PORT, 5, number, 4);       /* target port group */
	snprintf(port, sizeof(port), "%s,t,0x%04x", it->target, it->tag);
	p = name_string(p, ASSOC_PORT, port);
	return name_string(p, ASSOC_TARGET, it->target);
}

/* ---- the other pages ---- */

static uint8_t *page_serial(const struct task *t, uint8_t *p)
{
	char s[33];

	serial(task_lu(t), s);
	memcpy(p, s, 32);
	return p + 32;
}

/* 86h, extended INQUIRY: 7.8.7 */
static uint8_t *page_extended(const struct task *t, uint8_t *p)
{
	p[1] = 0x07;                                    /* HEADSUP, ORDSUP, SIMPSUP */
	p[2] = task_lu(t)->cache ? 0x01 : 0x00;         /* V_SUP */
	p[3] = 0x00;
	p[7] = 0x00;
	p[9] = TASK_SENSE_MAX;                          /* MAXIMUM SUPPORTED SENSE DATA LENGTH */
	return p + 60;
}

/* 87h, mode page policy: SPC-4 7.8.8; one set of pages for all (shared) */
static uint8_t *page_policy(const struct task *t, uint8_t *p)
{
	p[0] = 0x3f;
	p[1] = 0xff;
	return p + 4;
}

/* 88h, SCSI ports: SPC-4 7.8.10; those of the target that is asked */
static uint8_t *port_put(const char *target, uint16_t tag, uint8_t *p)
{
	char port[264];
	uint8_t *d = p + 12;

	set16(p + 2, tag);
	snprintf(port, sizeof(port), "%s,t,0x%04x", target, tag);
	d = name_string(d, ASSOC_PORT, port);
	set16(p + 10, (uint32_t)(d - p) - 12);
	return d;
}

static uint8_t *page_ports(const struct task *t, uint8_t *p)
{
	const struct scsi_lu *lu = task_lu(t);
	const struct scsi_it *it = t->scsi.it;
	bool own = false;

	for (unsigned i = 0; i < lu->n_ports && i < PORTS_MAX; i++)
		if (strcmp(lu->ports[i].target, it->target) == 0) {
			p = port_put(it->target, lu->ports[i].tag, p);
			own |= lu->ports[i].tag == it->tag;
		}
	/* Ports of the same target on other nodes are its groups. */
	for (unsigned i = 0; i < lu->alua.n; i++)
		if (lu->alua.groups[i].id != it->tag)
			p = port_put(it->target, lu->alua.groups[i].id, p);
	return own ? p : port_put(it->target, it->tag, p);
}

/* B0h, block limits: SBC-3 6.6.4 */
static uint8_t *page_limits(const struct task *t, uint8_t *p)
{
	const struct scsi_lu *lu = task_lu(t);

	p[0] = 0x01;            /* WSNZ: a WRITE SAME of 0 blocks is refused */
	p[1] = lu->caw_max;
	set16(p + 2, lu->physical_exponent ? 1u << lu->physical_exponent : 1);
	set32(p + 4, lu->max_transfer);
	/* More than one command carries is nobody's optimum: Linux calls such a page wrong and ignores it. */
	set32(p + 8, lu->optimal_transfer <= lu->max_transfer ? lu->optimal_transfer : 0);
	set32(p + 16, lu->thin ? SCSI_UNMAP_BLOCKS_MAX : 0);
	set32(p + 20, lu->thin ? SCSI_UNMAP_RANGES_MAX : 0);
	set32(p + 24, lu->unmap_granularity);
	if (lu->thin)
		set32(p + 28, 0x80000000u);     /* UGAVALID: granules begin at 0 */
	set64(p + 32, SCSI_SAME_BLOCKS_MAX);
	set32(p + 40, lu->atomic_max);
	return p + 60;
}

/* B1h, block device characteristics: 6.6.2 */
static uint8_t *page_device(const struct task *t, uint8_t *p)
{
	set16(p, task_lu(t)->rotational ? 0 : 1);
	p[3] = 0x40;            /* WABEREQ 01b: after BLOCK ERASE blocks read without error */
	return p + 60;
}

/* B2h, logical block provisioning: 6.6.5 */
static uint8_t *page_provisioning(const struct task *t, uint8_t *p)
{
	bool thin = task_lu(t)->thin;

	p[0] = thin ? (uint8_t)lu_threshold_exponent(task_lu(t)) : 0;
	p[1] = thin ? 0xe6 : 0;         /* LBPU, LBPWS, LBPWS10, LBPRZ, ANC_SUP */
	p[2] = thin ? 2 : 0;
	return p + 4;
}

/* C0h, of inner units: a version, the life of the storage, and whether it is another than it was */
static uint8_t *page_inner(const struct task *t, uint8_t *p)
{
	p[0] = 1;
	set64(p + 4, task_lu(t)->life);
	set64(p + 12, task_lu(t)->other);
	return p + 20;
}

static uint8_t *page_list(const struct task *t, uint8_t *p);

static const struct vpd_page {
	uint8_t code;
	uint8_t *(*fill)(const struct task *t, uint8_t *p);
} pages[] = {
	{ 0x00, page_list },
	{ 0x80, page_serial },
	{ 0x83, identification },
	{ 0x86, page_extended },
	{ 0x87, page_policy },
	{ 0x88, page_ports },
	{ 0x8f, copy_page },
	{ 0xb0, page_limits },
	{ 0xb1, page_device },
	{ 0xb2, page_provisioning },
	{ 0xc0, page_inner },
};

#define N_PAGES (sizeof(pages) / sizeof(pages[0]))

static bool has_page(const struct task *t, unsigned i)
{
	return pages[i].code != 0xc0 || task_lu(t)->inner;
}

static uint8_t *page_list(const struct task *t, uint8_t *p)
{
	for (unsigned i = 0; i < N_PAGES; i++)
		if (has_page(t, i))
			*p++ = pages[i].code;
	return p;
}

static int vpd(struct task *t, uint8_t code, uint32_t allocation)
{
	uint8_t *p;

	for (unsigned i = 0; i < N_PAGES; i++) {
		unsigned len;

		if (pages[i].code != code || !has_page(t, i))
			continue;
		if (!(p = scsi_room(t, PAGE_MAX)))
			return SCSI_DONE;
		len = (unsigned)(pages[i].fill(t, p + 4) - (p + 4));
		p[1] = code;
		set16(p + 2, len);
		return scsi_data(t, 4 + len, allocation);
	}
	return scsi_bad_cdb(t, 2, -1);
}

int op_inquiry(struct task *t)
{
	uint32_t allocation = be16(t->cdb + 3);

	if (t->cdb[1] & 0x01)
		return vpd(t, t->cdb[2], allocation);
	if (t->cdb[2])
		return scsi_bad_cdb(t, 2, -1);
	return standard(t, task_lu(t), allocation);
}

int inquiry_no_lun(struct task *t)
{
	if (t->cdb[1] & 0x01 || t->cdb[2])
		return scsi_bad_cdb(t, 2, -1);
	return standard(t, NULL, be16(t->cdb + 3));
}
