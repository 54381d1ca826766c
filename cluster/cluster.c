/* SPDX-License-Identifier: Apache-2.0 */
/* One node's control plane: what comes in goes to the part it concerns, what the parts say goes out. See cluster.h. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/box.h"
#include "cluster/cluster_priv.h"

/* ---- output lists ---- */

static void put_free(struct agree_put *p)
{
	for (unsigned i = 0; i < p->n_entry; i++) {
		free(p->entry[i]->payload);
		free((void *)p->entry[i]);
	}
	free((void *)p->entry);
	for (int k = 0; k < 2; k++) {
		struct agree_snap *s = (struct agree_snap *)(k ? p->compact : p->install);

		if (s) {
			free(s->window);
			free(s->bytes);
			free(s);
		}
	}
	free(p);
}

static const struct agree_snap *snap_copy(const struct agree_snap *s)
{
	struct agree_snap *n;

	if (!s)
		return NULL;
	n = mem_dup(s, sizeof(*s));
	n->window = mem_dup(s->window, s->n_window * sizeof(*s->window));
	n->bytes = mem_dup(s->bytes, s->len);
	return n;
}

static struct agree_put *put_copy(const struct agree_put *p)
{
	struct agree_put *n = mem_dup(p, sizeof(*p));
	struct agree_entry **e = mem_alloc(p->n_entry * sizeof(*e));

	for (unsigned i = 0; i < p->n_entry; i++) {
		e[i] = mem_dup(p->entry[i], sizeof(*e[i]));
		e[i]->payload = mem_dup(p->entry[i]->payload, p->entry[i]->len);
	}
	n->entry = (const struct agree_entry *const *)e;
	n->install = snap_copy(p->install);
	n->compact = snap_copy(p->compact);
	return n;
}

static void casts_reset(struct cluster_cast *cast, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		buf_fini(&cast[i].bytes);
}

void cluster_out_reset(struct cluster_out *out)
{
	gossip_out_reset(&out->gossip);
	for (unsigned i = 0; i < out->n_put; i++)
		put_free(out->put[i]);
	casts_reset(out->cast, out->n_cast);
	casts_reset(out->send, out->n_send);
	for (unsigned i = 0; i < out->n_reply; i++)
		free(out->reply[i].plan);
	out->n_put = out->n_cast = out->n_send = out->n_act = out->n_reply = 0;
	out->names_changed = out->left = false;
}

void cluster_out_fini(struct cluster_out *out)
{
	cluster_out_reset(out);
	gossip_out_fini(&out->gossip);
	free(out->put);
	free(out->cast);
	free(out->send);
	free(out->act);
	free(out->reply);
	*out = (struct cluster_out){ .n_put = 0 };
}

struct cluster_act *cluster_act(struct cluster *c, struct cluster_out *out, enum cluster_act_kind kind)
{
	out->act = mem_grow(out->act, &out->cap_act, out->n_act, sizeof(*out->act));
	out->act[out->n_act] = (struct cluster_act){ .kind = kind };
	(void)c;
	return &out->act[out->n_act++];
}

struct doing *cluster_doing(struct cluster *c, enum cluster_act_kind kind)
{
	struct doing *d = mem_zalloc(sizeof(*d));

	d->id = ++c->next_act;
	d->kind = kind;
	c->doing = mem_grow(c->doing, &c->cap_doing, c->n_doing, sizeof(*c->doing));
	c->doing[c->n_doing++] = d;
	return d;
}

static void doing_free(struct doing *d)
{
	struct plan p = { .a = mem_dup(&d->plan, sizeof(d->plan)), .n = d->plan.path ? 1 : 0, .cap = 1 };

	plan_fini(&p);
	free(d->record.name);
	free(d->fence.node);
	free(d->fence.plugin);
	free(d->fence.options);
	attrs_fini(&d->record.params);
	free(d->keep.blob);
	free(d);
}

static struct cluster_cast *cast_add(struct cluster_cast **list, unsigned *n, unsigned *cap)
{
	*list = mem_grow(*list, cap, *n, sizeof(**list));
	(*list)[*n] = (struct cluster_cast){ .bytes = { 0 } };
	return &(*list)[(*n)++];
}

/* ---- gossip ---- */

/*
 * An event may lead to another step, with events of its own: there is one cursor for all of them, so that each
 * is seen once and in order.
 */
void cluster_gossip_step(struct cluster *c, struct gossip_in *in, struct cluster_out *out)
{
	in->now = c->now;
	gossip_step(c->gossip, in, &out->gossip);
	while (c->events_seen < out->gossip.n_events) {
		struct gossip_event ev = out->gossip.events[c->events_seen++];

		if (ev.kind == GOSSIP_EV_PASSED)
			c->passed = ev.id;
		else
			admit_event(c, &ev, out);
	}
}

/* ---- agreement ---- */

