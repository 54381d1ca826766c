/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes as director-target is told of them: plain, as a leg, over legs, forwarded to where they are served, striped. */
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/lunurl.h"
#include "cluster/plan_int.h"
#include "cluster/volume.h"

#define ACCESS_OPTIMIZED 0
#define ACCESS_NON_OPTIMIZED 1
#define GROUPS_MAX 32           /* TARGET_GROUPS_MAX */

const char *plan_name(const char *path)
{
	return path_below(path, "/volumes") && path[8] ? path + 9 : path_name(path);
}

void plan_params(const struct object *o, struct attrs *out)
{
	static const char *const ours[] = { "comment", "node", "device", "allow-shrink", "size", "alias", "copies", "stripe",
		"want", "scrub-asked", "resync-limit", "scrub-limit", "part-of", "replaces" };

	attrs_copy(out, &o->attrs);
	for (const struct schema_param *p = o->type->params; p->name; p++) {
		if (p->flags & PARAM_MACHINE)
			attrs_set(out, p->name, NULL);
		else if (p->value && !(p->flags & PARAM_OBSERVED) && !attrs_get(out, p->name))
			attrs_set(out, p->name, p->value);
	}
	for (unsigned i = 0; i < ARRAY_LEN(ours); i++)
		attrs_set(out, ours[i], NULL);
}

static struct plan_action action_of(enum plan_kind kind, const struct object *o, const char *backstore)
{
	struct plan_action a = {
		.kind = kind, .path = mem_strdup(o->path), .name = mem_strdup(plan_name(o->path)), .generation = o->generation,
		.size = schema_get_uint(o->type, &o->attrs, "size"), .backstore = mem_strdup(backstore),
	};

	memcpy(a.uuid, o->uuid, sizeof(a.uuid));
	return a;
}

/* What initiators see of it is the volume's, whatever it lies on. */
static void params_seen(const struct object *volume, struct attrs *out)
{
	attrs_set(out, "block-size", schema_get(volume->type, &volume->attrs, "block-size"));
	attrs_set(out, "read-only", schema_get(volume->type, &volume->attrs, "read-only"));
}

static void child_add(struct plan_action *a, const uint8_t uuid[16], const char *portals, uint64_t epoch, uint32_t key)
{
	struct plan_child *c;

	a->child = mem_grow(a->child, &a->cap_child, a->n_child, sizeof(*a->child));
	c = &a->child[a->n_child++];
	*c = (struct plan_child){ .portals = mem_strdup(portals), .epoch = epoch, .key = portals ? key : 0 };
	memcpy(c->uuid, uuid, 16);
}

struct plan_action plan_plain(enum plan_kind kind, const struct object *o)
{
	struct plan_action a = action_of(kind, o, schema_get(o->type, &o->attrs, "backstore"));

	plan_params(o, &a.params);
	a.inner = PLAN_INNER_SERVED;
	a.epoch = 1;
	return a;
}

struct plan_action plan_leg(enum plan_kind kind, const struct object *volume, const struct object *leg)
{
	struct plan_action a = action_of(kind, leg, schema_get(leg->type, &leg->attrs, "backstore"));

	plan_params(leg, &a.params);
	params_seen(volume, &a.params);
	attrs_set(&a.params, "read-only", NULL);
	a.size = schema_get_uint(volume->type, &volume->attrs, "size") + VOLUME_LEG_META;
	a.inner = PLAN_INNER_LEG;
	a.in_front = schema_get_uint(leg->type, &leg->attrs, "in-front");
	memcpy(a.was, volume->uuid, 16);
	return a;
}

/* Storage that takes blocks back: what initiators see of the volume must be the same at every node. */
static bool is_thin(const struct tree *t, const struct object *o)
{
	static const char *const thin[] = { "file", "ram", "null" };
	const struct object *leg = volume_has_legs(o) ? volume_leg(t, o, NULL) : o, *l = NULL;
	const char *backstore = leg ? schema_get(leg->type, &leg->attrs, "backstore") : "";

	while (leg != o && (l = volume_leg(t, o, l)))
		if (attrs_get(&l->attrs, "lun"))
			return false;

	for (unsigned i = 0; i < ARRAY_LEN(thin); i++)
		if (strcmp(backstore, thin[i]) == 0)
			return true;
	return false;
}

