/* SPDX-License-Identifier: Apache-2.0 */
/* The world: an event queue, a network, and nodes that know nothing of either. */
#include "tests/sim/gossip_world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "cluster/gossip_int.h"
#include "proto/peer.h"

#define PORT 7340
#define CONNECT (25 * MS)       /* ZeroMQ with CURVE, first message */

enum sim_kind {
	EV_DGRAM,
	EV_MESH,
	EV_WAKE,
	EV_HINT,
};

struct sim_event {
	uint64_t at, seq;
	enum sim_kind kind;
	unsigned to, from;
	struct addr from_addr, to_addr;
	struct sim_event *next;         /* held by a paused node */
	size_t n;
	uint8_t bytes[];
};

static bool before(const struct sim_event *a, const struct sim_event *b)
{
	return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

static void heap_push(struct world *w, struct sim_event *e)
{
	unsigned i = w->n_heap;

	w->heap = mem_grow(w->heap, &w->cap_heap, w->n_heap, sizeof(*w->heap));
	w->n_heap++;
	for (; i && before(e, w->heap[(i - 1) / 2]); i = (i - 1) / 2)
		w->heap[i] = w->heap[(i - 1) / 2];
	w->heap[i] = e;
}

static struct sim_event *heap_pop(struct world *w)
{
	struct sim_event *top = w->heap[0], *last = w->heap[--w->n_heap];
	unsigned i = 0;

	for (;;) {
		unsigned k = 2 * i + 1;

		if (k >= w->n_heap)
			break;
		if (k + 1 < w->n_heap && before(w->heap[k + 1], w->heap[k]))
			k++;
		if (!before(w->heap[k], last))
			break;
		w->heap[i] = w->heap[k];
		i = k;
	}
	w->heap[i] = last;
	return top;
}

static struct sim_event *event_new(struct world *w, enum sim_kind kind, uint64_t at, unsigned to, const void *p, size_t n)
{
	struct sim_event *e = mem_alloc(sizeof(*e) + n);

	*e = (struct sim_event){ .at = at, .seq = w->seq++, .kind = kind, .to = to, .n = n };
	if (n)
		memcpy(e->bytes, p, n);
	return e;
}

static void trace(struct world *w, uint64_t v)
{
	w->trace = (w->trace ^ v) * 0x9e3779b97f4a7c15u;
	w->trace ^= w->trace >> 32;
}

static bool chance(struct world *w, unsigned ppm)
{
	return ppm && rng_below(&w->rng, 1000000) < ppm;
}

static struct addr addr_number(unsigned i)
{
	return (struct addr){ .family = 4, .ip = { 10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i }, .port = PORT };
}

/* Whose address it is; w->n: nobody's. Moved nodes are at 10.128 and up. */
static unsigned node_at(const struct world *w, const struct addr *a)
{
	unsigned i = (unsigned)(a->ip[1] & 0x3f) << 16 | (unsigned)a->ip[2] << 8 | a->ip[3];

	return i < w->n && addr_eq(&w->nodes[i].addr, a) ? i : w->n;
}

static int id_cmp(const void *a, const void *b)
{
	struct sim_node *x, *y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return node_id_cmp(&x->card.id, &y->card.id);
}

static struct sim_node *node_by_id(const struct world *w, const struct node_id *id)
{
	unsigned lo = 0, hi = w->n;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		int d = node_id_cmp(&w->by_id[mid]->card.id, id);

		if (d == 0)
			return w->by_id[mid];
		if (d < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

void world_init(struct world *w, uint64_t seed, unsigned n)
{
	*w = (struct world){ .seed = seed, .now = SEC, .n = n, .rng.s = seed };
	w->delay_min = 100000;
	w->delay_spread = 400000;
	w->cut = n <= 4096 ? mem_zalloc((size_t)n * n) : NULL;
	w->connected = n <= 4096 ? mem_zalloc((size_t)n * n) : NULL;
	w->nodes = mem_zalloc(n * sizeof(*w->nodes));
	w->by_id = mem_zalloc(n * sizeof(struct sim_node *));
	for (unsigned k = 0; k < 32; k++)
		w->key[k] = (uint8_t)rng_next(&w->rng);
	for (unsigned i = 0; i < n; i++) {
		struct sim_node *node = &w->nodes[i];

		node->i = i;
		node->addr = addr_number(i);
		for (unsigned k = 0; k < 32; k++)
			node->key[k] = (uint8_t)rng_next(&w->rng);
		node->card.id = node_id_of_key(node->key);
		node->held_tail = &node->held;
		node->down_since = w->now;
		w->by_id[i] = node;
	}
	qsort(w->by_id, n, sizeof(w->by_id[0]), id_cmp);
}

void world_fini(struct world *w)
{
	for (unsigned i = 0; i < w->n; i++)
		node_kill(w, i);
	while (w->n_heap)
		free(heap_pop(w));
	free(w->heap);
	free(w->cut);
	free(w->connected);
	free(w->nodes);
	free(w->by_id);
	gossip_out_fini(&w->out);
	buf_fini(&w->plain);
	buf_fini(&w->wire);
}

static bool is_cut(const struct world *w, unsigned from, unsigned to)
{
	return w->cut && w->cut[(size_t)from * w->n + to];
}

void world_cut(struct world *w, unsigned from, unsigned to, bool cut)
{
	w->cut[(size_t)from * w->n + to] = cut;
}

void world_heal(struct world *w)
{
	memset(w->cut, 0, (size_t)w->n * w->n);
}

static uint64_t delay(struct world *w)
{
	uint64_t d = w->delay_min + rng_below(&w->rng, w->delay_spread + 1);

	if (chance(w, w->slow_ppm))
		d += rng_below(&w->rng, w->slow_max + 1);
	return d;
}

/* Keep a few messages of each kind: `what` is the fuzz target they are for. */
static void corpus_put(struct world *w, const char *what, unsigned kind, const struct buf *b)
{
	char path[512];
	FILE *f;

	if (!w->corpus || w->n_corpus[kind] >= 6)
		return;
	snprintf(path, sizeof(path), "%s/%s/%u-%u", w->corpus, what, kind, w->n_corpus[kind]++);
	f = fopen(path, "wb");
	if (!f) {
		perror(path);
		exit(1);
	}
	fwrite(b->data, 1, b->len, f);
	fclose(f);
}

static void dgram_send(struct world *w, struct sim_node *n, const struct gossip_dgram *d)
{
	unsigned to = node_at(w, &d->to), copies = chance(w, w->dup_ppm) ? 2 : 1;

	buf_reset(&w->plain);
	buf_reset(&w->wire);
	peer_dgram_encode(&d->msg, &w->plain);
	corpus_put(w, "datagram", d->msg.kind, &w->plain);
	if (seal_close(&n->seal, d->form, d->to_boot, w->plain.data, w->plain.len, &w->wire) < 0) {
		fprintf(stderr, "a message of kind %d with %zu bytes did not fit\n", d->msg.kind, w->plain.len);
		abort();
	}
	n->dgrams++;
	n->bytes += w->wire.len + 42;
	trace(w, w->wire.len << 20 | to);
	if (to == w->n || is_cut(w, n->i, to))
		return;
	while (copies--) {
		struct sim_event *e;

		if (chance(w, w->loss_ppm))
			continue;
		e = event_new(w, EV_DGRAM, w->now + delay(w), to, w->wire.data, w->wire.len);
		e->from = n->i;
		e->from_addr = n->addr;
		e->to_addr = d->to;
		heap_push(w, e);
	}
}

/* Reliable and in order as TCP is, but for nodes that are down or cut off. */
static void mesh_send(struct world *w, struct sim_node *n, const struct gossip_mesh *m)
{
	struct sim_node *peer = node_by_id(w, &m->to);
	unsigned to = peer ? peer->i : w->n;
	struct sim_event *e;
	uint64_t at;

	buf_reset(&w->plain);
	peer_sync_encode(&m->sync, &w->plain);
	corpus_put(w, "sync", 16 + m->sync.kind, &w->plain);
	n->mesh++;
	/* Frames of ZeroMQ with CURVE, TCP, IP and ethernet, and the acknowledgement. */
	n->mesh_bytes += w->plain.len + 33 + 66;
	if (to == w->n || is_cut(w, n->i, to) || is_cut(w, to, n->i))
		return;
	w->nodes[to].mesh_bytes += 66;
	at = w->now + MS + w->delay_spread;
	if (w->connected && w->connected[(size_t)n->i * w->n + to] < 2) {
		/* The handshake, behind which what follows at once has to wait too. */
		uint8_t *c = &w->connected[(size_t)n->i * w->n + to];

		if (*c == 0) {
			*c = 1;
			n->mesh_ready = w->now + CONNECT;
		}
		if (w->now >= n->mesh_ready)
			*c = 2;
		else
			at += n->mesh_ready - w->now;
	}
	e = event_new(w, EV_MESH, at, to, w->plain.data, w->plain.len);
	e->from = n->i;
	heap_push(w, e);
}

static void note_event(struct world *w, struct sim_node *n, const struct gossip_event *e)
{
	static const char *const names[] = {
		"", "joined", "alive", "suspect", "refuted", "failed", "left", "restarted", "readdressed", "renamed", "card",
		"cloned", "self-cloned", "version", "removed", "pending", "blob", "stale-key", "newer-key", "forgotten",
		"refused", "ready",
	};
	char a[64], b[64];

	trace(w, (uint64_t)e->kind << 32 | n->i);
	if (w->verbose)
		printf("%9.3f node %u: %s %s %s%s%s %s\n", (double)w->now / 1e9, n->i, names[e->kind], e->name,
		       e->addr.family ? addr_text(&e->addr, a) : "", e->other.family ? " other " : "",
		       e->other.family ? addr_text(&e->other, b) : "", e->why ? e->why : "");
	if (w->on_event)
		w->on_event(w, n, e, w->arg);
}

void node_step(struct world *w, struct sim_node *n, struct gossip_in *in)
{
	struct gossip_out *out = &w->out;

	in->now.ns = w->now;
	gossip_out_reset(out);
	gossip_step(n->gossip, in, out);
	if (out->persist_incarnation)
		n->incarnation = out->persist_incarnation;
	while (facts_changed(n->facts))
		;
	for (unsigned i = 0; i < out->n_dgrams; i++)
		dgram_send(w, n, &out->dgrams[i]);
	for (unsigned i = 0; i < out->n_mesh; i++)
		mesh_send(w, n, &out->mesh[i]);
	for (unsigned i = 0; i < out->n_events; i++)
		note_event(w, n, &out->events[i]);
	if (out->wake.ns != n->wake && out->wake.ns != MONO_NEVER.ns) {
		n->wake = out->wake.ns;
		heap_push(w, event_new(w, EV_WAKE, n->wake > w->now ? n->wake : w->now, n->i, NULL, 0));
	}
}

static void dgram_in(struct world *w, struct sim_node *n, const struct sim_event *e)
{
	static const struct {
		int err;
		enum gossip_stranger why;
	} whys[] = {
		{ ERR_MALFORMED, STRANGER_MALFORMED }, { ERR_DENIED, STRANGER_KEY }, { ERR_AGAIN, STRANGER_STALE },
		{ ERR_CRYPTO, STRANGER_FORGED },
	};
	struct gossip_in in = { .kind = GOSSIP_IN_DGRAM, .from = e->from_addr };
	struct gossip_head head;
	struct peer_dgram d = { .mem = NULL };
	int err;

	buf_reset(&w->plain);
	err = seal_open(&n->seal, e->bytes, e->n, gossip_boot_by_tag, n->gossip, &head, &w->plain);
	if (err == 0)
		err = peer_dgram_decode(w->plain.data, w->plain.len, &d);
	if (err < 0) {
		in.kind = GOSSIP_IN_STRANGER;
		for (unsigned i = 0; i < ARRAY_LEN(whys); i++)
			if (whys[i].err == err)
				in.why = whys[i].why;
	}
	in.head = &head;
	in.msg = &d.msg;
	node_step(w, n, &in);
	peer_dgram_fini(&d);
}

static void mesh_in(struct world *w, struct sim_node *n, const struct sim_event *e)
{
	struct gossip_in in = { .kind = GOSSIP_IN_SYNC, .id = w->nodes[e->from].card.id };
	struct peer_sync s;

	if (peer_sync_decode(e->bytes, e->n, &s) < 0) {
		fprintf(stderr, "own sync message did not decode\n");
		abort();
	}
	in.sync = &s.sync;
	node_step(w, n, &in);
	peer_sync_fini(&s);
}

/* Nobody listens there, and the machine says so. */
static void refused(struct world *w, const struct sim_event *e)
{
	struct sim_event *hint;

	if (!w->hints || e->kind != EV_DGRAM || is_cut(w, e->to, e->from))
		return;
	hint = event_new(w, EV_HINT, w->now + delay(w), e->from, NULL, 0);
	hint->from_addr = e->to_addr;
	heap_push(w, hint);
}

static void deliver(struct world *w, struct sim_event *e)
{
	struct sim_node *n = &w->nodes[e->to];
	struct gossip_in hint = { .kind = GOSSIP_IN_HINT }, timer = { .kind = GOSSIP_IN_TIMER };

	if (!n->gossip) {
		refused(w, e);
		return;
	}
	w->delivered++;
	trace(w, w->now ^ (uint64_t)e->kind << 60 ^ e->to);
	switch (e->kind) {
	case EV_DGRAM:
		dgram_in(w, n, e);
		break;
	case EV_MESH:
		mesh_in(w, n, e);
		break;
	case EV_WAKE:
		if (e->at < n->wake)
			return;
		node_step(w, n, &timer);
		break;
	case EV_HINT:
		hint.from = e->from_addr;
		node_step(w, n, &hint);
		break;
	}
}

void world_run(struct world *w, uint64_t until)
{
	while (w->n_heap && w->heap[0]->at <= until) {
		struct sim_event *e = heap_pop(w);
		struct sim_node *n = &w->nodes[e->to];

		if (e->at > w->now)
			w->now = e->at;
		if (n->paused) {
			e->next = NULL;
			*n->held_tail = e;
			n->held_tail = &e->next;
			continue;
		}
		deliver(w, e);
		free(e);
	}
	w->now = until;
}

/* As a later version might: numbers, and 64 bytes, in fields that nobody here knows. */
static void card_of_later(struct card *c)
{
	static const uint8_t fields[] = { 0x78, 0xac, 0x02, 0xe5, 0x03, 1, 2, 3, 4, 0xea, 0x03, 64 };

	memcpy(c->later, fields, sizeof(fields));
	memcpy(c->later + sizeof(fields), c->public_key, 32);
	memcpy(c->later + sizeof(fields) + 32, c->boot, BOOT_LEN);
	c->n_later = sizeof(fields) + 64;
}

static void node_make(struct world *w, struct sim_node *n, uint64_t fact_base)
{
	struct gossip_conf conf = { .incarnation = n->incarnation, .key_epoch = 1, .seed = rng_next(&w->rng) };

	memset(&n->card, 0, sizeof(n->card));
	memcpy(n->card.public_key, n->key, sizeof(n->key));
	n->card.id = node_id_of_key(n->key);
	for (unsigned k = 0; k < BOOT_LEN; k++)
		n->card.boot[k] = (uint8_t)rng_next(&w->rng);
	snprintf(n->card.name, sizeof(n->card.name), "n%u", n->i + 1);
	n->card.addrs[0] = n->addr;
	n->card.n_addrs = 1;
	n->card.version_min = GOSSIP_VERSION_MIN;
	n->card.version_max = GOSSIP_VERSION_MAX;
	n->card.incarnation = n->incarnation + 1;
	if (n->i % 3 == 0)
		card_of_later(&n->card);
	conf.self = n->card;
	n->facts = facts_new(&n->card.id, fact_base);
	n->gossip = gossip_new(&conf, n->facts);
	seal_init(&n->seal, n->card.boot);
	seal_key_add(&n->seal, 1, w->key);
	n->wake = 0;
	n->up_since = w->now;
	n->down_since = 0;
}

void node_start(struct world *w, unsigned i, unsigned seed)
{
	struct gossip_in start = { .kind = GOSSIP_IN_START };
	struct sim_node *n = &w->nodes[i];

	if (n->gossip)
		return;
	node_make(w, n, w->now / 1000);
	if (w->verbose)
		printf("%9.3f node %u: started\n", (double)w->now / 1e9, i);
	node_step(w, n, &start);
	if (seed != i)
		node_candidate(w, i, &w->nodes[seed].addr);
}

void node_candidate(struct world *w, unsigned i, const struct addr *a)
{
	struct gossip_in in = { .kind = GOSSIP_IN_CANDIDATE, .from = *a };

	if (w->nodes[i].gossip)
		node_step(w, &w->nodes[i], &in);
}

static void held_free(struct sim_node *n)
{
	while (n->held) {
		struct sim_event *e = n->held;

		n->held = e->next;
		free(e);
	}
	n->held_tail = &n->held;
}

void node_kill(struct world *w, unsigned i)
{
	struct sim_node *n = &w->nodes[i];

	if (!n->gossip)
		return;
	if (w->verbose)
		printf("%9.3f node %u: killed\n", (double)w->now / 1e9, i);
	for (unsigned k = 0; k < w->n && w->connected; k++)
		w->connected[(size_t)i * w->n + k] = w->connected[(size_t)k * w->n + i] = 0;
	gossip_free(&n->gossip);
	facts_free(&n->facts);
	seal_fini(&n->seal);
	n->paused = false;
	held_free(n);
	n->down_since = w->now;
	n->up_since = 0;
}

void node_leave(struct world *w, unsigned i)
{
	struct gossip_in in = { .kind = GOSSIP_IN_LEAVE };

	if (!w->nodes[i].gossip || w->nodes[i].paused)
		return;
	node_step(w, &w->nodes[i], &in);
	node_kill(w, i);
}

void node_pause(struct world *w, unsigned i)
{
	if (w->verbose && w->nodes[i].gossip)
		printf("%9.3f node %u: paused\n", (double)w->now / 1e9, i);
	w->nodes[i].paused = w->nodes[i].gossip != NULL;
}

void node_resume(struct world *w, unsigned i)
{
	struct sim_node *n = &w->nodes[i];
	struct sim_event *e = n->held;

	if (!n->paused)
		return;
	if (w->verbose)
		printf("%9.3f node %u: resumed\n", (double)w->now / 1e9, i);
	n->paused = false;
	n->held = NULL;
	n->held_tail = &n->held;
	/* A socket buffer holds so much and no more; timers are found due at once. */
	for (unsigned k = 0; e; k++) {
		struct sim_event *next = e->next;

		if (e->kind == EV_DGRAM && k > 500) {
			free(e);
		} else {
			if (e->kind == EV_WAKE)
				n->wake = e->at;
			e->at = w->now;
			e->seq = w->seq++;
			heap_push(w, e);
		}
		e = next;
	}
}

void node_move(struct world *w, unsigned i)
{
	w->nodes[i].addr.ip[1] ^= 0x80;
}

void node_fact(struct world *w, unsigned i, const char *path, const char *value)
{
	struct gossip_in in = { .kind = GOSSIP_IN_FACTS };
	struct sim_node *n = &w->nodes[i];
	struct attrs as = { 0 };

	if (!n->gossip || n->paused)
		return;
	if (value) {
		attrs_set(&as, "value", value);
		facts_set(n->facts, path, &as);
	} else {
		facts_delete(n->facts, path);
	}
	attrs_fini(&as);
	node_step(w, n, &in);
}

void world_settled(struct world *w)
{
	struct gossip_in start = { .kind = GOSSIP_IN_START };
	struct card **cards = mem_alloc(w->n * sizeof(struct card *));

	for (unsigned i = 0; i < w->n; i++)
		node_make(w, &w->nodes[i], 0);
	for (unsigned i = 0; i < w->n; i++)
		cards[i] = &w->by_id[i]->card;
	for (unsigned i = 0; i < w->n; i++)
		gossip_preload(w->nodes[i].gossip, cards, w->n);
	free(cards);
	for (unsigned i = 0; i < w->n; i++)
		node_step(w, &w->nodes[i], &start);
}

bool world_members_agree(const struct world *w, char *why, size_t n_why)
{
	const struct sim_node *first = NULL;

	for (unsigned i = 0; i < w->n; i++) {
		const struct sim_node *n = &w->nodes[i];

		if (!n->gossip)
			continue;
		for (unsigned k = 0; k < w->n; k++) {
			struct gossip_member m;
			bool known = gossip_find(n->gossip, &w->nodes[k].card.id, &m);
			bool up = w->nodes[k].gossip != NULL;

			if (up && (!known || m.state != MEMBER_ALIVE)) {
				snprintf(why, n_why, "node %u has node %u, which is up, as %s", i, k,
				         known ? member_state_name(m.state) : "unknown");
				return false;
			}
			if (!up && known && m.state <= MEMBER_SUSPECT) {
				snprintf(why, n_why, "node %u has node %u, which is down, as %s", i, k, member_state_name(m.state));
				return false;
			}
			if (up && memcmp(m.card->boot, w->nodes[k].card.boot, BOOT_LEN) != 0) {
				snprintf(why, n_why, "node %u has an old boot of node %u", i, k);
				return false;
			}
			if (up && (m.card->n_later != w->nodes[k].card.n_later ||
			           memcmp(m.card->later, w->nodes[k].card.later, m.card->n_later) != 0)) {
				snprintf(why, n_why, "node %u lacks the fields of a later version in the card of node %u", i, k);
				return false;
			}
		}
		if (first && gossip_members_hash(first->gossip) != gossip_members_hash(n->gossip)) {
			snprintf(why, n_why, "nodes %u and %u have different hashes", first->i, i);
			return false;
		}
		if (!first)
			first = n;
	}
	return true;
}

static bool runs(const struct world *w, const struct node_id *id)
{
	const struct sim_node *n = node_by_id(w, id);

	return n && n->gossip;
}

/* The next fact of a node that runs. */
static const struct fact *skip_stopped(const struct world *w, const struct sim_node *n, const struct fact *f)
{
	while (f && !runs(w, &f->node))
		f = facts_next(n->facts, f);
	return f;
}

static bool same_facts(const struct world *w, const struct sim_node *a, const struct sim_node *b, char *why, size_t n_why)
{
	const struct fact *f = skip_stopped(w, a, facts_first(a->facts, "/"));
	const struct fact *g = skip_stopped(w, b, facts_first(b->facts, "/"));

	while (f && g && strcmp(f->path, g->path) == 0 && node_id_eq(&f->node, &g->node) && f->version == g->version &&
	       attrs_eq(&f->attrs, &g->attrs)) {
		f = skip_stopped(w, a, facts_next(a->facts, f));
		g = skip_stopped(w, b, facts_next(b->facts, g));
	}
	if (!f && !g)
		return true;
	snprintf(why, n_why, "node %u has %s at %" PRIu64 ", node %u has %s at %" PRIu64, a->i, f ? f->path : "nothing",
	         f ? f->version : 0, b->i, g ? g->path : "nothing", g ? g->version : 0);
	return false;
}

bool world_facts_agree(const struct world *w, char *why, size_t n_why)
{
	const struct sim_node *first = NULL;

	for (unsigned i = 0; i < w->n; i++) {
		const struct sim_node *n = &w->nodes[i];

		if (!n->gossip)
			continue;
		if (first && !same_facts(w, first, n, why, n_why))
			return false;
		if (!first)
			first = n;
	}
	return true;
}
