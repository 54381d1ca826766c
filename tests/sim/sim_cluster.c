/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole clusters of the very machine that ships (struct cluster), in virtual time: sealed datagrams, mesh,
 * CPG, disks and director-target are models, every message passes the real codec and seal. A run has two
 * phases: faults (loss, crashes with unsynced puts lost, cuts, power loss of all) under a load of changes,
 * then quiet, in which everything must come together:
 *
 *   I7  every acknowledged change is there, the state hash is the same at the same index
 *   I8  with a majority up and quiet, a change is accepted; nothing was acknowledged without one; a node that knows
 *       itself in a minority refuses within a second
 *   I9  all see all alive, facts converge
 *   I1 to I3 of two volumes with copies: cluster_data.h
 *
 *   sim_cluster [--seeds A-B] [--nodes N] [--host] [--check] [-v]    (--host: all on the host's own ring; else each fourth;
 *   --check: whatever is remembered instead of worked out anew is worked out as well, and must be the same)
 */
#include <assert.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/cluster.h"
#include "proto/agree.h"
#include "proto/peer.h"
#include "proto/seal.h"
#include "proto/txn.h"
#include "tests/sim/cluster_data.h"
#include "tests/sim/cpg.h"
#include "tests/sim/world.h"

#define NODES_MAX 8
#define OPS_MAX 4096
#define LINEAGES_MAX 64
#define ACTS_MAX 256            /* of a node that its director-target has begun */
#define WAKES_MAX 400           /* of a node's timer within a second: more is a machine that asks for itself again and again */

struct disk {
	uint64_t promised, synced, commit;
	struct agree_snap *snap;
	struct agree_entry **entry;
	unsigned n_entry, cap;
	struct keys keys;
	uint32_t incarnation;
	struct cluster_record record[256];
	unsigned n_record;
	struct addr addr[NODES_MAX];    /* of those that it has met */
	unsigned n_addr;
	struct { uint8_t boot[BOOT_LEN]; struct buf sync; struct facts_have have; uint64_t life; } kept[NODES_MAX];    /* others' facts, now and then */
};

struct node {
	struct sim *sim;
	unsigned i;
	bool up;
	uint64_t life;                  /* counts starts: late events of an earlier life are dropped */
	struct cluster *c;
	struct cluster_out out, spare;  /* the other's memory is used again */
	struct seal seal;
	struct log log;
	uint8_t pk[32], sk[64], boot[BOOT_LEN];
	struct node_id id;
	struct addr addr;
	char name[16];
	struct disk disk;
	uint64_t stored_epoch, active_epoch;
	bool ring_up;
	bool host_quorate;
	unsigned n_listed;              /* what it knows of the host's node list */
	uint64_t wake_gen;
	struct mono woken_since;
	unsigned woken;
	bool few;                       /* it knows that it has no majority, since then */
	struct mono few_since;
	uint64_t looked_at;             /* its state at this index was compared, */
	struct hash_sum looked_sum;     /* with these objects */
	struct mono store_free;
	uint64_t act[ACTS_MAX];         /* what director-target has not answered yet */
	unsigned n_act;
};

struct op {
	uint8_t rid[16];
	char path[64];
	bool acked;
	uint8_t lineage[16];            /* of the cluster that did */
	int err;
};

struct ask {                    /* a request without its answer */
	unsigned node, op;
	struct mono at;
};

struct sim {
	struct world w;
	unsigned n;
	struct node node[NODES_MAX];
	struct cpg *cpg;
	unsigned side[CPG_NODES];
	bool deaf[NODES_MAX][NODES_MAX];        /* the first does not hear the second */
	bool was_broken;
	unsigned loss;                  /* permille */
	bool quiet;
	bool calm;                      /* loss and stalls only: nobody begins anew, so what hangs goes on hanging */
	bool keeps_corosync;            /* the next crash is of directord alone */
	bool checks;
	bool host;                      /* the nodes' own Corosyncs, which nobody but the host starts */
	unsigned n_listed;              /* so many are in the host's node list; the administrator adds one at a time */
	uint32_t nodeid[NODES_MAX];
	struct op op[OPS_MAX];
	unsigned n_op;
	struct ask *ask;
	unsigned n_ask, cap_ask;
	uint8_t lineage[LINEAGES_MAX][16];
	unsigned n_lineage;
	unsigned refused_few;
	unsigned acked, refused, crashes, cuts, blackouts;
	uint64_t hash_index[4096];
	uint8_t hash_at[4096][32], hash_lineage[4096][16];
	struct data data;
	bool failed;
	char why[256];
};