struct plan_action plan_forward(enum plan_kind kind, const struct tree *t, const struct object *o, const struct plan_node *at, uint64_t epoch, uint32_t key)
{
	struct plan_action a = action_of(kind, o, "iscsi");

	params_seen(o, &a.params);
	attrs_set(&a.params, "p.thin", is_thin(t, o) ? "yes" : NULL);
	a.forwards = true;
	a.epoch = epoch;
	child_add(&a, o->uuid, at->inner, epoch, key);
	return a;
}

struct plan_action plan_stripe(enum plan_kind kind, const struct tree *t, const struct object *o)
{
	struct plan_action a = action_of(kind, o, "stripe");
	const struct object *shard;

	params_seen(o, &a.params);
	for (const struct attr *p = o->attrs.a; p < o->attrs.a + o->attrs.n; p++)
		if (strncmp(p->key, SCHEMA_PLUGIN_PREFIX, strlen(SCHEMA_PLUGIN_PREFIX)) == 0)
			attrs_set(&a.params, p->key, p->value);
	for (unsigned i = 0; (shard = volume_shard(t, o, i)) != NULL; i++)
		child_add(&a, shard->uuid, NULL, 0, 0);
	return a;
}

/* ---- served by this node ---- */

/* Does storage that is made for it hold zeroes? What people name holds what it held. */
static bool made_blank(const struct object *leg)
{
	static const char *const blank[] = { "file", "ram", "null" };
	const char *backstore = schema_get(leg->type, &leg->attrs, "backstore");

	for (unsigned i = 0; i < ARRAY_LEN(blank); i++)
		if (strcmp(backstore, blank[i]) == 0)
			return !attrs_get(&leg->attrs, "path");
	return false;
}

/*
 * A mask of the legs that may be blank, before the volume was served: legs that are made with it are called in sync, and are so if all
 * of them hold zeroes. Of those whose content nobody knows one counts, if there is no other, and the rest are copied to.
 */
static unsigned legs_first(const struct tree *t, const struct object *o, const struct own_row *row, const struct plan_node *self)
{
	unsigned in = 0, blank = 0, own = 0;

	for (unsigned i = 0; i < row->n_leg && !row->begun; i++) {
		const struct object *leg = o ? volume_leg_by_uuid(t, o, row->leg[i].uuid) : NULL;

		if (row->leg[i].state != OWN_LEG_IN)
			continue;
		in |= 1u << i;
		if (self && node_id_eq(&row->leg[i].node, &self->id))
			own = 1u << i;
		if (!leg || made_blank(leg))
			blank |= 1u << i;
	}
	return blank ? blank : own ? own : in & -in;
}

/* What may stand where a volume without copies gets its metadata, behind its data, was never a part of it. */
static bool was_plain(const struct tree *t, const struct object *o, const struct own_leg *l)
{
	const struct object *leg = o ? volume_leg_by_uuid(t, o, l->uuid) : NULL;

	return leg && attrs_get(&leg->attrs, "in-front");
}

static void legs_text(const struct tree *t, const struct object *o, const struct own_row *row, unsigned gone, unsigned first, const char *self,
		      const struct plan_nodes *nodes, struct buf *out)
{
	static const char *const states[] = { [OWN_LEG_NEW] = "new", [OWN_LEG_OUT] = "out" };

	for (unsigned i = 0; i < row->n_leg; i++) {
		const struct own_leg *l = &row->leg[i];
		const struct plan_node *at = plan_node(nodes, &l->node);
		const char *state = l->state != OWN_LEG_IN ? states[l->state] : first >> i & 1 ? was_plain(t, o, l) ? "taken" : "first" : gone >> i & 1 ? "gone" : "in";
		char uuid[37];

		buf_printf(out, "%s%s:%s:%" PRIu64 ":%" PRIu64 ":%" PRIu64 ":%s", i ? "," : "", text_uuid(l->uuid, uuid), state, l->turn,
			   l->member, l->since, at && strcmp(at->name, self) == 0 ? "local" : "remote");
	}
}

