/* SPDX-License-Identifier: Apache-2.0 */
/* Reservations: RESERVE/RELEASE(6) of SPC-2, PERSISTENT RESERVE IN and OUT of SPC-4 (5.13, 6.15, 6.16). */
#include "target/scsi/reserve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "target/scsi/ops.h"
#include "target/scsi/sense.h"

void reserve_fini(struct scsi_reserve *r)
{
	free(r->registrants);
	memset(r, 0, sizeof(*r));
}

/* ---- who is who ---- */

static struct pr_port port_of(const struct scsi_it *it)
{
	struct pr_port p = { .tag = it->tag };

	snprintf(p.initiator, sizeof(p.initiator), "%s", it->initiator);
	memcpy(p.isid, it->isid, 6);
	return p;
}

static bool port_eq(const struct pr_port *p, const struct scsi_it *it)
{
	return p->tag == it->tag && memcmp(p->isid, it->isid, 6) == 0 &&
	       strcmp(p->initiator, it->initiator) == 0;
}

static struct pr_registrant *registrant_of(struct scsi_reserve *r, const struct scsi_it *it)
{
	for (unsigned i = 0; i < r->n; i++)
		if (port_eq(&r->registrants[i].port, it))
			return &r->registrants[i];
	return NULL;
}

static bool all_type(enum pr_type type)
{
	return type == PR_WRITE_EXCLUSIVE_ALL || type == PR_EXCLUSIVE_ACCESS_ALL;
}

static bool registrants_type(enum pr_type type)
{
	return type == PR_WRITE_EXCLUSIVE_REGISTRANTS || type == PR_EXCLUSIVE_ACCESS_REGISTRANTS ||
	       all_type(type);
}

static bool exclusive_type(enum pr_type type)
{
	return type == PR_EXCLUSIVE_ACCESS || type == PR_EXCLUSIVE_ACCESS_REGISTRANTS ||
	       type == PR_EXCLUSIVE_ACCESS_ALL;
}

static bool type_ok(unsigned type)
{
	return type == 1 || type == 3 || (type >= 5 && type <= 8);
}

static bool holds(const struct scsi_reserve *r, const struct pr_registrant *g)
{
	return r->type != PR_NONE && g && (g->holder || all_type(r->type));
}

/* ---- what it means for each nexus: SPC-2 table 9, SPC-4 table 66 ---- */

static uint32_t denied_for(struct scsi_lu *lu, const struct scsi_nexus *n)
{
	struct scsi_reserve *r = &lu->reserve;
	const struct pr_registrant *g;
	uint32_t denied = 0;

	if (r->spc2 && r->spc2 != n)
		denied |= 1u << ACCESS_READY | 1u << ACCESS_READ | 1u << ACCESS_WRITE | 1u << ACCESS_RESERVE |
			1u << ACCESS_PR_IN | 1u << ACCESS_PR_OUT;
	if (r->n)
		denied |= 1u << ACCESS_RESERVE | 1u << ACCESS_RELEASE;
	if (r->type == PR_NONE)
		return denied;
	g = registrant_of(r, n->it);
	if (holds(r, g) || (g && registrants_type(r->type)))
		return denied;
	denied |= 1u << ACCESS_WRITE;
	if (exclusive_type(r->type))
		denied |= 1u << ACCESS_READ;
	return denied;
}

void reserve_apply(struct scsi_lu *lu)
{
	for (struct scsi_nexus *n = lu->nexuses; n; n = n->next)
		atomic_store_explicit(&n->denied, denied_for(lu, n), memory_order_release);
}

/* ---- SPC-2 ---- */

int reserve_reserve6(struct task *t)
{
	task_lu(t)->reserve.spc2 = t->scsi.nexus;
	reserve_apply(task_lu(t));
	return scsi_good(t);
}

int reserve_release6(struct task *t)
{
	struct scsi_reserve *r = &task_lu(t)->reserve;

	if (r->spc2 == t->scsi.nexus) {
		r->spc2 = NULL;
		reserve_apply(task_lu(t));
	}
	return scsi_good(t);
}

/* ---- PERSISTENT RESERVE IN ---- */

static int read_keys(struct task *t, const struct scsi_reserve *r, uint32_t allocation)
{
	uint8_t *p = scsi_room(t, 8 + 8 * r->n);

	if (!p)
		return SCSI_DONE;
	set32(p, r->generation);
	set32(p + 4, 8 * r->n);
	for (unsigned i = 0; i < r->n; i++)
		set64(p + 8 + 8 * i, r->registrants[i].key);
	return scsi_data(t, 8 + 8 * r->n, allocation);
}

static int read_reservation(struct task *t, const struct scsi_reserve *r, uint32_t allocation)
{
	uint8_t *p = scsi_room(t, 24);

	if (!p)
		return SCSI_DONE;
	set32(p, r->generation);
	if (r->type == PR_NONE)
		return scsi_data(t, 8, allocation);
	set32(p + 4, 16);
	/* 6.15.3.2: with the all-registrants types there is no one key. */
	for (unsigned i = 0; i < r->n && !all_type(r->type); i++)
		if (r->registrants[i].holder)
			set64(p + 8, r->registrants[i].key);
	p[21] = (uint8_t)r->type;
	return scsi_data(t, 24, allocation);
}

