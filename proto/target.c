/* SPDX-License-Identifier: Apache-2.0 */
/* proto/target.h as bytes. */
#include "proto/target.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "proto/target.pb-c.h"

/* ---- plain structs ---- */

static void params_fini(struct target_param *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		free(p[i].key);
		free(p[i].value);
	}
	free(p);
}

void target_store_fini(struct target_store *s)
{
	free(s->plugin);
	params_fini(s->params, s->n_params);
	for (unsigned i = 0; i < s->n_children; i++)
		target_store_fini(&s->children[i]);
	free(s->children);
	memset(s, 0, sizeof(*s));
}

void target_store_copy(struct target_store *to, const struct target_store *from)
{
	memset(to, 0, sizeof(*to));
	to->plugin = mem_strdup(from->plugin);
	to->n_params = from->n_params;
	to->params = mem_zalloc((from->n_params + 1) * sizeof(*to->params));
	for (unsigned i = 0; i < from->n_params; i++) {
		to->params[i].key = mem_strdup(from->params[i].key);
		to->params[i].value = mem_strdup(from->params[i].value);
	}
	to->n_children = from->n_children;
	to->children = mem_zalloc((from->n_children + 1) * sizeof(*to->children));
	for (unsigned i = 0; i < from->n_children; i++)
		target_store_copy(&to->children[i], &from->children[i]);
}

