/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams and sync messages as bytes and back. Nothing leaves the decoder unchecked. */
#include "proto/peer.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "proto/peer.pb-c.h"

#define ADDR_WIRE_MAX 18
#define UPDATES_SYNC_MAX 32768
#define VERSION_MAX (UINT64_MAX >> 1)

/* Of a later version's card so many fields are passed on, each with the bytes that it has on the wire. */
#define CARD_LATER_FIELDS 8

/* Encoding: generated structs that borrow from ours; `addrs` is where addresses become bytes. */

struct card_wire {
	Director__PeerCard pb;
	ProtobufCMessageUnknownField later[CARD_LATER_FIELDS];
	ProtobufCBinaryData addrs[CARD_ADDRS_MAX];
	uint8_t bytes[CARD_ADDRS_MAX][ADDR_WIRE_MAX];
};

static ProtobufCBinaryData bytes_of(const void *p, size_t n)
{
	ProtobufCBinaryData b = { .len = n };

	memcpy(&b.data, &p, sizeof(p));
	return b;
}

static char *text_of(const char *s)
{
	char *t;

	memcpy(&t, &s, sizeof(s));
	return t;
}

static size_t addr_put(const struct addr *a, uint8_t out[ADDR_WIRE_MAX])
{
	size_t n = a->family == 4 ? 4 : a->family == 6 ? 16 : 0;

	if (n == 0)
		return 0;
	memcpy(out, a->ip, n);
	out[n] = (uint8_t)(a->port >> 8);
	out[n + 1] = (uint8_t)a->port;
	return n + 2;
}

static size_t varint_get(const uint8_t *p, size_t n, uint64_t *v)
{
	*v = 0;
	for (size_t i = 0; i < n && i < 10; i++) {
		*v |= (uint64_t)(p[i] & 0x7f) << (7 * i);
		if (!(p[i] & 0x80))
			return i + 1;
	}
	return 0;
}

static size_t varint_put(uint64_t v, uint8_t *p)
{
	size_t n = 0;

	for (; v > 0x7f; v >>= 7)
		p[n++] = (uint8_t)(v | 0x80);
	p[n++] = (uint8_t)v;
	return n;
}

/* A field's bytes after its tag; 0: they are not all there. */
static size_t field_len(unsigned wire_type, const uint8_t *p, size_t n)
{
	uint64_t v;
	size_t len = varint_get(p, n, &v);

	switch (wire_type) {
	case PROTOBUF_C_WIRE_TYPE_VARINT: return len;
	case PROTOBUF_C_WIRE_TYPE_64BIT: return n < 8 ? 0 : 8;
	case PROTOBUF_C_WIRE_TYPE_32BIT: return n < 4 ? 0 : 4;
	case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED: return len && v <= n - len ? len + (size_t)v : 0;
	default: return 0;
	}
}

static void later_put(const struct card *c, struct card_wire *w)
{
	const uint8_t *p = c->later;
	size_t n = c->n_later, tag, len;

	w->pb.base.unknown_fields = w->later;
	while (n && w->pb.base.n_unknown_fields < CARD_LATER_FIELDS) {
		ProtobufCMessageUnknownField *f = &w->later[w->pb.base.n_unknown_fields];
		uint64_t key;

		tag = varint_get(p, n, &key);
		len = tag ? field_len(key & 7, p + tag, n - tag) : 0;
		if (!len)
			return;
		*f = (ProtobufCMessageUnknownField){ .tag = (uint32_t)(key >> 3), .wire_type = (ProtobufCWireType)(key & 7), .len = len };
		memcpy(&f->data, &(const uint8_t *){ p + tag }, sizeof(p));
		w->pb.base.n_unknown_fields++;
		p += tag + len;
		n -= tag + len;
	}
}

