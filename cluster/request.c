/* SPDX-License-Identifier: Apache-2.0 */
/* Requests: each verb becomes one transaction, is prepared and checked here, agreed by all, and answered when it was applied. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/cluster_priv.h"
#include "cluster/prepare.h"
#include "cluster/volume.h"

#define TRIES_MAX 16            /* of one proposal of our own in one state of what it is about */
#define REFUSE_MS 500           /* a request is held no longer than this once its node is known to be in a minority */

static struct cluster_reply *reply_add(struct cluster_out *out, uint64_t id, int err)
{
	out->reply = mem_grow(out->reply, &out->cap_reply, out->n_reply, sizeof(*out->reply));
	out->reply[out->n_reply] = (struct cluster_reply){ .id = id, .err = err };
	return &out->reply[out->n_reply++];
}

static void refuse(struct cluster_out *out, uint64_t id, int err, const struct why *why)
{
	struct cluster_reply *r = reply_add(out, id, err);

	snprintf(r->text, sizeof(r->text), "%s", why && why->text[0] ? why->text : err_text(err));
}

/*
 * Does this node know that it has no majority? By the view it is in; without one, by whom gossip reaches: a
 * node outside the ring could only hand the request to others who are as few.
 */
bool request_minority(const struct cluster *c, struct why *why)
{
	const struct agree_status *s = c->status;
	unsigned have = 0, of = roster_n_voters(&s->roster);

	if (!s->has_log || s->mode == AGREE_ACTIVE)
		return false;
	if (ring_host_wants(c)) {
		why_set(why, ERR_NOQUORUM, "no quorum: %s", ring_host_wants(c));
		return true;
	}
	for (unsigned i = 0; i < s->n_member; i++)
		have += roster_votes(&s->roster, &s->member[i].id);
	for (unsigned i = 0; s->n_member == 0 && i < s->roster.n; i++) {
		struct gossip_member m;

		have += s->roster.node[i].role == ROSTER_VOTER && gossip_find(c->gossip, &s->roster.node[i].id, &m) &&
		        (m.state == MEMBER_ALIVE || m.state == MEMBER_SUSPECT);
	}
	if (have >= roster_majority(&s->roster))
		return false;
	why_set(why, ERR_NOQUORUM, "no quorum: %u of %u voters are %s, %u are needed", have, of,
	        s->n_member ? "in the view" : "reached", roster_majority(&s->roster));
	return true;
}

/* Asked for again with the same key, it is done once. */
#define IN_DOUBT "; it may still be carried out, which the history shows when there is a majority again"

/* Why nothing can be agreed right now. */
static int not_now(const struct cluster *c, struct why *why)
{
	if (!c->keys.n)
		return why_set(why, ERR_DENIED, "this node has no cluster key: adopt it from a member "
		               "(director node adopt %s), or begin a cluster here (director cluster create)", c->conf.name);
	if (c->clone.family)
		return why_set(why, ERR_DENIED, "this node's identity is in use elsewhere; see director status");
	if (c->removed)
		return why_set(why, ERR_DENIED, "this node was removed from the cluster: adopt it from a member (director node adopt %s)",
		               c->conf.name);
	if (found_key_old(c))
		return why_set(why, ERR_DENIED, "this node's cluster key is old: adopt it from a member (director node adopt %s), or begin "
		               "another cluster here (director cluster create)", c->conf.name);
	if (c->reset)
		return why_set(why, ERR_AGAIN, "this node is joining another cluster; try again in a moment");
	if (!c->status->has_log)
		return why_set(why, ERR_AGAIN, "this node has not joined yet; try again in a moment");
	if (c->status->mode != AGREE_ACTIVE && c->status->mode != AGREE_RECOVERING && c->status->mode != AGREE_NO_VIEW)
		return why_set(why, c->status->mode == AGREE_NO_QUORUM ? ERR_NOQUORUM : ERR_FAILED, "%s%s",
		               c->status->mode == AGREE_NO_QUORUM ? "no quorum: " : "", c->status->reason);
	return request_minority(c, why) ? ERR_NOQUORUM : 0;
}