static void apply(struct cluster *c, const struct agree_entry *e, struct agree_applied *a, struct cluster_out *out)
{
	struct catalog_result r = { .err = 0 };
	struct node_id *going = NULL;
	unsigned n_going = 0;
	uint64_t removed;
	struct txn t;

	*a = (struct agree_applied){ .index = e->index };
	if (e->kind != AGREE_TXN) {
		catalog_skip(c->catalog, e->index);
	} else if (c->codec->txn_decode(e->payload, e->len, &t) < 0) {
		catalog_skip(c->catalog, e->index);
		a->result = ERR_MALFORMED;
		why_set(&r.why, ERR_MALFORMED, "the entry is not a transaction");
		request_applied(c, &e->rid, &r.why);
	} else {
		going = admit_going(c, &t, &n_going);
		removed = tree_removed(catalog_tree(c->catalog));
		catalog_apply(c->catalog, e->index, &t, &r);
		carry_agreed(c, r.changes, r.n_changes, removed != tree_removed(catalog_tree(c->catalog)));
		a->result = r.err;
		if (r.err)
			request_applied(c, &e->rid, &r.why);
		else
			names_committed(c->names, &r);
		floating_changed(c, r.changes, r.n_changes);
		if (r.n_changes) {
			log_info(c->log, "commit %" PRIu64 ": %u changes by %s on %s: %s", e->index, r.n_changes, t.author, t.node,
			         t.message ? t.message : "");
			admit_removed(c, going, n_going, out);
		}
		free(going);
		txn_fini(&t);
	}
	catalog_hash(c->catalog, a->hash);
	c->dirty = true;
}

static void install(struct cluster *c, const struct agree_snap *s, struct agree_applied *a)
{
	struct snapshot snap;
	int err = c->codec->snapshot_decode(s->bytes, s->len, &snap);

	if (!err) {
		err = catalog_load(&c->catalog, &snap);
		snapshot_fini(&snap);
	}
	if (err) {
		/* It was durable and hashed before it came here: this process cannot go on with it. */
		log_line(c->log, LOG_LEVEL_FATAL, "cluster: the snapshot at %" PRIu64 " cannot be read: %s", s->index, err_text(err));
		abort();
	}
	names_catalog(c->names, c->catalog);
	c->stale_seen.good = false;
	c->nodes_seen->tree = NULL;
	c->plan_concerned = c->owner.concerned = true;
	c->owner.changed_at = catalog_applied(c->catalog);
	for (unsigned i = 0; i < c->have.n_volumes; i++)
		c->have.volumes[i].keep_seen = 0;
	floating_all_changed(c);
	*a = (struct agree_applied){ .index = s->index };
	catalog_hash(c->catalog, a->hash);
	if (memcmp(c->lineage, s->lineage, 16) != 0)
		memcpy(c->lineage, s->lineage, 16);
	c->has_lineage = true;
	keys_cluster_hash(c->lineage, c->hash);
	c->dirty = true;
}

void cluster_direct(struct cluster *c, const struct node_id *to, const struct agree_msg *m, struct cluster_out *out)
{
	struct gossip_in pass = { .kind = GOSSIP_IN_PASS, .id = *to };

	buf_reset(&c->direct);
	c->codec->agree_encode(m, &c->direct);
	if (c->direct.len > GOSSIP_BLOB_MAX)
		return;
	pass.blob = c->direct.data;
	pass.n_blob = (unsigned)c->direct.len;
	cluster_gossip_step(c, &pass, out);
}

/* To a member: in a datagram if it is in a hurry and fits, else over the mesh. */
static void send(struct cluster *c, const struct agree_send *s, struct cluster_out *out)
{
	struct gossip_in pass = { .kind = GOSSIP_IN_PASS, .id = s->to };
	struct cluster_cast *m;

	buf_reset(&c->direct);
	c->codec->agree_encode(&s->msg, &c->direct);
	if (s->quick && c->direct.len <= GOSSIP_BLOB_MAX) {
		pass.blob = c->direct.data;
		pass.n_blob = (unsigned)c->direct.len;
		cluster_gossip_step(c, &pass, out);
		return;
	}
	m = cast_add(&out->send, &out->n_send, &out->cap_send);
	m->node = s->to;
	buf_put(&m->bytes, c->direct.data, c->direct.len);
}

/* Take over what a step of agreement gave. Returns how many items were applied. */
static unsigned agree_take(struct cluster *c, const struct agree_out *o, struct agree_applied **applied, struct cluster_out *out)
{
	unsigned n = 0;

	c->status = o->status;
	if (o->put) {
		out->put = mem_grow(out->put, &out->cap_put, out->n_put, sizeof(struct agree_put *));
		out->put[out->n_put++] = put_copy(o->put);
	}
	for (unsigned i = 0; i < o->n_cast; i++)
		c->codec->agree_encode(&o->cast[i], &cast_add(&out->cast, &out->n_cast, &out->cap_cast)->bytes);
	for (unsigned i = 0; i < o->n_send; i++)
		send(c, &o->send[i], out);
	*applied = mem_alloc((o->n_commit + 1) * sizeof(**applied));
	if (o->install)
		install(c, o->install, &(*applied)[n++]);
	for (unsigned i = 0; i < o->n_commit; i++)
		apply(c, o->commit[i], &(*applied)[n++], out);
	for (unsigned i = 0; i < o->n_reply; i++)
		request_reply(c, &o->reply[i], out);
	if (o->status_changed) {
		if (c->mode_logged != o->status->mode)
			log_info(c->log, "agree: now %s%s%s", agree_mode_name(o->status->mode),
			         o->status->reason && *o->status->reason ? ": " : "", o->status->reason ? o->status->reason : "");
		c->mode_logged = o->status->mode;
		c->dirty = true;
		out->names_changed = true;
	}
	return n;
}