static void card_put(const struct card *c, struct card_wire *w)
{
	static const Director__PeerCard init = DIRECTOR__PEER_CARD__INIT;

	w->pb = init;
	w->pb.key = bytes_of(c->public_key, sizeof(c->public_key));
	w->pb.boot = bytes_of(c->boot, sizeof(c->boot));
	w->pb.name = text_of(c->name);
	for (unsigned i = 0; i < c->n_addrs; i++) {
		w->addrs[i].data = w->bytes[i];
		w->addrs[i].len = addr_put(&c->addrs[i], w->bytes[i]);
	}
	w->pb.addrs = w->addrs;
	w->pb.n_addrs = c->n_addrs;
	w->pb.incarnation = c->incarnation;
	w->pb.version_min = c->version_min;
	w->pb.version_max = c->version_max;
	w->pb.features = c->features;
	w->pb.extra = bytes_of(c->extra, c->n_extra);
	later_put(c, w);
}

struct update_wire {
	Director__PeerUpdate pb;
	struct card_wire card;
	uint8_t clone[ADDR_WIRE_MAX];
};

static void update_put(const struct gossip_update *u, struct update_wire *w)
{
	static const Director__PeerUpdate init = DIRECTOR__PEER_UPDATE__INIT;

	w->pb = init;
	w->pb.state = u->state;
	w->pb.incarnation = u->incarnation;
	w->pb.card_incarnation = u->card_incarnation;
	w->pb.boot_tag = u->card ? 0 : u->boot_tag;
	if (!node_id_none(&u->by))
		w->pb.by = bytes_of(u->by.b, sizeof(u->by.b));
	w->pb.clone = bytes_of(w->clone, addr_put(&u->clone, w->clone));
	if (u->card) {
		card_put(u->card, &w->card);
		w->pb.card = &w->card.pb;
	} else {
		w->pb.id = bytes_of(u->id.b, sizeof(u->id.b));
	}
}

struct updates_wire {
	struct update_wire *w;
	Director__PeerUpdate **list;
};

static void updates_put(const struct gossip_update *u, unsigned n, struct updates_wire *out)
{
	out->w = n ? mem_alloc(n * sizeof(*out->w)) : NULL;
	out->list = n ? mem_alloc(n * sizeof(Director__PeerUpdate *)) : NULL;
	for (unsigned i = 0; i < n; i++) {
		update_put(&u[i], &out->w[i]);
		out->list[i] = &out->w[i].pb;
	}
}

static void updates_wire_fini(struct updates_wire *u)
{
	free(u->w);
	free(u->list);
}

void peer_dgram_encode(const struct gossip_msg *m, struct buf *out)
{
	Director__PeerDgram pb = DIRECTOR__PEER_DGRAM__INIT;
	uint8_t seen[ADDR_WIRE_MAX];
	struct updates_wire updates;
	struct card_wire card;
	size_t n;

	pb.kind = m->kind;
	pb.seq = m->seq;
	pb.hash = m->hash;
	pb.facts = m->facts;
	pb.confirm = m->confirm;
	if (!node_id_none(&m->from))
		pb.from = bytes_of(m->from.b, sizeof(m->from.b));
	if (!node_id_none(&m->target))
		pb.target = bytes_of(m->target.b, sizeof(m->target.b));
	if (m->card) {
		card_put(m->card, &card);
		pb.card = &card.pb;
	}
	if (m->kind == GOSSIP_HELLO)
		pb.cluster = bytes_of(m->cluster, sizeof(m->cluster));
	pb.known = m->known;
	pb.seen = bytes_of(seen, addr_put(&m->seen, seen));
	pb.refusal = m->refusal;
	updates_put(m->updates, m->n_updates, &updates);
	pb.updates = updates.list;
	pb.n_updates = m->n_updates;
	pb.blob = bytes_of(m->blob, m->n_blob);
	n = director__peer_dgram__get_packed_size(&pb);
	buf_add(out, director__peer_dgram__pack(&pb, buf_room(out, n)));
	updates_wire_fini(&updates);
}

static Director__PeerFact *fact_put(const struct fact *fact)
{
	Director__PeerFact *pb = mem_alloc(sizeof(*pb));
	Director__PeerAttr *attrs = mem_alloc((fact->attrs.n + 1) * sizeof(*attrs));

	director__peer_fact__init(pb);
	pb->path = fact->path;
	pb->version = fact->version;
	pb->deleted = fact->deleted;
	pb->attrs = mem_alloc((fact->attrs.n + 1) * sizeof(*pb->attrs));
	pb->n_attrs = fact->attrs.n;
	/* attrs[0] is kept even when there is none, so that it can be found to be freed. */
	pb->attrs[0] = attrs;
	for (unsigned i = 0; i < fact->attrs.n; i++) {
		director__peer_attr__init(&attrs[i]);
		attrs[i].key = fact->attrs.a[i].key;
		attrs[i].value = fact->attrs.a[i].value;
		pb->attrs[i] = &attrs[i];
	}
	return pb;
}

