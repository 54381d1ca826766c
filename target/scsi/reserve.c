/* SPDX-License-Identifier: Apache-2.0 */
/* Reservations: RESERVE and RELEASE of SPC-2, PERSISTENT RESERVE IN and OUT of SPC-4 (5.13, 6.15, 6.16). */
#include "target/scsi/reserve.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "target/scsi/ops.h"
#include "target/scsi/proposal.h"
#include "target/scsi/sense.h"

/* ---- what it means for a nexus: SPC-2 table 9, SPC-4 table 66 ---- */

uint32_t reserve_denied(const struct scsi_lu *lu, const struct scsi_nexus *n)
{
	const struct pr_state *r = &lu->kept.pr;
	const struct pr_registrant *g;
	struct pr_port port;
	uint32_t denied = 0;

	it_port(n->it, &port);
	if ((lu->spc2 && lu->spc2 != n) || (lu->kept.has_spc2 && !pr_port_eq(&lu->kept.spc2, &port)))
		denied |= 1u << ACCESS_READY | 1u << ACCESS_READ | 1u << ACCESS_WRITE | 1u << ACCESS_RESERVE |
			1u << ACCESS_PR_IN | 1u << ACCESS_PR_OUT;
	if (r->n)
		denied |= 1u << ACCESS_RESERVE | 1u << ACCESS_RELEASE;
	if (r->type == PR_NONE)
		return denied;
	g = pr_find(r, &port);
	if (pr_holds(r, g) || (g && pr_type_registrants(r->type)))
		return denied;
	denied |= 1u << ACCESS_WRITE;
	if (pr_type_exclusive(r->type))
		denied |= 1u << ACCESS_READ;
	return denied;
}

/* ---- SPC-2: of the whole unit, for the nexus itself (no third party, no extents) ---- */

static int agreed_reserved(struct task *t, struct scsi_proposal *p)
{
	return scsi_good(t);
}

/* Where nodes agree: it is of `port`, or nobody's (NULL). */
static int agreed_reserve(struct task *t, const struct pr_port *port)
{
	struct scsi_proposal *p = proposal_new(t, agreed_reserved);

	p->next.has_spc2 = port != NULL;
	p->next.spc2 = port ? *port : (struct pr_port){ .tag = 0 };
	return proposal_go(t, &p);
}

static bool is_holder(struct task *t, struct pr_port *port)
{
	const struct lu_kept *k = &task_lu(t)->kept;

	it_port(t->scsi.it, port);
	return k->has_spc2 && pr_port_eq(&k->spc2, port);
}

static int lost_locked(struct task *t)
{
	struct pr_port port;

	return is_holder(t, &port) ? agreed_reserve(t, NULL) : SCSI_DONE;
}

static int reset_locked(struct task *t)
{
	return task_lu(t)->kept.has_spc2 ? agreed_reserve(t, NULL) : SCSI_DONE;
}

int reserve_lost(struct task *t)
{
	t->scsi.next = lost_locked;
	return SCSI_LOCK;
}

int reserve_reset(struct task *t)
{
	t->scsi.next = reset_locked;
	return SCSI_LOCK;
}

int reserve_reserve(struct task *t)
{
	struct pr_port port;

	if (task_lu(t)->kept.all) {
		it_port(t->scsi.it, &port);
		return agreed_reserve(t, &port);
	}
	task_lu(t)->spc2 = t->scsi.nexus;
	lu_gates(task_lu(t));
	return scsi_good(t);
}

int reserve_release(struct task *t)
{
	struct scsi_lu *lu = task_lu(t);
	struct pr_port port;

	if (lu->kept.all && is_holder(t, &port))
		return agreed_reserve(t, NULL);
	if (lu->spc2 == t->scsi.nexus) {
		lu->spc2 = NULL;
		lu_gates(lu);
	}
	return scsi_good(t);
}

/* ---- PERSISTENT RESERVE IN ---- */

static int read_keys(struct task *t, const struct pr_state *r, uint32_t allocation)
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

