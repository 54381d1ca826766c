/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A daemon for tests of API, library and shell: the real server and the real namespace, but one process plays the
 * whole cluster n1 n2 n3. What is committed is carried out by itself after --delay ms. A volume whose name
 * begins with "bad" fails on its node, one that begins with "slow" takes ten times as long.
 *
 *	fake-directord SOCKET [--state DIR] [--delay MS] [--volumes N] [--targets N] [--no-quorum] [--events N]
 *	               [--stall MS] (that a client may not read: 20000)
 *	               [--lose-answer] (drops the connection instead of answering the first commit)
 */
#define _GNU_SOURCE
#include <ev.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/facts.h"
#include "cluster/move.h"
#include "cluster/prepare.h"
#include "cluster/volume.h"
#include "directord/view.h"

struct fake {
	struct ev_loop *loop;
	struct api *api;
	struct view *view;
	struct catalog *catalog;
	struct facts *facts;
	struct names *names;
	uint64_t index, version;
	unsigned delay_ms;
	bool no_quorum, lose_answer;
	unsigned session_ends;          /* the session is over after it has been listed so often; 0: never */
	struct api_token slow;          /* of the verb "sleep" */
};

/* A commit's work, to be reported when the timer fires. */
struct work {
	struct ev_timer timer;
	struct fake *f;
	char *path;
};

static struct node_id id_of(unsigned i)
{
	struct node_id id = { { 0 } };

	id.b[15] = (uint8_t)i;
	return id;
}

/* ---- the nodes' reports ---- */

static void report(struct fake *f, unsigned node, const char *path, struct attrs *attrs)
{
	const struct fact *changed;

	if (node == 1) {
		if (attrs)
			facts_set(f->facts, path, attrs);
		else
			facts_delete(f->facts, path);
	} else {
		struct node_id id = id_of(node);
		struct facts_have have = facts_have(f->facts, &id);
		struct fact one = { .node = id, .path = (char *)path, .version = ++f->version, .deleted = !attrs };
		const struct fact *list[] = { &one };
		struct facts_part part = { .node = id, .floor = have.floor, .from = have.max, .upto = f->version,
		                           .facts = list, .n_facts = 1 };
		bool news;

		if (attrs)
			one.attrs = *attrs;
		facts_apply(f->facts, &part, &news);
	}
	while ((changed = facts_changed(f->facts)) != NULL)
		names_fact_changed(f->names, changed);
}

static unsigned node_of(const char *name)
{
	return name && name[0] == 'n' && name[1] >= '1' && name[1] <= '3' ? (unsigned)(name[1] - '0') : 1;
}

static void done_volume(struct fake *f, const struct object *o)
{
	struct attrs as = { 0 };
	auto_free char *applied = mem_printf("%" PRIu64, o->generation);

	if (strncmp(path_name(o->path), "bad", 3) == 0) {
		attrs_set(&as, "state", "failed");
		attrs_set(&as, "error", "the disk of this test is always broken");
	} else {
		attrs_set(&as, "state", "ready");
		attrs_set(&as, "applied", applied);
		attrs_set(&as, "size", attrs_get(&o->attrs, "size"));
	}
	report(f, node_of(attrs_get(&o->attrs, "node")), o->path, &as);
	attrs_fini(&as);
}

static void done_target(struct fake *f, const struct object *o)
{
	auto_free char *applied = mem_printf("%" PRIu64, f->index);
	struct attrs as = { 0 };

	attrs_set(&as, "state", "ready");
	attrs_set(&as, "applied", applied);
	attrs_set(&as, "sessions", "0");
	for (unsigned i = 1; i <= 3; i++)
		report(f, i, o->path, &as);
	attrs_fini(&as);
}

/* ---- volumes with copies: the first leg's node serves them, new legs are in sync at once ---- */

