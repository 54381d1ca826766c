/* SPDX-License-Identifier: Apache-2.0 */
/* Plan actions as requests to director-target, and its state as what the cluster takes in. */
#include "directord/drive.h"

#include <ev.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "director/plugin.h"
#include "directord/file.h"
#include "directord/target.h"
#include "proto/inner.h"

#define STATS_S 10.0            /* counters of sessions are looked at this often, while there are any */

/* A leg that failed, or is ready, or another volume's, is told of as long as it is; people read it once. */
struct told {
	uint8_t volume[16];
	uint32_t what;
	uint64_t leg, turn, epoch;
};
#define TOLD 256

struct drive {
	struct drive_ops ops;
	void *arg;
	const struct log *log;
	char *volumes, *socket, *pid_file, *log_file, *program;
	struct target_link *link;
	struct ev_loop *loop;
	ev_timer stats, unsent_timer;
	unsigned n_sessions;
	bool heard;                     /* whether one runs is known */
	struct pending *unsent;         /* could not be sent; answered from the loop */
	struct target_inner inner;
	struct target_lease *lease;     /* to be sent */
	unsigned n_lease, cap_lease;
	struct told told[TOLD];
};

struct pending {
	struct drive *drive;
	uint64_t act;
	int err;                        /* why it could not be sent */
	struct pending *next;
};

/* ---- what it has ---- */

static void set_uint(struct attrs *as, const char *key, uint64_t v)
{
	char n[24];

	snprintf(n, sizeof(n), "%" PRIu64, v);
	attrs_set(as, key, n);
}

static void session_path(struct drive *d, const struct target_session *s, char *out)
{
	snprintf(out, PATH_LEN_MAX, "/sessions/%.200s-%" PRIu64, d->ops.node_name(d->arg), s->id);
}

/* Of another node's director-target: no initiator, as people count them. */
static bool is_inner(const struct target_session *s)
{
	uint8_t uuid[16];

	return s->target && inner_name_parse(s->target, uuid);
}

static void session_fact(struct drive *d, const struct target_session *s)
{
	struct attrs as = { 0 };
	char path[PATH_LEN_MAX];

	if (is_inner(s))
		return;
	session_path(d, s, path);
	attrs_set(&as, "target", s->target);
	attrs_set(&as, "initiator", s->initiator);
	attrs_set(&as, "alias", s->alias && *s->alias ? s->alias : NULL);
	attrs_set(&as, "address", s->address);
	attrs_set(&as, "portal", s->portal);
	attrs_set(&as, "node", d->ops.node_name(d->arg));
	attrs_set(&as, "isid", s->isid);
	attrs_set(&as, "type", s->target && *s->target ? "normal" : "discovery");
	set_uint(&as, "tsih", s->tsih);
	/* Whole seconds, so that a session seen again is the same fact. */
	set_uint(&as, "since", (wall_ms() - s->age_ms) / 1000 * 1000);
	/* The event comes before the first connection is counted. */
	set_uint(&as, "connections", s->connections ? s->connections : 1);
	set_uint(&as, "commands", s->commands);
	set_uint(&as, "read-bytes", s->read_bytes);
	set_uint(&as, "write-bytes", s->write_bytes);
	d->ops.fact(d->arg, path, &as);
	attrs_fini(&as);
}

static void sessions(struct drive *d, const struct target_list *list)
{
	d->ops.facts_gone(d->arg, "/sessions");
	d->n_sessions = list->n_sessions;
	for (unsigned i = 0; i < list->n_sessions; i++)
		session_fact(d, &list->sessions[i]);
}

/* ---- what it is told first, and often ---- */

static void inner_send(struct drive *d)
{
	struct target_msg m = { .kind = TARGET_INNER, .inner = d->inner };

	if (d->inner.n_keys)
		target_link_send(d->link, &m, NULL, NULL);
}

static void inner_fini(struct target_inner *in)
{
	for (unsigned i = 0; i < in->n_portals; i++)
		free(in->portals[i]);
	free(in->portals);
	sodium_memzero(in, sizeof(*in));
}

