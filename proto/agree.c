/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of agreement to and from its nouns. Every length and number from outside is looked at here. */
#include "proto/agree.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "proto/agree.pb-c.h"

#define NUMBER_MAX (1ull << 62)         /* of rounds, epochs and indexes: none can overflow by being raised */

/*
 * Unpacking takes no more memory than a few times the message: a message of empty sub-messages would
 * else become a hundred times its size.
 */
struct bounded {
	ProtobufCAllocator alloc;
	size_t left;
};

static void *bounded_alloc(void *arg, size_t n)
{
	struct bounded *b = arg;

	if (n > b->left)
		return NULL;
	b->left -= n;
	return malloc(n ? n : 1);
}

static void bounded_free(void *arg, void *p)
{
	free(p);
}

static void bounded_init(struct bounded *b, size_t n)
{
	b->alloc = (ProtobufCAllocator){ bounded_alloc, bounded_free, b };
	b->left = n * 4 + (256u << 10);
}

bool agree_msg_is_cast(enum agree_msg_kind kind)
{
	return kind <= AGREE_MSG_REFUSE;
}

bool agree_msg_is_direct(enum agree_msg_kind kind)
{
	return !agree_msg_is_cast(kind) || kind == AGREE_MSG_PROPOSE || kind == AGREE_MSG_ENTRY || kind == AGREE_MSG_ACK;
}

/* --- encoding: the generated structs point into what they are made from --- */

static ProtobufCBinaryData bin(const void *p, size_t n)
{
	return (ProtobufCBinaryData){ n, (uint8_t *)p };
}


static void entry_to(const struct agree_entry *e, Director__AgreeEntry *pb)
{
	director__agree_entry__init(pb);
	pb->index = e->index;
	pb->epoch = e->epoch;
	pb->kind = e->kind;
	pb->rid = bin(e->rid.b, sizeof(e->rid.b));
	pb->chain = bin(e->chain.b, sizeof(e->chain.b));
	pb->payload = bin(e->payload, e->len);
}

static void at_to(const struct agree_at *at, Director__AgreeAt *pb)
{
	director__agree_at__init(pb);
	pb->index = at->index;
	pb->chain = bin(at->chain.b, sizeof(at->chain.b));
}

/* What a snapshot's encoding needs beside the generated struct. */
struct snap_parts {
	uint8_t roster[ROSTER_PACKED_MAX];
	Director__AgreeDone *done;
	Director__AgreeDone **list;
};

static void snap_to(const struct agree_snap *s, bool meta, Director__AgreeSnap *pb, struct snap_parts *parts)
{
	director__agree_snap__init(pb);
	parts->done = NULL;
	parts->list = NULL;
	pb->index = s->index;
	pb->state = bin(s->bytes, s->len);
	if (!meta)
		return;
	pb->lineage = bin(s->lineage, sizeof(s->lineage));
	pb->epoch = s->epoch;
	pb->chain = bin(s->chain.b, sizeof(s->chain.b));
	pb->roster = bin(parts->roster, roster_pack(&s->roster, parts->roster));
	pb->hash = bin(s->hash, sizeof(s->hash));
	parts->done = mem_alloc(s->n_window * sizeof(*parts->done));
	parts->list = mem_alloc(s->n_window * sizeof(*parts->list));
	for (unsigned i = 0; i < s->n_window; i++) {
		Director__AgreeDone *d = parts->list[i] = &parts->done[i];

		director__agree_done__init(d);
		d->rid = bin(s->window[i].rid.b, sizeof(s->window[i].rid.b));
		d->index = s->window[i].index;
		d->result = s->window[i].result;
	}
	pb->window = parts->list;
	pb->n_window = s->n_window;
}

static void snap_parts_fini(struct snap_parts *parts)
{
	free(parts->done);
	free(parts->list);
}

static void pack(const ProtobufCMessage *pb, struct buf *out)
{
	size_t n = protobuf_c_message_get_packed_size(pb);

	protobuf_c_message_pack(pb, buf_room(out, n));
	buf_add(out, n);
}

