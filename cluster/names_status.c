/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What follows from desired and observed together: is an object as it was asked to be, and how far is a
 * commit. A node says with `applied` in its report of a volume or target up to which log index it has
 * carried it out; a target's report speaks for its luns, hosts and portals too.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/address.h"
#include "cluster/facts.h"
#include "cluster/names_int.h"
#include "cluster/plan_int.h"

/* ---- one node and one path ---- */

static const struct fact *report(const struct names *n, const struct names_node *nd, const char *path)
{
	return nd ? facts_get(n->facts, &nd->id, path) : NULL;
}

static const char *state_word(enum names_node_state s)
{
	static const char *const words[] = {
		"not known", "alive", "suspect", "dead", "left", "pending",
	};

	return s <= NODE_PENDING ? words[s] : "not known";
}

enum names_status names_node_status(const struct names *n, const char *node, const char *path, uint64_t index, struct why *why)
{
	const struct names_node *nd = node ? names_node_by_name(n, node) : NULL;
	const struct fact *f = report(n, nd, path);
	const char *applied = f ? attrs_get(&f->attrs, "applied") : NULL;
	const char *error = f ? attrs_get(&f->attrs, "error") : NULL;
	uint64_t upto;

	if (error) {
		why_set(why, 0, "%s on node %s: %s", path, node, error);
		return STATUS_FAILED;
	}
	if (applied && text_u64_parse(applied, &upto) == 0 && upto >= index)
		return STATUS_CONVERGED;
	if (!nd || nd->state != NODE_ALIVE)
		why_set(why, 0, "%s: node %s is %s", path, node ? node : "(none)", nd ? state_word(nd->state) : "not there");
	else
		why_set(why, 0, "%s: node %s is at it", path, node);
	return STATUS_PENDING;
}

/* The worse of two: a failure says more than a wait. */
bool names_worse(enum names_status a, enum names_status b)
{
	static const int rank[] = { [STATUS_CONVERGED] = 0, [STATUS_OBSERVED] = 0, [STATUS_PENDING] = 1, [STATUS_FAILED] = 2 };

	return rank[a] > rank[b];
}

/* ---- volumes and targets ---- */

/* Has the target portals, and is none of them at this node? Then only others offer it (plan_make.c), and reach its volumes through this one. */
static bool offered_elsewhere(const struct names *n, const char *target, const struct names_node *nd)
{
	char folder[PATH_LEN_MAX + 16], node[PATH_LEN_MAX];
	const struct object *portal = NULL;
	const struct fact *f;
	bool any = false;

	snprintf(node, sizeof(node), "/nodes/%.200s", nd->name);
	f = report(n, nd, node);
	if (!f || !attrs_get(&f->attrs, "addresses"))
		return false;
	snprintf(folder, sizeof(folder), "%s/portals", target);
	while ((portal = tree_child(catalog_tree(n->catalog), folder, portal))) {
		if (plan_portal_of(attrs_get(&f->attrs, "addresses"), path_name(portal->path)))
			return false;
		any = true;
	}
	return any;
}

/* A target is carried out by each node that serves a volume of one of its luns, and offers it. */
static enum names_status target_status(const struct names *n, const char *target, uint64_t index, struct why *why)
{
	const struct tree *t = catalog_tree(n->catalog);
	enum names_status status = STATUS_CONVERGED;
	const struct object *lun = NULL;
	char luns[PATH_LEN_MAX + 8], path[PATH_LEN_MAX];
	const char *last = NULL;