/*
 * One step, and the answers that it asks for at once: what was applied, then a snapshot of the state as it
 * is after that. An answer may let more commit, hence the loop.
 */
void cluster_agree_step(struct cluster *c, struct agree_in *in, struct cluster_out *out)
{
	struct agree_applied *applied = NULL;
	struct agree_in next = *in;
	struct buf state = { 0 };
	bool snapshot = false;

	for (;;) {
		struct agree_out o;
		unsigned n;

		next.now = c->now;
		agree_step(c->agree, &next, &o);
		free(applied);
		n = agree_take(c, &o, &applied, out);
		snapshot |= o.need_snapshot;
		c->agree_wake = o.wake;
		if (n) {
			next = (struct agree_in){ .kind = AGREE_IN_APPLIED };
			next.applied.applied = applied;
			next.applied.n = n;
		} else if (snapshot) {
			struct snapshot s;

			catalog_snapshot(c->catalog, &s);
			buf_reset(&state);
			c->codec->snapshot_encode(&s, &state);
			snapshot_fini(&s);
			next = (struct agree_in){ .kind = AGREE_IN_SNAPSHOT };
			/* The founding snapshot has an index that is no entry of the catalog. */
			next.snapshot.index = c->status->applied;
			next.snapshot.bytes = state.data;
			next.snapshot.len = (uint32_t)state.len;
			snapshot = false;
		} else {
			break;
		}
	}
	free(applied);
	buf_fini(&state);
}

void cluster_stale(const struct cluster *c, const char *what)
{
	if (what)
		log_line(c->log, LOG_LEVEL_FATAL, "cluster: %s", what);
}

bool cluster_leads(const struct cluster *c)
{
	return c->status->has_log && c->status->mode == AGREE_ACTIVE && (c->status->sequencer || c->status->local);
}

/* ---- facts ---- */

void cluster_fact(struct cluster *c, const char *path, const struct attrs *attrs)
{
	int err = 0;

	if (attrs && attrs->n)
		err = facts_set(c->facts, path, attrs);
	else
		facts_delete(c->facts, path);
	if (err)
		log_warn(c->log, "facts: %s cannot be reported: %s", path, err_text(err));
	c->facts_dirty = true;
}

static void set_uint(struct attrs *as, const char *key, uint64_t v)
{
	char n[24];

	snprintf(n, sizeof(n), "%" PRIu64, v);
	attrs_set(as, key, n);
}

/*
 * What is reported again after each step, and hardly ever differs: attributes that borrow keys and values, so that a
 * report costs its comparison alone.
 */
struct report {
	struct attr a[ATTRS_MAX + 16];
	struct attrs as;
	char number[8][24];
	unsigned n_number;
};

static void report_set(struct report *r, const char *key, const char *value)
{
	struct attrs *as = &r->as;
	unsigned i = as->n;
	bool there;

	while (i > 0 && strcmp(r->a[i - 1].key, key) > 0)
		i--;
	there = i > 0 && strcmp(r->a[i - 1].key, key) == 0;
	if (there)
		memmove(r->a + i - 1, r->a + i, (as->n-- - i) * sizeof(r->a[0]));
	i -= there;
	if (!value || !*value || as->n == ATTRS_MAX + 16)
		return;
	memmove(r->a + i + 1, r->a + i, (as->n++ - i) * sizeof(r->a[0]));
	r->a[i] = (struct attr){ (char *)key, (char *)value };
}

static void report_uint(struct report *r, const char *key, uint64_t v)
{
	char *p = r->number[r->n_number++] + sizeof(r->number[0]) - 1;

	for (*p = '\0'; v || !*p; v /= 10)
		*--p = (char)('0' + v % 10);
	report_set(r, key, p);
}

static void report_tell(struct cluster *c, const char *path, struct report *r)
{
	r->as.a = r->a;
	cluster_fact(c, path, &r->as);
}

/* What this node reports about itself and the cluster; growth and key rotation of the others look at it. */
static void self_fact(struct cluster *c)
{
	const struct agree_status *s = c->status;
	const struct roster_node *me = s->has_log ? roster_find(&s->roster, &c->self) : NULL;
	char life[17];
	struct report r = { .n_number = 0 };

	/* In the order that they get: each then has its place at the end. */
	report_set(&r, "aside", c->aside ? "yes" : NULL);
	report_set(&r, "deaf-to", c->deaf_to);
	report_set(&r, "in-trouble", c->in_trouble ? "yes" : NULL);
	report_set(&r, "inner", c->owner.inner);
	report_uint(&r, "key-epoch", c->keys.n ? keys_newest(&c->keys)->epoch : 0);
	if (c->conf.life) {
		snprintf(life, sizeof(life), "%016" PRIx64, c->conf.life);
		report_set(&r, "life", life);
	}
	report_set(&r, "mode", s->has_log || s->mode != AGREE_NO_VIEW ? agree_mode_name(s->mode) : "joining");
	report_set(&r, "quorate", s->mode == AGREE_ACTIVE ? "yes" : "no");
	report_set(&r, "reason", s->mode == AGREE_ACTIVE ? NULL : s->reason);
	report_set(&r, "ring", c->ring_running ? "running" : "stopped");
	report_uint(&r, "ring-active", ring_active(c));
	report_set(&r, "ring-addresses", c->ring_addresses);
	if (c->host_nodeid)
		report_uint(&r, "ring-nodeid", c->host_nodeid);
	report_uint(&r, "ring-stored", c->ring_stored);
	report_uint(&r, "roster", s->has_log ? s->roster.version : 0);
	report_set(&r, "voter", me && me->role == ROSTER_VOTER ? "yes" : "no");
	report_tell(c, FACT_SELF, &r);
}

