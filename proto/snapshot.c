/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots as bytes. The message Snapshot may be large, so its top level is walked by hand and only one
 * record at a time is unpacked: memory follows what is kept, not what a sender claims.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "proto/txn.h"
#include "proto/txn.pb-c.h"
#include "proto/txn_ops.h"

enum { FIELD_APPLIED = 1, FIELD_HASH = 2, FIELD_RECORD = 3 };
enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

/* A history entry may hold a whole deleted subtree (HISTORY_ENTRY_BYTES_MAX); nothing is larger. */
#define RECORD_BYTES_MAX (4u << 20)

/* ---- writing ---- */

static void put_varint(struct buf *out, uint64_t v)
{
	do {
		uint8_t b = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));

		buf_put(out, &b, 1);
		v >>= 7;
	} while (v);
}

static void put_key(struct buf *out, unsigned field, unsigned wire)
{
	put_varint(out, field << 3 | wire);
}

static void put_record(struct buf *out, const Director__SnapshotRecord *r)
{
	size_t n = director__snapshot_record__get_packed_size(r);

	put_key(out, FIELD_RECORD, WIRE_BYTES);
	put_varint(out, n);
	buf_add(out, director__snapshot_record__pack(r, buf_room(out, n)));
}

static void put_object(struct buf *out, const struct object *o)
{
	Director__SnapshotRecord r = DIRECTOR__SNAPSHOT_RECORD__INIT;
	Director__SnapshotObject m = DIRECTOR__SNAPSHOT_OBJECT__INIT;

	m.path = o->path;
	m.uuid.data = (uint8_t *)o->uuid;
	m.uuid.len = sizeof(o->uuid);
	m.created = o->created;
	m.generation = o->generation;
	m.touched = o->touched;
	m.n_attrs = o->attrs.n;
	m.attrs = o->attrs.n ? mem_alloc(o->attrs.n * sizeof(*m.attrs)) : NULL;
	for (unsigned i = 0; i < o->attrs.n; i++) {
		m.attrs[i] = mem_alloc(sizeof(*m.attrs[i]));
		director__snapshot_attr__init(m.attrs[i]);
		m.attrs[i]->key = o->attrs.a[i].key;
		m.attrs[i]->value = o->attrs.a[i].value;
		m.attrs[i]->by = o->by[i];
	}
	m.blob = (ProtobufCBinaryData){ o->n_blob, o->blob };
	r.what_case = DIRECTOR__SNAPSHOT_RECORD__WHAT_OBJECT;
	r.object = &m;
	put_record(out, &r);
	for (unsigned i = 0; i < o->attrs.n; i++)
		free(m.attrs[i]);
	free(m.attrs);
}

static void put_commit(struct buf *out, const struct history *h)
{
	Director__SnapshotRecord r = DIRECTOR__SNAPSHOT_RECORD__INIT;
	Director__SnapshotCommit m = DIRECTOR__SNAPSHOT_COMMIT__INIT;

	m.index = h->index;
	m.time_ms = h->time_ms;
	m.author = h->author;
	m.node = h->node;
	m.message = h->message;
	m.trimmed = h->trimmed;
	m.n_changes = h->n_changes;
	m.n_ops = txn_ops_pack(&h->ops, &m.ops);
	m.n_inverse = txn_ops_pack(&h->inverse, &m.inverse);
	r.what_case = DIRECTOR__SNAPSHOT_RECORD__WHAT_COMMIT;
	r.commit = &m;
	put_record(out, &r);
	txn_ops_unpacked(m.ops, m.n_ops);
	txn_ops_unpacked(m.inverse, m.n_inverse);
}

static void put_request(struct buf *out, const struct snapshot_request *q)
{
	Director__SnapshotRecord r = DIRECTOR__SNAPSHOT_RECORD__INIT;
	Director__SnapshotRequest m = DIRECTOR__SNAPSHOT_REQUEST__INIT;

	m.id.data = (uint8_t *)q->id;
	m.id.len = sizeof(q->id);
	m.index = q->index;
	m.err = q->err;
	m.text = q->text ? q->text : (char *)"";
	r.what_case = DIRECTOR__SNAPSHOT_RECORD__WHAT_REQUEST;
	r.request = &m;
	put_record(out, &r);
}

void snapshot_encode(const struct snapshot *s, struct buf *out)
{
	put_key(out, FIELD_APPLIED, WIRE_VARINT);
	put_varint(out, s->applied);
	put_key(out, FIELD_HASH, WIRE_BYTES);
	put_varint(out, sizeof(s->hash));
	buf_put(out, s->hash, sizeof(s->hash));
	for (unsigned i = 0; i < s->n_objects; i++)
		put_object(out, s->objects[i]);
	for (unsigned i = 0; i < s->n_history; i++)
		put_commit(out, s->history[i]);
	for (unsigned i = 0; i < s->n_requests; i++)
		put_request(out, &s->requests[i]);
}

/* ---- reading ---- */

struct reader {
	const uint8_t *p;
	size_t n;
};

static int get_varint(struct reader *r, uint64_t *v)
{
	*v = 0;
	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t b;

		if (r->n == 0)
			return ERR_MALFORMED;
		b = *r->p++;
		r->n--;
		*v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return 0;
	}
	return ERR_MALFORMED;
}