/* The bodies, one function each; the generated union in `pb` points to `body`. */
union body {
	Director__AgreeState state;
	Director__AgreeProceed proceed;
	Director__AgreeSynced synced;
	Director__AgreePropose propose;
	Director__AgreeNext next;
	Director__AgreeAck ack;
	Director__AgreeRefuse refuse;
	Director__AgreePull pull;
	Director__AgreePush push;
	Director__AgreePullSnap pull_snap;
	Director__AgreePart part;
	Director__AgreeForwarded forwarded;
	Director__AgreeBeat beat;
	Director__AgreeKept kept;
};

static void encode_state(const struct agree_state *s, Director__AgreeMsg *pb, union body *b, struct buf *out)
{
	uint8_t roster[ROSTER_PACKED_MAX], before[ROSTER_PACKED_MAX];
	Director__AgreeAt last;

	director__agree_state__init(&b->state);
	b->state.lineage = bin(s->lineage, sizeof(s->lineage));
	b->state.round = s->round;
	b->state.promised = s->promised;
	b->state.synced = s->synced;
	at_to(&s->last, &last);
	b->state.last = &last;
	b->state.commit = s->commit;
	b->state.mute = s->mute;
	b->state.empty = s->empty;
	b->state.roster_index = s->roster_index;
	if (!s->empty)
		b->state.roster = bin(roster, roster_pack(&s->roster, roster));
	if (s->joint)
		b->state.before = bin(before, roster_pack(&s->before, before));
	pb->body_case = DIRECTOR__AGREE_MSG__BODY_STATE;
	pb->state = &b->state;
	pack(&pb->base, out);
}

static void encode_proceed(const struct agree_proceed *p, Director__AgreeMsg *pb, union body *b, struct buf *out)
{
	ProtobufCBinaryData id[AGREE_MEMBERS_MAX];

	director__agree_proceed__init(&b->proceed);
	b->proceed.round = p->round;
	for (unsigned i = 0; i < p->n; i++)
		id[i] = bin(p->id[i].b, sizeof(p->id[i].b));
	b->proceed.id = id;
	b->proceed.n_id = p->n;
	pb->body_case = DIRECTOR__AGREE_MSG__BODY_PROCEED;
	pb->proceed = &b->proceed;
	pack(&pb->base, out);
}

static void encode_push(const struct agree_msg *m, Director__AgreeMsg *pb, union body *b, struct buf *out)
{
	Director__AgreeEntry *e = mem_alloc(m->push.n * sizeof(*e)), **list = mem_alloc(m->push.n * sizeof(*list));
	Director__AgreeAt after;

	director__agree_push__init(&b->push);
	at_to(&m->push.after, &after);
	b->push.after = &after;
	b->push.commit = m->push.commit;
	for (unsigned i = 0; i < m->push.n; i++) {
		entry_to(&m->push.entry[i], &e[i]);
		list[i] = &e[i];
	}
	b->push.entry = list;
	b->push.n_entry = m->push.n;
	b->push.more = m->push.more;
	pb->body_case = DIRECTOR__AGREE_MSG__BODY_PUSH;
	pb->push = &b->push;
	pack(&pb->base, out);
	free(e);
	free(list);
}

static void encode_part(const struct agree_msg *m, Director__AgreeMsg *pb, union body *b, struct buf *out)
{
	Director__AgreeSnap snap;
	struct snap_parts parts;

	director__agree_part__init(&b->part);
	snap_to(&m->snap.snap, m->snap.offset == 0, &snap, &parts);
	b->part.snap = &snap;
	b->part.total = m->snap.total;
	b->part.offset = m->snap.offset;
	pb->body_case = DIRECTOR__AGREE_MSG__BODY_SNAP;
	pb->snap = &b->part;
	pack(&pb->base, out);
	snap_parts_fini(&parts);
}

static void encode_propose(const struct agree_msg *m, Director__AgreeMsg *pb, union body *b, struct buf *out)
{
	director__agree_propose__init(&b->propose);
	b->propose.rid = bin(m->propose.rid.b, sizeof(m->propose.rid.b));
	b->propose.kind = m->propose.kind;
	b->propose.payload = bin(m->propose.payload, m->propose.len);
	b->propose.ask = m->propose.ask;
	if (m->kind == AGREE_MSG_PROPOSE) {
		pb->body_case = DIRECTOR__AGREE_MSG__BODY_PROPOSE;
		pb->propose = &b->propose;
	} else {
		pb->body_case = DIRECTOR__AGREE_MSG__BODY_FORWARD;
		pb->forward = &b->propose;
	}
	pack(&pb->base, out);
}

