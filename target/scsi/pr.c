/* SPDX-License-Identifier: Apache-2.0 */
/* One step of persistent reservations: SPC-4 5.13.5 to 5.13.11. */
#include "target/scsi/pr.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void pr_init(struct pr_state *s)
{
	memset(s, 0, sizeof(*s));
}

void pr_fini(struct pr_state *s)
{
	free(s->registrants);
	memset(s, 0, sizeof(*s));
}

void pr_copy(struct pr_state *to, const struct pr_state *from)
{
	*to = *from;
	to->cap = from->n;
	to->registrants = from->n ? mem_dup(from->registrants, from->n * sizeof(*to->registrants)) : NULL;
}

void pr_outcome_fini(struct pr_outcome *out)
{
	free(out->notices);
	memset(out, 0, sizeof(*out));
}

/* ---- who and what ---- */

bool pr_port_eq(const struct pr_port *a, const struct pr_port *b)
{
	return a->tag == b->tag && memcmp(a->isid, b->isid, 6) == 0 && strcmp(a->initiator, b->initiator) == 0 &&
	       strcmp(a->target, b->target) == 0;
}

static struct pr_registrant *find(struct pr_state *s, const struct pr_port *p)
{
	for (unsigned i = 0; i < s->n; i++)
		if (pr_port_eq(&s->registrants[i].port, p))
			return &s->registrants[i];
	return NULL;
}

const struct pr_registrant *pr_find(const struct pr_state *s, const struct pr_port *p)
{
	return find((struct pr_state *)s, p);
}

bool pr_type_all(enum pr_type type)
{
	return type == PR_WRITE_EXCLUSIVE_ALL || type == PR_EXCLUSIVE_ACCESS_ALL;
}

bool pr_type_registrants(enum pr_type type)
{
	return type == PR_WRITE_EXCLUSIVE_REGISTRANTS || type == PR_EXCLUSIVE_ACCESS_REGISTRANTS ||
	       pr_type_all(type);
}

bool pr_type_exclusive(enum pr_type type)
{
	return type == PR_EXCLUSIVE_ACCESS || type == PR_EXCLUSIVE_ACCESS_REGISTRANTS ||
	       type == PR_EXCLUSIVE_ACCESS_ALL;
}

static bool type_ok(const struct pr_request *q)
{
	return q->scope == 0 && (q->type == 1 || q->type == 3 || (q->type >= 5 && q->type <= 8));
}

bool pr_holds(const struct pr_state *s, const struct pr_registrant *g)
{
	return s->type != PR_NONE && g && (g->holder || pr_type_all(s->type));
}

/* ---- changes ---- */

static void notice(struct pr_outcome *out, const struct pr_port *p, enum pr_news news)
{
	out->notices = mem_grow(out->notices, &out->cap, out->n, sizeof(*out->notices));
	out->notices[out->n++] = (struct pr_notice){ .port = *p, .news = news };
}

/* All registrants but `but` hear it. */
static void notice_all(struct pr_outcome *out, const struct pr_state *s, const struct pr_port *but, enum pr_news news)
{
	for (unsigned i = 0; i < s->n; i++)
		if (!pr_port_eq(&s->registrants[i].port, but))
			notice(out, &s->registrants[i].port, news);
}

static void release(struct pr_state *s)
{
	s->type = PR_NONE;
	for (unsigned i = 0; i < s->n; i++)
		s->registrants[i].holder = false;
}

static enum pr_result good(struct pr_outcome *out)
{
	out->changed = true;
	return PR_GOOD;
}

/* Remove a registration; a reservation that it alone holds goes with it (5.13.11.3). */
static void unregister(struct pr_state *s, struct pr_registrant *g, const struct pr_port *by, struct pr_outcome *out)
{
	enum pr_type type = s->type;
	bool ends = type != PR_NONE && (pr_type_all(type) ? s->n == 1 : g->holder);

	/* In their order: READ KEYS lists registrations as they came. */
	memmove(g, g + 1, (size_t)(s->registrants + s->n - (g + 1)) * sizeof(*g));
	s->n--;
	if (!ends)
		return;
	release(s);
	if (pr_type_registrants(type))
		notice_all(out, s, by, PR_RESERVATION_RELEASED);
}