static void fact_put_fini(Director__PeerFact *pb)
{
	free(pb->attrs[0]);
	free(pb->attrs);
	free(pb);
}

static Director__PeerPart *part_put(const struct facts_part *part)
{
	Director__PeerPart *pb = mem_alloc(sizeof(*pb));

	director__peer_part__init(pb);
	pb->node = bytes_of(part->node.b, sizeof(part->node.b));
	pb->floor = part->floor;
	pb->from = part->from;
	pb->upto = part->upto;
	pb->reset = part->reset;
	pb->n_facts = part->n_facts;
	pb->facts = mem_alloc((part->n_facts + 1) * sizeof(*pb->facts));
	for (unsigned i = 0; i < part->n_facts; i++)
		pb->facts[i] = fact_put(part->facts[i]);
	return pb;
}

static void part_put_fini(Director__PeerPart *pb)
{
	for (unsigned i = 0; i < pb->n_facts; i++)
		fact_put_fini(pb->facts[i]);
	free(pb->facts);
	free(pb);
}

static void have_put(const struct sync_have *h, Director__PeerHave *pb)
{
	director__peer_have__init(pb);
	pb->id = bytes_of(h->id.b, sizeof(h->id.b));
	pb->member = h->member;
	if (h->member) {
		pb->state = h->state;
		pb->incarnation = h->incarnation;
		pb->card_incarnation = h->card_incarnation;
		pb->boot_tag = h->boot_tag;
	}
	pb->floor = h->floor;
	pb->max = h->max;
}

void peer_sync_encode(const struct gossip_sync *s, struct buf *out)
{
	Director__PeerSync pb = DIRECTOR__PEER_SYNC__INIT;
	Director__PeerHave *have = mem_alloc((s->n_have + 1) * sizeof(*have));
	Director__PeerHave **haves = mem_alloc((s->n_have + 1) * sizeof(Director__PeerHave *));
	Director__PeerPart **parts = mem_alloc((s->n_parts + 1) * sizeof(Director__PeerPart *));
	struct updates_wire members;
	size_t n;

	pb.kind = s->kind;
	pb.want = s->want;
	pb.more = s->more;
	pb.members_hash = s->members_hash;
	pb.facts_hash = s->facts_hash;
	for (unsigned i = 0; i < s->n_have; i++) {
		have_put(&s->have[i], &have[i]);
		haves[i] = &have[i];
	}
	pb.have = haves;
	pb.n_have = s->n_have;
	updates_put(s->members, s->n_members, &members);
	pb.members = members.list;
	pb.n_members = s->n_members;
	for (unsigned i = 0; i < s->n_parts; i++)
		parts[i] = part_put(&s->parts[i]);
	pb.parts = parts;
	pb.n_parts = s->n_parts;
	n = director__peer_sync__get_packed_size(&pb);
	buf_add(out, director__peer_sync__pack(&pb, buf_room(out, n)));
	for (unsigned i = 0; i < s->n_parts; i++)
		part_put_fini(parts[i]);
	updates_wire_fini(&members);
	free(parts);
	free(haves);
	free(have);
}

/* Decoding: everything is copied out of the generated structs and checked on the way. */

static bool id_get(const ProtobufCBinaryData *b, struct node_id *id)
{
	if (b->len != sizeof(id->b))
		return false;
	memcpy(id->b, b->data, sizeof(id->b));
	return true;
}

/* Absent is allowed and leaves none. */
static bool id_get_opt(const ProtobufCBinaryData *b, struct node_id *id)
{
	*id = NODE_ID_NONE;
	return b->len == 0 || id_get(b, id);
}