static void agreed(struct fake *f, struct txn *t)
{
	struct catalog_result r;

	snprintf((char *)t->request_id, sizeof(t->request_id), "by-%llu", (unsigned long long)f->index + 1);
	t->author = mem_strdup("director");
	t->node = mem_strdup("n1");
	t->message = t->message ? t->message : mem_strdup("");
	catalog_apply(f->catalog, ++f->index, t, &r);
	if (!r.err)
		names_committed(f->names, &r);
	txn_fini(t);
}

static bool agree_own(struct fake *f, const struct own_row *row, enum own_change_kind kind, const struct own_leg *leg)
{
	struct own_change c = { .kind = kind, .epoch = row->epoch, .turn = leg->turn, .node = leg->node };
	struct txn t = { 0 };

	memcpy(c.volume, row->uuid, 16);
	memcpy(c.leg, leg->uuid, 16);
	if (volume_txn_own(catalog_tree(f->catalog), &c, &t) < 0)
		return false;
	agreed(f, &t);
	return true;
}

/* One step towards what is wanted. */
static bool legs_step(struct fake *f, const char *path)
{
	const struct object *v = catalog_get(f->catalog, path);
	char what[MOVE_WHAT_MAX];
	struct own_row row;
	struct txn t;

	if (!v || !volume_row(catalog_tree(f->catalog), v, &row))
		return false;
	if (node_id_none(&row.owner))
		return agree_own(f, &row, OWN_TAKE, &row.leg[0]);
	if (!row.begun)
		return agree_own(f, &row, OWN_BEGIN, &row.leg[0]);
	if (!node_id_none(&row.want))
		return own_reaches(&row, &row.want) && agree_own(f, &row, OWN_PASS, &(struct own_leg){ .node = row.want });
	/* Before legs come into sync: one that is to go was put out of it. */
	if (move_next(f->names, v, &t, what)) {
		agreed(f, &t);
		return true;
	}
	for (unsigned i = 0; i < row.n_leg && strncmp(path_name(path), "slow", 4) != 0; i++)
		if (row.leg[i].state != OWN_LEG_IN)
			return agree_own(f, &row, OWN_IN, &row.leg[i]);
	return false;
}

static void legs_gone(struct fake *f, const char *path)
{
	char gone[PATH_LEN_MAX + 16];

	for (char c = 'a'; c < 'f' && path_below(path, "/volumes"); c++) {
		snprintf(gone, sizeof(gone), "%s/legs/%c", path, c);
		for (unsigned i = 1; i <= 3 && !catalog_get(f->catalog, gone); i++)
			report(f, i, gone, NULL);
	}
}

static void done_legs(struct fake *f, const char *path)
{
	const struct tree *tree = catalog_tree(f->catalog);
	const struct object *v, *leg = NULL;
	struct attrs as = { 0 };
	struct own_row row;

	while (legs_step(f, path))
		;
	v = catalog_get(f->catalog, path);
	volume_row(tree, v, &row);
	attrs_set(&as, "storage", "ready");
	while ((leg = volume_leg(tree, v, leg))) {
		auto_free char *applied = mem_printf("%" PRIu64, leg->generation);

		attrs_set(&as, "applied", applied);
		report(f, node_of(attrs_get(&leg->attrs, "node")), leg->path, &as);
	}
	attrs_fini(&as);
	legs_gone(f, path);
	if (volume_has_legs(v)) {
		auto_free char *applied = mem_printf("%" PRIu64, v->generation);
		bool lacks = false;

		for (unsigned i = 0; i < row.n_leg; i++)
			lacks |= row.leg[i].state != OWN_LEG_IN;
		attrs_set(&as, "state", "ready");
		attrs_set(&as, "applied", applied);
		if (lacks) {
			attrs_set(&as, "resync-left", "1073741824");
			attrs_set(&as, "resync-total", "2147483648");
			attrs_set(&as, "resync-rate", "104857600");
		}
		report(f, node_of(volume_node_name(tree, &row.owner)), path, &as);
		attrs_fini(&as);
	}
}