/* What the runner measured of the host, at the node's path in the namespace, which is known here alone. */
static void node_fact(struct cluster *c)
{
	const struct agree_status *s = c->status;
	const struct roster_node *me = s->has_log ? roster_find(&s->roster, &c->self) : NULL;
	const char *name = cluster_self_name(c);
	char path[PATH_LEN_MAX] = "/nodes/";
	size_t n = strnlen(name, 200);
	struct report r = { .n_number = 0 };

	memcpy(path + 7, name, n);
	path[7 + n] = '\0';
	if (c->node_path && strcmp(c->node_path, path) != 0) {
		facts_delete_below(c->facts, c->node_path);
		c->facts_dirty = true;
	}
	if (!c->node_path || strcmp(c->node_path, path) != 0) {
		free(c->node_path);
		c->node_path = mem_strdup(path);
	}
	for (unsigned i = 0; i < c->host.n; i++)
		report_set(&r, c->host.a[i].key, c->host.a[i].value);
	report_set(&r, "addresses", c->addresses);
	report_set(&r, "version", c->software);
	report_set(&r, "quorate", s->has_log && s->mode == AGREE_ACTIVE ? "yes" : "no");
	report_set(&r, "voter", me && me->role == ROSTER_VOTER ? "yes" : "no");
	report_set(&r, "target", c->target_up ? "running" : "stopped");
	report_uint(&r, "schema-level", SCHEMA_LEVEL);
	if (strcmp(c->conf.name, name) != 0)
		report_set(&r, "host-name", c->conf.name);
	report_tell(c, path, &r);
}

/* ---- reset: this node's lineage gives way ---- */

void cluster_reset_state(struct cluster *c, struct cluster_out *out)
{
	c->reset = true;
	cluster_act(c, out, CLUSTER_ACT_RESET);
}

/* ---- housekeeping after each step ---- */

static void tell_facts(struct cluster *c, struct cluster_out *out)
{
	struct gossip_in in = { .kind = GOSSIP_IN_FACTS };
	const struct fact *f;

	if (c->facts_dirty) {
		c->facts_dirty = false;
		cluster_gossip_step(c, &in, out);
	}
	while ((f = facts_changed(c->facts))) {
		names_fact_changed(c->names, f);
		/* Growth and keys look at what others report there. */
		if (strcmp(f->path, FACT_SELF) == 0 || (path_below(f->path, "/nodes") && catalog_level(c->catalog) < SCHEMA_LEVEL))
			c->dirty = true;
		c->dirty |= strstr(f->path, "/addresses/") != NULL;
	}
}

static void tend(struct cluster *c, struct cluster_out *out)
{
	uint64_t seq = names_seq(c->names);

	tell_facts(c, out);
	/* Each part may give the next one something to do; a few rounds settle it, the rest waits for the timer. */
	for (int round = 0; round < 4 && (c->dirty || round == 0); round++) {
		if (!c->dirty && !mono_due(c->tend_wake, c->now)) {
			if (mono_due(owner_wake(c), c->now))
				owner_timer(c, out);
			if (!c->dirty)
				break;
		}
		c->dirty = false;
		c->wake = MONO_NEVER;
		if (c->applied_seen != catalog_applied(c->catalog)) {
			c->applied_seen = catalog_applied(c->catalog);
			admit_applied(c, out);
		}
		admit_tend(c, out);
		level_tend(c, out);
		power_tend(c, out);
		ring_tend(c, out);
		owner_tend(c, out);
		fencing_tend(c, out);
		carry_tend(c, out);
		floating_tend(c, out);
		request_tend(c, out);
		self_fact(c);
		node_fact(c);
		tell_facts(c, out);
		c->tend_wake = mono_min(c->wake, mono_min(c->ring_wake, c->plan_wake));
	}
	if (mono_due(floating_wake(c), c->now)) {
		floating_tend(c, out);
		tell_facts(c, out);
	}
	out->names_changed |= names_seq(c->names) != seq;
	out->wake = mono_min(mono_min(out->gossip.wake, owner_wake(c)), mono_min(c->agree_wake, c->tend_wake));
	out->wake = mono_min(out->wake, floating_wake(c));
	if (c->dirty)
		out->wake = mono_min(out->wake, mono_add_ms(c->now, 1));
}

/* ---- input ---- */