static int take_object(const Director__SnapshotObject *m, struct snapshot *s)
{
	const struct schema_type *type;
	struct object *o;

	if (s->n_objects >= CATALOG_OBJECTS_MAX || !path_ok(m->path) || m->uuid.len != 16 || m->n_attrs > ATTRS_MAX ||
	    m->blob.len > KEEP_BLOB_MAX)
		return ERR_MALFORMED;
	type = schema_type_of(m->path);
	if (!type)
		return ERR_MALFORMED;
	o = object_new(m->path, type);
	s->objects = mem_grow(s->objects, &s->cap_objects, s->n_objects, sizeof(*s->objects));
	s->objects[s->n_objects++] = o;
	memcpy(o->uuid, m->uuid.data, sizeof(o->uuid));
	o->created = m->created;
	o->generation = m->generation;
	o->touched = m->touched;
	object_set_blob(o, m->blob.data, m->blob.len);
	for (size_t i = 0; i < m->n_attrs; i++) {
		const Director__SnapshotAttr *a = m->attrs[i];

		if (!text_ok(a->key, ATTR_KEY_MAX - 1) || *a->key == '\0' || !text_ok(a->value, ATTR_VALUE_MAX) ||
		    !object_set(o, a->key, a->value, a->by))
			return ERR_MALFORMED;
	}
	return 0;
}

static int take_commit(const Director__SnapshotCommit *m, struct snapshot *s)
{
	struct history *h;

	if (s->n_history >= HISTORY_MAX || !text_ok(m->author, TXN_AUTHOR_MAX) || !text_ok(m->node, TXN_AUTHOR_MAX) ||
	    !text_ok(m->message, TXN_MESSAGE_MAX))
		return ERR_MALFORMED;
	h = history_new();
	s->history = mem_grow(s->history, &s->cap_history, s->n_history, sizeof(*s->history));
	s->history[s->n_history++] = h;
	h->index = m->index;
	h->time_ms = m->time_ms;
	h->author = mem_strdup(m->author);
	h->node = mem_strdup(m->node);
	h->message = mem_strdup(m->message);
	h->trimmed = m->trimmed;
	h->n_changes = m->n_changes;
	if (txn_ops_take(m->ops, m->n_ops, &h->ops) < 0)
		return ERR_MALFORMED;
	return txn_ops_take(m->inverse, m->n_inverse, &h->inverse);
}

static int take_request(const Director__SnapshotRequest *m, struct snapshot *s)
{
	struct snapshot_request *r;

	if (s->n_requests >= WINDOW_MAX || m->id.len != 16 || !text_ok(m->text, WHY_LEN - 1))
		return ERR_MALFORMED;
	s->requests = mem_grow(s->requests, &s->cap_requests, s->n_requests, sizeof(*s->requests));
	r = &s->requests[s->n_requests++];
	*r = (struct snapshot_request){ .index = m->index, .err = m->err, .text = mem_strdup(m->text) };
	memcpy(r->id, m->id.data, sizeof(r->id));
	return 0;
}

static int take_record(const uint8_t *p, size_t n, struct snapshot *s)
{
	Director__SnapshotRecord *r = n <= RECORD_BYTES_MAX ? director__snapshot_record__unpack(NULL, n, p) : NULL;
	int err = 0;

	if (!r)
		return ERR_MALFORMED;
	switch (r->what_case) {
	case DIRECTOR__SNAPSHOT_RECORD__WHAT_OBJECT:
		err = take_object(r->object, s);
		break;
	case DIRECTOR__SNAPSHOT_RECORD__WHAT_COMMIT:
		err = take_commit(r->commit, s);
		break;
	case DIRECTOR__SNAPSHOT_RECORD__WHAT_REQUEST:
		err = take_request(r->request, s);
		break;
	default:        /* a later version's; if it was state, the hash will say so */
		break;
	}
	director__snapshot_record__free_unpacked(r, NULL);
	return err;
}

/* One field of the top level. Unknown ones are skipped. */
static int take_field(struct reader *r, struct snapshot *s)
{
	uint64_t key, len;

	if (get_varint(r, &key) < 0)
		return ERR_MALFORMED;
	if ((key & 7) == WIRE_VARINT) {
		if (get_varint(r, &len) < 0)
			return ERR_MALFORMED;
		if (key >> 3 == FIELD_APPLIED)
			s->applied = len;
		return 0;
	}
	if ((key & 7) == WIRE_BYTES) {
		if (get_varint(r, &len) < 0)
			return ERR_MALFORMED;
	} else if ((key & 7) == WIRE_64 || (key & 7) == WIRE_32) {
		len = (key & 7) == WIRE_64 ? 8 : 4;
	} else {
		return ERR_MALFORMED;
	}
	if (len > r->n)
		return ERR_MALFORMED;
	r->p += len;
	r->n -= len;
	if (key == (FIELD_RECORD << 3 | WIRE_BYTES))
		return take_record(r->p - len, len, s);
	if (key == (FIELD_HASH << 3 | WIRE_BYTES)) {
		if (len != sizeof(s->hash))
			return ERR_MALFORMED;
		memcpy(s->hash, r->p - len, len);
	}
	return 0;
}

int snapshot_decode(const uint8_t *p, size_t n, struct snapshot *s)
{
	struct reader r = { p, n };
	int err = n <= SNAPSHOT_BYTES_MAX ? 0 : ERR_MALFORMED;

	*s = (struct snapshot){ 0 };
	while (err == 0 && r.n)
		err = take_field(&r, s);
	if (err < 0)
		snapshot_fini(s);
	return err;
}