/* A node is drained: each volume does its part. */
static void done_node(struct fake *f)
{
	const struct object *v = NULL;

	while ((v = volume_next(catalog_tree(f->catalog), v))) {
		auto_free char *path = mem_strdup(v->path);

		done_legs(f, path);
		v = catalog_get(f->catalog, path);
	}
}

static void carry_out(struct fake *f, const char *path)
{
	const struct object *o = catalog_get(f->catalog, path);

	if (o && o->type->id == TYPE_VOLUME && attrs_get(&o->attrs, "copies"))
		done_legs(f, path);
	else if (o && o->type->id == TYPE_VOLUME)
		done_volume(f, o);
	else if (o && o->type->id == TYPE_NODE)
		done_node(f);
	else if (o && o->type->id == TYPE_TARGET)
		done_target(f, o);
	for (unsigned i = 1; i <= 3 && !o; i++)
		report(f, i, path, NULL);
	if (!o)
		legs_gone(f, path);
	if (f->api)
		view_events(f->view, f->api);
}

static void on_work(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	struct work *work = w->data;

	carry_out(work->f, work->path);
	free(work->path);
	free(work);
}

static void schedule(struct fake *f, const char *path)
{
	struct work *w;
	char top[PATH_LEN_MAX];

	memcpy(top, path, strlen(path) + 1);
	while (path_depth(top) > 2)             /* a target's report speaks for what is below it */
		path_parent(strdupa(top), top);
	if (!f->api) {
		carry_out(f, top);
		return;
	}
	w = mem_zalloc(sizeof(*w));
	w->f = f;
	w->path = mem_strdup(top);
	ev_timer_init(&w->timer, on_work, f->delay_ms / 1000.0 * (strncmp(path_name(top), "slow", 4) == 0 ? 10 : 1), 0);
	w->timer.data = w;
	ev_timer_start(f->loop, &w->timer);
}

/* ---- ops ---- */

static const struct catalog *op_catalog(void *arg)
{
	return ((struct fake *)arg)->catalog;
}

static int op_get(void *arg, const char *path, const struct control_object **o)
{
	return view_get(((struct fake *)arg)->view, path, o);
}

static bool op_child(void *arg, const char *path, const char *after, char *out)
{
	struct fake *f = arg;

	if (strcmp(path, "/sessions") == 0 && !after && f->session_ends && !--f->session_ends)
		report(f, 2, "/sessions/n2-1", NULL);
	return view_child(f->view, path, after, out);
}

static int count_node(void *arg, const struct names_entry *e)
{
	struct control_status *s = arg;
	const char *state = attrs_get(&e->derived, "state");

	if (!e->type || e->type->id != TYPE_NODE || !state)
		return 0;
	if (strcmp(state, "pending") == 0) {
		s->pending_nodes++;
	} else {
		s->nodes++;
		s->alive += strcmp(state, "alive") == 0;
	}
	return 0;
}

static void op_status(void *arg, struct control_status *s)
{
	struct fake *f = arg;

	s->cluster = mem_strdup("test");
	s->node = mem_strdup("n1");
	s->lineage = mem_strdup("");
	s->version = mem_strdup("0.0.0-fake");
	s->state = mem_strdup("ready");
	s->quorate = !f->no_quorum;
	s->voters = 3;
	s->voters_alive = f->no_quorum ? 1 : 3;
	view_status(f->view, s);
	names_walk(f->names, "/nodes", 1, mono_now(), count_node, s);
}

static void changed(struct fake *f, const struct catalog_result *r)
{
	char (*paths)[PATH_LEN_MAX] = mem_alloc((r->n_changes + 1) * sizeof(*paths));
	unsigned n = r->n_changes;

	for (unsigned i = 0; i < n; i++)
		snprintf(paths[i], PATH_LEN_MAX, "%s", r->changes[i].path);
	names_committed(f->names, r);
	if (f->api)
		view_events(f->view, f->api);
	for (unsigned i = 0; i < n; i++)
		schedule(f, paths[i]);
	free(paths);
}

static void fail(struct fake *f, struct api_token token, int err, const struct why *why)
{
	api_fail(f->api, token, err, NULL, NULL, "%s", *why->text ? why->text : err_text(err));
}

