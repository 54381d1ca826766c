/* SPDX-License-Identifier: Apache-2.0 */
/* The roster as a value: changes, checks, its packed form. The voter rule is in voters.c. */
#include "cluster/roster.h"

#include <string.h>

#include "base/err.h"

#define PACK_VERSION 1

void roster_found(struct roster *r, const struct node_id *self, const struct addr *addr, unsigned n_addr)
{
	memset(r, 0, sizeof(*r));
	r->version = 1;
	r->ring_epoch = 1;
	r->next_nodeid = 2;
	r->n = 1;
	r->node[0].id = *self;
	r->node[0].nodeid = 1;
	r->node[0].role = ROSTER_VOTER;
	for (unsigned i = 0; i < n_addr && i < ROSTER_ADDRS_MAX; i++)
		r->node[0].addr[i] = addr[i];
}

const struct roster_node *roster_find(const struct roster *r, const struct node_id *id)
{
	for (unsigned i = 0; i < r->n; i++)
		if (node_id_eq(&r->node[i].id, id))
			return &r->node[i];
	return NULL;
}

const struct roster_node *roster_find_nodeid(const struct roster *r, uint32_t nodeid)
{
	for (unsigned i = 0; i < r->n; i++)
		if (r->node[i].nodeid == nodeid)
			return &r->node[i];
	return NULL;
}

bool roster_votes(const struct roster *r, const struct node_id *id)
{
	const struct roster_node *n = roster_find(r, id);

	return n && n->role == ROSTER_VOTER;
}

unsigned roster_n_voters(const struct roster *r)
{
	unsigned n = 0;

	for (unsigned i = 0; i < r->n; i++)
		n += r->node[i].role == ROSTER_VOTER;
	return n;
}

unsigned roster_majority(const struct roster *r)
{
	return roster_n_voters(r) / 2 + 1;
}

static bool node_eq(const struct roster_node *a, const struct roster_node *b)
{
	if (!node_id_eq(&a->id, &b->id) || a->nodeid != b->nodeid || a->role != b->role ||
	    a->host_nodeid != b->host_nodeid)
		return false;
	for (unsigned i = 0; i < ROSTER_ADDRS_MAX; i++)
		if (!addr_eq(&a->addr[i], &b->addr[i]))
			return false;
	return true;
}

bool roster_eq(const struct roster *a, const struct roster *b)
{
	if (a->version != b->version || a->ring_epoch != b->ring_epoch || a->next_nodeid != b->next_nodeid ||
	    a->key_epoch != b->key_epoch || a->n != b->n)
		return false;
	for (unsigned i = 0; i < a->n; i++)
		if (!node_eq(&a->node[i], &b->node[i]))
			return false;
	return true;
}

bool roster_ok(const struct roster *r)
{
	if (r->version == 0 || r->ring_epoch == 0 || r->n == 0 || r->n > ROSTER_RING_MAX)
		return false;
	for (unsigned i = 0; i < r->n; i++) {
		const struct roster_node *n = &r->node[i];

		if (node_id_none(&n->id) || n->nodeid == 0 || n->nodeid >= r->next_nodeid)
			return false;
		if (n->role < ROSTER_SPARE || n->role > ROSTER_LEAVING)
			return false;
		if (i > 0 && n->nodeid <= r->node[i - 1].nodeid)
			return false;
		for (unsigned j = 0; j < i; j++)
			if (node_id_eq(&r->node[j].id, &n->id))
				return false;
		for (unsigned j = 0; j < ROSTER_ADDRS_MAX; j++)
			if (n->addr[j].family != 0 && n->addr[j].family != 4 && n->addr[j].family != 6)
				return false;
	}
	unsigned votes = roster_n_voters(r);

	return votes > 0 && votes <= ROSTER_VOTERS_MAX;
}

/* Would corosync.conf be the same? */
static bool same_ring(const struct roster *a, const struct roster *b)
{
	if (a->n != b->n || a->key_epoch != b->key_epoch)
		return false;
	for (unsigned i = 0; i < a->n; i++) {
		struct roster_node x = a->node[i];

		x.role = b->node[i].role;
		if (!node_eq(&x, &b->node[i]))
			return false;
	}
	return true;
}