/* `w` says who waits for it. */
static void propose(struct cluster *c, const struct waiting *w, struct txn *t, struct cluster_out *out)
{
	struct agree_in in = { .kind = AGREE_IN_PROPOSE };
	struct buf b = { 0 };
	int err = c->codec->txn_encode(t, &b);

	if (err || b.len > AGREE_PAYLOAD_MAX) {
		struct why why;

		why_set(&why, ERR_LIMIT, "the transaction is too large: %zu bytes of at most %u", b.len, AGREE_PAYLOAD_MAX);
		if (w->request)
			refuse(out, w->request, ERR_LIMIT, &why);
		free(w->told);
		buf_fini(&b);
		return;
	}
	memcpy(in.propose.rid.b, t->request_id, 16);
	in.propose.kind = AGREE_TXN;
	in.propose.payload = b.data;
	in.propose.len = (uint32_t)b.len;
	c->waiting = mem_grow(c->waiting, &c->cap_waiting, c->n_waiting, sizeof(*c->waiting));
	c->waiting[c->n_waiting] = *w;
	c->waiting[c->n_waiting].rid = in.propose.rid;
	c->waiting[c->n_waiting++].few_since = MONO_NEVER;
	c->dirty |= c->status->mode != AGREE_ACTIVE;
	cluster_agree_step(c, &in, out);
	buf_fini(&b);
}

static void author_is(struct cluster *c, struct txn *t)
{
	free(t->author);
	free(t->node);
	t->author = mem_strdup("director");
	t->node = mem_strdup(cluster_self_name(c));
	t->time_ms = c->wall_ms;
}

static bool waits_for(const struct cluster *c, const uint8_t rid[16])
{
	for (unsigned i = 0; i < c->n_waiting; i++)
		if (memcmp(c->waiting[i].rid.b, rid, 16) == 0)
			return true;
	return false;
}

void request_propose_own(struct cluster *c, struct txn *t, const char *what, struct cluster_out *out)
{
	struct catalog_result res;
	crypto_generichash_state st;

	crypto_generichash_init(&st, NULL, 0, 16);
	crypto_generichash_update(&st, c->lineage, 16);
	crypto_generichash_update(&st, (const uint8_t *)what, strlen(what));
	crypto_generichash_final(&st, t->request_id, 16);
	if (waits_for(c, t->request_id))
		return;
	author_is(c, t);
	/* What was done, or would be refused now, is asked again when something has changed. */
	catalog_check(c->catalog, t, &res, NULL);
	/*
	 * It was refused when it was applied, because of something else that came before it, and would not be refused now: the
	 * next try. All nodes that try come to the same id.
	 */
	for (unsigned n = 0; res.again && res.err && n < TRIES_MAX; n++) {
		crypto_generichash_init(&st, NULL, 0, 16);
		crypto_generichash_update(&st, t->request_id, 16);
		crypto_generichash_update(&st, (const uint8_t *)&res.index, sizeof(res.index));
		crypto_generichash_final(&st, t->request_id, 16);
		if (waits_for(c, t->request_id))
			return;
		catalog_check(c->catalog, t, &res, NULL);
	}
	if (res.err || res.again)
		return;
	log_debug(c->log, "request: own proposal: %s", what);
	propose(c, &(struct waiting){ .request = 0 }, t, out);
}

/* The life of this process is in it: such a proposal is never taken for an earlier one. */
static void rid_anew(struct cluster *c, struct txn *t)
{
	crypto_generichash_state st;

	c->own_rids++;
	crypto_generichash_init(&st, NULL, 0, 16);
	crypto_generichash_update(&st, c->self.b, sizeof(c->self.b));
	crypto_generichash_update(&st, c->card.boot, sizeof(c->card.boot));
	crypto_generichash_update(&st, (const uint8_t *)&c->own_rids, sizeof(c->own_rids));
	crypto_generichash_final(&st, t->request_id, 16);
}

void request_propose_change(struct cluster *c, struct txn *t, const struct own_change *change, uint64_t proposal,
                            struct cluster_out *out)
{
	/* The same change is refused or has no effect the second time: let the first one come about. */
	for (unsigned i = 0; !proposal && i < c->n_waiting; i++)
		if (c->waiting[i].owns && !c->waiting[i].proposal && memcmp(&c->waiting[i].change, change, sizeof(*change)) == 0)
			return;
	rid_anew(c, t);
	author_is(c, t);
	propose(c, &(struct waiting){ .owns = true, .change = *change, .proposal = proposal }, t, out);
}