static void register_port(struct pr_state *s, const struct pr_port *p, uint64_t key)
{
	struct pr_registrant *g = find(s, p);

	if (!g) {
		s->registrants = mem_grow(s->registrants, &s->cap, s->n, sizeof(*s->registrants));
		g = &s->registrants[s->n++];
		*g = (struct pr_registrant){ .port = *p };
	}
	g->key = key;
}

static unsigned new_ports(struct pr_state *s, const struct pr_request *q)
{
	unsigned n = !find(s, &q->from);

	for (unsigned i = 0; i < q->n_others; i++)
		n += !find(s, &q->others[i]);
	return n;
}

/* ---- the services ---- */

/* REGISTER and REGISTER AND IGNORE EXISTING KEY: 5.13.7, table 68 and 69 */
static enum pr_result do_register(struct pr_state *s, const struct pr_request *q, struct pr_outcome *out)
{
	struct pr_registrant *g = find(s, &q->from);

	if (q->service == PR_REGISTER && q->key != (g ? g->key : 0))
		return PR_CONFLICT;
	if (q->spec_i_pt && (g || q->service == PR_REGISTER_IGNORE))
		return PR_BAD_SPEC_I_PT;
	if (q->service_key == 0) {
		if (!g)
			return PR_GOOD;
		unregister(s, g, &q->from, out);
		for (unsigned i = 0; i < q->n_others; i++)
			if ((g = find(s, &q->others[i])))
				unregister(s, g, &q->from, out);
	} else {
		if (s->n + new_ports(s, q) > PR_REGISTRANTS_MAX)
			return PR_NO_RESOURCES;
		register_port(s, &q->from, q->service_key);
		/* SPEC_I_PT registers those that are not yet: nobody's key is changed by somebody else. */
		for (unsigned i = 0; i < q->n_others; i++)
			if (!q->spec_i_pt || !find(s, &q->others[i]))
				register_port(s, &q->others[i], q->service_key);
	}
	s->aptpl = q->aptpl;
	s->generation++;
	return good(out);
}

static enum pr_result do_reserve(struct pr_state *s, const struct pr_request *q, struct pr_registrant *g,
	struct pr_outcome *out)
{
	if (!type_ok(q))
		return PR_BAD_TYPE;
	if (s->type != PR_NONE)
		return pr_holds(s, g) && s->type == q->type ? PR_GOOD : PR_CONFLICT;
	s->type = (enum pr_type)q->type;
	g->holder = true;
	return good(out);
}

static enum pr_result do_release(struct pr_state *s, const struct pr_request *q, const struct pr_registrant *g,
	struct pr_outcome *out)
{
	enum pr_type type = s->type;

	if (!pr_holds(s, g))
		return PR_GOOD;
	if (type != q->type || q->scope)
		return PR_BAD_RELEASE;
	release(s);
	if (pr_type_registrants(type))
		notice_all(out, s, &q->from, PR_RESERVATION_RELEASED);
	return good(out);
}

static enum pr_result do_clear(struct pr_state *s, const struct pr_request *q, struct pr_outcome *out)
{
	notice_all(out, s, &q->from, PR_RESERVATION_PREEMPTED);
	release(s);
	s->n = 0;
	s->generation++;
	return good(out);
}

/* Remove all registrations with the key (`all`: every one) but the preemptor's own. Was there any? */
static bool remove_key(struct pr_state *s, const struct pr_request *q, bool all, struct pr_outcome *out)
{
	bool any = false;
	unsigned kept = 0;

	for (unsigned i = 0; i < s->n; i++) {
		struct pr_registrant *g = &s->registrants[i];
		bool match = all || g->key == q->service_key;

		if (match && !pr_port_eq(&g->port, &q->from)) {
			notice(out, &g->port, PR_REGISTRATION_PREEMPTED);
			out->notices[out->n - 1].abort = q->service == PR_PREEMPT_ABORT;
			any = true;
			continue;
		}
		any |= match && !all;
		s->registrants[kept++] = *g;
	}
	s->n = kept;
	return any;
}

