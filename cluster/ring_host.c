/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Agreement over the Corosync that the host runs. Nothing is written, started or reloaded: who is in its node list may be
 * in the roster, with the nodeid it has there, and votequorum's word is asked for on top of the majority of the roster.
 * A node that is not in the roster yet, or has no view, follows the log of one that is.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/cluster_priv.h"

#define TEND_MS 500
#define PROPOSE_MS 1000         /* the same change is proposed again after this */

/* A nodeid as a node reports it of itself; 0: it does not. */
static uint32_t reported(const struct cluster *c, const struct node_id *id)
{
	const struct fact *f = admit_said(c, id);
	const char *v = f ? attrs_get(&f->attrs, "ring-nodeid") : NULL;
	uint64_t n;

	if (node_id_eq(id, &c->self))
		return c->host_nodeid;
	return v && text_u64_parse(v, &n) == 0 && n <= UINT32_MAX ? (uint32_t)n : 0;
}

static const struct roster_node *by_host_nodeid(const struct roster *r, uint32_t nodeid)
{
	for (unsigned i = 0; i < r->n; i++)
		if (r->node[i].host_nodeid == nodeid && r->node[i].role != ROSTER_LEAVING)
			return &r->node[i];
	return NULL;
}

const struct roster_node *ring_node(const struct cluster *c, uint32_t nodeid)
{
	const struct roster *r = &c->status->roster;

	const struct roster_node *n;

	if (!c->conf.host_ring || nodeid == 0)
		return nodeid ? roster_find_nodeid(r, nodeid) : NULL;
	n = by_host_nodeid(r, nodeid);
	/* A cluster that had a ring of its own before: its roster does not say it yet. */
	for (unsigned i = 0; !n && i < r->n; i++)
		if (r->node[i].host_nodeid == 0 && r->node[i].role != ROSTER_LEAVING && reported(c, &r->node[i].id) == nodeid)
			n = &r->node[i];
	return n;
}

static bool listed(const struct cluster *c, uint32_t nodeid)
{
	for (unsigned i = 0; i < c->n_host_nodes; i++)
		if (c->host_node[i] == nodeid)
			return true;
	return false;
}

/* What a member says its nodeid in the host's ring is; 0: nothing, or one that our node list does not have. */
static uint32_t nodeid_of(const struct cluster *c, const struct gossip_member *m)
{
	uint32_t n = reported(c, &m->card->id);

	return listed(c, n) ? n : 0;
}

/* ---- the view ---- */

/*
 * The view as agreement should have it, given anew only when it differs: members come and go with the roster here, and
 * with votequorum, not only with Corosync's own changes.
 */
void ring_host_view(struct cluster *c, bool again, struct cluster_out *out)
{
	struct node_id member[AGREE_MEMBERS_MAX];
	struct agree_in in = { .kind = AGREE_IN_VIEW };
	bool self = false;

	in.view.member = member;
	for (unsigned i = 0; i < c->n_view && in.view.n < AGREE_MEMBERS_MAX; i++) {
		const struct roster_node *r = ring_node(c, c->view[i]);

		if (!r)
			continue;
		member[in.view.n++] = r->id;
		self |= node_id_eq(&r->id, &c->self);
	}
	if (!self || !c->host_quorate || c->removed || c->aside)
		in.view.n = 0;
	if (!again && in.view.n == c->n_host_view &&
	    (in.view.n == 0 || memcmp(member, c->host_view, in.view.n * sizeof(*member)) == 0))
		return;
	memcpy(c->host_view, member, in.view.n * sizeof(*member));
	c->n_host_view = in.view.n;
	cluster_agree_step(c, &in, out);
}

void ring_host_state(struct cluster *c, const struct cluster_in *in, struct cluster_out *out)
{
	c->ring_running = in->running;
	c->host_nodeid = in->running ? in->nodeid : 0;
	c->host_quorate = in->running && in->quorate;
	c->n_host_nodes = 0;
	for (unsigned i = 0; i < in->n_nodeids && i < ARRAY_LEN(c->host_node); i++)
		c->host_node[c->n_host_nodes++] = in->nodeids[i];
	c->dirty = true;
	ring_host_view(c, false, out);
}

/* ---- whom to follow ---- */

struct node_id ring_newest(const struct cluster *c)
{
	struct node_id best = NODE_ID_NONE;
	uint64_t version = 0;
	struct gossip_member m;

	for (unsigned i = 0; gossip_at(c->gossip, i, &m); i++) {
		const struct fact *f = admit_said(c, &m.card->id);
		const char *v = f ? attrs_get(&f->attrs, "roster") : NULL;
		struct extra x;
		uint64_t n;

		if (m.self || (m.state != MEMBER_ALIVE && m.state != MEMBER_SUSPECT) || !v || text_u64_parse(v, &n) < 0 ||
		    !admit_extra_unpack(m.card, &x) || memcmp(x.lineage, c->lineage, 16) != 0)
			continue;
		if (c->aside && !aside_link(c, &m))
			continue;
		if (n > version) {
			version = n;
			best = m.card->id;
		}
	}
	return best;
}

static void follow(struct cluster *c, struct cluster_out *out)
{
	struct agree_in in = { .kind = AGREE_IN_LEARN };

	in.learn = c->n_host_view ? NODE_ID_NONE : ring_newest(c);
	if (node_id_eq(&in.learn, &c->host_learn))
		return;
	c->host_learn = in.learn;
	cluster_agree_step(c, &in, out);
}

/* ---- the next roster ---- */