int roster_follows(const struct roster *from, const struct roster *to)
{
	if (to->version != from->version + 1)
		return ERR_CONFLICT;
	if (!roster_ok(to) || to->next_nodeid < from->next_nodeid)
		return ERR_INVAL;
	for (unsigned i = 0; i < to->n; i++) {
		const struct roster_node *n = &to->node[i], *old = roster_find(from, &n->id);

		if (old && old->nodeid != n->nodeid)
			return ERR_INVAL;
		/* A newcomer has no vote before it has the log, and never the number of someone else. */
		if (!old && (n->nodeid < from->next_nodeid || n->role != ROSTER_SPARE))
			return ERR_INVAL;
	}
	for (unsigned i = 0; i < from->n; i++)
		if (from->node[i].role == ROSTER_VOTER && !roster_find(to, &from->node[i].id))
			return ERR_INVAL;
	return to->ring_epoch == from->ring_epoch + (same_ring(from, to) ? 0 : 1) ? 0 : ERR_INVAL;
}

static struct roster_node *find(struct roster *r, const struct node_id *id)
{
	return (struct roster_node *)roster_find(r, id);
}

int roster_add(struct roster *r, const struct node_id *id, const struct addr *addr, unsigned n_addr)
{
	struct roster_node *n;

	if (find(r, id))
		return ERR_EXIST;
	if (r->n == ROSTER_RING_MAX)
		return ERR_LIMIT;
	n = &r->node[r->n++];
	memset(n, 0, sizeof(*n));
	n->id = *id;
	n->nodeid = r->next_nodeid++;
	n->role = ROSTER_SPARE;
	for (unsigned i = 0; i < n_addr && i < ROSTER_ADDRS_MAX; i++)
		n->addr[i] = addr[i];
	r->version++;
	r->ring_epoch++;
	return 0;
}

int roster_set_role(struct roster *r, const struct node_id *id, enum roster_role role)
{
	struct roster_node *n = find(r, id);

	if (!n)
		return ERR_NOENT;
	if (n->role == ROSTER_VOTER && role != ROSTER_VOTER && roster_n_voters(r) == 1)
		return ERR_INVAL;
	if (n->role != ROSTER_VOTER && role == ROSTER_VOTER && roster_n_voters(r) == ROSTER_VOTERS_MAX)
		return ERR_LIMIT;
	n->role = role;
	r->version++;
	return 0;
}

int roster_drop(struct roster *r, const struct node_id *id)
{
	struct roster_node *n = find(r, id);

	if (!n)
		return ERR_NOENT;
	if (n->role == ROSTER_VOTER)
		return ERR_INVAL;
	memmove(n, n + 1, (size_t)(&r->node[r->n] - (n + 1)) * sizeof(*n));
	r->n--;
	memset(&r->node[r->n], 0, sizeof(*n));
	r->version++;
	r->ring_epoch++;
	return 0;
}

int roster_move(struct roster *r, const struct node_id *id, const struct addr *addr, unsigned n_addr)
{
	struct roster_node *n = find(r, id);

	if (!n)
		return ERR_NOENT;
	memset(n->addr, 0, sizeof(n->addr));
	for (unsigned i = 0; i < n_addr && i < ROSTER_ADDRS_MAX; i++)
		n->addr[i] = addr[i];
	r->version++;
	r->ring_epoch++;
	return 0;
}

int roster_host(struct roster *r, const struct node_id *id, uint32_t host_nodeid)
{
	struct roster_node *n = find(r, id);

	if (!n)
		return ERR_NOENT;
	n->host_nodeid = host_nodeid;
	r->version++;
	r->ring_epoch++;
	return 0;
}

int roster_rekey(struct roster *r, uint32_t key_epoch)
{
	if (r->key_epoch == key_epoch)
		return ERR_EXIST;
	r->key_epoch = key_epoch;
	r->ring_epoch++;
	r->version++;
	return 0;
}

/* A writer and a reader of little-endian numbers; the reader remembers that it ran over the end. */
struct cursor {
	uint8_t *w;
	const uint8_t *r, *end;
	bool bad;
};