static struct waiting *waiting_find(struct cluster *c, const struct agree_rid *rid)
{
	for (unsigned i = 0; i < c->n_waiting; i++)
		if (memcmp(c->waiting[i].rid.b, rid->b, 16) == 0)
			return &c->waiting[i];
	return NULL;
}

void request_applied(struct cluster *c, const struct agree_rid *rid, const struct why *why)
{
	for (unsigned i = 0; i < c->n_waiting; i++)
		if (memcmp(c->waiting[i].rid.b, rid->b, 16) == 0)
			c->waiting[i].why = *why;
}

void request_reply(struct cluster *c, const struct agree_reply *r, struct cluster_out *out)
{
	struct waiting *w;

	/* The same request may have been asked for twice: all of them get the answer. */
	while ((w = waiting_find(c, &r->rid))) {
		if (w->request) {
			struct cluster_reply *a = reply_add(out, w->request, r->err ? r->err : r->result);

			a->in_doubt = r->in_doubt;
			a->index = r->index;
			if (c->reset) {
				/* What was agreed here is about to be given up: it must not be called done. */
				a->err = ERR_AGAIN;
				a->in_doubt = true;
				snprintf(a->text, sizeof(a->text), "this node is joining another cluster; ask again in a moment");
			} else if (r->err)
				snprintf(a->text, sizeof(a->text), "%s%s%s", r->err == ERR_NOQUORUM ? "no quorum: " : "",
				         r->err == ERR_NOQUORUM ? c->status->reason : err_text(r->err), r->in_doubt ? IN_DOUBT : "");
			else if (r->result)
				snprintf(a->text, sizeof(a->text), "%s", w->why.text[0] ? w->why.text : err_text(r->result));
			else
				a->plan = w->told ? mem_strdup(w->told) : NULL;
		}
		if (w->owns)
			owner_settled(c, w, r->err || r->result);
		free(w->told);
		*w = c->waiting[--c->n_waiting];
	}
}

/*
 * Who asked before the majority went is told so soon; what was sent may still be committed by the others. The wait
 * is for views that follow each other, as when a node dies and the rest come together again.
 */
void request_tend(struct cluster *c, struct cluster_out *out)
{
	struct why why;
	bool few = c->n_waiting && request_minority(c, &why);

	for (unsigned i = 0; i < c->n_waiting;) {
		struct waiting *w = &c->waiting[i];
		struct mono due;

		if (!few || !w->request) {
			w->few_since = MONO_NEVER;
			i++;
			continue;
		}
		if (w->few_since.ns == MONO_NEVER.ns)
			w->few_since = c->now;
		due = mono_add_ms(w->few_since, REFUSE_MS);
		if (mono_due(due, c->now)) {
			struct cluster_reply *a = reply_add(out, w->request, ERR_NOQUORUM);

			a->in_doubt = true;
			snprintf(a->text, sizeof(a->text), "%s" IN_DOUBT, why.text);
			free(w->told);
			*w = c->waiting[--c->n_waiting];
			continue;
		}
		c->wake = mono_min(c->wake, due);
		i++;
	}
}

/* ---- verbs ---- */

static bool matches(const struct gossip_pending *p, const char *what)
{
	char hex[33], fp[40];

	return strcmp(p->name, what) == 0 || strcmp(node_id_text(&p->id, hex), what) == 0 ||
	       strcmp(node_id_fingerprint(&p->id, fp), what) == 0;
}