static void start(struct cluster *c, const struct cluster_disk *disk, struct cluster_out *out)
{
	struct gossip_in g = { .kind = GOSSIP_IN_START };
	struct agree_in a = { .kind = AGREE_IN_START };

	c->begun = c->now;
	growth_init(&c->growth, &c->self, c->log);
	carry_records(c, disk->record, disk->n_record);
	a.disk = disk->agree;
	cluster_agree_step(c, &a, out);
	if (c->status->has_log) {
		memcpy(c->lineage, c->status->lineage, 16);
		c->has_lineage = true;
		keys_cluster_hash(c->lineage, c->hash);
	}
	cluster_gossip_step(c, &g, out);
	admit_card(c, out);
	c->met_before = disk->n_addr > 0;
	for (unsigned i = 0; i < disk->n_addr; i++) {
		struct gossip_in cand = { .kind = GOSSIP_IN_CANDIDATE, .from = disk->addr[i] };

		knock_candidate(c, &disk->addr[i]);
		cluster_gossip_step(c, &cand, out);
	}
	cluster_act(c, out, CLUSTER_ACT_PUBLISH);
	admit_applied(c, out);
	c->dirty = true;
}

/* What is said of addresses, whenever they change. */
static void addrs_text(struct cluster *c)
{
	char a[64];

	c->addresses[0] = c->portals[0] = c->ring_addresses[0] = '\0';
	for (unsigned i = 0; i < c->card.n_addrs; i++) {
		struct addr at = c->card.addrs[i];
		size_t n = strlen(c->addresses);

		snprintf(c->addresses + n, sizeof(c->addresses) - n, "%s%s", i ? " " : "", addr_text(&at, a));
		n = strlen(c->portals);
		at.port = c->conf.inner_port;
		if (at.port)
			snprintf(c->portals + n, sizeof(c->portals) - n, "%s%s", i ? "," : "", addr_text(&at, a));
	}
	for (unsigned i = 0; i < c->conf.n_ring_addrs; i++) {
		struct addr bare = c->conf.ring_addrs[i];
		size_t n = strlen(c->ring_addresses);

		bare.port = 0;
		snprintf(c->ring_addresses + n, sizeof(c->ring_addresses) - n, "%s%s", i ? " " : "", addr_text(&bare, a));
	}
}

static void own_addrs(struct cluster *c, const struct cluster_in *in, struct cluster_out *out)
{
	struct gossip_in g = { .kind = GOSSIP_IN_SELF, .card = &c->card };
	unsigned n = in->n_addr < CARD_ADDRS_MAX ? in->n_addr : CARD_ADDRS_MAX;

	if (in->n_ring_addr && in->n_ring_addr <= ROSTER_ADDRS_MAX) {
		memcpy(c->conf.ring_addrs, in->ring_addr, in->n_ring_addr * sizeof(*in->ring_addr));
		c->conf.n_ring_addrs = in->n_ring_addr;
		addrs_text(c);
		c->dirty = true;
	}

	if (n == 0 || (n == c->card.n_addrs && memcmp(c->card.addrs, in->addr, n * sizeof(*in->addr)) == 0))
		return;
	memcpy(c->card.addrs, in->addr, n * sizeof(*in->addr));
	c->card.n_addrs = (uint8_t)n;
	if (c->ring_addrs_follow) {
		c->conf.ring_addrs[0] = in->addr[0];
		c->conf.ring_addrs[0].port = 0;
		c->conf.n_ring_addrs = 1;
	}
	addrs_text(c);
	cluster_gossip_step(c, &g, out);
	cluster_act(c, out, CLUSTER_ACT_PUBLISH);
	c->dirty = true;
}

static void done(struct cluster *c, const struct cluster_in *in, struct cluster_out *out)
{
	for (unsigned i = 0; i < c->n_doing; i++) {
		struct doing *d = c->doing[i];

		if (d->id != in->number)
			continue;
		c->doing[i] = c->doing[--c->n_doing];
		if (d->kind == CLUSTER_ACT_RING_WRITE || d->kind == CLUSTER_ACT_RING_RELOAD)
			ring_done(c, d, in->err, in->text, out);
		else if (d->kind == CLUSTER_ACT_PLAN || d->kind == CLUSTER_ACT_RECORD)
			carry_done(c, d, in->err, in->text, out);
		else if (d->kind == CLUSTER_ACT_FENCE)
			fencing_done(c, d, in->err, in->text, out);
		else if (d->kind == CLUSTER_ACT_KEEP)
			keep_done(c, d, in->err);
		else if (d->kind == CLUSTER_ACT_KEYS && in->err)
			log_warn(c->log, "admission: the cluster key could not be stored: %s", in->text ? in->text : err_text(in->err));
		doing_free(d);
		return;
	}
}

static void cast(struct cluster *c, const struct cluster_in *in, struct cluster_out *out)
{
	const struct roster_node *r = ring_node(c, in->nodeid);
	struct agree_in a = { .kind = AGREE_IN_CAST };

	if (!r) {
		log_debug(c->log, "ring: a message of nodeid %" PRIu32 ", which is not in the roster", in->nodeid);
		return;
	}
	a.msg.from = r->id;
	a.msg.msg = in->agree;
	cluster_agree_step(c, &a, out);
}

/* Paths that begin with "/node/" stand for this node's own place, whatever its name there. */
static void own_path(const struct cluster *c, const char *path, char *out)
{
	if (strncmp(path, "/node/", 6) == 0)
		snprintf(out, PATH_LEN_MAX, "/nodes/%.200s/%.250s", cluster_self_name(c), path + 6);
	else
		snprintf(out, PATH_LEN_MAX, "%s", path);
}