static int read_reservation(struct task *t, const struct pr_state *r, uint32_t allocation)
{
	uint8_t *p = scsi_room(t, 24);

	if (!p)
		return SCSI_DONE;
	set32(p, r->generation);
	if (r->type == PR_NONE)
		return scsi_data(t, 8, allocation);
	set32(p + 4, 16);
	/* 6.15.3.2: with the all-registrants types there is no one key. */
	for (unsigned i = 0; i < r->n && !pr_type_all(r->type); i++)
		if (r->registrants[i].holder)
			set64(p + 8, r->registrants[i].key);
	p[21] = (uint8_t)r->type;
	return scsi_data(t, 24, allocation);
}

static int report_capabilities(struct task *t, const struct pr_state *r, uint32_t allocation)
{
	uint8_t *p = scsi_room(t, 8);

	if (!p)
		return SCSI_DONE;
	set16(p, 8);
	p[2] = 0x80 | 0x08 | 0x04 | 0x01;       /* RLR_C, SIP_C, ATP_C, PTPL_C */
	p[3] = (uint8_t)(0x80 | r->aptpl);      /* TMV: the type mask is valid; PTPL_A */
	p[4] = 0xea;            /* WR_EX_AR, EX_AC_RO, WR_EX_RO, EX_AC, WR_EX */
	p[5] = 0x01;            /* EX_AC_AR */
	return scsi_data(t, 8, allocation);
}

/* 6.15.5: one descriptor with the TransportID of iSCSI (7.6.4.6). Returns its length. */
static uint32_t full_descriptor(const struct pr_state *r, const struct pr_registrant *g, uint8_t *p)
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
	p[12] = pr_holds(r, g);
	p[13] = pr_holds(r, g) ? (uint8_t)r->type : 0;
	set16(p + 18, g->port.tag);
	set32(p + 20, 4 + len);
	p[24] = 0x45;           /* format 01b, iSCSI */
	set16(p + 26, len);
	memcpy(p + 28, name, strlen(name));
	return 28 + len;
}

static int read_full_status(struct task *t, const struct pr_state *r, uint32_t allocation)
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
	const struct pr_state *r = &task_lu(t)->kept.pr;
	uint32_t allocation = be16(t->cdb + 7);

	switch (t->cdb[1] & 0x1f) {
	case 0:
		return read_keys(t, r, allocation);
	case 1:
		return read_reservation(t, r, allocation);
	case 2:
		return report_capabilities(t, r, allocation);
	default:
		return read_full_status(t, r, allocation);
	}
}

/* ---- PERSISTENT RESERVE OUT: the parameter list ---- */

#define SPEC_I_PT 0x08
#define ALL_TG_PT 0x04
#define APTPL 0x01
#define UNREG 0x02

/* The ports that a request names besides its own. */
struct ports {
	struct pr_port *p;
	unsigned n, cap;
};

static bool port_add(struct ports *ports, const struct pr_port *own, const struct pr_port *p)
{
	if (pr_port_eq(own, p))
		return true;
	for (unsigned i = 0; i < ports->n; i++)
		if (pr_port_eq(&ports->p[i], p))
			return true;
	if (ports->n >= PR_OTHERS_MAX)
		return false;
	ports->p = mem_grow(ports->p, &ports->cap, ports->n, sizeof(*ports->p));
	ports->p[ports->n++] = *p;
	return true;
}

/* The initiator port at the target port that the command came through, or at all of the unit's. */
static bool port_add_at(struct ports *ports, const struct scsi_lu *lu, const struct pr_port *own,
	const struct pr_port *initiator, bool all)
{
	struct pr_port p = *initiator;
	bool ok;

	memcpy(p.target, own->target, sizeof(p.target));
	p.tag = own->tag;
	ok = port_add(ports, own, &p);
	for (unsigned i = 0; all && ok && i < lu->n_ports; i++) {
		memcpy(p.target, lu->ports[i].target, sizeof(p.target));
		p.tag = lu->ports[i].tag;
		ok = port_add(ports, own, &p);
	}
	return ok;
}

/*
 * An iSCSI TransportID (7.6.4.6) at p[0..n): its length, 0 if it is none. Format 0 names no initiator port:
 * *any_isid.
 */