static int verb_adopt(struct cluster *c, const char *what, struct txn *t, struct why *why)
{
	struct gossip_pending p, found;
	const struct object *o;
	char list[200] = "", fp[40];
	unsigned n = 0;

	for (unsigned i = 0; gossip_pending_at(c->gossip, i, &p); i++) {
		if (matches(&p, what)) {
			found = p;
			n++;
		}
		if (strlen(list) < 140)
			snprintf(list + strlen(list), sizeof(list) - strlen(list), " %s", node_id_fingerprint(&p.id, fp));
	}
	if (n == 0)
		return why_set(why, ERR_NOENT, "no pending node is called %s%s%s", what,
		               list[0] ? "; these wait:" : "; none waits", list);
	if (n > 1)
		return why_set(why, ERR_INVAL, "%u pending nodes are called %s: name one by its fingerprint:%s", n, what, list);
	o = admit_node(c, &found.id);
	if (o)
		return why_set(why, ERR_EXIST, "%s is adopted already; the key is on its way", o->path);
	admit_add_node(c, t, found.public_key, found.name);
	return 0;
}

static uint32_t next_epoch(const struct cluster *c)
{
	const struct object *cl = catalog_get(c->catalog, "/cluster");
	uint64_t agreed = cl ? schema_get_uint(cl->type, &cl->attrs, "key-epoch") : 0;
	uint32_t have = keys_newest(&c->keys)->epoch;

	return (agreed > have ? (uint32_t)agreed : have) + 1;
}

static int verb_rotate(struct cluster *c, const struct cluster_request *r, const char *without, struct txn *t, struct why *why)
{
	struct key k = { .epoch = next_epoch(c) };
	int err;

	memcpy(k.secret, r->entropy, 32);
	err = rotate_make(c, &k, without, t, why);
	sodium_memzero(&k, sizeof(k));
	return err;
}

static bool deletes(const struct txn *t, const char *path)
{
	for (unsigned i = 0; i < t->n_ops; i++)
		if (t->ops[i].kind == TXN_DELETE && strcmp(t->ops[i].path, path) == 0)
			return true;
	return false;
}

/* Has another leg all data? Then this one can go, and the volume stays. */
static bool leg_is_spare(const struct tree *tree, const struct object *leg)
{
	const struct object *v = volume_of_leg(tree, leg);
	struct own_row row;

	if (!v || !volume_row(tree, v, &row))
		return false;
	for (unsigned i = 0; i < row.n_leg; i++)
		if (row.leg[i].state == OWN_LEG_IN && memcmp(row.leg[i].uuid, leg->uuid, 16) != 0)
			return true;
	return false;
}

static void take_along(const struct tree *tree, const char *path, struct txn *t, struct buf *told);

/* A volume of which nothing is left, or that is a part of one. */
static void take_volume(const struct tree *tree, const struct object *v, const char *path, struct txn *t, struct buf *told)
{
	const char *of = attrs_get(&v->attrs, "part-of");
	char whole[PATH_LEN_MAX];

	snprintf(whole, sizeof(whole), "/volumes/%.400s", of ? of : path_name(v->path));
	if (deletes(t, whole))
		return;
	take_along(tree, whole, t, told);
	txn_add(t, TXN_DELETE, whole);
	buf_printf(told, "%s is deleted: its data is only on %s\n", whole, path);
}

/* Delete what refers to `path`, and what refers to that, the last first; a line for each. */
static void take_along(const struct tree *tree, const char *path, struct txn *t, struct buf *told)
{
	for (const struct object *o = tree_referrer(tree, path, NULL); o; o = tree_referrer(tree, path, o)) {
		if (deletes(t, o->path))
			continue;
		if (o->type->id == TYPE_LEG && !leg_is_spare(tree, o)) {
			take_volume(tree, volume_of_leg(tree, o), path, t, told);
			continue;
		}
		take_along(tree, o->path, t, told);
		txn_add(t, TXN_DELETE, o->path);
		buf_printf(told, "%s is deleted: it needs %s\n", o->path, path);
	}
}