	snprintf(luns, sizeof(luns), "%s/luns", target);
	while ((lun = tree_child(t, luns, lun))) {
		const struct object *volume;
		const struct names_node *nd;
		const char *node;
		enum names_status s;
		struct why w;

		schema_ref_path(schema_param(lun->type, "volume"), attrs_get(&lun->attrs, "volume"), path);
		volume = tree_get(t, path);
		node = volume ? names_volume_node(n, volume) : NULL;
		/* Runs of luns on one node are asked about once. */
		if (!node || (last && strcmp(last, node) == 0))
			continue;
		last = node;
		nd = names_node_by_name(n, node);
		if (nd && attrs_get(&volume->attrs, "copies") && !report(n, nd, target) && offered_elsewhere(n, target, nd))
			continue;
		s = names_node_status(n, node, target, index, &w);
		if (names_worse(s, status)) {
			status = s;
			*why = w;
		}
	}
	return status;
}

static enum names_status node_drained(const struct names *n, const struct object *o, struct why *why)
{
	struct names_entry e = { .type = o->type, .desired = o, .status = STATUS_CONVERGED };
	enum names_status s;

	memcpy(e.path, o->path, strlen(o->path) + 1);
	names_derive_drain(n, &e);
	*why = e.reason;
	s = e.status;
	names_entry_fini(&e);
	return s;
}

/* Does this node live, so that what it says is so now? */
static bool lives(const struct names *n, const struct node_id *id)
{
	const char *name = names_node_name(n, id);
	const struct names_node *nd = name ? names_node_by_name(n, name) : NULL;

	return nd && (nd->state == NODE_ALIVE || nd->state == NODE_SUSPECT);
}

/* A floating address is up where its target is served, once it has a LUN; who has trouble with it says so. */
static enum names_status address_status(const struct names *n, const char *path, struct why *why)
{
	char folder[PATH_LEN_MAX], target[PATH_LEN_MAX];
	bool up = false;

	for (const struct fact *f = facts_first(n->facts, path); f && strcmp(f->path, path) == 0; f = facts_next(n->facts, f)) {
		const char *error = attrs_get(&f->attrs, "error"), *node = names_node_name(n, &f->node);

		if (!lives(n, &f->node))
			continue;
		if (error) {
			why_set(why, 0, "%s on node %s: %s", path, node ? node : "(unknown)", error);
			return STATUS_FAILED;
		}
		up |= attrs_get(&f->attrs, "node") != NULL;
	}
	path_parent(path, folder);
	path_parent(folder, target);
	if (up || !address_lun(catalog_tree(n->catalog), target))
		return STATUS_CONVERGED;
	why_set(why, 0, "%s: no node has it yet", path);
	return STATUS_PENDING;
}

/* Who has it, of those that live: what a dead node said of it last is no news. */
static void derive_address(const struct names *n, struct names_entry *e)
{
	const char *node = NULL, *state = NULL;
	bool stale = false;

	for (const struct fact *f = facts_first(n->facts, e->path); f && strcmp(f->path, e->path) == 0; f = facts_next(n->facts, f)) {
		const char *held = attrs_get(&f->attrs, "node");

		if (!lives(n, &f->node)) {
			stale |= held != NULL;
			continue;
		}
		if (!held && (node || state))
			continue;
		node = held;
		state = attrs_get(&f->attrs, "state");
	}
	attrs_set(&e->derived, "node", node ? node : stale ? "" : NULL);
	attrs_set(&e->derived, "state", state ? state : stale ? "waiting" : NULL);
}

/* The path whose report covers an object: the target of a lun; else its own. */
static void covering(const struct schema_type *type, const char *path, char *out)
{
	char folder[PATH_LEN_MAX];

	if (type->covered) {
		path_parent(path, folder);
		path_parent(folder, out);
	} else {
		snprintf(out, PATH_LEN_MAX, "%s", path);
	}
}

/* `task`: as this commit is judged (names_int.h). */
static enum names_status object_status(const struct names *n, const struct object *o, uint64_t task, struct why *why)
{
	char path[PATH_LEN_MAX];