static void encode_small(const struct agree_msg *m, Director__AgreeMsg *pb, union body *b, struct buf *out)
{
	Director__AgreeEntry entry;
	Director__AgreeAt at;

	switch (m->kind) {
	case AGREE_MSG_PROMISED:
		pb->body_case = DIRECTOR__AGREE_MSG__BODY_PROMISED;
		pb->promised = m->promised.epoch;
		break;
	case AGREE_MSG_SYNCED:
		director__agree_synced__init(&b->synced);
		b->synced.epoch = m->synced.epoch;
		at_to(&m->synced.at, &at);
		b->synced.at = &at;
		pb->body_case = DIRECTOR__AGREE_MSG__BODY_SYNCED;
		pb->synced = &b->synced;
		break;
	case AGREE_MSG_ENTRY:
		director__agree_next__init(&b->next);
		entry_to(&m->entry.entry, &entry);
		b->next.entry = &entry;
		b->next.before = bin(m->entry.before.b, sizeof(m->entry.before.b));
		pb->body_case = DIRECTOR__AGREE_MSG__BODY_ENTRY;
		pb->entry = &b->next;
		break;
	case AGREE_MSG_ACK:
		director__agree_ack__init(&b->ack);
		at_to(&m->ack.at, &at);
		b->ack.at = &at;
		b->ack.applied = m->ack.applied;
		b->ack.hash = bin(m->ack.hash, sizeof(m->ack.hash));
		pb->body_case = DIRECTOR__AGREE_MSG__BODY_ACK;
		pb->ack = &b->ack;
		break;
	case AGREE_MSG_REFUSE:
		director__agree_refuse__init(&b->refuse);
		b->refuse.rid = bin(m->refuse.rid.b, sizeof(m->refuse.rid.b));
		b->refuse.err = m->refuse.err;
		b->refuse.to = bin(m->refuse.to.b, sizeof(m->refuse.to.b));
		pb->body_case = DIRECTOR__AGREE_MSG__BODY_REFUSE;
		pb->refuse = &b->refuse;
		break;
	case AGREE_MSG_PULL:
		director__agree_pull__init(&b->pull);
		b->pull.lineage = bin(m->pull.lineage, sizeof(m->pull.lineage));
		at_to(&m->pull.after, &at);
		b->pull.after = &at;
		pb->body_case = DIRECTOR__AGREE_MSG__BODY_PULL;
		pb->pull = &b->pull;
		break;
	case AGREE_MSG_PULL_SNAP:
		director__agree_pull_snap__init(&b->pull_snap);
		b->pull_snap.index = m->pull_snap.index;
		b->pull_snap.offset = m->pull_snap.offset;
		pb->body_case = DIRECTOR__AGREE_MSG__BODY_PULL_SNAP;
		pb->pull_snap = &b->pull_snap;
		break;
	case AGREE_MSG_FORWARDED:
		director__agree_forwarded__init(&b->forwarded);
		b->forwarded.rid = bin(m->forwarded.rid.b, sizeof(m->forwarded.rid.b));
		b->forwarded.index = m->forwarded.index;
		b->forwarded.err = m->forwarded.err;
		b->forwarded.result = m->forwarded.result;
		b->forwarded.in_doubt = m->forwarded.in_doubt;
		pb->body_case = DIRECTOR__AGREE_MSG__BODY_FORWARDED;
		pb->forwarded = &b->forwarded;
		break;
	case AGREE_MSG_BEAT:
	case AGREE_MSG_ECHO:
		director__agree_beat__init(&b->beat);
		b->beat.number = m->beat.number;
		b->beat.end = m->beat.end;
		b->beat.silent = m->beat.silent;
		b->beat.epoch = m->beat.epoch;
		if (!node_id_none(&m->beat.asked))
			b->beat.asked = bin(m->beat.asked.b, sizeof(m->beat.asked.b));
		pb->body_case = m->kind == AGREE_MSG_BEAT ? DIRECTOR__AGREE_MSG__BODY_BEAT : DIRECTOR__AGREE_MSG__BODY_ECHO;
		pb->beat = &b->beat;
		break;
	case AGREE_MSG_KEEP:
	case AGREE_MSG_KEPT:
		director__agree_kept__init(&b->kept);
		b->kept.volume = bin(m->kept.volume, sizeof(m->kept.volume));
		b->kept.version = m->kept.version;
		pb->body_case = m->kind == AGREE_MSG_KEEP ? DIRECTOR__AGREE_MSG__BODY_KEEP : DIRECTOR__AGREE_MSG__BODY_KEPT;
		pb->keep = &b->kept;
		break;
	default:
		return;
	}
	pack(&pb->base, out);
}