static int verb_remove(struct cluster *c, const struct cluster_request *r, struct txn *t, struct buf *told, struct why *why)
{
	const struct tree *tree = catalog_tree(c->catalog);
	char path[PATH_LEN_MAX];
	const struct object *o;
	struct node_id id;
	struct gossip_member m;
	unsigned n;

	snprintf(path, sizeof(path), "/nodes/%.200s", r->what ? r->what : "");
	o = path_ok(path) ? catalog_get(c->catalog, path) : NULL;
	if (!o)
		return why_set(why, ERR_NOENT, "there is no node %s (director node list shows them)", r->what ? r->what : "");
	if (o == admit_node(c, &c->self))
		return why_set(why, ERR_INVAL, "%s is the node you are on: remove it from another node's shell", o->path);
	n = tree_referrers(tree, path, NULL);
	if (n && !r->force)
		return why_set(why, ERR_BUSY, "%s is needed by %u object%s, first %s: move or delete what is there; if the node is gone "
		               "for good, --force deletes it with the node", path, n, n == 1 ? "" : "s", tree_referrer(tree, path, NULL)->path);
	if (n && node_id_parse(attrs_get(&o->attrs, "id"), &id) == 0 && gossip_find(c->gossip, &id, &m) &&
	    (m.state == MEMBER_ALIVE || m.state == MEMBER_SUSPECT))
		return why_set(why, ERR_BUSY, "%s is alive, and %u object%s there: move or delete them; --force is for a node that is gone for "
		               "good", path, n, n == 1 ? " is" : "s are");
	take_along(tree, path, t, told);
	txn_add(t, TXN_DELETE, path);
	return verb_rotate(c, r, path, t, why);
}

static void verb_found(struct cluster *c, const struct cluster_request *r, struct cluster_out *out)
{
	struct why why;

	if (c->has_lineage || c->removed) {
		why_set(&why, ERR_EXIST, c->removed ? "this node was removed from a cluster: empty its state directory first" :
		        "this node belongs to a cluster already");
		refuse(out, r->id, ERR_EXIST, &why);
		return;
	}
	if (strlen(r->what ? r->what : "") >= sizeof(c->found_name)) {
		why_set(&why, ERR_INVAL, "a cluster's name has at most %zu bytes", sizeof(c->found_name) - 1);
		refuse(out, r->id, ERR_INVAL, &why);
		return;
	}
	if (r->dry_run) {
		reply_add(out, r->id, 0)->plan = mem_printf("+ /cluster%s%s\n", r->what ? " name=" : "", r->what ? r->what : "");
		return;
	}
	snprintf(c->found_name, sizeof(c->found_name), "%s", r->what ? r->what : "");
	c->found_now = c->dirty = true;
	if (!c->keys.n)
		rotate_new_key(c, r->entropy, 1, out);
	reply_add(out, r->id, 0);
}

static void dry_run(struct cluster *c, const struct cluster_request *r, const struct txn *t, struct cluster_out *out)
{
	struct catalog_result res = { 0 };
	struct diff d = { 0 };
	struct buf b = { 0 };
	struct cluster_reply *a;

	catalog_check(c->catalog, t, &res, &d);
	diff_text(&d, &b);
	diff_fini(&d);
	a = reply_add(out, r->id, res.err);
	if (res.err)
		snprintf(a->text, sizeof(a->text), "%s", res.why.text[0] ? res.why.text : err_text(res.err));
	a->plan = buf_take(&b);
}

/* A repeated request gets the first answer, whatever could be made of it today: what it did may be in its own way. */
static bool answered(struct cluster *c, const struct cluster_request *r, const struct txn *t, struct cluster_out *out)
{
	struct cluster_reply *a;
	uint64_t index;
	int err;

	if (r->dry_run || !catalog_find_request(c->catalog, t->request_id, &err, &index))
		return false;
	a = reply_add(out, r->id, err);
	a->index = index;
	if (err)
		snprintf(a->text, sizeof(a->text), "%s", err_text(err));
	return true;
}

/*
 * Objects that are more than what is written in them: with a node its key goes, with /cluster all that nodes know each other by.
 * They come and go by their own requests, and neither a transaction nor an undo takes the place of those.
 */