/* ---- a leg on a LUN of a foreign target ---- */

/* What tells claims of this cluster, or of this leg, from those of others. */
static void claim_tag(const void *of, size_t n, char out[5])
{
	uint8_t h[crypto_generichash_BYTES_MIN];

	crypto_generichash(h, sizeof(h), of, n, NULL, 0);
	snprintf(out, 5, "%02x%02x", h[0], h[1]);
}

static void claim_text(const struct tree *t, const struct object *leg, char out[9])
{
	const struct object *cluster = tree_get(t, "/cluster");
	const char *lineage = cluster ? attrs_get(&cluster->attrs, "lineage") : NULL;

	claim_tag(lineage ? lineage : "", lineage ? strlen(lineage) : 0, out);
	claim_tag(leg->uuid, sizeof(leg->uuid), out + 4);
}

/* The claims of all other legs of the kind: what lies under any other one of this cluster is nobody's any more. */
static void other_claims(const struct tree *t, const struct object *than, struct attrs *out)
{
	const struct object *v = NULL, *leg;
	struct buf all = { 0 };
	char claim[9];

	while ((v = volume_next(t, v)))
		for (leg = NULL; (leg = volume_leg(t, v, leg));)
			if (leg != than && attrs_get(&leg->attrs, "lun")) {
				claim_text(t, leg, claim);
				buf_printf(&all, "%s%s", all.len ? "," : "", claim);
			}
	attrs_set(out, "others", all.len ? buf_str(&all) : NULL);
	buf_fini(&all);
}

static void child_lun(struct plan_action *a, const struct tree *t, const struct object *leg, const struct own_row *row, unsigned i,
		      const char *self)
{
	struct plan_child *c = &a->child[a->n_child - 1];
	const char *url = attrs_get(&leg->attrs, "lun");
	const struct own_leg *l = &row->leg[i];
	char text[256], claim[9];
	struct lunurl u;

	for (const struct attr *p = leg->attrs.a; p < leg->attrs.a + leg->attrs.n; p++)
		if (strncmp(p->key, SCHEMA_PLUGIN_PREFIX, strlen(SCHEMA_PLUGIN_PREFIX)) == 0 && *p->value)
			attrs_set(&c->lun, p->key + strlen(SCHEMA_PLUGIN_PREFIX), p->value);
	if (lunurl_parse(url ? url : "", &u, NULL) == 0) {
		attrs_set(&c->lun, "portal", u.portal);
		attrs_set(&c->lun, "target", u.target);
		snprintf(text, sizeof(text), "%u", u.lun);
		attrs_set(&c->lun, "lun", text);
	}
	if (!attrs_get(&c->lun, "initiator")) {
		snprintf(text, sizeof(text), "iqn.2026-11.org.director:%.200s", self);
		attrs_set(&c->lun, "initiator", text);
	}
	claim_text(t, leg, claim);
	attrs_set(&c->lun, "claim", claim);
	snprintf(text, sizeof(text), "%" PRIu64, a->size + VOLUME_LEG_META);
	attrs_set(&c->lun, "size", text);
	if (l->state == OWN_LEG_NEW || (l->state == OWN_LEG_IN && !row->begun)) {
		attrs_set(&c->lun, "fresh", l->state == OWN_LEG_NEW ? "take" : "blank");
		other_claims(t, leg, &c->lun);
	}
}

