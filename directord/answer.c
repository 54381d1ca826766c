/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's answers to the API. */
#include "directord/answer.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/place.h"
#include "cluster/schema.h"
#include "directord/api.h"
#include "directord/plugins.h"
#include "directord/view.h"

struct owed {
	uint64_t id;                    /* of the cluster request */
	struct api_token token;
	bool dry_run;
	struct owed *next;
};

struct answer {
	struct answer_conf conf;
	struct cluster *cluster;
	struct api *api;
	struct owed *owed;
	struct view *view;              /* the namespace as clients read it */
	uint64_t next_id;
	char self[CARD_NAME_MAX];
};

/* ---- reading ---- */

static const struct catalog *catalog_of(void *arg)
{
	return cluster_catalog(((struct answer *)arg)->cluster);
}

static int on_get(void *arg, const char *path, const struct control_object **o)
{
	return view_get(((struct answer *)arg)->view, path, o);
}

static bool on_child(void *arg, const char *path, const char *after, char *out)
{
	return view_child(((struct answer *)arg)->view, path, after, out);
}

static uint64_t get_uint(const struct attrs *as, const char *key)
{
	const char *v = attrs_get(as, key);
	uint64_t n = 0;

	return v && text_u64_parse(v, &n) == 0 ? n : 0;
}

static char *get_text(const struct attrs *as, const char *key)
{
	const char *v = attrs_get(as, key);

	return mem_strdup(v ? v : "");
}

/* Nodes that should be here and are not, and those who knock: what an administrator wants to be told. */
static void warn_nodes(struct answer *a, struct control_status *s)
{
	struct names *n = cluster_names(a->cluster);
	struct gossip *g = cluster_gossip(a->cluster);
	char name[PATH_LEN_MAX] = "", path[PATH_LEN_MAX + 8], text[256], hint[160], fp[40];
	struct gossip_pending p;

	while (names_child(n, "/nodes", name[0] ? name : NULL, name)) {
		enum names_node_state st = names_node_state(n, name);

		snprintf(path, sizeof(path), "/nodes/%.500s", name);
		if (st == NODE_SUSPECT || st == NODE_DEAD || st == NODE_LEFT || st == 0) {
			snprintf(text, sizeof(text), "node %.100s is %s", name,
			         st == NODE_SUSPECT ? "suspect" : st == NODE_LEFT ? "away (it left in good order)" : "down");
			snprintf(hint, sizeof(hint), "director node remove %.100s (if it will not return)", name);
			control_status_warn(s, path, text, st == NODE_SUSPECT ? NULL : hint);
		}
	}
	for (unsigned i = 0; gossip_pending_at(g, i, &p); i++) {
		snprintf(text, sizeof(text), "a node waits to be adopted: fingerprint %s", node_id_fingerprint(&p.id, fp));
		snprintf(hint, sizeof(hint), "director node adopt %s", fp);
		control_status_warn(s, "/nodes", text, hint);
	}
}

/* Is there anything to be done with it? Nobody should learn that when a node has to be switched off. */
static void warn_fence_options(struct answer *a, struct control_status *s, const struct object *o, const char *plugin)
{
	const char *options = attrs_get(&o->attrs, "fence-options");
	char key[ATTR_KEY_MAX], text[320], hint[160];

	if (!place_option_missing(cluster_names(a->cluster), plugin, options ? options : "", key))
		return;
	snprintf(text, sizeof(text), "node %.63s could not be switched off: its fence-options lack %.63s=, which is for fence plugin %.63s",
	         path_name(o->path), key, plugin);
	snprintf(hint, sizeof(hint), "director set %.100s --secret fence-options --secret-file FILE", o->path);
	control_status_warn(s, o->path, text, hint);
}

/* Whoever takes a volume over switches its node off: all have to be able to. */
static void warn_fences(struct answer *a, struct control_status *s)
{
	const struct tree *t = catalog_tree(cluster_catalog(a->cluster));
	const struct object *o = NULL;

	while ((o = tree_child(t, "/nodes", o))) {
		const char *plugin = attrs_get(&o->attrs, "fence"), *one = "";
		unsigned lack = plugin && *plugin ? place_lack_plugin(cluster_names(a->cluster), plugin, &one) : 0;
		char text[320], more[32] = "";

		if (plugin && *plugin)
			warn_fence_options(a, s, o, plugin);
		if (!lack)
			continue;
		if (lack > 1)
			snprintf(more, sizeof(more), " and %u more", lack - 1);
		snprintf(text, sizeof(text), "node %.63s%s could not switch off node %.63s: no fence plugin %.63s there", one, more, path_name(o->path),
		         plugin);
		control_status_warn(s, o->path, text, "director plugin list");
	}
}