static int by_its_own_request(const struct txn_op *op, struct why *why)
{
	static const char *const kept[] = { "id", "key", "key-box", "portal-group" };
	const struct schema_type *type = schema_type_of(op->path);

	if (type && type->id == TYPE_CLUSTER) {
		if (op->kind == TXN_DELETE)
			return why_set(why, ERR_INVAL, "/cluster is the cluster itself, and cannot be deleted");
		if (attrs_get(&op->attrs, "lineage"))
			return why_set(why, ERR_INVAL, "/cluster: lineage is kept by the cluster itself, it cannot be set");
		if (attrs_get(&op->attrs, "key-epoch"))
			return why_set(why, ERR_INVAL, "/cluster: key-epoch is kept by the cluster itself; for a new key: director cluster rotate-key");
	}
	if (type && type->id == TYPE_NODE) {
		if (op->kind == TXN_CREATE)
			return why_set(why, ERR_INVAL, "%s: a node comes in when it has the cluster's key, or by: director node adopt %s", op->path,
			               path_name(op->path));
		if (op->kind == TXN_DELETE)
			return why_set(why, ERR_INVAL, "%s: a node is taken out, and its key with it, by: director node remove %s", op->path,
			               path_name(op->path));
		for (unsigned i = 0; i < ARRAY_LEN(kept); i++)
			if (attrs_get(&op->attrs, kept[i]))
				return why_set(why, ERR_INVAL, "%s: %s is kept by the cluster itself, it cannot be set", op->path, kept[i]);
	}
	return 0;
}

static int by_hand(const struct txn *t, struct why *why)
{
	int err = 0;

	if (txn_is_machine(t))
		return why_set(why, ERR_INVAL, "only the cluster itself makes such a change");
	for (unsigned i = 0; i < t->n_ops && !err; i++)
		err = by_its_own_request(&t->ops[i], why);
	return err;
}

void request_in(struct cluster *c, const struct cluster_request *r, struct cluster_out *out)
{
	struct txn t = { 0 };
	struct why why = { "" };
	struct buf told = { 0 };
	int err = 0;

	if (r->verb == CLUSTER_FOUND) {
		verb_found(c, r, out);
		return;
	}
	if (!r->dry_run || !c->status->has_log)
		err = not_now(c, &why);
	if (!err && r->txn)
		txn_copy(&t, r->txn);
	if (!err && answered(c, r, &t, out)) {
		txn_fini(&t);
		return;
	}
	if (!err) {
		switch (r->verb) {
		case CLUSTER_TXN:
			err = by_hand(&t, &why);
			break;
		case CLUSTER_UNDO: {
			struct txn inverse = { 0 };

			err = catalog_undo(c->catalog, r->number, &inverse, &why);
			if (!err) {
				for (unsigned i = 0; i < inverse.n_ops; i++) {
					struct txn_op *op = txn_add(&t, inverse.ops[i].kind, inverse.ops[i].path);

					op->if_generation = inverse.ops[i].if_generation;
					attrs_copy(&op->attrs, &inverse.ops[i].attrs);
				}
				/* What is changed while it is on its way is not taken back with it. */
				t.base = inverse.base;
				txn_fini(&inverse);
				err = by_hand(&t, &why);
			}
			break;
		}
		case CLUSTER_ADOPT:
			err = verb_adopt(c, r->what ? r->what : "", &t, &why);
			break;
		case CLUSTER_REMOVE:
			err = verb_remove(c, r, &t, &told, &why);
			break;
		case CLUSTER_ROTATE:
			err = verb_rotate(c, r, NULL, &t, &why);
			break;
		default:
			err = why_set(&why, ERR_NOTSUP, "this daemon does not know the request");
		}
	}
	if (!err && r->verb == CLUSTER_TXN) {
		int perr;
		uint64_t index;

		/* A repeated request is answered as the first time, even if today it could not be prepared any more. */
		if (!catalog_find_request(c->catalog, t.request_id, &perr, &index))
			err = catalog_prepare(c->names, &t, c->now, &why);
	}
	if (err) {
		refuse(out, r->id, err, &why);
	} else if (r->dry_run) {
		dry_run(c, r, &t, out);
	} else {
		struct catalog_result res = { 0 };
		int known;
		uint64_t index;

		/* What would be refused anyway costs nobody a round; what is refused later, by others' changes, is too. */
		if (!catalog_find_request(c->catalog, t.request_id, &known, &index))
			catalog_check(c->catalog, &t, &res, NULL);
		if (res.err)
			refuse(out, r->id, res.err, &res.why);
		else
			propose(c, &(struct waiting){ .request = r->id, .told = told.len ? buf_take(&told) : NULL }, &t, out);
	}
	buf_fini(&told);
	txn_fini(&t);
}