static bool in_view(const struct cluster *c, const struct node_id *id, bool *synced)
{
	for (unsigned i = 0; i < c->status->n_member; i++) {
		const struct agree_member *m = &c->status->member[i];

		if (node_id_eq(&m->id, id)) {
			*synced = m->synced && !m->mute;
			return true;
		}
	}
	return *synced = false;
}

/* Who is no node of the cluster any more, or was taken out of the host's node list. */
static const char *want_less(const struct cluster *c, struct roster *next)
{
	for (unsigned i = 0; i < c->status->roster.n; i++) {
		const struct roster_node *x = &c->status->roster.node[i];
		bool synced;

		if (x->role == ROSTER_LEAVING) {
			if (!in_view(c, &x->id, &synced) && roster_drop(next, &x->id) == 0)
				return "a node has left the host's ring";
		} else if ((!admit_node(c, &x->id) || (x->host_nodeid && !listed(c, x->host_nodeid))) && !node_id_eq(&x->id, &c->self) &&
		           roster_set_role(next, &x->id, ROSTER_LEAVING) == 0) {
			return "a node is no more of the host's ring";
		}
	}
	return NULL;
}

static const char *want_more(const struct cluster *c, struct roster *next)
{
	struct gossip_member m;

	for (unsigned i = 0; gossip_at(c->gossip, i, &m); i++) {
		const struct roster_node *r = roster_find(&c->status->roster, &m.card->id);
		uint32_t nodeid = nodeid_of(c, &m);
		struct addr addr[ROSTER_ADDRS_MAX];
		struct extra x;

		if (m.state != MEMBER_ALIVE || !nodeid || !admit_node(c, &m.card->id) || !admit_extra_unpack(m.card, &x) ||
		    !x.votes || memcmp(x.lineage, c->lineage, 16) != 0)
			continue;
		if (r && r->host_nodeid != nodeid && roster_host(next, &m.card->id, nodeid) == 0)
			return "a node has another nodeid in the host's ring";
		if (r || by_host_nodeid(&c->status->roster, nodeid))
			continue;
		if (roster_add(next, &m.card->id, addr, ring_addrs(admit_said(c, &m.card->id), addr)) == 0) {
			next->node[next->n - 1].host_nodeid = nodeid;
			return "a node of the host's ring";
		}
	}
	return NULL;
}

static const char *want_votes(const struct cluster *c, struct roster *next)
{
	struct roster_candidate cand[ROSTER_RING_MAX];
	unsigned n = 0;

	for (unsigned i = 0; i < c->status->roster.n; i++) {
		const struct roster_node *x = &c->status->roster.node[i];
		const struct object *o = admit_node(c, &x->id);
		const struct fact *f = admit_said(c, &x->id);
		const char *mode = f ? attrs_get(&f->attrs, "mode") : NULL;
		struct gossip_member m;
		bool synced;

		if (!gossip_find(c->gossip, &x->id, &m))
			continue;
		in_view(c, &x->id, &synced);
		cand[n++] = (struct roster_candidate){
			.id = x->id, .alive = m.state == MEMBER_ALIVE || m.state == MEMBER_SUSPECT, .in_ring = synced,
			.barred = (o && schema_get_bool(o->type, &o->attrs, "drain")) ||
			          (mode && (strcmp(mode, agree_mode_name(AGREE_STORE_FAILED)) == 0 ||
			                    strcmp(mode, agree_mode_name(AGREE_DIVERGED)) == 0)),
			.steady_ms = mono_ms_between(m.since, c->now),
		};
	}
	return roster_choose(&c->status->roster, cand, n, next) ? "votes follow the rule" : NULL;
}

static void lead(struct cluster *c, struct cluster_out *out)
{
	const struct agree_status *s = c->status;
	struct roster next = s->roster;
	const char *why;

	if (!cluster_leads(c) || s->roster_pending || c->reset)
		return;
	if (c->host_proposed == s->roster.version && !mono_due(mono_add_ms(c->host_proposed_at, PROPOSE_MS), c->now))
		return;
	why = want_less(c, &next);
	if (!why)
		why = want_more(c, &next);
	if (!why)
		why = want_votes(c, &next);
	if (!why)
		return;
	next.version = s->roster.version + 1;
	c->host_proposed = s->roster.version;
	c->host_proposed_at = c->now;
	log_info(c->log, "ring: proposing roster %" PRIu64 " (%s)", next.version, why);
	ring_propose(c, &next, out);
}

/* Why this node is not in agreement's view, as far as the host's Corosync is the reason. NULL: it is not. */
const char *ring_host_wants(const struct cluster *c)
{
	if (!c->conf.host_ring)
		return NULL;
	if (!c->ring_running)
		return "the host's Corosync does not run, or refuses this program (agreement = host)";
	if (!c->host_quorate)
		return "the host's Corosync has no quorum (votequorum)";
	return NULL;
}

void ring_host_tend(struct cluster *c, struct cluster_out *out)
{
	const struct roster_node *me;

	c->ring_wake = mono_add_ms(c->now, TEND_MS);
	c->growth.waiting = ring_host_wants(c);
	if (!c->has_lineage || c->reset)
		return;
	me = c->status->has_log ? roster_find(&c->status->roster, &c->self) : NULL;
	if (!c->growth.waiting && (!me || me->role == ROSTER_LEAVING))
		c->growth.waiting = "this node is not in the roster yet: the host's node list and the others decide";
	aside_tend(c, out);
	ring_host_view(c, false, out);
	if (c->removed)
		return;
	follow(c, out);
	lead(c, out);
}