static bool addr_get(const ProtobufCBinaryData *b, struct addr *a)
{
	*a = (struct addr){ 0 };
	if (b->len != 6 && b->len != 18)
		return false;
	a->family = b->len == 6 ? 4 : 6;
	memcpy(a->ip, b->data, b->len - 2);
	a->port = (uint16_t)(b->data[b->len - 2] << 8 | b->data[b->len - 1]);
	return true;
}

/* Whole fields, in their order, as far as there is room: what a later version adds to cards has to fit. */
static void later_get(const ProtobufCMessage *pb, struct card *c)
{
	for (unsigned i = 0; i < pb->n_unknown_fields && i < CARD_LATER_FIELDS; i++) {
		const ProtobufCMessageUnknownField *f = &pb->unknown_fields[i];
		uint8_t key[10];
		size_t n = varint_put((uint64_t)f->tag << 3 | f->wire_type, key);

		/* No field has the number 0: whoever gets it does not take the card. */
		if (f->tag == 0)
			continue;
		if (c->n_later + n + f->len > sizeof(c->later))
			return;
		memcpy(c->later + c->n_later, key, n);
		memcpy(c->later + c->n_later + n, f->data, f->len);
		c->n_later = (uint8_t)(c->n_later + n + f->len);
	}
}

static bool card_get(const Director__PeerCard *pb, struct card *c)
{
	size_t name = strlen(pb->name);

	memset(c, 0, sizeof(*c));
	if (pb->key.len != sizeof(c->public_key) || pb->boot.len != sizeof(c->boot) || name >= sizeof(c->name) ||
	    pb->n_addrs > CARD_ADDRS_MAX || pb->version_min > UINT16_MAX || pb->version_max > UINT16_MAX ||
	    pb->extra.len > CARD_EXTRA_MAX)
		return false;
	memcpy(c->public_key, pb->key.data, sizeof(c->public_key));
	memcpy(c->boot, pb->boot.data, sizeof(c->boot));
	memcpy(c->name, pb->name, name);
	c->id = node_id_of_key(c->public_key);
	for (size_t i = 0; i < pb->n_addrs; i++)
		if (!addr_get(&pb->addrs[i], &c->addrs[i]))
			return false;
	c->n_addrs = (uint8_t)pb->n_addrs;
	c->incarnation = pb->incarnation;
	c->version_min = (uint16_t)pb->version_min;
	c->version_max = (uint16_t)pb->version_max;
	c->features = pb->features;
	if (pb->extra.len)
		memcpy(c->extra, pb->extra.data, pb->extra.len);
	c->n_extra = (uint8_t)pb->extra.len;
	later_get(&pb->base, c);
	return card_ok(c);
}

static bool update_get(const Director__PeerUpdate *pb, struct gossip_update *u, struct card *card)
{
	if (pb->state > MEMBER_LEFT || !id_get_opt(&pb->by, &u->by) ||
	    (pb->clone.len && !addr_get(&pb->clone, &u->clone)))
		return false;
	u->state = (enum member_state)pb->state;
	u->incarnation = pb->incarnation;
	u->card_incarnation = pb->card_incarnation;
	u->boot_tag = pb->boot_tag;
	u->card = NULL;
	if (!pb->card)
		return id_get(&pb->id, &u->id);
	if (!card_get(pb->card, card))
		return false;
	u->id = card->id;
	u->card = card;
	u->boot_tag = boot_tag(card->boot);
	return true;
}

/* The whole of what one message points to. */
struct mem {
	struct card card;
	struct card *cards;
	struct gossip_update *updates;
	uint8_t *blob;
	struct sync_have *have;
	struct facts_part *parts;
	unsigned n_parts;
};

static bool updates_get(Director__PeerUpdate **list, size_t n, size_t limit, struct mem *mem)
{
	size_t n_cards = 0;

	if (n > limit)
		return false;
	for (size_t i = 0; i < n; i++)
		n_cards += list[i]->card != NULL;
	mem->updates = n ? mem_zalloc(n * sizeof(*mem->updates)) : NULL;
	mem->cards = n_cards ? mem_alloc(n_cards * sizeof(*mem->cards)) : NULL;
	n_cards = 0;
	for (size_t i = 0; i < n; i++)
		if (!update_get(list[i], &mem->updates[i], list[i]->card ? &mem->cards[n_cards++] : NULL))
			return false;
	return true;
}