static void own_fact(struct cluster *c, const struct cluster_in *in)
{
	char path[PATH_LEN_MAX];

	if (strcmp(in->path, "/node") == 0) {
		attrs_fini(&c->host);
		attrs_copy(&c->host, in->attrs);
		node_fact(c);
	} else {
		own_path(c, in->path, path);
		cluster_fact(c, path, in->attrs);
	}
}

static void ring_state(struct cluster *c, const struct cluster_in *in, struct cluster_out *out)
{
	if (c->conf.host_ring) {
		ring_host_state(c, in, out);
		return;
	}
	if (in->active || in->err || (c->ring_running && !in->running))
		c->ring_started = 0;
	c->ring_running = in->running;
	c->ring_active = in->running ? in->active : 0;
	c->ring_failed |= in->err != 0;
	c->dirty = true;
}

static void timer(struct cluster *c, struct cluster_out *out)
{
	struct gossip_in g = { .kind = GOSSIP_IN_TIMER };
	struct agree_in a = { .kind = AGREE_IN_TIMER };

	if (mono_due(out->gossip.wake, c->now))
		cluster_gossip_step(c, &g, out);
	if (mono_due(c->agree_wake, c->now))
		cluster_agree_step(c, &a, out);
}

static void dispatch(struct cluster *c, const struct cluster_in *in, struct cluster_out *out)
{
	struct gossip_in g = { .from = in->from, .id = in->node, .why = in->why, .head = in->head, .msg = in->dgram,
	                       .sync = in->sync };
	struct agree_in a = { .kind = AGREE_IN_STORED };
	char path[PATH_LEN_MAX];

	switch (in->kind) {
	case CLUSTER_IN_START:
		start(c, in->disk, out);
		break;
	case CLUSTER_IN_TIMER:
		timer(c, out);
		break;
	case CLUSTER_IN_DGRAM:
		g.kind = GOSSIP_IN_DGRAM;
		c->passed = NODE_ID_NONE;
		cluster_gossip_step(c, &g, out);
		if (in->agree && !node_id_none(&c->passed) && in->agree->kind >= AGREE_MSG_BEAT) {
			owner_message(c, &c->passed, in->agree, out);
		} else if (in->agree && !node_id_none(&c->passed)) {
			a.kind = AGREE_IN_MESH;
			a.msg.from = c->passed;
			a.msg.msg = in->agree;
			cluster_agree_step(c, &a, out);
		}
		c->dirty |= in->dgram->kind == GOSSIP_KNOCK;
		break;
	case CLUSTER_IN_STRANGER:
		if (in->why == STRANGER_KEY)
			found_newer_key(c, &in->from, (uint8_t)in->number);
		g.newer = in->why == STRANGER_KEY && c->keys.n && keys_hint_order(&c->keys, (uint8_t)in->number) < 0;
		g.kind = GOSSIP_IN_STRANGER;
		cluster_gossip_step(c, &g, out);
		break;
	case CLUSTER_IN_CANDIDATE:
		if (in->running)
			c->others_seen = c->now;
		knock_candidate(c, &in->from);
		g.kind = GOSSIP_IN_CANDIDATE;
		cluster_gossip_step(c, &g, out);
		c->dirty |= !c->keys.n;
		break;
	case CLUSTER_IN_HINT:
		g.kind = GOSSIP_IN_HINT;
		cluster_gossip_step(c, &g, out);
		break;
	case CLUSTER_IN_ADDRS:
		own_addrs(c, in, out);
		break;
	case CLUSTER_IN_SYNC:
		g.kind = GOSSIP_IN_SYNC;
		cluster_gossip_step(c, &g, out);
		break;
	case CLUSTER_IN_MESH_UP:
	case CLUSTER_IN_MESH_DOWN:
		g.kind = in->kind == CLUSTER_IN_MESH_UP ? GOSSIP_IN_MESH_UP : GOSSIP_IN_MESH_DOWN;
		cluster_gossip_step(c, &g, out);
		break;
	case CLUSTER_IN_AGREE:
		if (in->agree->kind >= AGREE_MSG_BEAT) {
			owner_message(c, &in->node, in->agree, out);
			break;
		}
		a.kind = AGREE_IN_MESH;
		a.msg.from = in->node;
		a.msg.msg = in->agree;
		cluster_agree_step(c, &a, out);
		break;
	case CLUSTER_IN_VIEW:
		ring_view(c, in, out);
		break;
	case CLUSTER_IN_CAST:
		cast(c, in, out);
		break;
	case CLUSTER_IN_STORED:
		a.stored.seq = in->number;
		a.stored.err = in->err;
		cluster_agree_step(c, &a, out);
		break;
	case CLUSTER_IN_STORE_BACK:
		a.kind = AGREE_IN_START;
		a.disk = in->disk->agree;
		cluster_agree_step(c, &a, out);
		if (c->local_view)
			ring_local(c, out);
		else if (c->n_view)
			ring_view_again(c, out);
		break;
	case CLUSTER_IN_REQUEST:
		request_in(c, in->request, out);
		break;
	case CLUSTER_IN_DONE:
		done(c, in, out);
		break;
	case CLUSTER_IN_RING:
		ring_state(c, in, out);
		break;
	case CLUSTER_IN_HAVE:
		carry_have(c, in->have, out);
		break;
	case CLUSTER_IN_VOLUME:
		owner_event(c, in, out);
		break;
	case CLUSTER_IN_FACT:
		own_fact(c, in);
		break;
	case CLUSTER_IN_FACTS_GONE:
		own_path(c, in->path, path);
		facts_delete_below(c->facts, path);
		c->facts_dirty = true;
		break;
	case CLUSTER_IN_ADDRESS:
		floating_news(c, in->address);
		break;
	case CLUSTER_IN_KEPT:
		kept_in(c, in);
		break;
	case CLUSTER_IN_LEAVE:
		floating_leave(c, out);
		g.kind = GOSSIP_IN_LEAVE;
		cluster_gossip_step(c, &g, out);
		out->left = true;
		break;
	}
}