static void on_status(void *arg, struct control_status *s)
{
	struct answer *a = arg;
	struct attrs as = { 0 };
	const char *mode, *warning;

	cluster_status(a->cluster, &as);
	mode = attrs_get(&as, "mode");
	s->cluster = get_text(&as, "name");
	s->node = get_text(&as, "node");
	s->lineage = get_text(&as, "lineage");
	s->version = mem_strdup(a->conf.version);
	s->state = mem_strdup(mode && strcmp(mode, "active") == 0 ? "ready" : mode ? mode : "starting");
	s->quorate = attrs_get(&as, "quorate") && strcmp(attrs_get(&as, "quorate"), "yes") == 0;
	s->nodes = (uint32_t)get_uint(&as, "members");
	s->alive = (uint32_t)get_uint(&as, "alive");
	s->voters = (uint32_t)get_uint(&as, "voters");
	s->voters_alive = (uint32_t)get_uint(&as, "voters-present");
	s->pending_nodes = (uint32_t)get_uint(&as, "pending");
	if (!s->quorate && attrs_get(&as, "reason"))
		control_status_warn(s, "/cluster", attrs_get(&as, "reason"), NULL);
	warning = attrs_get(&as, "warning");
	if (warning)
		control_status_warn(s, "/cluster", warning, NULL);
	warn_nodes(a, s);
	warn_fences(a, s);
	view_status(a->view, s);
	attrs_fini(&as);
}

static int on_history(void *arg, const char *path, uint64_t before, bool (*fn)(void *, const struct control_entry *),
                      void *fn_arg)
{
	return view_history(((struct answer *)arg)->view, path, before, fn, fn_arg);
}

static int on_blame(void *arg, const char *path, bool (*fn)(void *, const struct control_entry *), void *fn_arg)
{
	return view_blame(((struct answer *)arg)->view, path, fn, fn_arg);
}

static void on_schema(void *arg, void (*fn)(void *, const struct control_type *), void *fn_arg)
{
	view_schema(((struct answer *)arg)->view, fn, fn_arg);
}

static bool on_secret(void *arg, const char *path, const char *key)
{
	return view_secret(path, key);
}

static uint64_t on_index(void *arg)
{
	struct answer *a = arg;

	return catalog_applied(cluster_catalog(a->cluster));
}

/* ---- asking ---- */

static void ask(struct answer *a, struct api_token token, struct cluster_request *r)
{
	struct owed *o = mem_zalloc(sizeof(*o));

	o->id = r->id = ++a->next_id;
	o->token = token;
	o->dry_run = r->dry_run;
	o->next = a->owed;
	a->owed = o;
	randombytes_buf(r->entropy, sizeof(r->entropy));
	a->conf.request(a->conf.arg, r);
	sodium_memzero(r->entropy, sizeof(r->entropy));
}

void answer_reply(struct answer *a, const struct cluster_reply *r)
{
	struct control_done d = { .err = r->err, .text = (char *)r->text, .index = r->index };
	char *line, *save = NULL, *plan;

	for (struct owed **p = &a->owed; *p; p = &(*p)->next) {
		struct owed *o = *p;

		if (o->id != r->id)
			continue;
		*p = o->next;
		if (!r->err && r->index && !o->dry_run)
			d.task = (char *)view_task(a->view, r->index);
		plan = mem_strdup(r->plan);
		for (line = plan ? strtok_r(plan, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save))
			control_done_line(&d, line);
		api_done(a->api, o->token, &d);
		for (unsigned i = 0; i < d.n_lines; i++)
			free(d.lines[i]);
		free(d.lines);
		free(plan);
		free(o);
		return;
	}
}

static void on_commit(void *arg, struct api_token token, struct txn *t, bool dry_run)
{
	ask(arg, token, &(struct cluster_request){ .verb = CLUSTER_TXN, .txn = t, .dry_run = dry_run });
}

static void on_undo(void *arg, struct api_token token, struct txn *t, uint64_t index, bool dry_run)
{
	ask(arg, token, &(struct cluster_request){ .verb = CLUSTER_UNDO, .txn = t, .number = index, .dry_run = dry_run });
}

static void on_cancel(void *arg, struct api_token token)
{
	struct answer *a = arg;

	/* What was proposed cannot be called back; nobody waits for the answer any more. */
	for (struct owed **p = &a->owed; *p; p = &(*p)->next) {
		struct owed *o = *p;

		if (o->token.client == token.client && o->token.request == token.request) {
			*p = o->next;
			free(o);
			return;
		}
	}
}

struct probe {
	struct answer *a;
	struct api_token token;
	char *file;
};