static void fail(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void fail(struct sim *s, const char *fmt, ...)
{
	va_list ap;

	if (s->failed)
		return;
	s->failed = true;
	va_start(ap, fmt);
	vsnprintf(s->why, sizeof(s->why), fmt, ap);
	va_end(ap);
}

/* ---- the codec of the daemon ---- */

static void agree_bytes(const struct agree_msg *m, struct buf *out)
{
	agree_msg_encode(m, out);
}

static const struct cluster_codec codec = {
	.agree_encode = agree_bytes, .txn_encode = txn_encode, .txn_decode = txn_decode,
	.snapshot_encode = snapshot_encode, .snapshot_decode = snapshot_decode,
};

static void node_out(struct node *n);
static void ring_state(struct node *n, int err);
static void step(struct node *n, struct cluster_in *in);

static void sink(void *arg, enum log_level level, const char *line)
{
	struct node *n = arg;

	world_trace(&n->sim->w, "%s %s %s", n->name, log_level_name(level), line);
	if (level == LOG_LEVEL_FATAL)
		fail(n->sim, "%s: %s", n->name, line);
}

static bool hears(const struct sim *s, unsigned a, unsigned b)
{
	return s->side[a] == s->side[b] && !s->deaf[a][b];
}

static bool reach(struct sim *s, unsigned a, unsigned b)
{
	return hears(s, a, b) && hears(s, b, a);
}

/* Totem over a pair of which one does not hear the other: nothing is ordered for a while, then one of the two is out. */
static void on_stall(void *ctx, unsigned i, uint64_t x, void *p)
{
	struct sim *s = ctx;
	unsigned side[CPG_NODES] = { 0 };
	bool broken = false;

	for (unsigned a = 0; a < s->n; a++)
		for (unsigned b = a + 1; b < s->n; b++)
			if ((s->deaf[a][b] || s->deaf[b][a]) && s->side[a] == s->side[b] && s->node[a].ring_up && s->node[b].ring_up) {
				side[world_chance(&s->w, 500) ? a : b] = 2;
				broken = true;
			}
	for (unsigned k = 0; k < s->n; k++)
		side[k] += s->side[k];
	if (broken)
		cpg_stall(s->cpg, 1000);
	if (broken || s->was_broken)
		cpg_split(s->cpg, broken ? side : s->side);
	s->was_broken = broken;
	world_in_us(&s->w, 2000000, on_stall, s, 0, 0, NULL);
}

static void seal_keys(struct node *n)
{
	const struct keys *k = cluster_keys(n->c);

	seal_init(&n->seal, n->boot);
	for (unsigned i = 0; i < k->n; i++)
		seal_key_add(&n->seal, k->k[i].epoch, k->k[i].secret);
}

/* ---- disk ---- */

static void entry_free(struct agree_entry *e)
{
	free(e->payload);
	free(e);
}

static struct agree_entry *entry_copy(const struct agree_entry *e)
{
	struct agree_entry *n = mem_dup(e, sizeof(*e));

	n->payload = mem_dup(e->payload, e->len);
	return n;
}

static struct agree_snap *snap_copy(const struct agree_snap *s)
{
	struct agree_snap *n = mem_dup(s, sizeof(*s));

	n->window = mem_dup(s->window, s->n_window * sizeof(*s->window));
	n->bytes = mem_dup(s->bytes, s->len);
	return n;
}

static void snap_free(struct agree_snap *s)
{
	if (s) {
		free(s->window);
		free(s->bytes);
		free(s);
	}
}

static void disk_put(struct disk *d, const struct agree_put *p)
{
	unsigned k = 0;

	if (p->install || p->compact) {
		snap_free(d->snap);
		d->snap = snap_copy(p->install ? p->install : p->compact);
	}
	for (unsigned i = 0; i < d->n_entry; i++) {
		struct agree_entry *e = d->entry[i];

		if (p->install || e->index < p->drop_below || (p->cut_from && e->index >= p->cut_from))
			entry_free(e);
		else
			d->entry[k++] = e;
	}
	d->n_entry = k;
	for (unsigned i = 0; i < p->n_entry; i++) {
		d->entry = mem_grow(d->entry, &d->cap, d->n_entry, sizeof(*d->entry));
		d->entry[d->n_entry++] = entry_copy(p->entry[i]);
	}
	d->promised = p->promised;
	d->synced = p->synced;
	d->commit = p->commit;
}

struct flight {                 /* a put on its way to the disk, or a message */
	uint64_t life;
	struct agree_put *put;
	struct node_id from;
	size_t len;
	uint8_t bytes[];
};

static void on_stored(void *ctx, unsigned i, uint64_t life, void *p)
{
	struct node *n = &((struct sim *)ctx)->node[i];
	struct flight *f = p;
	struct cluster_in in = { .kind = CLUSTER_IN_STORED, .number = f->put->seq };

	/* A put of a dead life is lost: it was not synced. */
	if (n->up && n->life == life) {
		disk_put(&n->disk, f->put);
		step(n, &in);
	}
	for (unsigned k = 0; k < f->put->n_entry; k++)
		entry_free((struct agree_entry *)f->put->entry[k]);
	free((void *)f->put->entry);
	snap_free((struct agree_snap *)f->put->install);
	snap_free((struct agree_snap *)f->put->compact);
	free(f->put);
}

/* ---- network ---- */

static int node_at(struct sim *s, const struct addr *a)
{
	for (unsigned i = 0; i < s->n; i++)
		if (addr_eq(&s->node[i].addr, a))
			return (int)i;
	return -1;
}

static int node_of(struct sim *s, const struct node_id *id)
{
	for (unsigned i = 0; i < s->n; i++)
		if (node_id_eq(&s->node[i].id, id))
			return (int)i;
	return -1;
}

static void on_dgram(void *ctx, unsigned i, uint64_t from, void *p)
{
	struct sim *s = ctx;
	struct node *n = &s->node[i];
	struct flight *f = p;
	struct gossip_head head;
	struct buf plain = { 0 };
	struct cluster_in in = { .kind = CLUSTER_IN_STRANGER, .from = s->node[from].addr };
	struct agree_msg agree;
	struct peer_dgram d;
	int err;

	if (!n->up || !hears(s, i, (unsigned)from))
		return;
	err = seal_open(&n->seal, f->bytes, f->len, gossip_boot_by_tag, cluster_gossip(n->c), &head, &plain);
	in.why = err == ERR_DENIED ? STRANGER_KEY : err == ERR_AGAIN ? STRANGER_STALE :
	         err == ERR_CRYPTO ? STRANGER_FORGED : STRANGER_MALFORMED;
	in.number = seal_epoch_hint(f->bytes, f->len);
	if (!err && peer_dgram_decode(plain.data, plain.len, &d) == 0) {
		in.kind = CLUSTER_IN_DGRAM;
		in.head = &head;
		in.dgram = &d.msg;
		if (d.msg.kind == GOSSIP_PASS && agree_msg_decode(d.msg.blob, d.msg.n_blob, &agree) == 0)
			in.agree = &agree;
		step(n, &in);
		if (in.agree)
			agree_msg_fini(&agree);
		peer_dgram_fini(&d);
	} else {
		step(n, &in);
	}
	buf_fini(&plain);
}

static void send_dgram(struct node *n, const struct gossip_dgram *g)
{
	struct sim *s = n->sim;
	struct buf plain = { 0 }, wire = { 0 };
	int to = node_at(s, &g->to);
	struct flight *f;

	peer_dgram_encode(&g->msg, &plain);
	world_mix(&s->w, plain.data, plain.len);
	if (to >= 0 && seal_close(&n->seal, g->form, g->to_boot, plain.data, plain.len, &wire) == 0 &&
	    (s->quiet || !world_chance(&s->w, s->loss))) {
		unsigned copies = s->quiet || !world_chance(&s->w, 10) ? 1 : 2;

		while (copies--) {
			f = mem_alloc(sizeof(*f) + wire.len);
			f->len = wire.len;
			memcpy(f->bytes, wire.data, wire.len);
			world_in_us(&s->w, world_between(&s->w, 50, s->quiet ? 500 : 5000), on_dgram, s, (unsigned)to, n->i, f);
		}
	}
	buf_fini(&plain);
	buf_fini(&wire);
}

enum { MESH_SYNC = 1, MESH_AGREE };

static void on_mesh(void *ctx, unsigned i, uint64_t kind, void *p)
{
	struct sim *s = ctx;
	struct node *n = &s->node[i];
	struct flight *f = p;
	struct cluster_in in = { .node = f->from };
	struct peer_sync sync;
	struct agree_msg msg;
	int from = node_of(s, &f->from);

	if (!n->up || from < 0 || !reach(s, i, (unsigned)from) || s->node[from].life != f->life)
		return;
	if (kind == MESH_SYNC && peer_sync_decode(f->bytes, f->len, &sync) == 0) {
		in.kind = CLUSTER_IN_SYNC;
		in.sync = &sync.sync;
		step(n, &in);
		peer_sync_fini(&sync);
	} else if (kind == MESH_AGREE && agree_msg_decode(f->bytes, f->len, &msg) == 0) {
		in.kind = CLUSTER_IN_AGREE;
		in.agree = &msg;
		step(n, &in);
		agree_msg_fini(&msg);
	} else {
		fail(s, "a mesh message does not decode");
	}
}

static void send_mesh(struct node *n, const struct node_id *to, int kind, const void *p, size_t len)
{
	struct sim *s = n->sim;
	int i = node_of(s, to);
	struct flight *f;

	world_mix(&s->w, p, len);
	if (i < 0 || !reach(s, n->i, (unsigned)i) || (!s->quiet && world_chance(&s->w, s->loss / 4)))
		return;
	f = mem_alloc(sizeof(*f) + len);
	f->life = n->life;
	f->from = n->id;
	f->len = len;
	memcpy(f->bytes, p, len);
	world_in_us(&s->w, world_between(&s->w, 100, 1500), on_mesh, s, (unsigned)i, (uint64_t)kind, f);
}

/* ---- CPG ---- */

static void on_deliver(void *ctx, unsigned i, unsigned from, const uint8_t *p, size_t len)
{
	struct sim *s = ctx;
	struct node *n = &s->node[i];
	struct cluster_in in = { .kind = CLUSTER_IN_CAST, .nodeid = s->nodeid[from] };
	struct agree_msg msg;

	if (!n->up)
		return;
	if (agree_msg_decode(p, len, &msg) < 0) {
		fail(s, "a cast does not decode");
		return;
	}
	in.agree = &msg;
	step(n, &in);
	agree_msg_fini(&msg);
}

/* votequorum's word, and what the node list is, come some time after the view, or before it. */
static void on_quorate(void *ctx, unsigned i, uint64_t life, void *p)
{
	struct sim *s = ctx;
	struct node *n = &s->node[i];
	bool quorate = 2 * cpg_ring_size(s->cpg, i) > s->n_listed;

	if (!n->up || n->life != life || (quorate == n->host_quorate && n->n_listed == s->n_listed))
		return;
	n->host_quorate = quorate;
	n->n_listed = s->n_listed;
	ring_state(n, 0);
}

static void quorate_soon(struct node *n)
{
	struct sim *s = n->sim;

	if (s->host && n->up)
		world_in_us(&s->w, world_between(&s->w, 0, 100000), on_quorate, s, n->i, n->life, NULL);
}

static void on_view(void *ctx, unsigned i, const unsigned *member, unsigned n_member)
{
	struct sim *s = ctx;
	struct node *n = &s->node[i];
	uint32_t ids[NODES_MAX];
	struct cluster_in in = { .kind = CLUSTER_IN_VIEW, .nodeids = ids, .n_nodeids = n_member };

	for (unsigned k = 0; k < n_member; k++)
		ids[k] = s->nodeid[member[k]];
	if (!n->up)
		return;
	step(n, &in);
	quorate_soon(n);
}

static const struct cpg_ops cpg_ops = { .deliver = on_deliver, .view = on_view };

/* ---- acts ---- */

static void on_done(void *ctx, unsigned i, uint64_t act, void *p)
{
	struct node *n = &((struct sim *)ctx)->node[i];
	struct flight *f = p;
	struct cluster_in in = { .kind = CLUSTER_IN_DONE, .number = act, .err = (int)(int64_t)f->len };

	if (n->up && n->life == f->life)
		step(n, &in);
}

/* Of what director-target has begun: false if it was told of already. */
static bool act_over(struct node *n, uint64_t act)
{
	for (unsigned i = 0; i < n->n_act; i++)
		if (n->act[i] == act) {
			n->act[i] = n->act[--n->n_act];
			return true;
		}
	return false;
}

static void on_acted(void *ctx, unsigned i, uint64_t act, void *p)
{
	struct node *n = &((struct sim *)ctx)->node[i];
	struct flight *f = p;

	if (n->up && n->life == f->life && act_over(n, act))
		on_done(ctx, i, act, p);
}

static void later_done(struct node *n, uint64_t act, int err, uint64_t us)
{
	struct flight *f = mem_zalloc(sizeof(*f));

	f->life = n->life;
	f->len = (size_t)(int64_t)err;
	world_in_us(&n->sim->w, us, on_done, n->sim, n->i, act, f);
}

static const uint8_t *lineage(const struct node *n)
{
	return cluster_agree(n->c)->lineage;
}

static bool same_lineage(const struct node *a, const struct node *b)
{
	return a->up && b->up && memcmp(lineage(a), lineage(b), 16) == 0;
}

/* Which of those that this world has seen, from 1 on. */
static unsigned lineage_no(const struct node *n)
{
	struct sim *s = n->sim;
	unsigned i = 0;

	while (i < s->n_lineage && memcmp(s->lineage[i], lineage(n), 16) != 0)
		i++;
	if (i == s->n_lineage && i < LINEAGES_MAX)
		memcpy(s->lineage[s->n_lineage++], lineage(n), 16);
	return i + 1;
}

static void ring_state(struct node *n, int err)
{
	struct cluster_in in = { .kind = CLUSTER_IN_RING, .running = n->ring_up, .active = n->active_epoch, .err = err };

	if (n->sim->host) {
		in.active = 0;
		in.nodeid = n->sim->nodeid[n->i];
		in.nodeids = n->sim->nodeid;
		in.n_nodeids = n->n_listed;
		in.quorate = n->host_quorate;
	}
	step(n, &in);
}

static void on_ring_started(void *ctx, unsigned i, uint64_t life, void *p)
{
	struct sim *s = ctx;
	struct node *n = &s->node[i];

	if (!n->up || n->life != life || n->ring_up)
		return;
	if (s->host) {
		if (i >= s->n_listed)
			return;
		n->ring_up = true;
		n->n_listed = s->n_listed;
		cpg_up(s->cpg, i, 0);
		ring_state(n, 0);
		cpg_join(s->cpg, i);
		quorate_soon(n);
		return;
	}
	/* Who starts with another file than the running ring is not let in (and would harm it). */
	for (unsigned k = 0; k < s->n; k++)
		if (s->node[k].ring_up && reach(s, i, k) && same_lineage(n, &s->node[k]) && s->node[k].active_epoch > n->stored_epoch) {
			ring_state(n, ERR_FAILED);
			return;
		}
	n->ring_up = true;
	n->active_epoch = n->stored_epoch;
	cpg_up(s->cpg, i, lineage_no(n));
	cpg_join(s->cpg, i);
	ring_state(n, 0);
}

/* The administrator puts the next node into the list, and reloads; a running directord sees it seconds later. */
static void on_listed(void *ctx, unsigned i, uint64_t x, void *p)
{
	struct sim *s = ctx;

	if (s->n_listed == s->n)
		return;
	i = s->n_listed++;
	world_trace(&s->w, "%s is put into the list", s->node[i].name);
	for (unsigned k = 0; k < i; k++)
		world_in_us(&s->w, world_between(&s->w, 0, 5000000), on_quorate, s, k, s->node[k].life, NULL);
	world_in_us(&s->w, world_between(&s->w, 0, 300000), on_ring_started, s, i, s->node[i].life, NULL);
	world_in_us(&s->w, world_between(&s->w, 1000, 20000000), on_listed, s, 0, 0, NULL);
}

static void ring_stop(struct node *n)
{
	n->host_quorate = false;
	if (n->ring_up && n->sim->host && n->sim->keeps_corosync)
		cpg_leave(n->sim->cpg, n->i);
	else if (n->ring_up)
		cpg_down(n->sim->cpg, n->i);
	n->ring_up = false;
	n->active_epoch = 0;
}

static void on_reload(void *ctx, unsigned i, uint64_t act, void *p)
{
	struct sim *s = ctx;
	struct node *n = &s->node[i];
	struct flight *f = p;

	if (!n->up || n->life != f->life)
		return;
	for (unsigned k = 0; k < s->n; k++) {
		struct node *o = &s->node[k];

		if (o->up && o->ring_up && reach(s, i, k) && same_lineage(n, o) && o->active_epoch != o->stored_epoch) {
			o->active_epoch = o->stored_epoch;
			ring_state(o, 0);
		}
	}
	later_done(n, act, 0, 1000);
}

static void start(struct node *n);
static void crash(struct node *n);

/* The node gives up its agreed state for that of another lineage, and begins anew. */
static void on_reset(void *ctx, unsigned i, uint64_t life, void *p)
{
	struct sim *s = ctx;
	struct node *n = &s->node[i];
	struct disk *d = &n->disk;

	if (!n->up || n->life != life)
		return;
	crash(n);
	for (unsigned k = 0; k < d->n_entry; k++)
		entry_free(d->entry[k]);
	d->n_entry = 0;
	snap_free(d->snap);
	d->snap = NULL;
	d->promised = d->synced = d->commit = 0;
	n->stored_epoch = 0;
	start(n);
}

/* For the hash of the trace: what director-target is told. */
static void mix_act(struct world *w, const struct cluster_act *a)
{
	const struct plan_action *p = a->plan;
	const uint64_t number[] = { a->kind, a->epoch, a->until.ns, p ? p->kind : 0, p ? p->generation : 0, p ? p->size : 0, p ? p->epoch : 0 };

	world_mix(w, number, sizeof(number));
	world_mix(w, a->volume, sizeof(a->volume));
	if (!p)
		return;
	world_mix(w, p->path, strlen(p->path));
	world_mix(w, p->hash, sizeof(p->hash));
	for (unsigned i = 0; i < p->params.n; i++) {
		world_mix(w, p->params.a[i].key, strlen(p->params.a[i].key));
		world_mix(w, p->params.a[i].value, strlen(p->params.a[i].value));
	}
}

static void do_plan(struct node *n, const struct cluster_act *a)
{
	bool own = a->plan->kind >= PLAN_SERVE || strchr(a->plan->name, '/');
	int err = !own && !n->sim->quiet && world_chance(&n->sim->w, 20) ? ERR_IO : data_plan(&n->sim->data, n->i, a->plan);

	struct flight *f = mem_zalloc(sizeof(*f));

	if (n->n_act == ACTS_MAX)
		fail(n->sim, "%s has begun %u actions", n->name, n->n_act);
	else
		n->act[n->n_act++] = a->id;
	f->life = n->life;
	f->len = (size_t)(int64_t)err;
	world_in_us(&n->sim->w, world_between(&n->sim->w, 500, 5000), on_acted, n->sim, n->i, a->id, f);
}

static void do_act(struct node *n, const struct cluster_act *a)
{
	struct sim *s = n->sim;
	struct flight *f;

	mix_act(&s->w, a);
	if (s->host && a->kind <= CLUSTER_ACT_RING_STOP) {
		fail(s, "%s touches the host's Corosync", n->name);
		return;
	}
	switch (a->kind) {
	case CLUSTER_ACT_RING_WRITE:
		n->stored_epoch = a->conf->epoch;
		for (unsigned i = 0; i < a->conf->roster.n; i++) {
			int k = node_of(s, &a->conf->roster.node[i].id);

			if (k >= 0)
				s->nodeid[k] = a->conf->roster.node[i].nodeid;
		}
		later_done(n, a->id, 0, world_between(&s->w, 1000, 20000));
		break;
	case CLUSTER_ACT_RING_RELOAD:
		f = mem_zalloc(sizeof(*f));
		f->life = n->life;
		world_in_us(&s->w, 20000, on_reload, s, n->i, a->id, f);
		break;
	case CLUSTER_ACT_RING_START:
		world_in_us(&s->w, 400000, on_ring_started, s, n->i, n->life, NULL);
		break;
	case CLUSTER_ACT_RING_STOP:
		ring_stop(n);
		on_view(s, n->i, NULL, 0);      /* the seat is lost with the ring */
		if (n->up)
			ring_state(n, 0);
		break;
	case CLUSTER_ACT_KEYS:
		n->disk.keys = *cluster_keys(n->c);
		seal_keys(n);
		later_done(n, a->id, 0, 1000);
		break;
	case CLUSTER_ACT_PLAN:
		do_plan(n, a);
		break;
	case CLUSTER_ACT_LEASE:
		data_lease(&s->data, n->i, a);
		break;
	case CLUSTER_ACT_KEEP:
		later_done(n, a->id, 0, 500);
		break;
	case CLUSTER_ACT_RECORD: {
		struct disk *d = &n->disk;
		unsigned k = 0;

		while (k < d->n_record && memcmp(d->record[k].uuid, a->record->uuid, 16) != 0)
			k++;
		if (a->record->name && k == d->n_record && k < 256) {
			d->record[k] = *a->record;
			d->record[k].name = mem_strdup(a->record->name);
			attrs_copy(&d->record[k].params, &a->record->params);
			d->n_record++;
		} else if (!a->record->name && k < d->n_record) {
			free(d->record[k].name);
			attrs_fini(&d->record[k].params);
			d->record[k] = d->record[--d->n_record];
		}
		later_done(n, a->id, 0, 1000);
		break;
	}
	case CLUSTER_ACT_RESET:
		world_in_us(&s->w, 1000, on_reset, s, n->i, n->life, NULL);
		break;
	default:
		break;
	}
}

/* ---- checks while it runs ---- */

static void check_hash(struct node *n)
{
	struct sim *s = n->sim;
	const struct catalog *c = cluster_catalog(n->c);
	uint64_t i = catalog_applied(c), slot = i % 4096;
	const struct hash_sum *sum = tree_hash(catalog_tree(c));
	uint8_t h[32];

	if (i == 0 || (i == n->looked_at && memcmp(sum, &n->looked_sum, sizeof(*sum)) == 0))
		return;
	n->looked_at = i;
	n->looked_sum = *sum;
	catalog_hash(c, h);
	/* Two lineages may live side by side for a while; each is one history. */
	if (s->hash_index[slot] == i && memcmp(s->hash_lineage[slot], lineage(n), 16) == 0 &&
	    memcmp(s->hash_at[slot], h, 32) != 0)
		fail(s, "I7: %s has another state at index %" PRIu64, n->name, i);
	s->hash_index[slot] = i;
	memcpy(s->hash_at[slot], h, 32);
	memcpy(s->hash_lineage[slot], lineage(n), 16);
}

/* Does the node know that it has no majority: by its view, or without one by gossip? */
static bool knows_few(const struct node *n)
{
	const struct agree_status *st = cluster_agree(n->c);
	unsigned have = 0;

	if (!st->has_log)
		return false;
	for (unsigned i = 0; i < st->roster.n; i++) {
		const struct roster_node *r = &st->roster.node[i];
		struct gossip_member m;
		bool in = st->n_member == 0 && gossip_find(cluster_gossip(n->c), &r->id, &m) &&
		          (m.state == MEMBER_ALIVE || m.state == MEMBER_SUSPECT);

		for (unsigned k = 0; k < st->n_member; k++)
			in |= node_id_eq(&st->member[k].id, &r->id);
		have += in && r->role == ROSTER_VOTER;
	}
	return have < roster_majority(&st->roster);
}

static void check_few(struct node *n)
{
	struct sim *s = n->sim;
	bool few = n->up && knows_few(n);

	if (few && !n->few)
		n->few_since = s->w.now;
	n->few = few;
	for (unsigned i = 0; few && i < s->n_ask; i++) {
		const struct ask *a = &s->ask[i];
		struct mono since = mono_before(a->at, n->few_since) ? n->few_since : a->at;

		if (a->node == n->i && mono_ms_between(since, s->w.now) > 1000)
			fail(s, "I8: %s in a minority holds the request for %s back", n->name, s->op[a->op].path);
	}
}

static void on_look(void *ctx, unsigned i, uint64_t x, void *p)
{
	struct sim *s = ctx;

	for (unsigned k = 0; k < s->n; k++)
		check_few(&s->node[k]);
	if (!s->quiet)
		world_in_us(&s->w, 50000, on_look, s, 0, 0, NULL);
}

static void answered(struct node *n, unsigned op)
{
	struct sim *s = n->sim;

	for (unsigned i = 0; i < s->n_ask; i++) {
		if (s->ask[i].node == n->i && s->ask[i].op == op) {
			s->ask[i] = s->ask[--s->n_ask];
			return;
		}
	}
}

static void reply(struct node *n, const struct cluster_reply *r)
{
	struct sim *s = n->sim;
	struct op *o = r->id && r->id <= s->n_op ? &s->op[r->id - 1] : NULL;

	if (!o)
		return;
	answered(n, (unsigned)r->id - 1);
	s->refused_few += r->err == ERR_NOQUORUM;
	world_trace(&s->w, "%s reply %s: %s %s", n->name, o->path, err_name(r->err), r->text);
	if (r->err) {
		s->refused++;
		o->err = r->err;
		if (!r->text[0])
			fail(s, "I12: a refusal (%s) without a cause", err_name(r->err));
	} else if (!o->acked) {
		o->acked = true;
		memcpy(o->lineage, lineage(n), 16);
		s->acked++;
	}
}

/* ---- what is kept of others' facts ---- */

static void keep_facts(struct node *n)
{
	struct sim *s = n->sim;

	for (unsigned i = 0; i < facts_nodes(cluster_facts(n->c)); i++) {
		struct cluster_kept k;
		struct gossip_sync sync = { .kind = SYNC_DELTA, .parts = &k.part, .n_parts = 1 };
		int of;

		if (!cluster_keep(n->c, i, &k))
			continue;
		of = node_of(s, &k.have.node);
		/* The same facts, of the same two lives, are kept already. */
		if (n->disk.kept[of].life == n->life && n->disk.kept[of].have.floor == k.have.floor && n->disk.kept[of].have.max == k.have.max &&
		    memcmp(n->disk.kept[of].boot, k.boot, BOOT_LEN) == 0) {
			cluster_kept_fini(&k);
			continue;
		}
		n->disk.kept[of].life = n->life;
		n->disk.kept[of].have = k.have;
		memcpy(n->disk.kept[of].boot, k.boot, BOOT_LEN);
		buf_reset(&n->disk.kept[of].sync);
		peer_sync_encode(&sync, &n->disk.kept[of].sync);
		cluster_kept_fini(&k);
	}
}

static void on_keep(void *ctx, unsigned i, uint64_t x, void *p)
{
	struct sim *s = ctx;

	for (unsigned k = 0; k < s->n; k++)
		if (s->node[k].up && world_chance(&s->w, 300))
			keep_facts(&s->node[k]);
	world_in_us(&s->w, 3000000, on_keep, s, 0, 0, NULL);
}

static void give_facts(struct node *n)
{
	struct sim *s = n->sim;

	for (unsigned i = 0; i < s->n; i++) {
		struct cluster_in in = { .kind = CLUSTER_IN_KEPT, .node = s->node[i].id, .boot = n->disk.kept[i].boot };
		struct peer_sync sync;

		if (!n->disk.kept[i].sync.len || !n->up)
			continue;
		if (peer_sync_decode(n->disk.kept[i].sync.data, n->disk.kept[i].sync.len, &sync) < 0) {
			fail(s, "kept facts do not decode");
			return;
		}
		in.sync = &sync.sync;
		step(n, &in);
		peer_sync_fini(&sync);
	}
}

/* ---- running the machine ---- */

static void on_wake(void *ctx, unsigned i, uint64_t gen, void *p)
{
	struct node *n = &((struct sim *)ctx)->node[i];
	struct cluster_in in = { .kind = CLUSTER_IN_TIMER };

	if (!n->up || n->wake_gen != gen)
		return;
	if (mono_due(mono_add_ms(n->woken_since, 1000), n->sim->w.now)) {
		n->woken_since = n->sim->w.now;
		n->woken = 0;
	}
	if (++n->woken > WAKES_MAX)
		fail(n->sim, "%s spins: its timer was due %u times within a second", n->name, n->woken);
	step(n, &in);
}

static void node_out(struct node *n)
{
	struct sim *s = n->sim;
	struct cluster_out out = n->out;
	struct mono wake = out.wake;

	/* The output is taken away first: acts of this model may step the node again at once. */
	n->out = n->spare;
	n->spare = (struct cluster_out){ .n_put = 0 };
	n->out.wake = out.wake;
	n->out.gossip.wake = out.gossip.wake;
	if (out.gossip.persist_incarnation)
		n->disk.incarnation = out.gossip.persist_incarnation;
	for (unsigned i = 0; i < out.n_put; i++) {
		struct flight *f = mem_zalloc(sizeof(*f));
		struct mono when = { s->w.now.ns + world_between(&s->w, 200, s->quiet ? 2000 : 30000) * 1000 };

		/* In order, as the store promises. */
		f->put = out.put[i];
		n->store_free = mono_before(when, n->store_free) ? (struct mono){ n->store_free.ns + 1000 } : when;
		world_at(&s->w, n->store_free, on_stored, s, n->i, n->life, f);
	}
	out.n_put = 0;
	for (unsigned i = 0; i < out.gossip.n_dgrams; i++)
		send_dgram(n, &out.gossip.dgrams[i]);
	for (unsigned i = 0; i < out.gossip.n_mesh; i++) {
		struct buf b = { 0 };

		peer_sync_encode(&out.gossip.mesh[i].sync, &b);
		send_mesh(n, &out.gossip.mesh[i].to, MESH_SYNC, b.data, b.len);
		buf_fini(&b);
	}
	for (unsigned i = 0; i < out.n_cast; i++) {
		world_mix(&s->w, out.cast[i].bytes.data, out.cast[i].bytes.len);
		cpg_cast(s->cpg, n->i, out.cast[i].bytes.data, out.cast[i].bytes.len);
	}
	for (unsigned i = 0; i < out.n_send; i++)
		send_mesh(n, &out.send[i].node, MESH_AGREE, out.send[i].bytes.data, out.send[i].bytes.len);
	for (unsigned i = 0; i < out.n_reply; i++)
		reply(n, &out.reply[i]);
	check_hash(n);
	check_few(n);
	for (unsigned i = 0; i < out.n_act; i++)
		if (n->up)
			do_act(n, &out.act[i]);
	cluster_out_reset(&out);
	cluster_out_fini(&n->spare);
	n->spare = out;
	if (n->up && wake.ns != UINT64_MAX)
		world_at(&s->w, mono_before(wake, s->w.now) ? s->w.now : wake, on_wake, s, n->i, ++n->wake_gen, NULL);
}

static void step(struct node *n, struct cluster_in *in)
{
	in->now = n->sim->w.now;
	in->wall_ms = 1700000000000 + n->sim->w.now.ns / 1000000;
	cluster_step(n->c, in, &n->out);
	node_out(n);
}

static void start(struct node *n)
{
	struct sim *s = n->sim;
	struct cluster_conf conf = { .codec = &codec, .log = &n->log, .votes = true, .founds = true,
	                             .host_ring = s->host, .inner_port = 7341, .checks = s->checks };
	struct agree_disk ad = { .promised = n->disk.promised, .synced = n->disk.synced, .commit = n->disk.commit,
	                         .snap = n->disk.snap, .entry = (const struct agree_entry *const *)n->disk.entry,
	                         .n_entry = n->disk.n_entry };
	struct cluster_disk disk = { .agree = &ad, .record = n->disk.record, .n_record = n->disk.n_record,
	                             .addr = n->disk.addr, .n_addr = n->disk.n_addr };
	struct cluster_in in = { .kind = CLUSTER_IN_START, .disk = &disk };
	struct plan_have have = { 0 };

	if (n->up)
		return;
	n->up = true;
	n->life++;
	for (unsigned i = 0; i < BOOT_LEN; i++)
		n->boot[i] = (uint8_t)rng_next(&s->w.rng);
	memcpy(conf.public_key, n->pk, 32);
	memcpy(conf.secret_key, n->sk, 64);
	memcpy(conf.boot, n->boot, BOOT_LEN);
	conf.seed = rng_next(&s->w.rng);
	snprintf(conf.name, sizeof(conf.name), "%s", n->name);
	conf.keys = n->disk.keys;
	conf.incarnation = n->disk.incarnation;
	conf.fact_base = 1000 + s->w.now.ns / 1000000;
	conf.addrs[0] = n->addr;
	conf.n_addrs = 1;
	n->looked_at = 0;
	n->c = cluster_new(&conf);
	n->out = (struct cluster_out){ .n_put = 0 };
	seal_keys(n);
	world_trace(&s->w, "%s starts", n->name);
	step(n, &in);
	data_up(&s->data, n->i);
	data_have(&s->data, n->i, &have);
	give_facts(n);
	in = (struct cluster_in){ .kind = CLUSTER_IN_HAVE, .have = &have };
	step(n, &in);
	plan_have_fini(&have);
	if (s->host)
		world_in_us(&s->w, world_between(&s->w, 100000, 800000), on_ring_started, s, n->i, n->life, NULL);
	/* mDNS. */
	for (unsigned i = 0; i < s->n; i++) {
		in = (struct cluster_in){ .kind = CLUSTER_IN_CANDIDATE, .from = s->node[i].addr };
		if (i != n->i && reach(s, n->i, i))
			step(n, &in);
	}
}

/* Where the others were: the store has that. */
static void remember(struct node *n)
{
	struct gossip_member m;

	n->disk.n_addr = 0;
	for (unsigned i = 0; gossip_at(cluster_gossip(n->c), i, &m); i++)
		if (!m.self && n->disk.n_addr < NODES_MAX)
			n->disk.addr[n->disk.n_addr++] = m.addr;
}

static void crash(struct node *n)
{
	if (!n->up)
		return;
	world_trace(&n->sim->w, "%s crashes", n->name);
	n->up = n->few = false;
	n->n_act = 0;
	remember(n);
	for (unsigned i = n->sim->n_ask; i-- > 0;)      /* nobody waits for an answer of it any more */
		if (n->sim->ask[i].node == n->i)
			n->sim->ask[i] = n->sim->ask[--n->sim->n_ask];
	n->wake_gen++;
	ring_stop(n);
	cluster_out_fini(&n->out);
	cluster_free(&n->c);
	n->sim->crashes++;
}

static bool data_reach(void *ctx, unsigned a, unsigned b)
{
	return reach(ctx, a, b);
}

static void data_event(void *ctx, unsigned i, struct cluster_in *in)
{
	struct node *n = &((struct sim *)ctx)->node[i];

	if (n->up)
		step(n, in);
}

static void data_fail(void *ctx, const char *why)
{
	fail(ctx, "%s", why);
}

static void on_data(void *ctx, unsigned i, uint64_t x, void *p)
{
	struct sim *s = ctx;

	for (unsigned k = 0; k < s->n; k++)
		data_tick(&s->data, k);
	world_in_us(&s->w, 40000, on_data, s, 0, 0, NULL);
}

/* director-target dies, and is there again a moment later. */
static void target_dies(struct node *n)
{
	struct plan_have have = { 0 };
	struct cluster_in in = { .kind = CLUSTER_IN_HAVE };

	if (!n->up)
		return;
	world_trace(&n->sim->w, "%s: director-target dies", n->name);
	data_down(&n->sim->data, n->i);
	/* What waits for an answer of it hears that first, as directord's link has it. */
	while (n->n_act) {
		struct cluster_in lost = { .kind = CLUSTER_IN_DONE, .number = n->act[--n->n_act], .err = ERR_UNREACHABLE };

		step(n, &lost);
	}
	step(n, &in);
	data_up(&n->sim->data, n->i);
	in = (struct cluster_in){ .kind = CLUSTER_IN_HAVE, .have = &have };
	step(n, &in);
}

static void on_start(void *ctx, unsigned i, uint64_t x, void *p)
{
	start(&((struct sim *)ctx)->node[i]);
}

/* ---- load and faults ---- */

static void request(struct sim *s, unsigned i, unsigned op)
{
	struct node *n = &s->node[i];
	struct op *o = &s->op[op];
	struct txn t = { 0 };
	struct cluster_request r = { .id = op + 1, .verb = CLUSTER_TXN, .txn = &t };
	struct cluster_in in = { .kind = CLUSTER_IN_REQUEST, .request = &r };
	struct txn_op *x;

	s->ask = mem_grow(s->ask, &s->cap_ask, s->n_ask, sizeof(*s->ask));
	s->ask[s->n_ask++] = (struct ask){ i, op, s->w.now };
	memcpy(t.request_id, o->rid, 16);
	t.author = mem_strdup("root");
	t.node = mem_strdup(n->name);
	t.message = mem_strdup("");
	x = txn_add(&t, TXN_CREATE, o->path);
	attrs_set(&x->attrs, "size", "1M");
	if (strncmp(o->path, "/volumes/m", 10) == 0) {
		attrs_set(&x->attrs, "copies", "2");
	} else {
		attrs_set(&x->attrs, "backstore", "ram");
		attrs_set(&x->attrs, "node", "n1");
	}
	step(n, &in);
	txn_fini(&t);
}

static void on_load(void *ctx, unsigned i, uint64_t x, void *p)
{
	struct sim *s = ctx;
	unsigned who = (unsigned)world_between(&s->w, 0, s->n - 1), op;

	if (s->quiet)
		return;
	if (s->node[who].up) {
		/* One in five asks again what was refused or never answered, maybe elsewhere. */
		op = s->n_op && world_chance(&s->w, 200) ? (unsigned)world_between(&s->w, 0, s->n_op - 1) : s->n_op;
		if (op == s->n_op && s->n_op < OPS_MAX) {
			struct op *o = &s->op[s->n_op++];

			for (unsigned k = 0; k < 16; k++)
				o->rid[k] = (uint8_t)rng_next(&s->w.rng);
			/* The first two are asked for until they are there. */
			snprintf(o->path, sizeof(o->path), "/volumes/%c%u", op < 2 && s->n > 1 ? 'm' : 'v', op);
		}
		if (op < s->n_op && !s->op[op].acked)
			request(s, who, op);
	}
	world_in_us(&s->w, world_between(&s->w, 100000, 600000), on_load, s, 0, 0, NULL);
}

static void on_heal(void *ctx, unsigned i, uint64_t x, void *p)
{
	struct sim *s = ctx;

	memset(s->side, 0, sizeof(s->side));
	memset(s->deaf, 0, sizeof(s->deaf));
	cpg_split(s->cpg, (unsigned[CPG_NODES]){ 0 });
	for (unsigned k = 0; k < s->n; k++)
		for (unsigned m = 0; m < s->n; m++) {
			struct cluster_in in = { .kind = CLUSTER_IN_CANDIDATE, .from = s->node[m].addr };

			if (k != m && s->node[k].up)
				step(&s->node[k], &in);
		}
}

/* One node does not hear another; half of the time the other does not hear it either. */
static void make_deaf(struct sim *s)
{
	unsigned a = (unsigned)world_between(&s->w, 0, s->n - 1), b = (unsigned)world_between(&s->w, 0, s->n - 1);

	if (a == b)
		return;
	s->deaf[a][b] = true;
	s->deaf[b][a] = world_chance(&s->w, 500);
	world_trace(&s->w, "%s does not hear %s%s", s->node[a].name, s->node[b].name, s->deaf[b][a] ? ", nor that one it" : "");
}

/* A single change, asked for so often at most until it is accepted. */
static void must_accept(struct sim *s, unsigned node, const char *path, unsigned tries)
{
	unsigned op = s->n_op;

	if (op == OPS_MAX)
		return;
	s->n_op++;
	snprintf(s->op[op].path, sizeof(s->op[op].path), "%s", path);
	memcpy(s->op[op].rid, &op, sizeof(op));
	s->op[op].rid[15] = 1;
	/* As a client does: a node that is just joining its ring says "not now", and is asked again. */
	for (unsigned try = 0; try < tries && !s->op[op].acked; try++) {
		request(s, node, op);
		world_run(&s->w, mono_add_ms(s->w.now, 3000));
	}
	if (!s->op[op].acked)
		fail(s, "I8: %s is not accepted: %s", path, err_name(s->op[op].err));
}

/* With a pair of the ring deaf, the rest must go on: the worst-connected node keeps out. */
static void check_deaf(struct sim *s)
{
	unsigned at = 0;
	uint64_t epoch;
	bool any = false;

	while (!any) {
		make_deaf(s);
		for (unsigned i = 0; i < s->n; i++)
			for (unsigned k = 0; k < s->n; k++)
				any |= s->deaf[i][k];
	}
	/*
	 * A ring that works between its breaks is in trouble later than one that stands still: 9 to 16 s until one keeps
	 * out, and up to 4 more until the ring has formed without it. Where nobody keeps out it breaks for ever.
	 */
	world_run(&s->w, mono_add_ms(s->w.now, 30000));
	for (unsigned i = 0; i < s->n; i++)
		for (unsigned k = 0; k < s->n; k++)
			if (at == i && (s->deaf[i][k] || s->deaf[k][i]))
				at++;
	epoch = cluster_agree(s->node[at].c)->epoch;
	must_accept(s, at, "/volumes/deaf", 1);
	world_run(&s->w, mono_add_ms(s->w.now, 5000));
	if (cluster_agree(s->node[at].c)->epoch != epoch)
		fail(s, "I8: the ring goes on breaking over two nodes that do not hear each other");
	on_heal(s, 0, 0, NULL);
	world_run(&s->w, mono_add_ms(s->w.now, 30000));
}

static void on_fault(void *ctx, unsigned i, uint64_t x, void *p)
{
	struct sim *s = ctx;
	unsigned who = (unsigned)world_between(&s->w, 0, s->n - 1);
	unsigned sides[CPG_NODES] = { 0 };

	if (s->quiet)
		return;
	switch (world_between(&s->w, s->calm ? 6 : 0, 9)) {
	case 0: case 1: case 2:
		s->keeps_corosync = s->host && world_chance(&s->w, 500);
		crash(&s->node[who]);
		s->keeps_corosync = false;
		/* One time in three only directord is gone. */
		if (world_chance(&s->w, 667))
			data_down(&s->data, who);
		world_in_us(&s->w, world_between(&s->w, 100000, 8000000), on_start, s, who, 0, NULL);
		break;
	case 3: case 4:
		for (unsigned k = 0; k < s->n; k++)
			sides[k] = s->side[k] = world_chance(&s->w, 400);
		world_trace(&s->w, "cut %u%u%u%u%u", sides[0], sides[1], sides[2], sides[3], sides[4]);
		cpg_split(s->cpg, sides);
		s->cuts++;
		world_in_us(&s->w, world_between(&s->w, 500000, 9000000), on_heal, s, 0, 0, NULL);
		break;
	case 5:
		world_trace(&s->w, "power loss of all");
		s->blackouts++;
		for (unsigned k = 0; k < s->n; k++) {
			crash(&s->node[k]);
			data_down(&s->data, k);
			world_in_us(&s->w, world_between(&s->w, 100000, 5000000), on_start, s, k, 0, NULL);
		}
		break;
	case 7:
		if (s->calm)
			break;
		make_deaf(s);
		world_in_us(&s->w, world_between(&s->w, 500000, 15000000), on_heal, s, 0, 0, NULL);
		break;
	case 6:
		cpg_stall(s->cpg, (unsigned)world_between(&s->w, 100, 4000));
		break;
	case 8:
		target_dies(&s->node[who]);
		break;
	default:
		s->loss = (unsigned)world_between(&s->w, 0, 200);
	}
	world_in_us(&s->w, world_between(&s->w, 500000, 6000000), on_fault, s, 0, 0, NULL);
}

/* The first node of its cluster. */
static struct node *first_of(const struct node *n)
{
	struct node *f = n->sim->node;

	while (!same_lineage(f, n))
		f++;
	return f;
}

/* Two clusters began where nodes had not met, both got data, and then they met: neither goes, and both say so. */
static bool clashed(const struct sim *s)
{
	for (unsigned i = 0; i < s->n; i++)
		if (first_of(&s->node[i]) != s->node)
			return true;
	return false;
}

static void check_clash(struct node *n)
{
	struct attrs status = { 0 };
	const char *warning;

	cluster_status(n->c, &status);
	warning = attrs_get(&status, "warning");
	if (!warning || !strstr(warning, "data of another cluster"))
		fail(n->sim, "two clusters, and %s does not say so: %s", n->name, warning ? warning : "");
	attrs_fini(&status);
}

static void check_end(struct sim *s)
{
	uint64_t hash0 = facts_hash(cluster_facts(s->node[0].c));

	for (unsigned i = 0; i < s->n && !s->failed; i++) {
		struct node *n = &s->node[i], *first = first_of(n);
		const struct agree_status *st = cluster_agree(n->c);
		uint8_t h0[32], h[32];

		if (st->mode != AGREE_ACTIVE)
			fail(s, "I8: %s is %s at the end: %s", n->name, agree_mode_name(st->mode), st->reason ? st->reason : "");
		if (gossip_alive(cluster_gossip(n->c)) != s->n)
			fail(s, "I9: %s sees %u of %u alive", n->name, gossip_alive(cluster_gossip(n->c)), s->n);
		catalog_hash(cluster_catalog(first->c), h0);
		catalog_hash(cluster_catalog(n->c), h);
		if (memcmp(h, h0, 32) != 0)
			fail(s, "I7: %s differs at the end (index %" PRIu64 ")", n->name, catalog_applied(cluster_catalog(n->c)));
		if (facts_hash(cluster_facts(n->c)) != hash0)
			fail(s, "I9: the facts of %s did not converge", n->name);
		for (unsigned k = 0; k < s->n_op; k++)
			if (s->op[k].acked && memcmp(s->op[k].lineage, lineage(n), 16) == 0 && !catalog_get(cluster_catalog(n->c), s->op[k].path))
				fail(s, "I7: %s lost the acknowledged %s", n->name, s->op[k].path);
		if (clashed(s))
			check_clash(n);
		if (n == first && !s->failed)
			data_check(&s->data, cluster_catalog(n->c));
	}
}

static bool run(uint64_t seed, unsigned n_nodes, bool host, bool checks, bool verbose, uint64_t *trace)
{
	struct sim *s = mem_zalloc(sizeof(*s));
	bool ok;

	world_init(&s->w, seed, verbose);
	s->w.now = (struct mono){ 1000000000 };
	s->n = n_nodes;
	s->host = host;
	s->checks = checks;
	/* As an administrator might number them: neither from one nor in our order. */
	for (unsigned i = 0; s->host && i < NODES_MAX; i++)
		s->nodeid[i] = 100 - 7 * i;
	s->data = (struct data){ .w = &s->w, .ctx = s, .reach = data_reach, .event = data_event, .fail = data_fail };
	s->calm = world_chance(&s->w, s->host ? 500 : 100);
	s->n_listed = !s->host || world_chance(&s->w, 500) ? s->n : (unsigned)world_between(&s->w, 1, s->n);
	s->cpg = cpg_new(&s->w, &cpg_ops, s);
	for (unsigned i = 0; i < s->n; i++) {
		struct node *n = &s->node[i];
		uint8_t keyseed[32] = { (uint8_t)i, 7 };
		struct key k = { .epoch = 1, .secret = { 42 } };

		n->sim = s;
		n->i = i;
		crypto_sign_seed_keypair(n->pk, n->sk, keyseed);
		n->id = node_id_of_key(n->pk);
		n->addr = (struct addr){ .family = 4, .ip = { 10, 0, 0, (uint8_t)(i + 1) }, .port = 7340 };
		snprintf(n->name, sizeof(n->name), "n%u", i + 1);
		n->log = (struct log){ .sink = sink, .arg = n, .level = LOG_LEVEL_INFO };
		keys_add(&n->disk.keys, &k);
		world_in_us(&s->w, world_between(&s->w, 0, 500000), on_start, s, i, 0, NULL);
	}
	/* Calm formation first: what a fault does to it is other seeds' business by starting faults early. */
	world_in_us(&s->w, world_between(&s->w, 1000000, 12000000), on_fault, s, 0, 0, NULL);
	world_in_us(&s->w, 8000000, on_load, s, 0, 0, NULL);
	world_in_us(&s->w, 50000, on_look, s, 0, 0, NULL);
	world_in_us(&s->w, 60000, on_data, s, 0, 0, NULL);
	world_in_us(&s->w, 200000, on_stall, s, 0, 0, NULL);
	world_in_us(&s->w, 3000000, on_keep, s, 0, 0, NULL);
	world_in_us(&s->w, world_between(&s->w, 2000000, 20000000), on_listed, s, 0, 0, NULL);
	s->loss = 10;
	world_run(&s->w, (struct mono){ 91000000000 });

	s->quiet = true;
	s->loss = 0;
	world_trace(&s->w, "quiet");
	on_heal(s, 0, 0, NULL);
	for (unsigned i = 0; i < s->n; i++)
		start(&s->node[i]);
	on_heal(s, 0, 0, NULL);
	world_run(&s->w, mono_add_ms(s->w.now, 60000));
	must_accept(s, 0, "/volumes/last", 10);
	if (s->n >= 3 && !s->host && !clashed(s))
		check_deaf(s);
	world_run(&s->w, mono_add_ms(s->w.now, 20000));
	check_end(s);
	ok = !s->failed;
	*trace = s->w.trace;
	if (!ok)
		printf("seed %" PRIu64 " failed: %s\nreplay: tests/sim/sim_cluster --seeds %" PRIu64 "-%" PRIu64 " --nodes %u%s -v\n", seed,
		       s->why, seed, seed, n_nodes, host ? " --host" : "");
	else if (verbose)
		printf("seed %" PRIu64 ": %u acknowledged, %u refused (%u for want of quorum), %u crashes, %u cuts, %u blackouts; %u owners, %u answered\n",
		       seed, s->acked, s->refused, s->refused_few, s->crashes, s->cuts, s->blackouts, s->data.owners, s->data.answered);
	for (unsigned i = 0; i < s->n; i++) {
		struct node *n = &s->node[i];

		crash(n);
		cluster_out_fini(&n->spare);
		for (unsigned k = 0; k < n->disk.n_entry; k++)
			entry_free(n->disk.entry[k]);
		free(n->disk.entry);
		snap_free(n->disk.snap);
		for (unsigned k = 0; k < NODES_MAX; k++)
			buf_fini(&n->disk.kept[k].sync);
		for (unsigned k = 0; k < n->disk.n_record; k++) {
			free(n->disk.record[k].name);
			attrs_fini(&n->disk.record[k].params);
		}
	}
	cpg_free(&s->cpg);
	world_fini(&s->w);
	free(s->ask);
	free(s);
	return ok;
}

int main(int argc, char **argv)
{
#ifdef __SANITIZE_ADDRESS__
	unsigned long a = 1, b = 8, nodes = 0;          /* 1,000 without sanitizers: ./runtests sim */
#else
	unsigned long a = 1, b = 20, nodes = 0;
#endif
	bool verbose = false, host = false, checks = false;
	unsigned failed = 0;
	uint64_t all = 0;

	if (sodium_init() < 0)
		return 1;
	/* What a world needs the next one needs too: nothing goes back to the kernel in between. */
	mallopt(M_MMAP_THRESHOLD, 1 << 28);
	mallopt(M_TRIM_THRESHOLD, 1 << 28);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc) {
			char *end;

			a = strtoul(argv[++i], &end, 10);
			b = *end == '-' ? strtoul(end + 1, NULL, 10) : a;
		} else if (strcmp(argv[i], "--nodes") == 0 && i + 1 < argc) {
			nodes = strtoul(argv[++i], NULL, 10);
		} else if (strcmp(argv[i], "--host") == 0) {
			host = true;
		} else if (strcmp(argv[i], "--check") == 0) {
			checks = true;
		} else if (strcmp(argv[i], "-v") == 0) {
			verbose = true;
		} else {
			fprintf(stderr, "usage: sim_cluster [--seeds A-B] [--nodes N] [--host] [--check] [-v]\n");
			return 2;
		}
	}
	for (unsigned long seed = a; seed <= b; seed++) {
		uint64_t trace, again;
		unsigned n = nodes ? (unsigned)nodes : 1 + seed % 5;
		bool on_host = host || seed % 4 == 3;

		failed += !run(seed, n, on_host, checks, verbose, &trace);
		all = all * 31 + trace;
		/* The same seed must give the same world, to the last line. */
		if (seed == a && !verbose && (run(seed, n, on_host, checks, false, &again), again != trace)) {
			printf("seed %lu does not replay\n", seed);
			failed++;
		}
	}
	printf("%lu seeds, %u failed; trace %016" PRIx64 "\n", b - a + 1, failed, all);
	return failed != 0;
}