void agree_msg_encode(const struct agree_msg *m, struct buf *out)
{
	Director__AgreeMsg pb = DIRECTOR__AGREE_MSG__INIT;
	union body b;

	pb.boot = m->boot;
	pb.tag = m->tag;
	switch (m->kind) {
	case AGREE_MSG_STATE: encode_state(&m->state, &pb, &b, out); break;
	case AGREE_MSG_PROCEED: encode_proceed(&m->proceed, &pb, &b, out); break;
	case AGREE_MSG_PUSH: encode_push(m, &pb, &b, out); break;
	case AGREE_MSG_SNAP: encode_part(m, &pb, &b, out); break;
	case AGREE_MSG_PROPOSE:
	case AGREE_MSG_FORWARD: encode_propose(m, &pb, &b, out); break;
	default: encode_small(m, &pb, &b, out); break;
	}
}

/* --- decoding: false where the bytes are not what they should be --- */

static bool fixed(const ProtobufCBinaryData *b, void *out, size_t n)
{
	if (b->len != n)
		return false;
	memcpy(out, b->data, n);
	return true;
}

static bool number(uint64_t from, uint64_t *to)
{
	*to = from;
	return from < NUMBER_MAX;
}

static bool at_from(const Director__AgreeAt *pb, struct agree_at *at)
{
	return pb && number(pb->index, &at->index) && fixed(&pb->chain, at->chain.b, sizeof(at->chain.b));
}

static bool kind_ok(uint32_t kind)
{
	return kind == AGREE_TXN || kind == AGREE_ROSTER;
}

/* The payload is copied last, so that there is nothing to free on failure. */
static bool entry_from(const Director__AgreeEntry *pb, struct agree_entry *e)
{
	if (!pb || !kind_ok(pb->kind) || pb->payload.len > AGREE_PAYLOAD_MAX || pb->index == 0 ||
	    !number(pb->index, &e->index) || !number(pb->epoch, &e->epoch) ||
	    !fixed(&pb->rid, e->rid.b, sizeof(e->rid.b)) || !fixed(&pb->chain, e->chain.b, sizeof(e->chain.b)))
		return false;
	e->kind = (enum agree_kind)pb->kind;
	e->len = (uint32_t)pb->payload.len;
	e->payload = mem_dup(pb->payload.data, pb->payload.len);
	return true;
}

static bool window_from(const Director__AgreeSnap *pb, struct agree_snap *s)
{
	if (pb->n_window > AGREE_WINDOW)
		return false;
	s->window = mem_alloc(pb->n_window * sizeof(*s->window));
	for (unsigned i = 0; i < pb->n_window; i++) {
		struct agree_done *d = &s->window[i];

		memset(d, 0, sizeof(*d));
		d->result = pb->window[i]->result;
		if (!number(pb->window[i]->index, &d->index) || !fixed(&pb->window[i]->rid, d->rid.b, sizeof(d->rid.b))) {
			free(s->window);
			s->window = NULL;
			return false;
		}
	}
	s->n_window = (unsigned)pb->n_window;
	return true;
}