static uint32_t transport_id(const uint8_t *p, uint32_t n, struct pr_port *port, bool *any_isid)
{
	uint32_t len = n < 4 ? 0 : 4 + be16(p + 2);
	char name[288] = { 0 }, *mark;

	memset(port, 0, sizeof(*port));
	if (len < 24 || len > n || len % 4 || len - 4 >= sizeof(name) || (p[0] & 0x0f) != 5 || p[0] & 0x30)
		return 0;
	memcpy(name, p + 4, len - 4);
	*any_isid = p[0] >> 6 == 0;
	if (p[0] >> 6 == 1) {
		mark = strstr(name, ",i,0x");
		if (!mark || strlen(mark + 5) != 12 || text_hex_parse(mark + 5, port->isid, 6) != 0)
			return 0;
		*mark = '\0';
	} else if (p[0] >> 6) {
		return 0;
	}
	if (!*name || strlen(name) >= sizeof(port->initiator))
		return 0;
	memcpy(port->initiator, name, strlen(name));
	/* As it is in a login: a name means the same port however it is written. */
	text_fold(port->initiator);
	return len;
}

/* One TransportID of SPEC_I_PT; without ISID it means the ports of that name that are known here. */
static bool spec_add(struct ports *ports, const struct scsi_lu *lu, const struct pr_port *own,
	struct pr_port *p, bool any_isid, bool all)
{
	bool some = false;

	if (!any_isid)
		return port_add_at(ports, lu, own, p, all);
	for (const struct scsi_nexus *n = lu->nexuses; n; n = n->next) {
		if (strcmp(n->it->initiator, p->initiator) != 0)
			continue;
		memcpy(p->isid, n->it->isid, 6);
		some = true;
		if (!port_add_at(ports, lu, own, p, all))
			return false;
	}
	return some;
}

/* The list of REGISTER and REGISTER AND IGNORE EXISTING KEY (6.16.3); false with the answer set. */
static bool register_list(struct task *t, uint32_t len, struct pr_request *q, struct ports *ports)
{
	const struct scsi_lu *lu = task_lu(t);
	const uint8_t *p = t->out.p;
	bool all = p[20] & ALL_TG_PT;
	uint32_t at = 28, end;

	q->aptpl = p[20] & APTPL;
	q->spec_i_pt = p[20] & SPEC_I_PT;
	if (all && !port_add_at(ports, lu, &q->from, &q->from, true))
		return scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_INSUFFICIENT_REGISTRATION), false;
	if (!q->spec_i_pt) {
		if (len != 24)
			scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH);
		return len == 24;
	}
	if (len < 28 || be32(p + 24) > len - 28)
		return scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH), false;
	end = 28 + be32(p + 24);
	while (at < end) {
		struct pr_port port;
		bool any_isid = false;
		uint32_t n = transport_id(p + at, end - at, &port, &any_isid);

		if (!n || !spec_add(ports, lu, &q->from, &port, any_isid, all))
			return scsi_bad_parameter(t, at, -1), false;
		at += n;
	}
	return true;
}

/* A target port of the unit by its relative identifier; of the command's own target first. */
static bool target_port(const struct scsi_lu *lu, const struct scsi_it *it, uint16_t id, struct pr_port *p)
{
	const char *name = id == it->tag || alua_group(&lu->alua, id) ? it->target : NULL;

	for (unsigned i = 0; i < lu->n_ports; i++)
		if (lu->ports[i].tag == id && (!name || strcmp(lu->ports[i].target, it->target) == 0))
			name = lu->ports[i].target;
	if (!name)
		return false;
	memset(p->target, 0, sizeof(p->target));
	memcpy(p->target, name, strlen(name));
	p->tag = id;
	return true;
}

/* The list of REGISTER AND MOVE (6.16.4). */
static bool move_list(struct task *t, uint32_t len, struct pr_request *q, struct ports *ports)
{
	const uint8_t *p = t->out.p;
	bool any_isid = false;
	struct pr_port port;

	q->aptpl = p[17] & APTPL;
	q->unregister = p[17] & UNREG;
	if (len < 24 + 24 || be32(p + 20) != len - 24)
		return scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH), false;
	if (transport_id(p + 24, len - 24, &port, &any_isid) != len - 24 || any_isid)
		return scsi_bad_parameter(t, 24, -1), false;
	if (!target_port(task_lu(t), t->scsi.it, (uint16_t)be16(p + 18), &port))
		return scsi_bad_parameter(t, 18, -1), false;
	if (pr_port_eq(&port, &q->from))
		return scsi_bad_parameter(t, 24, -1), false;
	return port_add(ports, &q->from, &port);
}