static void probed(void *arg, const struct plugins_result *r)
{
	struct probe *p = arg;
	auto_free char *text = r->err && r->text && !strstr(r->text, p->file) ? mem_printf("%s: %s", p->file, r->text) : NULL;
	struct control_done d = { .err = r->err, .text = text ? text : (char *)r->text };
	char *json = r->out ? json_dumps(r->out, JSON_INDENT(2) | JSON_SORT_KEYS) : NULL, *save = NULL, *line;

	for (line = json ? strtok_r(json, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save))
		control_done_line(&d, line);
	api_done(p->a->api, p->token, &d);
	for (unsigned i = 0; i < d.n_lines; i++)
		free(d.lines[i]);
	free(d.lines);
	free(json);
	free(p->file);
	free(p);
}

static void verb_probe(struct answer *a, struct api_token token, const struct attrs *args)
{
	const char *file = attrs_get(args, "file");
	struct probe *p;

	if (!a->conf.plugins || !file) {
		api_fail(a->api, token, ERR_INVAL, "/plugins", NULL, "plugin probe needs a file");
		return;
	}
	p = mem_zalloc(sizeof(*p));
	p->a = a;
	p->token = token;
	p->file = mem_strdup(file);
	plugins_probe(a->conf.plugins, file, probed, p);
}

/* A transaction with nothing but who asks: the cluster fills in what the verb means. */
static void ask_verb(struct answer *a, struct api_token token, const struct api_peer *who, enum cluster_verb verb,
                     const char *what, bool dry_run, bool force)
{
	struct txn t = { .author = mem_strdup(who->user), .node = mem_strdup(cluster_self_name(a->cluster)),
	                 .time_ms = wall_ms() };

	t.message = mem_printf("%s%s%s", verb == CLUSTER_ADOPT ? "adopt" : verb == CLUSTER_REMOVE ? "remove" :
	                       verb == CLUSTER_ROTATE ? "rotate the cluster key" : "create the cluster", what ? " " : "", what ? what : "");
	randombytes_buf(t.request_id, sizeof(t.request_id));
	ask(a, token, &(struct cluster_request){ .verb = verb, .txn = &t, .what = what, .dry_run = dry_run, .force = force });
	txn_fini(&t);
}

static void verb_drain(struct answer *a, struct api_token token, const struct api_peer *who, const char *path, bool undo,
                       bool dry_run)
{
	struct txn t = { .author = mem_strdup(who->user), .node = mem_strdup(cluster_self_name(a->cluster)),
	                 .time_ms = wall_ms(), .message = mem_printf("%s %s", undo ? "end drain of" : "drain", path_name(path)) };
	struct txn_op *op = txn_add(&t, TXN_SET, path);

	attrs_set(&op->attrs, "drain", undo ? "no" : "yes");
	randombytes_buf(t.request_id, sizeof(t.request_id));
	on_commit(a, token, &t, dry_run);
	txn_fini(&t);
}

/* A task is a commit that is being carried out: what is not done yet is no longer wanted, and what is done is taken back. */
static void verb_cancel(struct answer *a, struct api_token token, const struct api_peer *who, const char *path, bool dry_run)
{
	struct txn t = { .author = mem_strdup(who->user), .node = mem_strdup(cluster_self_name(a->cluster)), .time_ms = wall_ms() };
	struct names_task task;
	uint64_t index;
	char hint[48];

	if (text_u64_parse(path_name(path), &index) < 0 || names_task(cluster_names(a->cluster), index, mono_now(), &task) < 0) {
		api_fail(a->api, token, ERR_NOENT, path, "director task list", "there is no task %s", path_name(path));
	} else if (task.canceled) {
		api_fail(a->api, token, ERR_CANCELED, path, NULL, "it is canceled already");
	} else if (task.status == STATUS_CONVERGED) {
		snprintf(hint, sizeof(hint), "director undo %" PRIu64, index);
		api_fail(a->api, token, ERR_BUSY, path, hint, "it is done; what a commit did is taken back by another");
	} else {
		t.message = mem_printf(NAMES_TASK_CANCELED, index);
		randombytes_buf(t.request_id, sizeof(t.request_id));
		on_undo(a, token, &t, index, dry_run);
	}
	txn_fini(&t);
}

