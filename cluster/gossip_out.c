/* SPDX-License-Identifier: Apache-2.0 */
/* What a step wants done, in memory that lives until the reset. */
#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cluster/gossip_int.h"

#define CHUNK_BYTES 8192

struct gossip_chunk {
	struct gossip_chunk *next;
	size_t used, size;
	_Alignas(16) uint8_t bytes[];
};

void *out_alloc(struct gossip_out *out, size_t n)
{
	struct gossip_chunk *c = out->chunks;
	void *p;

	n = (n + 15) & ~(size_t)15;
	if (!c || c->size - c->used < n) {
		size_t size = n > CHUNK_BYTES ? n : CHUNK_BYTES;

		c = mem_alloc(sizeof(*c) + size);
		c->next = out->chunks;
		c->used = 0;
		c->size = size;
		out->chunks = c;
	}
	p = c->bytes + c->used;
	c->used += n;
	return p;
}

void *out_dup(struct gossip_out *out, const void *p, size_t n)
{
	void *q = out_alloc(out, n);

	if (n)
		memcpy(q, p, n);
	return q;
}

static void chunks_free(struct gossip_chunk *c)
{
	while (c) {
		struct gossip_chunk *next = c->next;

		free(c);
		c = next;
	}
}

void gossip_out_reset(struct gossip_out *out)
{
	struct gossip_chunk *keep = out->chunks;

	if (keep) {
		chunks_free(keep->next);
		keep->next = NULL;
		keep->used = 0;
		if (keep->size > CHUNK_BYTES) {
			free(keep);
			out->chunks = NULL;
		}
	}
	out->n_dgrams = out->n_mesh = out->n_events = 0;
	out->persist_incarnation = 0;
	out->facts_changed = false;
}

void gossip_out_fini(struct gossip_out *out)
{
	chunks_free(out->chunks);
	free(out->dgrams);
	free(out->mesh);
	free(out->events);
	*out = (struct gossip_out){ 0 };
}

struct gossip_event *out_event(struct gossip_out *out, enum gossip_event_kind kind)
{
	out->events = mem_grow(out->events, &out->cap_events, out->n_events, sizeof(*out->events));
	out->events[out->n_events] = (struct gossip_event){ .kind = kind };
	return &out->events[out->n_events++];
}

struct gossip_mesh *out_mesh(struct gossip *g, const struct node_id *to, enum gossip_sync_kind kind,
                             struct gossip_out *out)
{
	struct gossip_mesh *m;

	out->mesh = mem_grow(out->mesh, &out->cap_mesh, out->n_mesh, sizeof(*out->mesh));
	m = &out->mesh[out->n_mesh++];
	*m = (struct gossip_mesh){ .to = *to, .sync.kind = kind };
	g->counts.mesh_out++;
	return m;
}

struct gossip_dgram *out_dgram(struct gossip *g, const struct addr *to, enum gossip_form form, const uint8_t *boot,
                               enum gossip_msg_kind kind, struct gossip_out *out)
{
	struct gossip_dgram *d;

	out->dgrams = mem_grow(out->dgrams, &out->cap_dgrams, out->n_dgrams, sizeof(*out->dgrams));
	d = &out->dgrams[out->n_dgrams++];
	*d = (struct gossip_dgram){ .to = *to, .form = form, .msg.kind = kind };
	if (boot)
		memcpy(d->to_boot, boot, BOOT_LEN);
	if (form == GOSSIP_FAR)
		d->msg.from = g->self.id;
	g->counts.dgrams_out++;
	return d;
}

const struct card *out_card(struct gossip_out *out, const struct card *c)
{
	return out_dup(out, c, sizeof(*c));
}