void cluster_step(struct cluster *c, const struct cluster_in *in, struct cluster_out *out)
{
	c->now = in->now;
	c->wall_ms = in->wall_ms;
	c->events_seen = out->gossip.n_events;
	dispatch(c, in, out);
	if (in->kind != CLUSTER_IN_LEAVE && !(in->kind == CLUSTER_IN_FACT && in->more))
		tend(c, out);
}

/* ---- life ---- */

struct cluster *cluster_new(const struct cluster_conf *conf)
{
	struct cluster *c = mem_zalloc(sizeof(*c));
	struct gossip_conf g = { .incarnation = conf->incarnation, .seed = conf->seed };
	struct agree_conf a = { .log = conf->log };
	struct knock knock = { .name = "" };

	c->codec = conf->codec;
	c->log = conf->log;
	c->conf = *conf;
	c->software = mem_strdup(conf->software ? conf->software : "");
	c->self = node_id_of_key(conf->public_key);
	c->keys = conf->keys;
	c->key_epoch = c->keys.n ? keys_newest(&c->keys)->epoch : 0;
	c->ring_addrs_follow = conf->n_ring_addrs == 0;
	if (c->ring_addrs_follow && conf->n_addrs) {
		c->conf.ring_addrs[0] = conf->addrs[0];
		c->conf.n_ring_addrs = 1;
	}
	for (unsigned i = 0; i < c->conf.n_ring_addrs; i++)
		c->conf.ring_addrs[i].port = 0;

	c->card.id = c->self;
	memcpy(c->card.public_key, conf->public_key, 32);
	memcpy(c->card.boot, conf->boot, BOOT_LEN);
	snprintf(c->card.name, sizeof(c->card.name), "%s", conf->name);
	memcpy(c->card.addrs, conf->addrs, sizeof(c->card.addrs));
	c->card.n_addrs = (uint8_t)conf->n_addrs;
	addrs_text(c);
	c->card.version_min = conf->version_min ? conf->version_min : GOSSIP_VERSION_MIN;
	c->card.version_max = conf->version_max ? conf->version_max : GOSSIP_VERSION_MAX;
	c->card.features = conf->features;
	admit_extra_pack(&(struct extra){ .votes = conf->votes }, &c->card);

	memcpy(knock.public_key, conf->public_key, 32);
	memcpy(knock.boot, conf->boot, BOOT_LEN);
	snprintf(knock.name, sizeof(knock.name), "%s", conf->name);
	knock_make(&knock, conf->secret_key, &c->knock);
	c->facts = facts_new(&c->self, conf->fact_base);
	floating_new(c);
	g.self = c->card;
	g.key_epoch = c->key_epoch;
	c->gossip = gossip_new(&g, c->facts);
	a.self = c->self;
	memcpy(&a.boot, conf->boot, sizeof(a.boot));
	a.boot |= 1;
	c->agree = agree_new(&a);
	c->catalog = catalog_new();
	c->names = names_new(c->catalog, c->facts);
	c->nodes_seen = mem_zalloc(sizeof(*c->nodes_seen));
	c->retry = plan_retry_new();
	c->memo = plan_memo_new();
	if (conf->checks)
		plan_memo_check(c->memo);
	owner_init(c);
	c->others_seen = c->newer_seen = MONO_NEVER;
	c->look_since = c->out_since = c->in_since = MONO_NEVER;
	c->tend_wake = c->ring_wake = c->plan_wake = c->agree_wake = MONO_NEVER;
	return c;
}

void cluster_free(struct cluster **cp)
{
	struct cluster *c = *cp;

	if (!c)
		return;
	for (unsigned i = 0; i < c->n_doing; i++)
		doing_free(c->doing[i]);
	free(c->doing);
	for (unsigned i = 0; i < c->n_waiting; i++)
		free(c->waiting[i].told);
	free(c->waiting);
	free(c->view);
	free(c->kept);
	free(c->candidates);
	free(c->software);
	buf_fini(&c->knock);
	buf_fini(&c->direct);
	free(c->node_path);
	free(c->nodes_seen->node);
	free(c->nodes_seen);
	attrs_fini(&c->host);
	plan_have_fini(&c->have);
	plan_fini(&c->plan);
	owner_fini(c);
	plan_retry_free(&c->retry);
	plan_memo_free(&c->memo);
	names_free(&c->names);
	catalog_free(&c->catalog);
	agree_free(&c->agree);
	gossip_free(&c->gossip);
	floating_free(c);
	facts_free(&c->facts);
	sodium_memzero(&c->keys, sizeof(c->keys));
	sodium_memzero(&c->conf, sizeof(c->conf));
	free(c);
	*cp = NULL;
}