void drive_inner(struct drive *d, const char *portals, const struct keys *keys)
{
	static const uint8_t no_salt[16];
	auto_free char *list = mem_strdup(portals);
	char *save = NULL;

	inner_fini(&d->inner);
	for (char *p = strtok_r(list, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
		d->inner.portals = mem_realloc(d->inner.portals, (d->inner.n_portals + 1) * sizeof(char *));
		d->inner.portals[d->inner.n_portals++] = mem_strdup(p);
	}
	for (unsigned i = keys->n; i-- > 0 && d->inner.n_keys < TARGET_KEYS_MAX;)
		keys_derive(&keys->k[i], "inner", no_salt, d->inner.keys[d->inner.n_keys++], TARGET_KEY_LEN);
	inner_send(d);
}

void drive_flush(struct drive *d)
{
	struct target_msg m = { .kind = TARGET_VOLUME_LEASE, .leases = d->lease, .n_leases = d->n_lease };

	if (d->n_lease)
		target_link_send(d->link, &m, NULL, NULL);
	d->n_lease = 0;
}

void drive_lease(struct drive *d, const uint8_t volume[16], uint64_t epoch, struct mono until)
{
	struct target_lease *l;

	if (d->n_lease == TARGET_LEASES_MAX)
		drive_flush(d);
	d->lease = mem_grow(d->lease, &d->cap_lease, d->n_lease, sizeof(*d->lease));
	l = &d->lease[d->n_lease++];
	*l = (struct target_lease){ .epoch = epoch, .until_ms = until.ns / 1000000 };
	memcpy(l->volume, volume, 16);
}

/* Made by ownership or the plan over other volumes: there is no storage of its own. */
static bool lies_on_others(const struct target_volume *v)
{
	return v->agreed && (strcmp(v->store.plugin, "mirror") == 0 || strcmp(v->store.plugin, "stripe") == 0 ||
	                     strcmp(v->store.plugin, "iscsi") == 0);
}

static void on_up(void *arg, const struct target_hello *hello, const struct target_list *list, bool adopted)
{
	struct drive *d = arg;
	struct plan_have have = { 0 };

	log_info(d->log, "target: director-target (pid %" PRIu32 ") %s: %u volumes, %u targets, %u sessions", hello->pid,
	         adopted ? "was running and is taken over" : "started", list->n_volumes, list->n_targets, list->n_sessions);
	for (unsigned i = 0; i < list->n_volumes; i++) {
		const struct target_volume *v = &list->volumes[i];
		struct plan_have_volume *h;

		if (v->state != TARGET_STATE_READY && !v->leased)
			continue;
		h = plan_have_volume_add(&have, v->name ? v->name : "?", v->uuid);
		h->open = true;
		h->created = !lies_on_others(v);
		h->generation = v->generation;
		h->size = v->size;
		h->epoch = v->epoch;
		h->ours = v->leased;
		h->leased = v->leased && v->lease_ms;
		h->keeps = v->keeps;
	}
	for (unsigned i = 0; i < list->n_targets; i++) {
		struct plan_have_target *h = plan_have_target_add(&have, list->targets[i].iqn);

		h->generation = list->targets[i].generation;
		for (unsigned k = 0; k < list->targets[i].n_luns; k++)
			plan_have_target_add_volume(h, list->targets[i].luns[k].volume);
	}
	inner_send(d);
	d->heard = true;
	d->ops.have(d->arg, &have);
	plan_have_fini(&have);
	sessions(d, list);
}

static void on_down(void *arg, const char *why)
{
	struct drive *d = arg;

	log_warn(d->log, "target: director-target is gone: %s", why);
	d->n_sessions = 0;
	d->ops.facts_gone(d->arg, "/sessions");
	d->ops.have(d->arg, NULL);
}

static void on_absent(void *arg)
{
	struct drive *d = arg;

	if (!d->heard)
		d->ops.have(d->arg, NULL);
	d->heard = true;
}

static bool was_told(struct drive *d, const struct target_event *ev)
{
	struct told t = { .what = ev->what, .leg = ev->value, .turn = ev->of, .epoch = ev->epoch };
	struct told *last = &d->told[(ev->volume[0] << 2 ^ ev->value) % TOLD];
	bool again;

	if (ev->what != DIRECTOR_EV_LEG_FAILED && ev->what != DIRECTOR_EV_LEG_READY && ev->what != DIRECTOR_EV_LEG_FOREIGN)
		return false;
	memcpy(t.volume, ev->volume, sizeof(t.volume));
	again = last->what == t.what && last->leg == t.leg && last->turn == t.turn && last->epoch == t.epoch &&
		memcmp(last->volume, t.volume, sizeof(t.volume)) == 0;
	*last = t;
	return again;
}

/* Says whether it was one of these. That all is well is no warning. */
static bool log_scrub(struct drive *d, const struct target_event *ev)
{
	const char *text = ev->text ? ev->text : "a volume";

	if (ev->what == DIRECTOR_EV_SCRUBBED && !ev->of)
		log_info(d->log, "target: %s, and nothing differed", text);
	else if (ev->what == DIRECTOR_EV_SCRUBBED)
		log_warn(d->log, "target: %s: %" PRIu64 " of %" PRIu64 " regions differed", text, ev->of, ev->value);
	else if (ev->what == DIRECTOR_EV_REPAIRED && (ev->value || ev->of))
		log_warn(d->log, "target: %s: %" PRIu64 ", and %" PRIu64 " could not be", text, ev->value, ev->of);
	return ev->what == DIRECTOR_EV_SCRUBBED || ev->what == DIRECTOR_EV_REPAIRED;
}

static void log_volume(struct drive *d, const struct target_event *ev)
{
	if (log_scrub(d, ev) || ev->what == DIRECTOR_EV_PROGRESS || (ev->what == DIRECTOR_EV_LEG_FOREIGN && !ev->of) || was_told(d, ev))
		return;
	if (ev->what == DIRECTOR_EV_HEALTHY || ev->what == DIRECTOR_EV_LEG_READY)
		log_info(d->log, "target: %s", ev->text ? ev->text : "a volume is well");
	else
		log_warn(d->log, "target: %s", ev->text ? ev->text : "an error without a text");
}

static void on_event(void *arg, const struct target_event *ev)
{
	struct drive *d = arg;
	char path[PATH_LEN_MAX];

	switch (ev->kind) {
	case TARGET_EV_SESSION_UP:
		if (is_inner(&ev->session))
			break;
		d->n_sessions++;
		log_info(d->log, "target: session %" PRIu64 " of %s from %s with %s", ev->session.id, ev->session.initiator,
		         ev->session.address, ev->session.target ? ev->session.target : "discovery");
		session_fact(d, &ev->session);
		break;
	case TARGET_EV_SESSION_DOWN:
		if (is_inner(&ev->session))
			break;
		d->n_sessions -= d->n_sessions > 0;
		log_info(d->log, "target: session %" PRIu64 " of %s ended", ev->session.id, ev->session.initiator);
		session_path(d, &ev->session, path);
		d->ops.fact(d->arg, path, NULL);
		break;
	case TARGET_EV_KEEP:
		d->ops.volume(d->arg, ev);
		break;
	case TARGET_EV_VOLUME:
		log_volume(d, ev);
		d->ops.volume(d->arg, ev);
		break;
	case TARGET_EV_ERROR:
		log_warn(d->log, "target: %s", ev->text ? ev->text : "an error without a text");
		break;
	}
}

static void on_trouble(void *arg, const char *text)
{
	struct drive *d = arg;

	log_warn(d->log, "target: %s", text);
}

static void stats_reply(void *arg, const struct target_msg *m)
{
	struct drive *d = arg;

	if (!m->err) {
		d->n_sessions = m->list.n_sessions;
		for (unsigned i = 0; i < m->list.n_sessions; i++)
			session_fact(d, &m->list.sessions[i]);
	}
}

static void on_stats(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct drive *d = w->data;
	struct target_msg m = { .kind = TARGET_STATS };

	if (d->n_sessions && target_link_is_up(d->link))
		target_link_send(d->link, &m, stats_reply, d);
}

/* ---- what to do ---- */

static void param_add(struct target_store *s, const char *key, const char *value)
{
	if (!value)
		return;
	s->params = mem_realloc(s->params, (s->n_params + 1) * sizeof(*s->params));
	s->params[s->n_params++] = (struct target_param){ mem_strdup(key), mem_strdup(value) };
}

static bool attr_is(const struct attrs *as, const char *key, const char *want)
{
	const char *v = attrs_get(as, key);

	return v && strcmp(v, want) == 0;
}

static void param_add_u64(struct target_store *s, const char *key, uint64_t value)
{
	char n[24];

	snprintf(n, sizeof(n), "%" PRIu64, value);
	param_add(s, key, n);
}

static void plugin_params(struct target_store *s, const struct attrs *as)
{
	for (unsigned i = 0; i < as->n; i++)
		if (strncmp(as->a[i].key, "p.", 2) == 0)
			param_add(s, as->a[i].key + 2, as->a[i].value);
}

/* What is at the inner portals of another node: doc/ownership.md 9. */
static void store_remote(const struct drive *d, const struct plan_child *c, struct target_store *s)
{
	char name[INNER_NAME_LEN], user[INNER_USER_LEN], secret[INNER_SECRET_LEN];

	s->plugin = mem_strdup("iscsi");
	param_add(s, "portal", c->portals);
	param_add(s, "target", inner_name(c->uuid, name));
	param_add(s, "inner", "yes");
	param_add(s, "user", inner_user(c->epoch, user));
	if (d->inner.n_keys)
		param_add(s, "secret", inner_secret(d->inner.keys[0], c->uuid, c->epoch, secret));
	sodium_memzero(secret, sizeof(secret));
}

/* A LUN of a foreign target: all of it was said by the plan. */
static void store_lun(const struct plan_child *c, struct target_store *s)
{
	s->plugin = mem_strdup("iscsi");
	for (unsigned i = 0; i < c->lun.n; i++)
		param_add(s, c->lun.a[i].key, c->lun.a[i].value);
}

static void store_local(const struct plan_child *c, struct target_store *s)
{
	char uuid[37];

	s->plugin = mem_strdup("volume");
	param_add(s, "uuid", text_uuid(c->uuid, uuid));
}

/* A file without a path of its own is named by what never changes. */
static char *file_own(const struct drive *d, const uint8_t uuid[16])
{
	char text[37];

	return mem_printf("%s/%s.img", d->volumes, text_uuid(uuid, text));
}

/* What is on the node itself. */
static void store_plain(const struct drive *d, const struct plan_action *a, struct target_store *s)
{
	const char *path = attrs_get(&a->params, "path");
	const char *plugin = a->backstore ? a->backstore : attrs_get(&a->params, "backstore");
	auto_free char *own = file_own(d, a->uuid), *was = file_own(d, a->was);
	bool file = !plugin || strcmp(plugin, "file") == 0;

	s->plugin = mem_strdup(plugin ? plugin : "file");
	param_add(s, "path", !path && file ? own : path);
	if (a->in_front && file)
		param_add(s, "was", path ? path : was);
	plugin_params(s, &a->params);
}

static void store_of(const struct drive *d, const struct plan_action *a, struct target_store *s)
{
	if (a->forwards) {
		store_remote(d, &a->child[0], s);
		param_add(s, "lazy", "yes");
		param_add_u64(s, "size", a->size);
		param_add(s, "block-size", attrs_get(&a->params, "block-size"));
		plugin_params(s, &a->params);
		return;
	}
	if (a->in_front) {
		s->plugin = mem_strdup("tail");
		param_add_u64(s, "at", a->in_front);
		s->n_children = 1;
		s->children = mem_zalloc(sizeof(*s->children));
		store_plain(d, a, s->children);
		return;
	}
	store_plain(d, a, s);
	s->n_children = a->n_child;
	s->children = a->n_child ? mem_zalloc(a->n_child * sizeof(*s->children)) : NULL;
	for (unsigned i = 0; i < a->n_child; i++) {
		if (a->child[i].lun.n)
			store_lun(&a->child[i], &s->children[i]);
		else if (a->child[i].portals)
			store_remote(d, &a->child[i], &s->children[i]);
		else
			store_local(&a->child[i], &s->children[i]);
	}
}

static void volume_of(const struct drive *d, const struct plan_action *a, struct target_volume *v)
{
	const char *block = attrs_get(&a->params, "block-size");
	uint64_t n;

	memcpy(v->uuid, a->uuid, 16);
	v->name = mem_strdup(a->name);
	v->size = a->size;
	v->generation = a->generation;
	v->read_only = attr_is(&a->params, "read-only", "yes");
	v->block_size = block && text_u64_parse(block, &n) == 0 ? (uint32_t)n : 0;
	v->epoch = a->epoch;
	v->leased = a->leased;
	v->fail_over = a->fail_over;
	v->apart = a->apart;
	v->agreed = a->inner != PLAN_INNER_LEG;
	v->keeps = a->keeps;
	v->inner = a->inner == PLAN_INNER_LEG ? TARGET_INNER_LEG : a->inner == PLAN_INNER_SERVED ? TARGET_INNER_SERVED :
	           TARGET_INNER_NONE;
	/* By an initiator's word alone: with several of them ownership would go to and fro. */
	v->implicit_only = a->n_group != 0;
	v->n_groups = a->n_group;
	v->groups = a->n_group ? mem_zalloc(a->n_group * sizeof(*v->groups)) : NULL;
	for (unsigned i = 0; i < a->n_group; i++)
		v->groups[i] = (struct target_group){ a->group[i].id, a->group[i].state, a->group[i].preferred };
	store_of(d, a, &v->store);
}

static char *dup_attr(const struct attrs *as, const char *key)
{
	return mem_strdup(attrs_get(as, key));
}

static void target_of(const struct drive *d, const struct plan_action *a, struct target_def *t)
{
	t->tag = (uint16_t)d->ops.portal_group(d->arg);
	memcpy(t->uuid, a->uuid, 16);
	t->iqn = mem_strdup(a->name);
	t->alias = mem_strdup(a->alias);
	t->generation = a->generation;
	t->n_luns = a->n_luns;
	t->luns = mem_zalloc(a->n_luns * sizeof(*t->luns));
	for (unsigned i = 0; i < a->n_luns; i++) {
		t->luns[i].lun = a->luns[i].number;
		memcpy(t->luns[i].volume, a->luns[i].uuid, 16);
		t->luns[i].read_only = a->luns[i].read_only;
	}
	t->n_hosts = a->n_hosts;
	t->hosts = mem_zalloc(a->n_hosts * sizeof(*t->hosts));
	for (unsigned i = 0; i < a->n_hosts; i++) {
		const struct plan_host *h = &a->hosts[i];

		t->hosts[i].initiator = mem_strdup(h->initiator);
		t->hosts[i].user = dup_attr(&h->auth, "chap-user");
		t->hosts[i].secret = dup_attr(&h->auth, "chap-secret");
		t->hosts[i].mutual_user = dup_attr(&h->auth, "mutual-user");
		t->hosts[i].mutual_secret = dup_attr(&h->auth, "mutual-secret");
	}
	t->n_portals = a->n_portals;
	t->portals = mem_zalloc(a->n_portals * sizeof(*t->portals));
	for (unsigned i = 0; i < a->n_portals; i++)
		t->portals[i] = mem_strdup(a->portals[i]);
	t->n_elsewhere = a->n_elsewhere;
	t->elsewhere = a->n_elsewhere ? mem_zalloc(a->n_elsewhere * sizeof(*t->elsewhere)) : NULL;
	for (unsigned i = 0; i < a->n_elsewhere; i++)
		t->elsewhere[i] = (struct target_elsewhere){ mem_strdup(a->elsewhere[i].address), a->elsewhere[i].tag };
}

static enum target_msg_kind kind_of(enum plan_kind k)
{
	switch (k) {
	case PLAN_TARGET_DELETE: return TARGET_TARGET_DELETE;
	case PLAN_TARGET_TRIM:
	case PLAN_TARGET_SET: return TARGET_TARGET_SET;
	case PLAN_VOLUME_CLOSE: return TARGET_VOLUME_CLOSE;
	case PLAN_VOLUME_DESTROY: return TARGET_VOLUME_DESTROY;
	case PLAN_VOLUME_RESIZE: return TARGET_VOLUME_RESIZE;
	case PLAN_VOLUME_CREATE: return TARGET_VOLUME_CREATE;
	case PLAN_FREEZE: return TARGET_VOLUME_FREEZE;
	case PLAN_HOLD: return TARGET_VOLUME_HOLD;
	default: return TARGET_VOLUME_SET;
	}
}

static void replied(void *arg, const struct target_msg *m)
{
	struct pending *p = arg;

	p->drive->ops.done(p->drive->arg, p->act, m->err, m->text);
	free(p);
}

static void on_unsent(struct ev_loop *loop, ev_timer *w, int revents)
{
	static char gone[] = "director-target does not run";
	static char large[] = "it is more than director-target takes: a target has at most 64 portals and addresses, and 4096 hosts";
	struct drive *d = w->data;
	struct pending *p;

	while ((p = d->unsent)) {
		struct target_msg m = { .err = p->err, .text = p->err == ERR_LIMIT ? large : gone };

		d->unsent = p->next;
		replied(p, &m);
	}
}

static void ask(struct drive *d, uint64_t act, struct target_msg *m)
{
	struct pending *p = mem_zalloc(sizeof(*p));

	drive_flush(d);
	p->drive = d;
	p->act = act;
	p->err = target_link_send(d->link, m, replied, p);
	if (p->err) {
		p->next = d->unsent;
		d->unsent = p;
		ev_timer_start(d->loop, &d->unsent_timer);
	}
}

void drive_act(struct drive *d, uint64_t act, const struct plan_action *a)
{
	struct target_msg m = { .kind = kind_of(a->kind) };

	if (a->kind == PLAN_TARGET_DELETE || a->kind == PLAN_TARGET_TRIM || a->kind == PLAN_TARGET_SET)
		target_of(d, a, &m.target);
	else
		volume_of(d, a, &m.volume);
	ask(d, act, &m);
	target_msg_fini(&m);
}

void drive_keep(struct drive *d, uint64_t act, const struct cluster_keep *k)
{
	struct target_msg m = { .kind = TARGET_VOLUME_KEEP, .number = k->version, .blob = k->blob, .n_blob = k->n_blob,
	                        .proposal = k->proposal, .lost = k->lost, .err = k->err };

	memcpy(m.volume.uuid, k->volume, 16);
	ask(d, act, &m);
}

/* ---- life ---- */

struct drive *drive_new(const struct drive_conf *conf, const struct drive_ops *ops, void *arg)
{
	static const struct target_link_ops link_ops = { .up = on_up, .down = on_down, .absent = on_absent, .event = on_event, .trouble = on_trouble };
	struct drive *d = mem_zalloc(sizeof(*d));
	struct target_link_conf lc = { 0 };
	auto_free char *state = mem_printf("%s/target", conf->state);
	const char *const args[] = { "--state", state, conf->stay ? "--follow" : NULL, "no", NULL };

	d->ops = *ops;
	d->arg = arg;
	d->log = conf->log;
	d->loop = conf->loop;
	d->volumes = mem_strdup(conf->volumes);
	d->program = conf->program && *conf->program ? mem_strdup(conf->program) :
	             file_program("director-target", SBINDIR);
	d->socket = mem_printf("%s/target.sock", conf->run);
	d->pid_file = mem_printf("%s/target.pid", conf->run);
	d->log_file = mem_printf("%s/target.log", conf->run);
	if (mkdir(d->volumes, 0700) < 0 && access(d->volumes, W_OK) < 0)
		log_warn(d->log, "target: the directory of volumes, %s, cannot be used: %m", d->volumes);
	if (conf->plugins && *conf->plugins)
		setenv("DIRECTOR_PLUGIN_PATH", conf->plugins, 1);
	lc.program = d->program;
	lc.socket = d->socket;
	lc.pid_file = d->pid_file;
	lc.log_file = d->log_file;
	lc.args = args;
	d->link = target_link_new(d->loop, &lc, &link_ops, d, conf->log);
	ev_timer_init(&d->stats, on_stats, STATS_S, STATS_S);
	d->stats.data = d;
	ev_timer_start(d->loop, &d->stats);
	ev_timer_init(&d->unsent_timer, on_unsent, 0., 0.);
	d->unsent_timer.data = d;
	return d;
}

void drive_free(struct drive **dp)
{
	struct drive *d = *dp;

	if (!d)
		return;
	ev_timer_stop(d->loop, &d->stats);
	ev_timer_stop(d->loop, &d->unsent_timer);
	while (d->unsent) {
		struct pending *p = d->unsent;

		d->unsent = p->next;
		free(p);
	}
	target_link_free(&d->link);
	inner_fini(&d->inner);
	free(d->lease);
	free(d->volumes);
	free(d->socket);
	free(d->pid_file);
	free(d->log_file);
	free(d->program);
	free(d);
	*dp = NULL;
}

void drive_stop(struct drive *d, void (*done)(void *arg), void *arg)
{
	target_link_stop(d->link, 3000, done, arg);
}