struct plan_action plan_serve(enum plan_kind kind, const struct tree *t, const struct object *o, const struct own_row *row, unsigned gone,
			      const char *self, const struct plan_nodes *nodes)
{
	struct plan_action a = { .kind = kind };
	struct buf legs = { 0 };
	char uuid[37];

	if (o) {
		a = action_of(kind, o, "mirror");
		params_seen(o, &a.params);
	} else {
		a.path = mem_printf("/volumes/%s", text_uuid(row->uuid, uuid));
		a.name = mem_strdup(uuid);
		memcpy(a.uuid, row->uuid, 16);
	}
	a.epoch = row->epoch;
	a.inner = PLAN_INNER_SERVED;
	a.leased = a.fail_over = a.keeps = true;
	if (kind == PLAN_FREEZE || kind == PLAN_HOLD)
		return a;
	legs_text(t, o, row, gone, legs_first(t, o, row, plan_node_named(nodes, self)), self, nodes, &legs);
	attrs_set(&a.params, "p.uuid", text_uuid(row->uuid, uuid));
	attrs_set(&a.params, "p.legs", buf_str(&legs));
	attrs_set(&a.params, "p.scrub", o ? attrs_get(&o->attrs, "scrub-asked") : NULL);
	attrs_set(&a.params, "p.rate", o ? attrs_get(&o->attrs, "resync-limit") : NULL);
	attrs_set(&a.params, "p.scrub-rate", o ? attrs_get(&o->attrs, "scrub-limit") : NULL);
	buf_fini(&legs);
	for (unsigned i = 0; i < row->n_leg; i++) {
		const struct plan_node *at = plan_node(nodes, &row->leg[i].node);
		const struct object *leg = row->leg[i].lun && o ? volume_leg_by_uuid(t, o, row->leg[i].uuid) : NULL;
		bool here = at && strcmp(at->name, self) == 0;

		/* Not known where: a place where nobody answers, and the leg counts as missing. */
		child_add(&a, row->leg[i].uuid, here ? NULL : at && at->inner ? at->inner : "127.0.0.1:1", row->epoch,
			  nodes ? nodes->key : 0);
		if (leg)
			child_lun(&a, t, leg, row, i, self);
	}
	plan_groups(&a, nodes, plan_node_named(nodes, self), self);
	plan_volume_hash(&a);
	return a;
}

/* ---- access states ---- */

/* Who serves it and this node first, then those that are up: of more nodes than there may be groups some are left out. */
static unsigned group_rank(const struct plan_node *n, const struct plan_node *at, const char *self)
{
	return n == at || strcmp(n->name, self) == 0 ? 0 : n->up ? 1 : 2;
}

bool plan_groups_choose(const struct plan_nodes *nodes)
{
	unsigned n = 0;

	for (unsigned i = 0; nodes && i < nodes->n; i++)
		n += nodes->node[i].group != 0;
	return n > GROUPS_MAX;
}

void plan_groups(struct plan_action *a, const struct plan_nodes *nodes, const struct plan_node *at, const char *self)
{
	unsigned room[3] = { 0 }, left = GROUPS_MAX;

	for (unsigned i = 0; nodes && i < nodes->n; i++)
		if (nodes->node[i].group)
			room[group_rank(&nodes->node[i], at, self)]++;
	for (unsigned k = 0; k < ARRAY_LEN(room); k++) {
		if (room[k] > left)
			room[k] = left;
		left -= room[k];
	}
	for (unsigned i = 0; nodes && i < nodes->n; i++) {
		const struct plan_node *n = &nodes->node[i];
		unsigned *r = &room[group_rank(n, at, self)];

		if (!n->group || !*r)
			continue;
		--*r;
		a->group = mem_grow(a->group, &a->cap_group, a->n_group, sizeof(*a->group));
		a->group[a->n_group++] = (struct plan_group){ .id = n->group, .preferred = n == at,
			.state = n == at ? ACCESS_OPTIMIZED : ACCESS_NON_OPTIMIZED };
	}
}

static void feed(crypto_generichash_state *st, const char *s)
{
	crypto_generichash_update(st, (const uint8_t *)s, strlen(s) + 1);
}

/* As "%llu" would: this is done for each volume when director-target begins anew. */
static void put_uint(struct buf *b, const char *before, uint64_t v)
{
	char text[24], *p = text + sizeof(text) - 1;

	for (*p = '\0'; v || !*p; v /= 10)
		*--p = (char)('0' + v % 10);
	buf_puts(b, before);
	buf_puts(b, p);
}