/* ---- reading ---- */

const struct catalog *cluster_catalog(const struct cluster *c)
{
	return c->catalog;
}

const struct facts *cluster_facts(const struct cluster *c)
{
	return c->facts;
}

struct gossip *cluster_gossip(const struct cluster *c)
{
	return c->gossip;
}

const struct agree_status *cluster_agree(const struct cluster *c)
{
	return c->status;
}

struct names *cluster_names(const struct cluster *c)
{
	return c->names;
}

const struct keys *cluster_keys(const struct cluster *c)
{
	return &c->keys;
}

const char *cluster_hash(const struct cluster *c)
{
	return c->hash;
}

const struct node_id *cluster_self(const struct cluster *c)
{
	return &c->self;
}

const char *cluster_self_name(const struct cluster *c)
{
	const struct object *me = admit_node(c, &c->self);

	return me ? path_name(me->path) : c->conf.name;
}

void cluster_status(const struct cluster *c, struct attrs *out)
{
	const struct agree_status *s = c->status;
	const struct object *cl = catalog_get(c->catalog, "/cluster");
	char text[512], a[64];
	unsigned n = 0;

	attrs_set(out, "node", cluster_self_name(c));
	attrs_set(out, "id", node_id_fingerprint(&c->self, text));
	attrs_set(out, "name", cl ? schema_get(cl->type, &cl->attrs, "name") : NULL);
	attrs_set(out, "mode", !c->keys.n ? "pending" : c->removed ? "removed" : c->clone.family ? "cloned" :
	          !s->has_log ? "joining" : agree_mode_name(s->mode));
	attrs_set(out, "quorate", s->has_log && s->mode == AGREE_ACTIVE ? "yes" : "no");
	attrs_set(out, "reason", s->mode == AGREE_ACTIVE ? NULL : ring_host_wants(c) ? ring_host_wants(c) : s->reason);
	set_uint(out, "members", gossip_count(c->gossip));
	set_uint(out, "alive", gossip_alive(c->gossip));
	set_uint(out, "pending", gossip_pending_count(c->gossip));
	set_uint(out, "voters", s->has_log ? roster_n_voters(&s->roster) : 0);
	for (unsigned i = 0; i < s->n_member; i++)
		n += s->has_log && roster_votes(&s->roster, &s->member[i].id);
	set_uint(out, "voters-present", n);
	set_uint(out, "index", s->applied);
	set_uint(out, "epoch", s->epoch);
	set_uint(out, "key-epoch", c->keys.n ? keys_newest(&c->keys)->epoch : 0);
	attrs_set(out, "lineage", c->has_lineage ? text_uuid(c->lineage, text) : NULL);
	attrs_set(out, "ring", c->ring_running ? "running" : "stopped");
	attrs_set(out, "ring-waiting", c->growth.waiting);
	attrs_set(out, "target", c->target_up ? "running" : "stopped");
	attrs_set(out, "software", c->software);
	if (!c->keys.n)
		snprintf(text, sizeof(text), "this node has no cluster key: on a member run 'director node adopt %s' after comparing "
		         "the fingerprint, or begin a cluster here with 'director cluster create'", c->conf.name);
	else if (c->removed)
		snprintf(text, sizeof(text), "this node was removed from the cluster: on a member run 'director node adopt %s' to take it in "
		         "again", c->conf.name);
	else if (found_key_old(c))
		snprintf(text, sizeof(text), "the cluster key of this node is older than that of the node at %s, so it begins no cluster by "
		         "itself: on a member run 'director node adopt %s', or begin another cluster here with 'director cluster create'",
		         addr_text(&c->newer_at, a), c->conf.name);
	else if (found_key_newer(c) && gossip_alive(c->gossip) < 2)
		snprintf(text, sizeof(text), "the node at %s has a newer cluster key; this one gets it by itself while it is a node of the "
		         "cluster; if it was removed, 'director node adopt %s' on a member takes it in again", addr_text(&c->newer_at, a),
		         c->conf.name);
	else if (c->found_apart)
		snprintf(text, sizeof(text), "most of the nodes that this one has met are out of reach, and may be about to begin a cluster: it waits "
		         "for them a minute; 'director cluster create' begins one here at once");
	else if (c->clone.family)
		snprintf(text, sizeof(text), "this node's identity is in use at %s: a cloned disk? Remove identity.key from the state "
		         "directory and restart", addr_text(&c->clone, a));
	else if (c->aside)
		snprintf(text, sizeof(text), "this node keeps out of the ring, because it is the worst connected of its nodes: look at its network; "
		         "it comes back by itself");
	else if (c->clash[0])
		snprintf(text, sizeof(text), "%s: reset one of the two", c->clash);
	else if (s->has_log && roster_n_voters(&s->roster) == 2)
		snprintf(text, sizeof(text), "two voters: if either is lost, neither survives alone: until it is back nothing can be changed, and the "
		         "one that is left serves no volume with copies; a third node (a witness needs no disk) would help");
	else
		text[0] = '\0';
	attrs_set(out, "warning", text[0] ? text : NULL);
}