/*
 * 5.13.11.4: with the holder's key (or 0 for an all-registrants reservation) the reservation is taken over
 * as well.
 */
static enum pr_result do_preempt(struct pr_state *s, const struct pr_request *q, struct pr_outcome *out)
{
	bool all = pr_type_all(s->type), takes = all && q->service_key == 0;
	enum pr_type before = s->type;
	struct pr_registrant *g;

	for (unsigned i = 0; i < s->n && before != PR_NONE && !all; i++)
		takes |= s->registrants[i].holder && s->registrants[i].key == q->service_key;
	if (q->service_key == 0 && !all)
		return PR_BAD_KEY;
	if (takes && !type_ok(q))
		return PR_BAD_TYPE;
	if (!remove_key(s, q, takes && all, out) && !takes)
		return PR_CONFLICT;
	if (takes) {
		release(s);
		g = find(s, &q->from);
		s->type = (enum pr_type)q->type;
		g->holder = true;
		if (before != s->type && pr_type_registrants(before))
			notice_all(out, s, &q->from, PR_RESERVATION_RELEASED);
	}
	s->generation++;
	return good(out);
}

/* 5.13.8 */
static enum pr_result do_move(struct pr_state *s, const struct pr_request *q, const struct pr_registrant *g,
	struct pr_outcome *out)
{
	struct pr_registrant *to;

	if (s->type == PR_NONE)
		return PR_BAD_MOVE;
	if (pr_type_all(s->type) || !g->holder)
		return PR_CONFLICT;
	if (q->service_key == 0)
		return PR_BAD_KEY;
	if (q->n_others != 1 || pr_port_eq(&q->others[0], &q->from))
		return PR_BAD_PORT;
	if (s->n + !find(s, &q->others[0]) > PR_REGISTRANTS_MAX)
		return PR_NO_RESOURCES;
	register_port(s, &q->others[0], q->service_key);
	for (unsigned i = 0; i < s->n; i++)
		s->registrants[i].holder = false;
	to = find(s, &q->others[0]);
	to->holder = true;
	if (q->unregister)
		unregister(s, find(s, &q->from), &q->from, out);
	s->aptpl = q->aptpl;
	s->generation++;
	return good(out);
}

/* 5.13.11.3: who asks has the reservation then, whoever had it before. */
static enum pr_result do_replace(struct pr_state *s, const struct pr_request *q, struct pr_outcome *out)
{
	if (!s->lost)
		return PR_BAD_RELEASE;
	if (q->key)
		return PR_BAD_OWN_KEY;
	if (!q->service_key)
		return PR_BAD_KEY;
	if (!type_ok(q))
		return PR_BAD_TYPE;
	s->n = 0;
	register_port(s, &q->from, q->service_key);
	s->registrants[0].holder = true;
	s->type = (enum pr_type)q->type;
	s->aptpl = q->aptpl;
	s->generation = 0;
	s->lost = false;
	return good(out);
}

void pr_step(struct pr_state *s, const struct pr_request *q, struct pr_outcome *out)
{
	struct pr_registrant *g = find(s, &q->from);

	memset(out, 0, sizeof(*out));
	if (q->service == PR_REGISTER || q->service == PR_REGISTER_IGNORE) {
		out->result = do_register(s, q, out);
		return;
	}
	if (q->service == PR_REPLACE_LOST) {
		out->result = do_replace(s, q, out);
		return;
	}
	if (!g || g->key != q->key) {
		out->result = PR_CONFLICT;
		return;
	}
	switch (q->service) {
	case PR_RESERVE:
		out->result = do_reserve(s, q, g, out);
		break;
	case PR_RELEASE:
		out->result = do_release(s, q, g, out);
		break;
	case PR_CLEAR:
		out->result = do_clear(s, q, out);
		break;
	case PR_REGISTER_MOVE:
		out->result = do_move(s, q, g, out);
		break;
	default:
		out->result = do_preempt(s, q, out);
	}
}