	switch (o->type->id) {
	case TYPE_VOLUME:
		return names_volume_status(n, o, task, why);
	case TYPE_LEG:
		return names_leg_status(n, o, task, why);
	case TYPE_NODE:
		return node_drained(n, o, why);
	case TYPE_ADDRESS:
		return address_status(n, o->path, why);
	case TYPE_TARGET:
		return target_status(n, o->path, o->touched, why);
	case TYPE_LUN:
	case TYPE_HOST:
	case TYPE_PORTAL:
		covering(o->type, o->path, path);
		return target_status(n, path, o->generation, why);
	default:
		return STATUS_CONVERGED;
	}
}

/* An object is gone since `index`: is it gone at the nodes too? */
static enum names_status gone_status(const struct names *n, const struct schema_type *type, const char *path,
                                     uint64_t index, struct why *why)
{
	char cover[PATH_LEN_MAX];

	covering(type, path, cover);
	/* The target stays without its lun; each node that still reports it must have taken that in. */
	for (const struct fact *f = facts_first(n->facts, cover); f && strcmp(f->path, cover) == 0;
	     f = facts_next(n->facts, f)) {
		const char *applied = attrs_get(&f->attrs, "applied"), *error = attrs_get(&f->attrs, "error");
		const char *node = names_node_name(n, &f->node);
		const struct names_node *nd = node ? names_node_by_name(n, node) : NULL;
		uint64_t upto;

		if (applied && text_u64_parse(applied, &upto) == 0 && upto >= index)
			continue;
		if (nd && !lives(n, &f->node)) {
			why_set(why, 0, "%s: node %s is %s, and removes it when it returns", cover, node, state_word(nd->state));
			return STATUS_PENDING;
		}
		why_set(why, 0, "%s on node %s: %s", cover, node ? node : "(unknown)", error ? error : "is being removed");
		return error ? STATUS_FAILED : STATUS_PENDING;
	}
	return STATUS_CONVERGED;
}

/* ---- commits as tasks ---- */

/* One object of a commit: as desired, or overtaken by a later commit that asked for something else. */
static enum names_status op_status(const struct names *n, uint64_t index, const struct txn_op *op, struct why *why)
{
	const struct object *o = catalog_get(n->catalog, op->path);
	const struct schema_type *type = schema_type_of(op->path);
	enum names_status status;

	if (!type)
		return STATUS_CONVERGED;
	if (!o)
		return gone_status(n, type, op->path, index, why);
	/* It was made anew since, or the node is drained because of another commit. */
	if (o->created > index || (o->type->id == TYPE_NODE && !attrs_get(&op->attrs, "drain")))
		return STATUS_CONVERGED;
	status = object_status(n, o, index, why);
	if (status == STATUS_CONVERGED && op->kind == TXN_SET && names_volume_awaited(n, o, attrs_get(&op->attrs, "want"), why))
		return STATUS_PENDING;
	return status;
}

static bool canceled(const struct names *n, uint64_t index)
{
	const struct history *h = NULL;
	char says[48];

	snprintf(says, sizeof(says), NAMES_TASK_CANCELED, index);
	while ((h = catalog_history(n->catalog, h)) && h->index > index)
		if (h->message && strcmp(h->message, says) == 0)
			return true;
	return false;
}

int names_task(const struct names *n, uint64_t index, struct mono now, struct names_task *t)
{
	const struct history *h = catalog_commit(n->catalog, index);

	(void)now;
	*t = (struct names_task){ .index = index, .status = STATUS_CONVERGED };
	if (!h)
		return ERR_NOENT;
	t->total = h->ops.n_ops;
	t->canceled = canceled(n, index);
	for (unsigned i = 0; i < h->ops.n_ops; i++) {
		struct why why = { "" };
		enum names_status s = op_status(n, index, &h->ops.ops[i], &why);

		if (s == STATUS_CONVERGED)
			t->done++;
		if (names_worse(s, t->status)) {
			t->status = s;
			t->reason = why;
		}
	}
	return 0;
}