/* ---- PERSISTENT RESERVE OUT: the outcome ---- */

static const enum scsi_ua news_ua[] = {
	[PR_RESERVATION_RELEASED] = UA_RESERVATIONS_RELEASED,
	[PR_RESERVATION_PREEMPTED] = UA_RESERVATIONS_PREEMPTED,
	[PR_REGISTRATION_PREEMPTED] = UA_REGISTRATIONS_PREEMPTED,
};

enum scsi_ua reserve_news_ua(enum pr_news news)
{
	return news_ua[news];
}

static int pr_commit(struct task *t, struct scsi_proposal *p)
{
	for (struct scsi_nexus *n = task_lu(t)->nexuses; n; n = n->next) {
		struct pr_port port;

		it_port(n->it, &port);
		for (unsigned i = 0; i < p->outcome.n; i++) {
			const struct pr_notice *note = &p->outcome.notices[i];

			if (!pr_port_eq(&note->port, &port))
				continue;
			nexus_attention(n, news_ua[note->news]);
			if (note->abort) {
				atomic_store(&n->abort, true);
				t->scsi.aborts = true;
			}
		}
	}
	return scsi_good(t);
}

static int refused(struct task *t, enum pr_result r)
{
	switch (r) {
	case PR_NO_RESOURCES:
		return scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_INSUFFICIENT_REGISTRATION);
	case PR_BAD_RELEASE:
		return scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_INVALID_RELEASE);
	case PR_BAD_TYPE:
		return scsi_bad_cdb(t, 2, -1);
	case PR_BAD_MOVE:
		return scsi_bad_cdb(t, 1, 4);
	case PR_BAD_OWN_KEY:
		return scsi_bad_parameter(t, 0, -1);
	case PR_BAD_KEY:
		return scsi_bad_parameter(t, 8, -1);
	case PR_BAD_SPEC_I_PT:
		return scsi_bad_parameter(t, 20, 3);
	case PR_BAD_PORT:
		return scsi_bad_parameter(t, 24, -1);
	default:
		return scsi_status(t, STATUS_RESERVATION_CONFLICT);
	}
}

/* The request is whole: work out what it would change, and propose that. */
static int propose(struct task *t, const struct pr_request *q)
{
	struct scsi_proposal *p = proposal_new(t, pr_commit);
	enum pr_result r;

	pr_step(&p->next.pr, q, &p->outcome);
	r = p->outcome.result;
	if (r == PR_GOOD)
		return proposal_go(t, &p);
	proposal_free(&p);
	return refused(t, r);
}

int reserve_pr_out(struct task *t)
{
	uint32_t len = be32(t->cdb + 5);
	struct pr_request q = { .service = (enum pr_service)(t->cdb[1] & 0x1f), .scope = t->cdb[2] >> 4,
		.type = t->cdb[2] & 0x0f };
	struct ports ports = { 0 };
	int turn = SCSI_DONE;
	bool ok = true;

	if (len < 24 || len > 65536)
		return scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH);
	if (!scsi_have(t, len))
		return SCSI_DONE;
	it_port(t->scsi.it, &q.from);
	q.key = be64(t->out.p);
	q.service_key = be64(t->out.p + 8);
	if (q.service == PR_REGISTER || q.service == PR_REGISTER_IGNORE)
		ok = register_list(t, len, &q, &ports);
	else if (q.service == PR_REGISTER_MOVE)
		ok = move_list(t, len, &q, &ports);
	else if (len != 24)
		return scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH);
	else
		q.aptpl = t->out.p[20] & APTPL;
	q.others = ports.p;
	q.n_others = ports.n;
	if (ok)
		turn = propose(t, &q);
	mem_autofree(&ports.p);
	return turn;
}