static bool snap_from(const Director__AgreeSnap *pb, bool meta, size_t max, struct agree_snap *s)
{
	if (!pb || pb->index == 0 || !number(pb->index, &s->index) || pb->state.len > max)
		return false;
	if (meta && (!fixed(&pb->lineage, s->lineage, sizeof(s->lineage)) || !number(pb->epoch, &s->epoch) ||
		     !fixed(&pb->chain, s->chain.b, sizeof(s->chain.b)) || !fixed(&pb->hash, s->hash, sizeof(s->hash)) ||
		     roster_unpack(pb->roster.data, pb->roster.len, &s->roster) < 0 || !window_from(pb, s)))
		return false;
	s->len = (uint32_t)pb->state.len;
	s->bytes = mem_dup(pb->state.data, pb->state.len);
	return true;
}

static bool decode_state(const Director__AgreeState *pb, struct agree_state *s)
{
	if (!fixed(&pb->lineage, s->lineage, sizeof(s->lineage)) || !number(pb->round, &s->round) ||
	    !number(pb->promised, &s->promised) || !number(pb->synced, &s->synced) || !at_from(pb->last, &s->last) ||
	    !number(pb->commit, &s->commit) || !number(pb->roster_index, &s->roster_index))
		return false;
	s->mute = pb->mute;
	s->empty = pb->empty;
	if (!s->empty && roster_unpack(pb->roster.data, pb->roster.len, &s->roster) < 0)
		return false;
	s->joint = pb->before.len > 0;
	return !s->joint || roster_unpack(pb->before.data, pb->before.len, &s->before) == 0;
}

static bool decode_proceed(const Director__AgreeProceed *pb, struct agree_proceed *p)
{
	if (!number(pb->round, &p->round) || pb->n_id > AGREE_MEMBERS_MAX)
		return false;
	p->n = (unsigned)pb->n_id;
	for (unsigned i = 0; i < p->n; i++)
		if (!fixed(&pb->id[i], p->id[i].b, sizeof(p->id[i].b)))
			return false;
	return true;
}

static bool decode_propose(const Director__AgreePropose *pb, struct agree_msg *m)
{
	if (!fixed(&pb->rid, m->propose.rid.b, sizeof(m->propose.rid.b)) || !kind_ok(pb->kind) ||
	    pb->payload.len > AGREE_PAYLOAD_MAX)
		return false;
	m->propose.kind = (enum agree_kind)pb->kind;
	m->propose.len = (uint32_t)pb->payload.len;
	m->propose.ask = pb->ask;
	m->propose.payload = mem_dup(pb->payload.data, pb->payload.len);
	return true;
}

static bool decode_push(const Director__AgreePush *pb, struct agree_msg *m)
{
	size_t bytes = 0;

	if (!at_from(pb->after, &m->push.after) || !number(pb->commit, &m->push.commit) ||
	    pb->n_entry > AGREE_BATCH_ENTRIES)
		return false;
	m->push.more = pb->more;
	m->push.entry = mem_zalloc(pb->n_entry * sizeof(*m->push.entry));
	for (; m->push.n < pb->n_entry; m->push.n++) {
		struct agree_entry *e = &m->push.entry[m->push.n];

		if (bytes > AGREE_BATCH_BYTES || !entry_from(pb->entry[m->push.n], e))
			break;
		bytes += e->len;
	}
	return m->push.n == pb->n_entry;        /* else agree_msg_fini() frees what there is */
}

static bool decode_part(const Director__AgreePart *pb, struct agree_msg *m)
{
	m->snap.total = pb->total;
	m->snap.offset = pb->offset;
	return pb->total <= AGREE_SNAPSHOT_MAX && pb->offset <= pb->total &&
	       snap_from(pb->snap, pb->offset == 0, AGREE_CHUNK_BYTES, &m->snap.snap) &&
	       m->snap.snap.len <= pb->total - pb->offset;
}

static bool decode_ack(const Director__AgreeAck *pb, struct agree_msg *m)
{
	return at_from(pb->at, &m->ack.at) && number(pb->applied, &m->ack.applied) &&
	       fixed(&pb->hash, m->ack.hash, sizeof(m->ack.hash));
}