static void put(struct cursor *c, uint64_t v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		*c->w++ = (uint8_t)(v >> (8 * i));
}

static uint64_t get(struct cursor *c, unsigned n)
{
	uint64_t v = 0;

	if ((size_t)(c->end - c->r) < n) {
		c->bad = true;
		return 0;
	}
	for (unsigned i = 0; i < n; i++)
		v |= (uint64_t)*c->r++ << (8 * i);
	return v;
}

static void get_bytes(struct cursor *c, void *to, size_t n)
{
	if ((size_t)(c->end - c->r) < n) {
		c->bad = true;
		return;
	}
	memcpy(to, c->r, n);
	c->r += n;
}

/*
 *   version u8 | roster version u64 | ring epoch u64 | next nodeid u32 | count u8 | records | key epoch u32 unless 0
 *   record: length u8 of what follows | id 16 | nodeid u32 | role u8 | addresses, each: family u8, ip 16 | host's
 *   nodeid u32 unless 0
 */
#define RECORD_LEN (16 + 4 + 1 + ROSTER_ADDRS_MAX * 17)

size_t roster_pack(const struct roster *r, uint8_t out[ROSTER_PACKED_MAX])
{
	struct cursor c = { .w = out };

	_Static_assert(22 + 4 + ROSTER_RING_MAX * (1 + RECORD_LEN + 4) <= ROSTER_PACKED_MAX, "packed roster");
	put(&c, PACK_VERSION, 1);
	put(&c, r->version, 8);
	put(&c, r->ring_epoch, 8);
	put(&c, r->next_nodeid, 4);
	put(&c, r->n, 1);
	for (unsigned i = 0; i < r->n; i++) {
		const struct roster_node *n = &r->node[i];

		put(&c, RECORD_LEN + (n->host_nodeid ? 4 : 0), 1);
		memcpy(c.w, n->id.b, 16);
		c.w += 16;
		put(&c, n->nodeid, 4);
		put(&c, n->role, 1);
		for (unsigned j = 0; j < ROSTER_ADDRS_MAX; j++) {
			put(&c, n->addr[j].family, 1);
			memcpy(c.w, n->addr[j].ip, 16);
			c.w += 16;
		}
		if (n->host_nodeid)
			put(&c, n->host_nodeid, 4);
	}
	if (r->key_epoch)
		put(&c, r->key_epoch, 4);
	return (size_t)(c.w - out);
}

static void unpack_node(struct cursor *c, struct roster_node *n)
{
	size_t len = get(c, 1);
	const uint8_t *from = c->r;

	if (c->bad || len < RECORD_LEN || (size_t)(c->end - c->r) < len) {
		c->bad = true;
		return;
	}
	get_bytes(c, n->id.b, 16);
	n->nodeid = (uint32_t)get(c, 4);
	n->role = (enum roster_role)get(c, 1);
	for (unsigned j = 0; j < ROSTER_ADDRS_MAX; j++) {
		n->addr[j].family = (uint8_t)get(c, 1);
		get_bytes(c, n->addr[j].ip, 16);
	}
	if (len >= RECORD_LEN + 4)
		n->host_nodeid = (uint32_t)get(c, 4);
	c->r = from + len;      /* past the fields of newer versions */
}

int roster_unpack(const void *p, size_t n, struct roster *r)
{
	struct cursor c = { .r = p };

	memset(r, 0, sizeof(*r));
	if (n == 0 || n > ROSTER_PACKED_MAX)
		return ERR_MALFORMED;
	c.end = c.r + n;
	if (get(&c, 1) < PACK_VERSION)
		return ERR_MALFORMED;
	r->version = get(&c, 8);
	r->ring_epoch = get(&c, 8);
	r->next_nodeid = (uint32_t)get(&c, 4);
	r->n = (unsigned)get(&c, 1);
	if (c.bad || r->n > ROSTER_RING_MAX)
		return ERR_MALFORMED;
	for (unsigned i = 0; i < r->n && !c.bad; i++)
		unpack_node(&c, &r->node[i]);
	if (!c.bad && c.r < c.end)
		r->key_epoch = (uint32_t)get(&c, 4);
	return c.bad || !roster_ok(r) ? ERR_MALFORMED : 0;
}