static void mem_fini(struct mem *mem)
{
	if (!mem)
		return;
	for (unsigned i = 0; i < mem->n_parts; i++) {
		for (unsigned k = 0; k < mem->parts[i].n_facts; k++) {
			struct fact *fact;

			memcpy(&fact, &mem->parts[i].facts[k], sizeof(fact));
			attrs_fini(&fact->attrs);
			free(fact->path);
			free(fact);
		}
		free(mem->parts[i].facts);
	}
	free(mem->parts);
	free(mem->have);
	free(mem->cards);
	free(mem->updates);
	free(mem->blob);
	free(mem);
}

static bool dgram_get(const Director__PeerDgram *pb, struct gossip_msg *m, struct mem *mem)
{
	if (pb->kind < GOSSIP_PING || pb->kind > GOSSIP_PASS || !id_get_opt(&pb->from, &m->from) ||
	    !id_get_opt(&pb->target, &m->target) || pb->refusal > GOSSIP_REFUSE_REMOVED ||
	    pb->blob.len > GOSSIP_BLOB_MAX || (pb->seen.len && !addr_get(&pb->seen, &m->seen)))
		return false;
	m->kind = (enum gossip_msg_kind)pb->kind;
	m->seq = pb->seq;
	m->hash = pb->hash;
	m->facts = pb->facts;
	m->confirm = pb->confirm;
	m->known = pb->known;
	m->refusal = (enum gossip_refusal)pb->refusal;
	if (pb->card) {
		if (!card_get(pb->card, &mem->card))
			return false;
		m->card = &mem->card;
	}
	if (pb->cluster.len && pb->cluster.len != sizeof(m->cluster))
		return false;
	if (pb->cluster.len)
		memcpy(m->cluster, pb->cluster.data, sizeof(m->cluster));
	if (!updates_get(pb->updates, pb->n_updates, GOSSIP_UPDATES_MAX, mem))
		return false;
	m->updates = mem->updates;
	m->n_updates = (unsigned)pb->n_updates;
	if (pb->blob.len) {
		mem->blob = mem_dup(pb->blob.data, pb->blob.len);
		m->blob = mem->blob;
		m->n_blob = (unsigned)pb->blob.len;
	}
	/* Who introduces itself says who it is, and REFUSE why. */
	return (m->kind < GOSSIP_HELLO || m->kind > GOSSIP_REFUSE || m->card) &&
	       ((m->kind != GOSSIP_PINGREQ && m->kind != GOSSIP_QUERY) || !node_id_none(&m->target)) &&
	       (m->kind != GOSSIP_REFUSE || m->refusal);
}

int peer_dgram_decode(const uint8_t *p, size_t n, struct peer_dgram *d)
{
	Director__PeerDgram *pb;
	struct mem *mem;
	bool ok;

	*d = (struct peer_dgram){ 0 };
	pb = n <= GOSSIP_DGRAM_MAX ? director__peer_dgram__unpack(NULL, n, p) : NULL;
	if (!pb)
		return ERR_MALFORMED;
	mem = mem_zalloc(sizeof(*mem));
	ok = dgram_get(pb, &d->msg, mem);
	director__peer_dgram__free_unpacked(pb, NULL);
	d->mem = mem;
	if (!ok)
		peer_dgram_fini(d);
	return ok ? 0 : ERR_MALFORMED;
}

void peer_dgram_fini(struct peer_dgram *d)
{
	mem_fini(d->mem);
	*d = (struct peer_dgram){ 0 };
}

static bool attrs_get_all(Director__PeerAttr **list, size_t n, struct attrs *as)
{
	if (n > ATTRS_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!*list[i]->key || !*list[i]->value || !text_ok(list[i]->key, ATTR_KEY_MAX - 1) ||
		    !text_ok(list[i]->value, ATTR_VALUE_MAX - 1) || !attrs_set(as, list[i]->key, list[i]->value))
			return false;
	}
	return true;
}