static bool decode_forwarded(const Director__AgreeForwarded *pb, struct agree_msg *m)
{
	m->forwarded.err = pb->err;
	m->forwarded.result = pb->result;
	m->forwarded.in_doubt = pb->in_doubt;
	return fixed(&pb->rid, m->forwarded.rid.b, sizeof(m->forwarded.rid.b)) && number(pb->index, &m->forwarded.index);
}

static bool decode_beat(const Director__AgreeBeat *pb, struct agree_msg *m)
{
	if (pb->asked.len == sizeof(m->beat.asked.b))
		memcpy(m->beat.asked.b, pb->asked.data, pb->asked.len);
	else if (pb->asked.len)
		return false;
	return number(pb->number, &m->beat.number) && number(pb->end, &m->beat.end) && number(pb->silent, &m->beat.silent) &&
	       number(pb->epoch, &m->beat.epoch);
}

static bool decode_kept(const Director__AgreeKept *pb, struct agree_msg *m)
{
	return fixed(&pb->volume, m->kept.volume, sizeof(m->kept.volume)) && number(pb->version, &m->kept.version);
}

static bool decode_body(const Director__AgreeMsg *pb, struct agree_msg *m)
{
	switch (pb->body_case) {
	case DIRECTOR__AGREE_MSG__BODY_STATE:
		m->kind = AGREE_MSG_STATE;
		return decode_state(pb->state, &m->state);
	case DIRECTOR__AGREE_MSG__BODY_PROCEED:
		m->kind = AGREE_MSG_PROCEED;
		return decode_proceed(pb->proceed, &m->proceed);
	case DIRECTOR__AGREE_MSG__BODY_PROMISED:
		m->kind = AGREE_MSG_PROMISED;
		return number(pb->promised, &m->promised.epoch);
	case DIRECTOR__AGREE_MSG__BODY_SYNCED:
		m->kind = AGREE_MSG_SYNCED;
		return number(pb->synced->epoch, &m->synced.epoch) && at_from(pb->synced->at, &m->synced.at);
	case DIRECTOR__AGREE_MSG__BODY_PROPOSE:
		m->kind = AGREE_MSG_PROPOSE;
		return decode_propose(pb->propose, m);
	case DIRECTOR__AGREE_MSG__BODY_ENTRY:
		m->kind = AGREE_MSG_ENTRY;
		return fixed(&pb->entry->before, m->entry.before.b, sizeof(m->entry.before.b)) &&
		       entry_from(pb->entry->entry, &m->entry.entry);
	case DIRECTOR__AGREE_MSG__BODY_ACK:
		m->kind = AGREE_MSG_ACK;
		return decode_ack(pb->ack, m);
	case DIRECTOR__AGREE_MSG__BODY_REFUSE:
		m->kind = AGREE_MSG_REFUSE;
		m->refuse.err = pb->refuse->err;
		return m->refuse.err < 0 && fixed(&pb->refuse->to, m->refuse.to.b, sizeof(m->refuse.to.b)) &&
		       fixed(&pb->refuse->rid, m->refuse.rid.b, sizeof(m->refuse.rid.b));
	case DIRECTOR__AGREE_MSG__BODY_PULL:
		m->kind = AGREE_MSG_PULL;
		return fixed(&pb->pull->lineage, m->pull.lineage, sizeof(m->pull.lineage)) &&
		       at_from(pb->pull->after, &m->pull.after);
	case DIRECTOR__AGREE_MSG__BODY_PUSH:
		m->kind = AGREE_MSG_PUSH;
		return decode_push(pb->push, m);
	case DIRECTOR__AGREE_MSG__BODY_PULL_SNAP:
		m->kind = AGREE_MSG_PULL_SNAP;
		m->pull_snap.offset = pb->pull_snap->offset;
		return number(pb->pull_snap->index, &m->pull_snap.index);
	case DIRECTOR__AGREE_MSG__BODY_SNAP:
		m->kind = AGREE_MSG_SNAP;
		return decode_part(pb->snap, m);
	case DIRECTOR__AGREE_MSG__BODY_FORWARD:
		m->kind = AGREE_MSG_FORWARD;
		return decode_propose(pb->forward, m);
	case DIRECTOR__AGREE_MSG__BODY_FORWARDED:
		m->kind = AGREE_MSG_FORWARDED;
		return decode_forwarded(pb->forwarded, m);
	case DIRECTOR__AGREE_MSG__BODY_BEAT:
		m->kind = AGREE_MSG_BEAT;
		return decode_beat(pb->beat, m);
	case DIRECTOR__AGREE_MSG__BODY_ECHO:
		m->kind = AGREE_MSG_ECHO;
		return decode_beat(pb->echo, m);
	case DIRECTOR__AGREE_MSG__BODY_KEEP:
		m->kind = AGREE_MSG_KEEP;
		return decode_kept(pb->keep, m);
	case DIRECTOR__AGREE_MSG__BODY_KEPT:
		m->kind = AGREE_MSG_KEPT;
		return decode_kept(pb->kept, m);
	default:
		return false;
	}
}