static int report_capabilities(struct task *t, uint32_t allocation)
{
	uint8_t *p = scsi_room(t, 8);

	if (!p)
		return SCSI_DONE;
	set16(p, 8);
	p[3] = 0x80;            /* TMV: the type mask is valid */
	p[4] = 0xea;            /* WR_EX_AR, EX_AC_RO, WR_EX_RO, EX_AC, WR_EX */
	p[5] = 0x01;            /* EX_AC_AR */
	return scsi_data(t, 8, allocation);
}

/* 6.15.5: one descriptor with the TransportID of iSCSI (7.6.4.6). Returns its length. */
static uint32_t full_descriptor(const struct scsi_reserve *r, const struct pr_registrant *g, uint8_t *p)
{
	char name[288], isid[13];
	uint32_t len;

	text_hex(g->port.isid, 6, isid);
	len = (uint32_t)snprintf(name, sizeof(name), "%s,i,0x%s", g->port.initiator, isid) + 1;
	len = (len + 3u) & ~3u;
	if (len < 20)
		len = 20;
	memset(p, 0, 28 + len);
	set64(p, g->key);
	p[12] = holds(r, g);
	p[13] = holds(r, g) ? (uint8_t)r->type : 0;
	set16(p + 18, g->port.tag);
	set32(p + 20, 4 + len);
	p[24] = 0x45;           /* format 01b, iSCSI */
	set16(p + 26, len);
	memcpy(p + 28, name, strlen(name));
	return 28 + len;
}

static int read_full_status(struct task *t, const struct scsi_reserve *r, uint32_t allocation)
{
	uint8_t *p = scsi_room(t, 8 + r->n * 320);
	uint32_t at = 8;

	if (!p)
		return SCSI_DONE;
	for (unsigned i = 0; i < r->n; i++)
		at += full_descriptor(r, &r->registrants[i], p + at);
	set32(p, r->generation);
	set32(p + 4, at - 8);
	return scsi_data(t, at, allocation);
}

int reserve_pr_in(struct task *t)
{
	const struct scsi_reserve *r = &task_lu(t)->reserve;
	uint32_t allocation = be16(t->cdb + 7);

	switch (t->cdb[1] & 0x1f) {
	case 0:
		return read_keys(t, r, allocation);
	case 1:
		return read_reservation(t, r, allocation);
	case 2:
		return report_capabilities(t, allocation);
	default:
		return read_full_status(t, r, allocation);
	}
}

/* ---- PERSISTENT RESERVE OUT ---- */

struct pr_request {
	uint64_t key, sa_key;
	unsigned scope, type;
};

/* A unit attention for the registrants but `but`'s own nexus. */
static void attend(struct scsi_lu *lu, const struct scsi_nexus *but, enum scsi_ua ua)
{
	for (struct scsi_nexus *n = lu->nexuses; n; n = n->next)
		if (n != but && registrant_of(&lu->reserve, n->it))
			nexus_attention(n, ua);
}

static void release(struct scsi_reserve *r)
{
	r->type = PR_NONE;
	for (unsigned i = 0; i < r->n; i++)
		r->registrants[i].holder = false;
}

/* Remove a registration; a reservation that it alone holds goes with it (5.13.11.3). */
static void unregister(struct scsi_lu *lu, struct pr_registrant *g, const struct scsi_nexus *by)
{
	struct scsi_reserve *r = &lu->reserve;
	bool ends = r->type != PR_NONE && (g->holder || (all_type(r->type) && r->n == 1));
	enum pr_type type = r->type;

	*g = r->registrants[--r->n];
	if (ends && !(all_type(type) && r->n)) {
		release(r);
		if (registrants_type(type))
			attend(lu, by, UA_RESERVATIONS_RELEASED);
	}
}

static int pr_register(struct task *t, const struct pr_request *q, bool ignore)
{
	struct scsi_lu *lu = task_lu(t);
	struct scsi_reserve *r = &lu->reserve;
	struct pr_registrant *g = registrant_of(r, t->scsi.it);

	if (!ignore && q->key != (g ? g->key : 0))
		return scsi_status(t, STATUS_RESERVATION_CONFLICT);
	if (q->sa_key == 0) {
		if (g) {
			unregister(lu, g, t->scsi.nexus);
			r->generation++;
		}
	} else {
		if (!g) {
			if (r->n >= RESERVE_KEYS_MAX)
				return scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_INSUFFICIENT_REGISTRATION);
			r->registrants = mem_grow(r->registrants, &r->cap, r->n, sizeof(*r->registrants));
			g = &r->registrants[r->n++];
			*g = (struct pr_registrant){ .port = port_of(t->scsi.it) };
		}
		g->key = q->sa_key;
		r->generation++;
	}
	reserve_apply(lu);
	return scsi_good(t);
}