static void verb_key(struct answer *a, struct api_token token, const struct api_peer *who)
{
	const struct key *k = keys_newest(cluster_keys(a->cluster));
	struct control_done d = { .err = 0 };
	char hex[65], line[80];

	if (who->uid != 0) {
		api_fail(a->api, token, ERR_DENIED, "/cluster", NULL, "only root may read the cluster key");
		return;
	}
	if (!k) {
		api_fail(a->api, token, ERR_NOENT, "/cluster", "director cluster create", "this node has no cluster key");
		return;
	}
	snprintf(line, sizeof(line), "%" PRIu32 " %s", k->epoch, text_hex(k->secret, 32, hex));
	control_done_line(&d, line);
	api_done(a->api, token, &d);
	sodium_memzero(d.lines[0], strlen(d.lines[0]));
	free(d.lines[0]);
	free(d.lines);
	sodium_memzero(hex, sizeof(hex));
	sodium_memzero(line, sizeof(line));
}

static bool yes(const struct attrs *args, const char *key)
{
	const char *v = attrs_get(args, key);

	return v && strcmp(v, "yes") == 0;
}

static void on_verb(void *arg, struct api_token token, const struct api_peer *who, const char *verb, const char *path,
                    const struct attrs *args)
{
	struct answer *a = arg;
	struct control_done ok = { .err = 0 };
	const char *fp = attrs_get(args, "fingerprint");
	bool dry = yes(args, "dry-run");

	if (strcmp(verb, "node.adopt") == 0) {
		ask_verb(a, token, who, CLUSTER_ADOPT, fp ? fp : path_name(path), dry, false);
	} else if (strcmp(verb, "node.remove") == 0) {
		ask_verb(a, token, who, CLUSTER_REMOVE, path_name(path), dry, yes(args, "force"));
	} else if (strcmp(verb, "node.drain") == 0) {
		verb_drain(a, token, who, path, yes(args, "undo"), dry);
	} else if (strcmp(verb, "cluster.create") == 0) {
		ask_verb(a, token, who, CLUSTER_FOUND, attrs_get(args, "name"), dry, false);
	} else if (strcmp(verb, "cluster.rotate-key") == 0) {
		ask_verb(a, token, who, CLUSTER_ROTATE, NULL, dry, false);
	} else if (strcmp(verb, "cluster.key") == 0) {
		verb_key(a, token, who);
	} else if (strcmp(verb, "plugin.probe") == 0) {
		verb_probe(a, token, args);
	} else if (strcmp(verb, "plugin.reset") == 0 && a->conf.plugins) {
		if (plugins_unquarantine(a->conf.plugins, path_name(path)) < 0)
			api_fail(a->api, token, ERR_NOENT, path, "director plugin list", "this node has no plugin %s", path_name(path));
		else
			api_done(a->api, token, &ok);
	} else if (strcmp(verb, "debug") == 0) {
		const char *subjects = attrs_get(args, "subjects");

		a->conf.debug(a->conf.arg, subjects ? subjects : "");
		api_done(a->api, token, &ok);
	} else if (strcmp(verb, "task.cancel") == 0) {
		verb_cancel(a, token, who, path, dry);
	} else {
		api_fail(a->api, token, ERR_NOTSUP, path, NULL, "this daemon does not know '%s'", verb);
	}
}

/* ---- telling ---- */

void answer_changed(struct answer *a)
{
	const char *self = cluster_self_name(a->cluster);

	if (strcmp(a->self, self) != 0) {
		snprintf(a->self, sizeof(a->self), "%s", self);
		api_renamed(a->api, self);
	}
	view_events(a->view, a->api);
}

void answer_cluster(struct answer *a, struct cluster *cluster)
{
	a->cluster = cluster;
	view_set(a->view, cluster_names(cluster));
	api_reset(a->api);
}

static const struct api_ops ops = {
	.get = on_get, .child = on_child, .status = on_status, .commit = on_commit, .undo = on_undo, .verb = on_verb,
	.cancel = on_cancel, .history = on_history, .blame = on_blame, .schema = on_schema, .secret = on_secret,
	.index = on_index,
};

int answer_new(struct answer **ap, const struct answer_conf *conf, struct cluster *cluster)
{
	struct answer *a = mem_zalloc(sizeof(*a));
	struct api_conf ac = {
		.loop = conf->loop, .log = conf->log, .socket = conf->socket, .state = conf->state,
		.node = cluster_self_name(cluster), .version = conf->version, .ops = &ops, .ops_arg = a, .stream = conf->stream,
	};
	int err;

	a->conf = *conf;
	a->cluster = cluster;
	a->view = view_new(cluster_names(cluster), catalog_of, a);
	err = api_new(&a->api, &ac);
	if (err) {
		view_free(&a->view);
		free(a);
	} else {
		*ap = a;
	}
	return err;
}

void answer_free(struct answer **ap)
{
	struct answer *a = *ap;

	if (!a)
		return;
	api_free(&a->api);
	while (a->owed) {
		struct owed *o = a->owed;

		a->owed = o->next;
		free(o);
	}
	view_free(&a->view);
	free(a);
	*ap = NULL;
}