static bool str_eq(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

bool target_store_eq(const struct target_store *a, const struct target_store *b)
{
	if (!str_eq(a->plugin, b->plugin) || a->n_params != b->n_params || a->n_children != b->n_children)
		return false;
	for (unsigned i = 0; i < a->n_params; i++)
		if (!str_eq(a->params[i].key, b->params[i].key) ||
			!str_eq(a->params[i].value, b->params[i].value))
			return false;
	for (unsigned i = 0; i < a->n_children; i++)
		if (!target_store_eq(&a->children[i], &b->children[i]))
			return false;
	return true;
}

void target_volume_fini(struct target_volume *v)
{
	free(v->name);
	free(v->error);
	free(v->groups);
	target_store_fini(&v->store);
	memset(v, 0, sizeof(*v));
}

void target_volume_copy(struct target_volume *to, const struct target_volume *from)
{
	*to = *from;
	to->name = mem_strdup(from->name);
	to->error = mem_strdup(from->error);
	to->groups = from->n_groups ? mem_dup(from->groups, from->n_groups * sizeof(*to->groups)) : NULL;
	target_store_copy(&to->store, &from->store);
}

static void wipe_free(char *secret)
{
	if (secret)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

static void host_fini(struct target_host *h)
{
	free(h->initiator);
	free(h->user);
	free(h->mutual_user);
	wipe_free(h->secret);
	wipe_free(h->mutual_secret);
}

void target_def_fini(struct target_def *t)
{
	free(t->iqn);
	free(t->alias);
	free(t->luns);
	for (unsigned i = 0; i < t->n_hosts; i++)
		host_fini(&t->hosts[i]);
	free(t->hosts);
	for (unsigned i = 0; i < t->n_portals; i++)
		free(t->portals[i]);
	free(t->portals);
	for (unsigned i = 0; i < t->n_elsewhere; i++)
		free(t->elsewhere[i].address);
	free(t->elsewhere);
	free(t->moved_to);
	free(t->error);
	memset(t, 0, sizeof(*t));
}

void target_def_copy(struct target_def *to, const struct target_def *from)
{
	*to = *from;
	to->iqn = mem_strdup(from->iqn);
	to->alias = mem_strdup(from->alias);
	to->moved_to = mem_strdup(from->moved_to);
	to->error = mem_strdup(from->error);
	to->luns = mem_alloc((from->n_luns + 1) * sizeof(*to->luns));
	if (from->n_luns)
		memcpy(to->luns, from->luns, from->n_luns * sizeof(*to->luns));
	to->hosts = mem_zalloc((from->n_hosts + 1) * sizeof(*to->hosts));
	for (unsigned i = 0; i < from->n_hosts; i++) {
		to->hosts[i].initiator = mem_strdup(from->hosts[i].initiator);
		to->hosts[i].user = mem_strdup(from->hosts[i].user);
		to->hosts[i].secret = mem_strdup(from->hosts[i].secret);
		to->hosts[i].mutual_user = mem_strdup(from->hosts[i].mutual_user);
		to->hosts[i].mutual_secret = mem_strdup(from->hosts[i].mutual_secret);
	}
	to->portals = mem_zalloc((from->n_portals + 1) * sizeof(*to->portals));
	for (unsigned i = 0; i < from->n_portals; i++)
		to->portals[i] = mem_strdup(from->portals[i]);
	to->elsewhere = mem_zalloc((from->n_elsewhere + 1) * sizeof(*to->elsewhere));
	for (unsigned i = 0; i < from->n_elsewhere; i++)
		to->elsewhere[i] = (struct target_elsewhere){ mem_strdup(from->elsewhere[i].address), from->elsewhere[i].tag };
}

void target_session_fini(struct target_session *s)
{
	free(s->initiator);
	free(s->target);
	free(s->alias);
	free(s->isid);
	free(s->address);
	free(s->portal);
	memset(s, 0, sizeof(*s));
}

void target_session_copy(struct target_session *to, const struct target_session *from)
{
	*to = *from;
	to->initiator = mem_strdup(from->initiator);
	to->target = mem_strdup(from->target);
	to->alias = mem_strdup(from->alias);
	to->isid = mem_strdup(from->isid);
	to->address = mem_strdup(from->address);
	to->portal = mem_strdup(from->portal);
}

void target_msg_fini(struct target_msg *m)
{
	struct target_list *l = &m->list;

	free(m->text);
	free(m->hello.software);
	target_volume_fini(&m->volume);
	target_def_fini(&m->target);
	for (unsigned i = 0; i < l->n_volumes; i++)
		target_volume_fini(&l->volumes[i]);
	for (unsigned i = 0; i < l->n_targets; i++)
		target_def_fini(&l->targets[i]);
	for (unsigned i = 0; i < l->n_sessions; i++)
		target_session_fini(&l->sessions[i]);
	for (unsigned i = 0; i < l->n_portals; i++)
		free(l->portals[i]);
	free(l->volumes);
	free(l->targets);
	free(l->sessions);
	free(l->portals);
	target_session_fini(&m->event.session);
	free(m->event.text);
	free(m->event.blob);
	free(m->leases);
	for (unsigned i = 0; i < m->inner.n_portals; i++)
		free(m->inner.portals[i]);
	free(m->inner.portals);
	explicit_bzero(m->inner.keys, sizeof(m->inner.keys));
	free(m->blob);
	memset(m, 0, sizeof(*m));
}

const char *target_state_name(enum target_state s)
{
	static const char *const names[] = { "none", "creating", "ready", "failed", "deleting" };

	return (unsigned)s < ARRAY_LEN(names) ? names[s] : "unknown";
}

/* ---- to the wire: the protobuf structs borrow our strings, and are freed shallowly ---- */

/* Everything that encoding allocates hangs on one chain. */
struct arena {
	void **p;
	unsigned n, cap;
};

static void *take(struct arena *a, size_t n)
{
	a->p = mem_grow(a->p, &a->cap, a->n, sizeof(*a->p));
	return a->p[a->n++] = mem_zalloc(n ? n : 1);
}

static char *out(const char *s)
{
	return s ? (char *)s : (char *)protobuf_c_empty_string;
}

static ProtobufCBinaryData uuid_out(const uint8_t *uuid)
{
	return (ProtobufCBinaryData){ 16, (uint8_t *)uuid };
}

static Director__TargetStore *store_out(struct arena *a, const struct target_store *s)
{
	Director__TargetStore *p = take(a, sizeof(*p));

	director__target_store__init(p);
	p->plugin = out(s->plugin);
	p->n_params = s->n_params;
	p->params = take(a, s->n_params * sizeof(*p->params));
	for (unsigned i = 0; i < s->n_params; i++) {
		p->params[i] = take(a, sizeof(**p->params));
		director__target_param__init(p->params[i]);
		p->params[i]->key = out(s->params[i].key);
		p->params[i]->value = out(s->params[i].value);
	}
	p->n_children = s->n_children;
	p->children = take(a, s->n_children * sizeof(*p->children));
	for (unsigned i = 0; i < s->n_children; i++)
		p->children[i] = store_out(a, &s->children[i]);
	return p;
}

static Director__TargetVolume *volume_out(struct arena *a, const struct target_volume *v)
{
	Director__TargetVolume *p = take(a, sizeof(*p));

	director__target_volume__init(p);
	p->uuid = uuid_out(v->uuid);
	p->name = out(v->name);
	if (v->store.plugin)
		p->store = store_out(a, &v->store);
	p->size = v->size;
	p->block_size = v->block_size;
	p->read_only = v->read_only;
	p->generation = v->generation;
	p->epoch = v->epoch;
	p->removable = v->removable;
	p->implicit_only = v->implicit_only;
	p->leased = v->leased;
	p->inner = (uint32_t)v->inner;
	p->fail_over = v->fail_over;
	p->apart = v->apart;
	p->agreed = v->agreed;
	p->lease_ms = v->lease_ms;
	p->keeps = v->keeps;
	p->n_groups = v->n_groups;
	p->groups = take(a, v->n_groups * sizeof(*p->groups));
	for (unsigned i = 0; i < v->n_groups; i++) {
		p->groups[i] = take(a, sizeof(**p->groups));
		director__target_group__init(p->groups[i]);
		p->groups[i]->id = v->groups[i].id;
		p->groups[i]->state = v->groups[i].state;
		p->groups[i]->preferred = v->groups[i].preferred;
	}
	p->state = (uint32_t)v->state;
	p->error = out(v->error);
	p->reads = v->reads;
	p->writes = v->writes;
	p->read_bytes = v->read_bytes;
	p->write_bytes = v->write_bytes;
	p->errors = v->errors;
	return p;
}

static Director__TargetDef *def_out(struct arena *a, const struct target_def *t)
{
	Director__TargetDef *p = take(a, sizeof(*p));

	director__target_def__init(p);
	p->uuid = uuid_out(t->uuid);
	p->iqn = out(t->iqn);
	p->alias = out(t->alias);
	p->error = out(t->error);
	p->moved_to = out(t->moved_to);
	p->moved_for_good = t->moved_for_good;
	p->tag = t->tag;
	p->generation = t->generation;
	p->n_luns = t->n_luns;
	p->luns = take(a, t->n_luns * sizeof(*p->luns));
	for (unsigned i = 0; i < t->n_luns; i++) {
		p->luns[i] = take(a, sizeof(**p->luns));
		director__target_lun__init(p->luns[i]);
		p->luns[i]->lun = t->luns[i].lun;
		p->luns[i]->volume = uuid_out(t->luns[i].volume);
		p->luns[i]->read_only = t->luns[i].read_only;
	}
	p->n_hosts = t->n_hosts;
	p->hosts = take(a, t->n_hosts * sizeof(*p->hosts));
	for (unsigned i = 0; i < t->n_hosts; i++) {
		p->hosts[i] = take(a, sizeof(**p->hosts));
		director__target_host__init(p->hosts[i]);
		p->hosts[i]->initiator = out(t->hosts[i].initiator);
		p->hosts[i]->user = out(t->hosts[i].user);
		p->hosts[i]->secret = out(t->hosts[i].secret);
		p->hosts[i]->mutual_user = out(t->hosts[i].mutual_user);
		p->hosts[i]->mutual_secret = out(t->hosts[i].mutual_secret);
	}
	p->n_portals = t->n_portals;
	p->portals = t->portals;
	p->n_elsewhere = t->n_elsewhere;
	p->elsewhere = take(a, t->n_elsewhere * sizeof(*p->elsewhere));
	for (unsigned i = 0; i < t->n_elsewhere; i++) {
		p->elsewhere[i] = take(a, sizeof(**p->elsewhere));
		director__target_elsewhere__init(p->elsewhere[i]);
		p->elsewhere[i]->address = out(t->elsewhere[i].address);
		p->elsewhere[i]->tag = t->elsewhere[i].tag;
	}
	return p;
}

static Director__TargetSession *session_out(struct arena *a, const struct target_session *s)
{
	Director__TargetSession *p = take(a, sizeof(*p));

	director__target_session__init(p);
	p->id = s->id;
	p->initiator = out(s->initiator);
	p->target = out(s->target);
	p->alias = out(s->alias);
	p->isid = out(s->isid);
	p->tsih = s->tsih;
	p->address = out(s->address);
	p->portal = out(s->portal);
	p->commands = s->commands;
	p->read_bytes = s->read_bytes;
	p->write_bytes = s->write_bytes;
	p->errors = s->errors;
	p->age_ms = s->age_ms;
	p->connections = s->connections;
	return p;
}

static Director__TargetList *list_out(struct arena *a, const struct target_list *l)
{
	Director__TargetList *p = take(a, sizeof(*p));

	director__target_list__init(p);
	p->n_volumes = l->n_volumes;
	p->volumes = take(a, l->n_volumes * sizeof(*p->volumes));
	for (unsigned i = 0; i < l->n_volumes; i++)
		p->volumes[i] = volume_out(a, &l->volumes[i]);
	p->n_targets = l->n_targets;
	p->targets = take(a, l->n_targets * sizeof(*p->targets));
	for (unsigned i = 0; i < l->n_targets; i++)
		p->targets[i] = def_out(a, &l->targets[i]);
	p->n_sessions = l->n_sessions;
	p->sessions = take(a, l->n_sessions * sizeof(*p->sessions));
	for (unsigned i = 0; i < l->n_sessions; i++)
		p->sessions[i] = session_out(a, &l->sessions[i]);
	p->n_portals = l->n_portals;
	p->portals = l->portals;
	return p;
}

static Director__TargetHello *hello_out(struct arena *a, const struct target_hello *h)
{
	Director__TargetHello *p = take(a, sizeof(*p));

	director__target_hello__init(p);
	p->version = h->version;
	p->pid = h->pid;
	p->instance = uuid_out(h->instance);
	p->software = out(h->software);
	return p;
}

static Director__TargetEvent *event_out(struct arena *a, const struct target_event *e)
{
	Director__TargetEvent *p = take(a, sizeof(*p));

	director__target_event__init(p);
	p->kind = (uint32_t)e->kind;
	p->seq = e->seq;
	if (e->kind == TARGET_EV_SESSION_UP || e->kind == TARGET_EV_SESSION_DOWN)
		p->session = session_out(a, &e->session);
	p->volume = uuid_out(e->volume);
	p->what = e->what;
	p->value = e->value;
	p->of = e->of;
	p->epoch = e->epoch;
	p->blob = (ProtobufCBinaryData){ e->n_blob, e->blob };
	p->text = out(e->text);
	return p;
}

static Director__TargetInner *inner_out(struct arena *a, const struct target_inner *in)
{
	Director__TargetInner *p = take(a, sizeof(*p));

	director__target_inner__init(p);
	p->n_portals = in->n_portals;
	p->portals = in->portals;
	p->n_keys = in->n_keys;
	p->keys = take(a, in->n_keys * sizeof(*p->keys));
	for (unsigned i = 0; i < in->n_keys; i++)
		p->keys[i] = (ProtobufCBinaryData){ TARGET_KEY_LEN, (uint8_t *)in->keys[i] };
	return p;
}

static void leases_out(struct arena *a, const struct target_msg *m, Director__TargetMsg *p)
{
	p->n_leases = m->n_leases;
	p->leases = take(a, m->n_leases * sizeof(*p->leases));
	for (unsigned i = 0; i < m->n_leases; i++) {
		p->leases[i] = take(a, sizeof(**p->leases));
		director__target_lease__init(p->leases[i]);
		p->leases[i]->volume = uuid_out(m->leases[i].volume);
		p->leases[i]->epoch = m->leases[i].epoch;
		p->leases[i]->until_ms = m->leases[i].until_ms;
	}
}

/* Kinds that name a volume, though nothing else of it may be set. */
static bool names_volume(enum target_msg_kind kind)
{
	return kind == TARGET_VOLUME_CLOSE || kind == TARGET_VOLUME_DESTROY || kind == TARGET_ACCESS_SET ||
	       (kind >= TARGET_VOLUME_FREEZE && kind <= TARGET_VOLUME_KEEP);
}

static bool has_list(const struct target_list *l)
{
	return l->n_volumes || l->n_targets || l->n_sessions || l->n_portals;
}

void target_msg_encode(const struct target_msg *m, struct buf *to)
{
	Director__TargetMsg p = DIRECTOR__TARGET_MSG__INIT;
	struct arena a = { 0 };
	uint8_t *b;
	size_t n;

	p.kind = (uint32_t)m->kind;
	p.id = m->id;
	p.err = m->err;
	p.text = out(m->text);
	p.number = m->number;
	if (m->hello.version)
		p.hello = hello_out(&a, &m->hello);
	if (m->volume.name || m->volume.store.plugin || m->volume.size || names_volume(m->kind))
		p.volume = volume_out(&a, &m->volume);
	if (m->target.iqn)
		p.target = def_out(&a, &m->target);
	if (has_list(&m->list))
		p.list = list_out(&a, &m->list);
	if (m->kind == TARGET_EVENT)
		p.event = event_out(&a, &m->event);
	if (m->kind == TARGET_INNER)
		p.inner = inner_out(&a, &m->inner);
	leases_out(&a, m, &p);
	p.blob = (ProtobufCBinaryData){ m->n_blob, m->blob };
	p.proposal = m->proposal;
	p.lost = m->lost;
	n = director__target_msg__get_packed_size(&p);
	b = buf_room(to, n + 4);
	for (unsigned i = 0; i < 4; i++)
		b[i] = (uint8_t)(n >> (8 * i));
	director__target_msg__pack(&p, b + 4);
	buf_add(to, n + 4);
	for (unsigned i = 0; i < a.n; i++)
		free(a.p[i]);
	free(a.p);
}

/* ---- from the wire: everything is looked at before it is believed ---- */

static int str_in(const char *s, size_t max, char **to)
{
	if (!s || !*s)
		return 0;
	if (!text_ok(s, max))
		return ERR_MALFORMED;
	*to = mem_strdup(s);
	return 0;
}

static int uuid_in(const ProtobufCBinaryData *b, uint8_t *to)
{
	if (b->len == 0)
		return 0;
	if (b->len != 16)
		return ERR_MALFORMED;
	memcpy(to, b->data, 16);
	return 0;
}

static int store_in(const Director__TargetStore *p, struct target_store *s, unsigned depth)
{
	int r;

	if (depth > TARGET_STORE_DEPTH_MAX || p->n_params > TARGET_PARAMS_MAX ||
		p->n_children > TARGET_STORE_CHILDREN_MAX)
		return ERR_MALFORMED;
	r = str_in(p->plugin, 64, &s->plugin);
	if (r || !s->plugin)
		return ERR_MALFORMED;
	s->params = mem_zalloc((p->n_params + 1) * sizeof(*s->params));
	for (; s->n_params < p->n_params; s->n_params++) {
		struct target_param *to = &s->params[s->n_params];
		const Director__TargetParam *from = p->params[s->n_params];

		if (!text_ok(from->key, 64) || !*from->key || !text_ok(from->value, 4096))
			return ERR_MALFORMED;
		to->key = mem_strdup(from->key);
		to->value = mem_strdup(from->value);
	}
	s->children = mem_zalloc((p->n_children + 1) * sizeof(*s->children));
	while (s->n_children < p->n_children) {
		unsigned i = s->n_children++;

		r = store_in(p->children[i], &s->children[i], depth + 1);
		if (r)
			return r;
	}
	return 0;
}

static bool group_ok(const Director__TargetGroup *g)
{
	return g->id && g->id <= 65535 && (g->state <= 3 || g->state == 15);
}

static int volume_in(const Director__TargetVolume *p, struct target_volume *v)
{
	int r = 0;

	if (uuid_in(&p->uuid, v->uuid) || p->state > TARGET_STATE_DELETING || p->inner > TARGET_INNER_SERVED)
		return ERR_MALFORMED;
	r |= str_in(p->name, TARGET_NAME_MAX, &v->name);
	r |= str_in(p->error, TARGET_TEXT_MAX, &v->error);
	if (p->store)
		r |= store_in(p->store, &v->store, 1);
	v->size = p->size;
	v->block_size = p->block_size;
	v->read_only = p->read_only;
	v->generation = p->generation;
	v->epoch = p->epoch;
	v->removable = p->removable;
	v->implicit_only = p->implicit_only;
	v->leased = p->leased;
	v->inner = (enum target_inner_kind)p->inner;
	v->fail_over = p->fail_over;
	v->apart = p->apart;
	v->agreed = p->agreed;
	v->lease_ms = p->lease_ms;
	v->keeps = p->keeps;
	if (p->n_groups > TARGET_GROUPS_MAX)
		return ERR_MALFORMED;
	v->groups = p->n_groups ? mem_zalloc(p->n_groups * sizeof(*v->groups)) : NULL;
	for (; v->n_groups < p->n_groups; v->n_groups++) {
		const Director__TargetGroup *g = p->groups[v->n_groups];

		if (!group_ok(g))
			return ERR_MALFORMED;
		v->groups[v->n_groups] = (struct target_group){ (uint16_t)g->id, (uint8_t)g->state, g->preferred };
		for (unsigned k = 0; k < v->n_groups; k++)
			if (v->groups[k].id == g->id)
				return ERR_MALFORMED;
	}
	v->state = (enum target_state)p->state;
	v->reads = p->reads;
	v->writes = p->writes;
	v->read_bytes = p->read_bytes;
	v->write_bytes = p->write_bytes;
	v->errors = p->errors;
	if (v->block_size != 0 && v->block_size != 512 && v->block_size != 4096)
		return ERR_MALFORMED;
	return r ? ERR_MALFORMED : 0;
}

static int def_in(const Director__TargetDef *p, struct target_def *t)
{
	int r = 0;

	if (uuid_in(&p->uuid, t->uuid) || p->tag > 65535 || p->n_luns > TARGET_LUNS_MAX ||
		p->n_hosts > TARGET_HOSTS_MAX || p->n_portals > TARGET_PORTALS_MAX)
		return ERR_MALFORMED;
	r |= str_in(p->iqn, TARGET_NAME_MAX, &t->iqn);
	r |= str_in(p->alias, 255, &t->alias);
	r |= str_in(p->error, TARGET_TEXT_MAX, &t->error);
	r |= str_in(p->moved_to, 255, &t->moved_to);
	t->moved_for_good = p->moved_for_good;
	t->tag = (uint16_t)p->tag;
	t->generation = p->generation;
	t->luns = mem_zalloc((p->n_luns + 1) * sizeof(*t->luns));
	for (; t->n_luns < p->n_luns; t->n_luns++) {
		struct target_lun *to = &t->luns[t->n_luns];
		const Director__TargetLun *from = p->luns[t->n_luns];

		to->lun = from->lun;
		to->read_only = from->read_only;
		if (from->lun >= TARGET_LUNS_MAX || from->volume.len != 16)
			return ERR_MALFORMED;
		memcpy(to->volume, from->volume.data, 16);
	}
	t->hosts = mem_zalloc((p->n_hosts + 1) * sizeof(*t->hosts));
	while (t->n_hosts < p->n_hosts) {
		const Director__TargetHost *from = p->hosts[t->n_hosts];
		struct target_host *to = &t->hosts[t->n_hosts++];

		r |= str_in(from->initiator, TARGET_NAME_MAX, &to->initiator);
		r |= str_in(from->user, 255, &to->user);
		r |= str_in(from->secret, 255, &to->secret);
		r |= str_in(from->mutual_user, 255, &to->mutual_user);
		r |= str_in(from->mutual_secret, 255, &to->mutual_secret);
		if (!to->initiator)
			return ERR_MALFORMED;
	}
	t->portals = mem_zalloc((p->n_portals + 1) * sizeof(*t->portals));
	while (t->n_portals < p->n_portals) {
		unsigned i = t->n_portals++;

		r |= str_in(p->portals[i], 64, &t->portals[i]);
		if (!t->portals[i])
			return ERR_MALFORMED;
	}
	if (p->n_elsewhere > TARGET_ELSEWHERE_MAX)
		return ERR_MALFORMED;
	t->elsewhere = mem_zalloc((p->n_elsewhere + 1) * sizeof(*t->elsewhere));
	while (t->n_elsewhere < p->n_elsewhere) {
		const Director__TargetElsewhere *from = p->elsewhere[t->n_elsewhere];
		struct target_elsewhere *to = &t->elsewhere[t->n_elsewhere++];

		r |= str_in(from->address, 64, &to->address);
		if (!to->address || !from->tag || from->tag > 65535)
			return ERR_MALFORMED;
		to->tag = (uint16_t)from->tag;
	}
	return r ? ERR_MALFORMED : 0;
}

static int session_in(const Director__TargetSession *p, struct target_session *s)
{
	int r = 0;

	r |= str_in(p->initiator, TARGET_NAME_MAX, &s->initiator);
	r |= str_in(p->target, TARGET_NAME_MAX, &s->target);
	r |= str_in(p->alias, 255, &s->alias);
	r |= str_in(p->isid, 12, &s->isid);
	r |= str_in(p->address, 64, &s->address);
	r |= str_in(p->portal, 64, &s->portal);
	s->id = p->id;
	s->tsih = (uint16_t)p->tsih;
	s->commands = p->commands;
	s->read_bytes = p->read_bytes;
	s->write_bytes = p->write_bytes;
	s->errors = p->errors;
	s->age_ms = p->age_ms;
	s->connections = p->connections;
	return r || p->tsih > 65535 ? ERR_MALFORMED : 0;
}

static int list_in(const Director__TargetList *p, struct target_list *l)
{
	int r = 0;

	if (p->n_volumes > TARGET_LIST_MAX || p->n_targets > TARGET_LIST_MAX ||
		p->n_sessions > TARGET_LIST_MAX || p->n_portals > TARGET_LIST_MAX)
		return ERR_MALFORMED;
	l->volumes = mem_zalloc((p->n_volumes + 1) * sizeof(*l->volumes));
	while (l->n_volumes < p->n_volumes && !r) {
		unsigned i = l->n_volumes++;

		r = volume_in(p->volumes[i], &l->volumes[i]);
	}
	l->targets = mem_zalloc((p->n_targets + 1) * sizeof(*l->targets));
	while (l->n_targets < p->n_targets && !r) {
		unsigned i = l->n_targets++;

		r = def_in(p->targets[i], &l->targets[i]);
	}
	l->sessions = mem_zalloc((p->n_sessions + 1) * sizeof(*l->sessions));
	while (l->n_sessions < p->n_sessions && !r) {
		unsigned i = l->n_sessions++;

		r = session_in(p->sessions[i], &l->sessions[i]);
	}
	l->portals = mem_zalloc((p->n_portals + 1) * sizeof(*l->portals));
	while (l->n_portals < p->n_portals && !r) {
		unsigned i = l->n_portals++;

		r = str_in(p->portals[i], 64, &l->portals[i]);
		if (!l->portals[i])
			r = ERR_MALFORMED;
	}
	return r;
}

static int blob_in(const ProtobufCBinaryData *b, uint8_t **to, size_t *n)
{
	if (b->len > TARGET_BLOB_MAX)
		return ERR_MALFORMED;
	*to = b->len ? mem_dup(b->data, b->len) : NULL;
	*n = b->len;
	return 0;
}

static int inner_in(const Director__TargetInner *p, struct target_inner *in)
{
	int r = 0;

	if (p->n_portals > TARGET_PORTALS_MAX || p->n_keys > TARGET_KEYS_MAX)
		return ERR_MALFORMED;
	in->portals = mem_zalloc((p->n_portals + 1) * sizeof(*in->portals));
	while (in->n_portals < p->n_portals && !r) {
		unsigned i = in->n_portals++;

		r = str_in(p->portals[i], 64, &in->portals[i]);
		if (!in->portals[i])
			r = ERR_MALFORMED;
	}
	for (; in->n_keys < p->n_keys && !r; in->n_keys++) {
		if (p->keys[in->n_keys].len != TARGET_KEY_LEN)
			return ERR_MALFORMED;
		memcpy(in->keys[in->n_keys], p->keys[in->n_keys].data, TARGET_KEY_LEN);
	}
	return r;
}

static int leases_in(const Director__TargetMsg *p, struct target_msg *m)
{
	if (p->n_leases > TARGET_LEASES_MAX)
		return ERR_MALFORMED;
	m->leases = p->n_leases ? mem_zalloc(p->n_leases * sizeof(*m->leases)) : NULL;
	for (; m->n_leases < p->n_leases; m->n_leases++) {
		const Director__TargetLease *from = p->leases[m->n_leases];
		struct target_lease *to = &m->leases[m->n_leases];

		if (from->volume.len != 16)
			return ERR_MALFORMED;
		memcpy(to->volume, from->volume.data, 16);
		to->epoch = from->epoch;
		to->until_ms = from->until_ms;
	}
	return 0;
}

static int event_in(const Director__TargetEvent *p, struct target_event *e)
{
	if (p->kind < TARGET_EV_SESSION_UP || p->kind > TARGET_EV_KEEP)
		return ERR_MALFORMED;
	e->kind = (enum target_event_kind)p->kind;
	e->seq = p->seq;
	e->what = p->what;
	e->value = p->value;
	e->of = p->of;
	e->epoch = p->epoch;
	if (uuid_in(&p->volume, e->volume) || blob_in(&p->blob, &e->blob, &e->n_blob) || str_in(p->text, TARGET_TEXT_MAX, &e->text))
		return ERR_MALFORMED;
	return p->session ? session_in(p->session, &e->session) : 0;
}

/* Does the message carry what its kind needs? */
static bool complete(const struct target_msg *m)
{
	switch (m->kind) {
	case TARGET_HELLO:
		return m->hello.version != 0;
	case TARGET_VOLUME_CREATE:
		return m->volume.name && m->volume.store.plugin && m->volume.size;
	case TARGET_VOLUME_SET:
		return m->volume.name && m->volume.store.plugin;
	case TARGET_VOLUME_RESIZE:
		return m->volume.size != 0;
	case TARGET_TARGET_SET:
	case TARGET_TARGET_DELETE:
		return m->target.iqn != NULL;
	case TARGET_EVENT:
		return m->event.kind != 0;
	default:
		return true;
	}
}

static int msg_in(const Director__TargetMsg *p, struct target_msg *m)
{
	int r = 0;

	if (p->kind < TARGET_HELLO || p->kind > TARGET_VOLUME_KEEP)
		return ERR_MALFORMED;
	m->kind = (enum target_msg_kind)p->kind;
	m->id = p->id;
	m->err = p->err;
	m->number = p->number;
	r = str_in(p->text, TARGET_TEXT_MAX, &m->text);
	if (!r && p->hello) {
		m->hello.version = p->hello->version;
		m->hello.pid = p->hello->pid;
		r = uuid_in(&p->hello->instance, m->hello.instance);
		r |= str_in(p->hello->software, 64, &m->hello.software);
	}
	if (!r && p->volume)
		r = volume_in(p->volume, &m->volume);
	if (!r && p->target)
		r = def_in(p->target, &m->target);
	if (!r && p->list)
		r = list_in(p->list, &m->list);
	if (!r && p->event)
		r = event_in(p->event, &m->event);
	if (!r && p->inner)
		r = inner_in(p->inner, &m->inner);
	if (!r)
		r = leases_in(p, m);
	if (!r)
		r = blob_in(&p->blob, &m->blob, &m->n_blob);
	m->proposal = p->proposal;
	m->lost = p->lost;
	return r || !complete(m) ? ERR_MALFORMED : 0;
}

long target_frame_len(const uint8_t *p, size_t n)
{
	uint32_t len;

	if (n < 4)
		return 0;
	len = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
	if (len == 0 || len > TARGET_FRAME_MAX)
		return ERR_MALFORMED;
	return n >= len + 4ul ? (long)(len + 4ul) : 0;
}

int target_msg_decode(const uint8_t *p, size_t n, struct target_msg *m)
{
	Director__TargetMsg *pb;
	int r;

	memset(m, 0, sizeof(*m));
	if (n < 4 || target_frame_len(p, n) != (long)n)
		return ERR_MALFORMED;
	pb = director__target_msg__unpack(NULL, n - 4, p + 4);
	if (!pb)
		return ERR_MALFORMED;
	r = msg_in(pb, m);
	director__target_msg__free_unpacked(pb, NULL);
	if (r)
		target_msg_fini(m);
	return r;
}