void plan_volume_hash(struct plan_action *a)
{
	crypto_generichash_state st;
	struct buf b = { 0 };

	crypto_generichash_init(&st, NULL, 0, sizeof(a->hash));
	feed(&st, a->backstore ? a->backstore : "");
	for (unsigned i = 0; i < a->params.n; i++) {
		feed(&st, a->params.a[i].key);
		feed(&st, a->params.a[i].value);
	}
	put_uint(&b, "", a->epoch);
	put_uint(&b, " ", a->inner);
	put_uint(&b, "", a->leased);
	put_uint(&b, "", a->fail_over);
	put_uint(&b, "", a->keeps);
	buf_puts(&b, a->apart ? " apart" : "");
	if (a->leased || a->forwards)
		put_uint(&b, " ", a->size);
	for (unsigned i = 0; i < a->n_group; i++) {
		put_uint(&b, " ", a->group[i].id);
		put_uint(&b, "=", a->group[i].state);
		put_uint(&b, "", a->group[i].preferred);
	}
	for (unsigned i = 0; i < a->n_child; i++) {
		crypto_generichash_update(&st, a->child[i].uuid, 16);
		buf_printf(&b, " %s %" PRIu32, a->child[i].portals ? a->child[i].portals : "", a->child[i].key);
		for (unsigned k = 0; k < a->child[i].lun.n; k++) {
			feed(&st, a->child[i].lun.a[k].key);
			feed(&st, a->child[i].lun.a[k].value);
		}
	}
	feed(&st, buf_str(&b));
	crypto_generichash_final(&st, a->hash, sizeof(a->hash));
	buf_fini(&b);
}

/* ---- portals ---- */

static bool is_any(const struct addr *a)
{
	static const uint8_t zero[16];

	return memcmp(a->ip, zero, sizeof(zero)) == 0;
}

/* The next of a list with spaces; false: no more. */
static bool address_next(const char **list, struct addr *a)
{
	char text[64];

	while (*list && **list) {
		size_t n = strcspn(*list, " ");

		snprintf(text, sizeof(text), "%.*s", (int)(n < 63 ? n : 63), *list);
		*list += n + strspn(*list + n, " ");
		if (addr_parse(text, 0, a) == 0)
			return true;
	}
	return false;
}

bool plan_portal_of(const char *addresses, const char *portal)
{
	struct addr a, own;

	if (addr_parse(portal, 0, &a) < 0 || is_any(&a))
		return true;
	while (address_next(&addresses, &own))
		if (own.family == a.family && memcmp(own.ip, a.ip, sizeof(own.ip)) == 0)
			return true;
	return false;
}

bool plan_portal_here(const struct plan_nodes *nodes, const char *self, const char *portal)
{
	const struct plan_node *me = plan_node_named(nodes, self);

	/* What is not known cannot be judged. */
	return !me || !me->addresses || plan_portal_of(me->addresses, portal);
}

static void elsewhere_add(struct plan_action *a, const struct plan_node *n, const struct addr *at)
{
	char text[64];

	if (a->n_elsewhere == ELSEWHERE_MAX)
		return;
	a->elsewhere = mem_grow(a->elsewhere, &a->cap_elsewhere, a->n_elsewhere, sizeof(*a->elsewhere));
	a->elsewhere[a->n_elsewhere++] = (struct plan_elsewhere){ .address = mem_strdup(addr_text(at, text)), .tag = n->group };
}

static void node_portals(struct plan_action *a, const struct plan_node *n, const struct addr *p)
{
	const char *list = n->addresses;
	struct addr own;

	while (address_next(&list, &own)) {
		bool same = own.family == p->family && memcmp(own.ip, p->ip, sizeof(p->ip)) == 0;

		/* [::] takes both families. */
		if (!same && !(is_any(p) && (p->family == 6 || own.family == 4)))
			continue;
		own.port = p->port;
		elsewhere_add(a, n, &own);
	}
}

/* What a wildcard of this node is reached by is said too, and first: an initiator may have come by one address that goes. */
void plan_elsewhere(struct plan_action *a, const struct plan_nodes *nodes, const char *self, const char *portal)
{
	const struct plan_node *me = nodes ? plan_node_named(nodes, self) : NULL;
	struct addr p;

	if (!nodes || addr_parse(portal, 0, &p) < 0)
		return;
	if (me && me->group && is_any(&p))
		node_portals(a, me, &p);
	for (unsigned i = 0; i < nodes->n; i++) {
		const struct plan_node *n = &nodes->node[i];

		if (n != me && n->up && n->inner && n->group)
			node_portals(a, n, &p);
	}
}