static void op_commit(void *arg, struct api_token token, struct txn *t, bool dry_run)
{
	struct fake *f = arg;
	struct catalog_result r = { 0 };
	struct control_done d = { 0 };
	struct diff diff = { 0 };
	struct why why = { "" };
	int err = catalog_prepare(f->names, t, mono_now(), &why);

	if (err) {
		fail(f, token, err, &why);
		return;
	}
	if (dry_run) {
		catalog_check(f->catalog, t, &r, &diff);
		if (!r.err)
			view_diff(&diff, &d);
		diff_fini(&diff);
	} else if (f->no_quorum) {
		r.err = ERR_NOQUORUM;
	} else {
		catalog_apply(f->catalog, ++f->index, t, &r);
	}
	if (r.err) {
		fail(f, token, r.err, &r.why);
		return;
	}
	if (!dry_run) {
		d.index = r.index;
		if (!r.again)
			changed(f, &r);
		d.task = (char *)view_task(f->view, r.index);
	}
	if (f->lose_answer && !dry_run) {
		f->lose_answer = false;
		kill(getpid(), SIGUSR1);        /* the listener drops every client */
		return;
	}
	api_done(f->api, token, &d);
	control_done_fini(&(struct control_done){ .lines = d.lines, .n_lines = d.n_lines });
}

static void op_undo(void *arg, struct api_token token, struct txn *t, uint64_t index, bool dry_run)
{
	struct fake *f = arg;
	struct why why = { "" };
	struct txn inverse = { 0 };
	int err = catalog_undo(f->catalog, index, &inverse, &why);

	if (err) {
		fail(f, token, err, &why);
		return;
	}
	memcpy(inverse.request_id, t->request_id, 16);
	inverse.author = mem_strdup(t->author);
	inverse.node = mem_strdup(t->node);
	free(inverse.message);
	inverse.message = mem_strdup(t->message);
	inverse.time_ms = t->time_ms;
	op_commit(f, token, &inverse, dry_run);
	txn_fini(&inverse);
}

static void op_verb(void *arg, struct api_token token, const struct api_peer *who, const char *verb, const char *path,
	const struct attrs *args)
{
	struct fake *f = arg;
	struct control_done d = { 0 };

	if (strcmp(verb, "sleep") == 0) {
		api_progress(f->api, token, 1, 2, "asleep");
		f->slow = token;
		return;
	}
	if (strcmp(verb, "echo") != 0 && strncmp(verb, "node.", 5) != 0) {
		api_fail(f->api, token, ERR_NOTSUP, path, NULL, "this daemon knows no verb %s", verb);
		return;
	}
	attrs_set(&d.attrs, "verb", verb);
	for (unsigned i = 0; i < args->n; i++)
		attrs_set(&d.attrs, args->a[i].key, args->a[i].value);
	api_done(f->api, token, &d);
	attrs_fini(&d.attrs);
}

static void op_cancel(void *arg, struct api_token token)
{
	struct fake *f = arg;

	if (f->api && f->slow.request == token.request)
		api_note(f->api, "/tasks", "the sleeper was canceled");
}

static int op_history(void *arg, const char *path, uint64_t before, bool (*fn)(void *, const struct control_entry *),
	void *fn_arg)
{
	return view_history(((struct fake *)arg)->view, path, before, fn, fn_arg);
}

static int op_blame(void *arg, const char *path, bool (*fn)(void *, const struct control_entry *), void *fn_arg)
{
	return view_blame(((struct fake *)arg)->view, path, fn, fn_arg);
}

static void op_schema(void *arg, void (*fn)(void *, const struct control_type *), void *fn_arg)
{
	view_schema(((struct fake *)arg)->view, fn, fn_arg);
}

static bool op_secret(void *arg, const char *path, const char *key)
{
	return view_secret(path, key);
}

static uint64_t op_index(void *arg)
{
	return ((struct fake *)arg)->index;
}