void agree_msg_fini(struct agree_msg *m)
{
	switch (m->kind) {
	case AGREE_MSG_PROPOSE:
	case AGREE_MSG_FORWARD:
		free((void *)m->propose.payload);
		break;
	case AGREE_MSG_ENTRY:
		free(m->entry.entry.payload);
		break;
	case AGREE_MSG_PUSH:
		for (unsigned i = 0; i < m->push.n; i++)
			free(m->push.entry[i].payload);
		free(m->push.entry);
		break;
	case AGREE_MSG_SNAP:
		free(m->snap.snap.window);
		free(m->snap.snap.bytes);
		break;
	default:
		break;
	}
	memset(m, 0, sizeof(*m));
}

int agree_msg_decode(const void *p, size_t n, struct agree_msg *m)
{
	Director__AgreeMsg *pb;
	struct bounded bound;
	bool ok;

	memset(m, 0, sizeof(*m));
	bounded_init(&bound, n);
	pb = n > AGREE_MSG_MAX ? NULL : director__agree_msg__unpack(&bound.alloc, n, p);
	if (!pb)
		return ERR_MALFORMED;
	m->boot = pb->boot;
	m->tag = pb->tag;
	ok = decode_body(pb, m) && m->boot != 0;
	director__agree_msg__free_unpacked(pb, &bound.alloc);
	if (!ok)
		agree_msg_fini(m);
	return ok ? 0 : ERR_MALFORMED;
}

/* --- rows of the store --- */

void agree_entry_encode(const struct agree_entry *e, struct buf *out)
{
	Director__AgreeEntry pb;

	entry_to(e, &pb);
	pack(&pb.base, out);
}

int agree_entry_decode(const void *p, size_t n, struct agree_entry **e)
{
	struct bounded bound;
	Director__AgreeEntry *pb;

	bounded_init(&bound, n);
	pb = director__agree_entry__unpack(&bound.alloc, n, p);
	*e = mem_zalloc(sizeof(**e));
	if (!pb || !entry_from(pb, *e)) {
		free(*e);
		*e = NULL;
	}
	if (pb)
		director__agree_entry__free_unpacked(pb, &bound.alloc);
	return *e ? 0 : ERR_MALFORMED;
}

void agree_entry_free(struct agree_entry **e)
{
	if (*e)
		free((*e)->payload);
	free(*e);
	*e = NULL;
}

void agree_snap_encode(const struct agree_snap *s, struct buf *out)
{
	Director__AgreeSnap pb;
	struct snap_parts parts;

	snap_to(s, true, &pb, &parts);
	pack(&pb.base, out);
	snap_parts_fini(&parts);
}

int agree_snap_decode(const void *p, size_t n, struct agree_snap **s)
{
	struct bounded bound;
	Director__AgreeSnap *pb;

	bounded_init(&bound, n);
	pb = director__agree_snap__unpack(&bound.alloc, n, p);
	*s = mem_zalloc(sizeof(**s));
	if (!pb || !snap_from(pb, true, AGREE_SNAPSHOT_MAX, *s))
		agree_snap_free(s);
	if (pb)
		director__agree_snap__free_unpacked(pb, &bound.alloc);
	return *s ? 0 : ERR_MALFORMED;
}

void agree_snap_free(struct agree_snap **s)
{
	if (*s) {
		free((*s)->window);
		free((*s)->bytes);
	}
	free(*s);
	*s = NULL;
}