void names_offer_tasks(const struct names *n, const char *after, char *best, bool *any)
{
	const struct history *h = NULL;
	unsigned shown = 0;
	char name[24];

	while (shown++ < NAMES_TASKS_SHOWN && (h = catalog_history(n->catalog, h))) {
		snprintf(name, sizeof(name), "%" PRIu64, h->index);
		if ((after && strcmp(name, after) <= 0) || (*any && strcmp(name, best) >= 0))
			continue;
		memcpy(best, name, strlen(name) + 1);
		*any = true;
	}
}

/* What a commit did, in a few words: "create /volumes/v1 and 3 more". */
static void commit_words(const struct history *h, char *out, size_t size)
{
	static const char *const verbs[] = { [TXN_CREATE] = "create", [TXN_SET] = "set", [TXN_DELETE] = "delete" };
	size_t at;

	if (h->ops.n_ops == 0) {
		snprintf(out, size, "%u objects", h->n_changes);
		return;
	}
	at = (size_t)snprintf(out, size, "%s %s", verbs[h->ops.ops[0].kind], h->ops.ops[0].path);
	if (h->ops.n_ops > 1 && at < size)
		snprintf(out + at, size - at, " and %u more", h->ops.n_ops - 1);
}

static bool derive_task(const struct names *n, struct mono now, struct names_entry *e)
{
	const struct history *h;
	struct names_task t;
	uint64_t index;
	char text[PATH_LEN_MAX + 64];

	if (text_u64_parse(path_name(e->path), &index) < 0 || names_task(n, index, now, &t) < 0)
		return false;
	h = catalog_commit(n->catalog, index);
	e->status = t.status;
	e->reason = t.reason;
	commit_words(h, text, sizeof(text));
	attrs_set(&e->derived, "what", text);
	attrs_set(&e->derived, "state", t.canceled ? "canceled" : t.status == STATUS_CONVERGED ? "done" : "running");
	snprintf(text, sizeof(text), "%u", t.done);
	attrs_set(&e->derived, "done", text);
	snprintf(text, sizeof(text), "%u", t.total);
	attrs_set(&e->derived, "total", text);
	attrs_set(&e->derived, "author", h->author);
	attrs_set(&e->derived, "node", h->node);
	if (*t.reason.text)
		attrs_set(&e->derived, t.status == STATUS_FAILED ? "error" : "reason", t.reason.text);
	return true;
}

static bool derive_node(const struct names *n, struct names_entry *e)
{
	const struct names_node *nd = names_node_by_name(n, path_name(e->path));
	char id[33];

	if (e->desired)
		e->status = STATUS_CONVERGED;
	names_derive_drain(n, e);
	if (!nd) {
		if (e->desired)
			attrs_set(&e->derived, "state", "dead");
		return false;
	}
	attrs_set(&e->derived, "state", state_word(nd->state));
	attrs_set(&e->derived, "id", node_id_text(&nd->id, id));
	return true;
}

bool names_derive(const struct names *n, struct mono now, struct names_entry *e)
{
	if (e->type && e->type->id == TYPE_TASK)
		return derive_task(n, now, e);
	if (e->type && e->type->id == TYPE_NODE)
		return derive_node(n, e);
	if (e->type && e->type->id == TYPE_CLUSTER) {
		e->status = STATUS_CONVERGED;
		return true;
	}
	if (e->type && e->type->id == TYPE_VOLUME)
		names_derive_volume(n, e);
	if (e->type && e->type->id == TYPE_LEG)
		names_derive_leg(n, e);
	if (e->type && e->type->id == TYPE_ADDRESS && e->desired)
		derive_address(n, e);
	if (e->desired)
		e->status = object_status(n, e->desired, 0, &e->reason);
	else if (e->type && e->type->agreed && e->n_facts)
		/* Reported, but not wanted (any more). */
		e->status = gone_status(n, e->type, e->path, UINT64_MAX, &e->reason);
	return false;
}