static int pr_reserve(struct task *t, const struct pr_request *q, struct pr_registrant *g)
{
	struct scsi_reserve *r = &task_lu(t)->reserve;

	if (r->type != PR_NONE)
		return holds(r, g) && r->type == q->type ? scsi_good(t)
							 : scsi_status(t, STATUS_RESERVATION_CONFLICT);
	r->type = (enum pr_type)q->type;
	g->holder = true;
	reserve_apply(task_lu(t));
	return scsi_good(t);
}

static int pr_release(struct task *t, const struct pr_request *q, const struct pr_registrant *g)
{
	struct scsi_lu *lu = task_lu(t);
	struct scsi_reserve *r = &lu->reserve;

	if (!holds(r, g))
		return scsi_good(t);
	if (r->type != q->type || q->scope)
		return scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_INVALID_RELEASE);
	release(r);
	if (registrants_type((enum pr_type)q->type))
		attend(lu, t->scsi.nexus, UA_RESERVATIONS_RELEASED);
	reserve_apply(lu);
	return scsi_good(t);
}

static int pr_clear(struct task *t)
{
	struct scsi_lu *lu = task_lu(t);

	attend(lu, t->scsi.nexus, UA_RESERVATIONS_PREEMPTED);
	release(&lu->reserve);
	lu->reserve.n = 0;
	lu->reserve.generation++;
	reserve_apply(lu);
	return scsi_good(t);
}

/* Remove all registrations with `key` (`all`: every one) but the preemptor's own. Returns whether there
 * were any. */
static bool remove_key(struct scsi_lu *lu, const struct task *t, uint64_t key, bool all)
{
	struct scsi_reserve *r = &lu->reserve;
	bool any = false;

	for (unsigned i = 0; i < r->n; ) {
		struct pr_registrant *g = &r->registrants[i];

		if ((!all && g->key != key) || port_eq(&g->port, t->scsi.it)) {
			any |= !all && g->key == key;
			i++;
			continue;
		}
		for (struct scsi_nexus *n = lu->nexuses; n; n = n->next)
			if (port_eq(&g->port, n->it))
				nexus_attention(n, UA_REGISTRATIONS_PREEMPTED);
		*g = r->registrants[--r->n];
		any = true;
	}
	return any;
}

/* 5.13.11.4: with the holder's key (or 0 for an all-registrants reservation) the reservation is taken over
 * as well. */
static int pr_preempt(struct task *t, const struct pr_request *q)
{
	struct scsi_lu *lu = task_lu(t);
	struct scsi_reserve *r = &lu->reserve;
	bool all = all_type(r->type), takes = false;
	enum pr_type before = r->type;
	struct pr_registrant *g;

	for (unsigned i = 0; i < r->n; i++)
		takes |= r->type != PR_NONE && !all && r->registrants[i].holder &&
			 r->registrants[i].key == q->sa_key;
	takes |= all && q->sa_key == 0;
	if (q->sa_key == 0 && !all)
		return scsi_bad_parameter(t, 8, -1);
	if (takes && (!type_ok(q->type) || q->scope))
		return scsi_bad_cdb(t, 2, -1);
	if (!remove_key(lu, t, q->sa_key, all && q->sa_key == 0) && !takes)
		return scsi_status(t, STATUS_RESERVATION_CONFLICT);
	if (takes) {
		release(r);
		g = registrant_of(r, t->scsi.it);
		r->type = (enum pr_type)q->type;
		g->holder = true;
		if (before != r->type && registrants_type(before))
			attend(lu, t->scsi.nexus, UA_RESERVATIONS_RELEASED);
	}
	r->generation++;
	reserve_apply(lu);
	return scsi_good(t);
}

int reserve_pr_out(struct task *t)
{
	unsigned sa = t->cdb[1] & 0x1f;
	struct pr_request q = { .scope = t->cdb[2] >> 4, .type = t->cdb[2] & 0x0f };
	struct pr_registrant *g;

	if (be32(t->cdb + 5) != 24)
		return scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH);
	if (!scsi_have(t, 24))
		return SCSI_DONE;
	q.key = be64(t->out.p);
	q.sa_key = be64(t->out.p + 8);
	/* SPEC_I_PT, ALL_TG_PT, APTPL: REPORT CAPABILITIES says that they are not offered. */
	if ((sa == 0 || sa == 6) && t->out.p[20] & 0x0d)
		return scsi_bad_parameter(t, 20, -1);
	if (sa == 0 || sa == 6)
		return pr_register(t, &q, sa == 6);
	g = registrant_of(&task_lu(t)->reserve, t->scsi.it);
	if (!g || g->key != q.key)
		return scsi_status(t, STATUS_RESERVATION_CONFLICT);
	if (sa == 1 && (!type_ok(q.type) || q.scope))
		return scsi_bad_cdb(t, 2, -1);
	switch (sa) {
	case 1:
		return pr_reserve(t, &q, g);
	case 2:
		return pr_release(t, &q, g);
	case 3:
		return pr_clear(t);
	default:
		return pr_preempt(t, &q);
	}
}