static const struct api_ops ops = {
	.get = op_get, .child = op_child, .status = op_status, .commit = op_commit, .undo = op_undo, .verb = op_verb,
	.cancel = op_cancel, .history = op_history, .blame = op_blame, .schema = op_schema, .secret = op_secret,
	.index = op_index,
};

/* ---- the beginning ---- */

static void seed_apply(struct fake *f, struct txn *t)
{
	struct catalog_result r;
	struct why why;

	t->author = mem_strdup("root");
	t->node = mem_strdup("n1");
	t->message = mem_strdup("seed");
	t->time_ms = 1767225600000;
	t->request_id[0] = 1;
	memcpy(t->request_id + 8, &f->index, sizeof(f->index));
	if (catalog_prepare(f->names, t, mono_now(), &why) < 0) {
		fprintf(stderr, "fake: %s\n", why.text);
		exit(1);
	}
	catalog_apply(f->catalog, ++f->index, t, &r);
	if (r.err) {
		fprintf(stderr, "fake: %s\n", r.why.text);
		exit(1);
	}
	changed(f, &r);
	txn_fini(t);
	*t = (struct txn){ 0 };
}

static void set(struct txn_op *op, const char *key, const char *value)
{
	attrs_set(&op->attrs, key, value);
}

static void seed(struct fake *f, unsigned volumes, unsigned targets)
{
	struct txn t = { 0 };
	char path[PATH_LEN_MAX], hex[33];
	struct txn_op *op = txn_add(&t, TXN_CREATE, "/cluster");

	set(op, "name", "test");
	set(op, "level", "4");
	for (unsigned i = 1; i <= 3; i++) {
		struct node_id id = id_of(i);
		struct attrs as = { 0 };
		char name[8];

		snprintf(name, sizeof(name), "n%u", i);
		snprintf(path, sizeof(path), "/nodes/%s", name);
		names_node(f->names, &id, name, NODE_ALIVE, mono_now());
		op = txn_add(&t, TXN_CREATE, path);
		set(op, "id", node_id_text(&id, hex));
		attrs_set(&as, "version", "0.0.0-fake");
		attrs_set(&as, "space-total", "107374182400");
		attrs_set(&as, "space-free", "53687091200");
		attrs_set(&as, "memory-free", "8589934592");
		report(f, i, path, &as);
		attrs_fini(&as);
		attrs_set(&as, "path", "/dev/sda");
		attrs_set(&as, "kind", "disk");
		attrs_set(&as, "size", "1099511627776");
		snprintf(path, sizeof(path), "/nodes/%s/devices/sda", name);
		report(f, i, path, &as);
		attrs_fini(&as);
	}
	seed_apply(f, &t);
	for (unsigned i = 0; i < volumes; i++) {
		snprintf(path, sizeof(path), "/volumes/vol%04u", i);
		op = txn_add(&t, TXN_CREATE, path);
		set(op, "size", "1G");
		set(op, "node", i % 3 == 0 ? "n1" : i % 3 == 1 ? "n2" : "n3");
	}
	if (volumes)
		seed_apply(f, &t);
	for (unsigned i = 0; i < targets; i++) {
		snprintf(path, sizeof(path), "/targets/iqn.2026-01.org.example:t%04u", i);
		op = txn_add(&t, TXN_CREATE, path);
		if (i < volumes) {
			snprintf(path, sizeof(path), "/targets/iqn.2026-01.org.example:t%04u/luns/0", i);
			op = txn_add(&t, TXN_CREATE, path);
			snprintf(path, sizeof(path), "vol%04u", i);
			set(op, "volume", path);
		}
	}
	if (targets)
		seed_apply(f, &t);
}

static void on_end(struct ev_loop *loop, struct ev_signal *w, int revents)
{
	ev_break(loop, EVBREAK_ALL);
}

/* A new server on the same state: clients see their connection break. */
static struct api_conf conf;

static void on_drop(struct ev_loop *loop, struct ev_signal *w, int revents)
{
	struct fake *f = w->data;

	api_free(&f->api);
	conf.stream++;
	if (api_new(&f->api, &conf) < 0)
		exit(1);
}