static bool fact_get(const Director__PeerFact *pb, const struct node_id *node, struct fact *fact)
{
	if (!path_ok(pb->path) || pb->version > VERSION_MAX || (pb->deleted && pb->n_attrs))
		return false;
	fact->node = *node;
	fact->path = mem_strdup(pb->path);
	fact->version = pb->version;
	fact->deleted = pb->deleted;
	return attrs_get_all(pb->attrs, pb->n_attrs, &fact->attrs);
}

static bool part_get(const Director__PeerPart *pb, struct facts_part *part)
{
	if (!id_get(&pb->node, &part->node) || pb->n_facts > FACTS_PER_NODE_MAX || pb->upto > VERSION_MAX ||
	    pb->floor > VERSION_MAX || pb->from > pb->upto || (pb->reset && pb->from))
		return false;
	part->floor = pb->floor;
	part->from = pb->from;
	part->upto = pb->upto;
	part->reset = pb->reset;
	part->facts = pb->n_facts ? mem_alloc(pb->n_facts * sizeof(*part->facts)) : NULL;
	for (size_t i = 0; i < pb->n_facts; i++) {
		struct fact *fact = mem_zalloc(sizeof(*fact));

		part->facts[part->n_facts++] = fact;
		if (!fact_get(pb->facts[i], &part->node, fact))
			return false;
	}
	return true;
}

static bool have_get(const Director__PeerHave *pb, struct sync_have *h)
{
	if (!id_get(&pb->id, &h->id) || pb->state > MEMBER_LEFT || pb->floor > VERSION_MAX || pb->max > VERSION_MAX)
		return false;
	h->member = pb->member;
	h->state = (enum member_state)pb->state;
	h->incarnation = pb->incarnation;
	h->card_incarnation = pb->card_incarnation;
	h->boot_tag = pb->boot_tag;
	h->floor = pb->floor;
	h->max = pb->max;
	return true;
}

static bool sync_get(const Director__PeerSync *pb, struct gossip_sync *s, struct mem *mem)
{
	if (pb->kind < SYNC_OFFER || pb->kind > SYNC_DELTA || pb->n_have > UPDATES_SYNC_MAX ||
	    pb->n_parts > UPDATES_SYNC_MAX)
		return false;
	s->kind = (enum gossip_sync_kind)pb->kind;
	s->want = pb->want;
	s->more = pb->more;
	s->members_hash = pb->members_hash;
	s->facts_hash = pb->facts_hash;
	mem->have = pb->n_have ? mem_zalloc(pb->n_have * sizeof(*mem->have)) : NULL;
	for (size_t i = 0; i < pb->n_have; i++) {
		if (!have_get(pb->have[i], &mem->have[i]))
			return false;
		if (i && node_id_cmp(&mem->have[i - 1].id, &mem->have[i].id) >= 0)
			return false;
	}
	s->have = mem->have;
	s->n_have = (unsigned)pb->n_have;
	if (!updates_get(pb->members, pb->n_members, UPDATES_SYNC_MAX, mem))
		return false;
	s->members = mem->updates;
	s->n_members = (unsigned)pb->n_members;
	mem->parts = pb->n_parts ? mem_zalloc(pb->n_parts * sizeof(*mem->parts)) : NULL;
	for (size_t i = 0; i < pb->n_parts; i++) {
		mem->n_parts++;
		if (!part_get(pb->parts[i], &mem->parts[i]))
			return false;
	}
	s->parts = mem->parts;
	s->n_parts = mem->n_parts;
	return true;
}

int peer_sync_decode(const uint8_t *p, size_t n, struct peer_sync *s)
{
	Director__PeerSync *pb;
	struct mem *mem;
	bool ok;

	*s = (struct peer_sync){ 0 };
	pb = n <= PEER_SYNC_MAX ? director__peer_sync__unpack(NULL, n, p) : NULL;
	if (!pb)
		return ERR_MALFORMED;
	mem = mem_zalloc(sizeof(*mem));
	ok = sync_get(pb, &s->sync, mem);
	director__peer_sync__free_unpacked(pb, NULL);
	s->mem = mem;
	if (!ok)
		peer_sync_fini(s);
	return ok ? 0 : ERR_MALFORMED;
}

void peer_sync_fini(struct peer_sync *s)
{
	mem_fini(s->mem);
	*s = (struct peer_sync){ 0 };
}