/* As a node does that was away too long: the whole state arrives as a snapshot, and replaces what it had. */
static void on_load(struct ev_loop *loop, struct ev_signal *w, int revents)
{
	struct fake *f = w->data;
	struct snapshot s;

	catalog_snapshot(f->catalog, &s);
	if (catalog_load(&f->catalog, &s) < 0)
		exit(1);
	names_catalog(f->names, f->catalog);
	view_events(f->view, f->api);
}

/* An initiator that is logged in to this target, at n2. */
static void session_seed(struct fake *f, const char *target)
{
	struct attrs as = { 0 };

	attrs_set(&as, "target", target);
	attrs_set(&as, "initiator", "iqn.2026-01.org.example:h1");
	attrs_set(&as, "node", "n2");
	attrs_set(&as, "portal", "10.0.0.2:3260");
	attrs_set(&as, "type", "normal");
	report(f, 2, "/sessions/n2-1", &as);
	attrs_fini(&as);
}

int main(int argc, char **argv)
{
	struct fake f = { .loop = ev_default_loop(0) };
	struct node_id self = id_of(1);
	struct ev_signal term, interrupt, usr1, usr2;
	unsigned volumes = 0, targets = 0;
	const char *session = NULL;

	if (argc < 2)
		return 2;
	conf = (struct api_conf){
		.loop = f.loop, .socket = argv[1], .node = "n1", .version = "0.0.0-fake", .ops = &ops, .ops_arg = &f,
		.stream = 77, .stall_ms = 20000,
	};
	for (int i = 2; i < argc; i++) {
		const char *v = i + 1 < argc ? argv[i + 1] : "0";

		if (strcmp(argv[i], "--no-quorum") == 0)
			f.no_quorum = true;
		else if (strcmp(argv[i], "--lose-answer") == 0)
			f.lose_answer = true;
		else if (strcmp(argv[i], "--state") == 0)
			conf.state = v, i++;
		else if (strcmp(argv[i], "--delay") == 0)
			f.delay_ms = (unsigned)atoi(v), i++;
		else if (strcmp(argv[i], "--volumes") == 0)
			volumes = (unsigned)atoi(v), i++;
		else if (strcmp(argv[i], "--session") == 0)
			session = v, i++;
		else if (strcmp(argv[i], "--session-ends") == 0)
			f.session_ends = (unsigned)atoi(v), i++;
		else if (strcmp(argv[i], "--targets") == 0)
			targets = (unsigned)atoi(v), i++;
		else if (strcmp(argv[i], "--stall") == 0)
			conf.stall_ms = (unsigned)atoi(v), i++;
		else if (strcmp(argv[i], "--events") == 0)
			conf.events_max = (unsigned)atoi(v), i++;
		else
			return 2;
	}
	f.catalog = catalog_new();
	f.facts = facts_new(&self, 1);
	f.version = 1000;
	f.names = names_new(f.catalog, f.facts);
	f.view = view_new(f.names, op_catalog, &f);
	seed(&f, volumes, targets);
	if (session)
		session_seed(&f, session);
	if (api_new(&f.api, &conf) < 0)
		return 1;
	view_events(f.view, f.api);
	ev_signal_init(&term, on_end, SIGTERM);
	ev_signal_start(f.loop, &term);
	ev_signal_init(&interrupt, on_end, SIGINT);
	ev_signal_start(f.loop, &interrupt);
	ev_signal_init(&usr1, on_drop, SIGUSR1);
	usr1.data = &f;
	ev_signal_start(f.loop, &usr1);
	ev_signal_init(&usr2, on_load, SIGUSR2);
	usr2.data = &f;
	ev_signal_start(f.loop, &usr2);
	ev_run(f.loop, 0);
	api_free(&f.api);
	view_free(&f.view);
	names_free(&f.names);
	facts_free(&f.facts);
	catalog_free(&f.catalog);
	return 0;
}
