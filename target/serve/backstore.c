/* SPDX-License-Identifier: Apache-2.0 */
/* The control verbs of backstores: check, create, open, fence, resize, close, for whole stacks. */
#include "config.h"

#include "target/serve/backstore.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "target/serve/bs_host.h"

#define STACK_DEPTH_MAX 8

/* ---- specs ---- */

/* A level of a spec with its plugin and its checked parameters. */
struct level {
	struct bs_plugin *plugin;
	struct plugin_conf *conf;
};

static unsigned children_most(const struct director_backstore_ops *ops)
{
	return ops->n_children_max > ops->n_children ? ops->n_children_max : ops->n_children;
}

static int level_new(struct backstore_host *h, const struct backstore_spec *spec, struct level *l,
	struct director_err *err)
{
	const struct director_backstore_ops *ops;
	int r = bs_plugin_get(h, spec->plugin, &l->plugin, err);

	l->conf = NULL;
	if (r < 0)
		return r;
	ops = &l->plugin->pl->backstore;
	if (spec->n_children < ops->n_children || spec->n_children > children_most(ops))
		return plugin_err(err, -EINVAL, "%s goes over %u other backstore%s, not %u", spec->plugin, ops->n_children,
			ops->n_children == 1 ? "" : "s", spec->n_children);
	r = plugin_conf_new(l->plugin->pl, spec->params, spec->n_params, spec->size, &l->conf, err);
	if (r == 0 && ops->check) {
		if (err)
			err->text[0] = 0;
		r = ops->check(l->plugin->pl->priv, &l->conf->conf, err);
		if (r < 0 && err && !err->text[0])
			plugin_err(err, r, "%s: %s", spec->plugin, strerror(-r));
	}
	if (r < 0)
		plugin_conf_free(&l->conf);
	return r;
}

/* `verb` on every level, leaves first, the caller's order among children. */
static int each_level(struct backstore_host *h, const struct backstore_spec *spec, unsigned depth,
	int (*verb)(struct level *, void *arg, struct director_err *err), void *arg, struct director_err *err)
{
	struct level l;
	unsigned i;
	int r;

	if (depth == STACK_DEPTH_MAX)
		return plugin_err(err, -EINVAL, "more than %d backstores over each other", STACK_DEPTH_MAX);
	r = level_new(h, spec, &l, err);
	for (i = 0; i < spec->n_children && r == 0; i++)
		r = each_level(h, &spec->children[i], depth + 1, verb, arg, err);
	if (r == 0 && verb) {
		if (err)
			err->text[0] = 0;
		r = verb(&l, arg, err);
		if (r < 0 && err && !err->text[0])
			plugin_err(err, r, "%s: %s", spec->plugin, strerror(-r));
	}
	plugin_conf_free(&l.conf);
	return r;
}

static int verb_create(struct level *l, void *arg, struct director_err *err)
{
	const struct plugin *pl = l->plugin->pl;

	return pl->backstore.create ? pl->backstore.create(pl->priv, &l->conf->conf, *(uint64_t *)arg, err) : 0;
}

static int verb_destroy(struct level *l, void *arg, struct director_err *err)
{
	const struct plugin *pl = l->plugin->pl;

	return pl->backstore.destroy ? pl->backstore.destroy(pl->priv, &l->conf->conf, err) : 0;
}

int backstore_check(struct backstore_host *h, const struct backstore_spec *spec, struct director_err *err)
{
	return each_level(h, spec, 0, NULL, NULL, err);
}

int backstore_create(struct backstore_host *h, const struct backstore_spec *spec, uint64_t size,
	struct director_err *err)
{
	/* All of the stack is judged before any of it is made. */
	int r = backstore_check(h, spec, err);

	return r < 0 ? r : each_level(h, spec, 0, verb_create, &size, err);
}

int backstore_destroy(struct backstore_host *h, const struct backstore_spec *spec, struct director_err *err)
{
	return each_level(h, spec, 0, verb_destroy, NULL, err);
}

/* ---- capabilities ---- */

static bool pow2(uint64_t n)
{
	return n && !(n & (n - 1));
}

static int caps_judge(const struct backstore *bs, const struct director_caps *c, struct director_err *err)
{
	const char *name = bs->plugin->pl->p.name;

	if (c->block_size != 512 && c->block_size != 4096)
		return plugin_err(err, -EINVAL, "%s: a block size of %u bytes cannot be served (512 and 4096 can)", name,
			c->block_size);
	if (c->size == 0)
		return plugin_err(err, -EINVAL, "%s: it has no room, not a single byte", name);
	if (c->size % c->block_size || c->size > INT64_MAX)
		return plugin_err(err, -EINVAL, "%s: its size is not a whole number of blocks of %u bytes", name,
			c->block_size);
	if (!pow2(c->align) || c->align > (1u << 20))
		return plugin_err(err, -EINVAL, "%s: buffers aligned to %u bytes make no sense", name, c->align);
	if (c->physical_block % c->block_size || c->max_io % c->block_size)
		return plugin_err(err, -EINVAL, "%s: its physical block or longest I/O is not a multiple of its block size",
			name);
	if (c->max_discard && c->max_discard < c->block_size)
		return plugin_err(err, -EINVAL, "%s: its longest discard is less than a block", name);
	return 0;
}

static uint32_t caps_native(const struct director_caps *c)
{
	uint32_t n = 1u << DIRECTOR_READ | 1u << DIRECTOR_WRITE;

	if (c->flags & DIRECTOR_CAP_FLUSH)
		n |= 1u << DIRECTOR_FLUSH;
	if (c->flags & DIRECTOR_CAP_DISCARD)
		n |= 1u << DIRECTOR_DISCARD;
	if (c->flags & DIRECTOR_CAP_ZERO)
		n |= 1u << DIRECTOR_WRITE_ZEROES;
	if (c->flags & DIRECTOR_CAP_CAW)
		n |= 1u << DIRECTOR_COMPARE_AND_WRITE;
	if (c->flags & DIRECTOR_CAP_EXTENTS)
		n |= 1u << DIRECTOR_EXTENTS;
	if (c->flags & DIRECTOR_CAP_CHECKSUM)
		n |= 1u << DIRECTOR_CHECKSUM;
	return n;
}

int bs_caps_read(struct backstore *bs, struct director_err *err)
{
	struct director_caps c = { .struct_size = sizeof(c), .align = 1, .block_size = 512 };
	int r = bs->ops->caps(bs->obj, &c);

	if (r < 0)
		return plugin_err(err, r, "%s: it does not say what it can: %s", bs->plugin->pl->p.name, strerror(-r));
	if (!c.physical_block)
		c.physical_block = c.block_size;
	if (!c.discard_granularity)
		c.discard_granularity = c.block_size;
	r = caps_judge(bs, &c, err);
	if (r < 0)
		return r;
	c.struct_size = sizeof(c);
	pthread_mutex_lock(&bs->caps_lock);
	bs->caps = c;
	pthread_mutex_unlock(&bs->caps_lock);
	atomic_store(&bs->size, c.size);
	return 0;
}

/* What I/O looks at, from capabilities that do not change while the object is open. */
static void caps_use(struct backstore *bs)
{
	const struct director_caps *c = &bs->caps;

	bs->native = caps_native(c);
	bs->block_mask = c->block_size - 1;
	bs->align_mask = c->align - 1;
	bs->max_io = c->max_io;
	bs->max_discard = c->max_discard;
	bs->seam = c->seam;
	bs->fua_ok = (c->flags & DIRECTOR_CAP_FUA) || !(c->flags & DIRECTOR_CAP_WRITE_CACHE);
	bs->read_only = c->flags & DIRECTOR_CAP_READ_ONLY;
}

void backstore_caps_plugin(const struct backstore *bs, struct director_caps *out)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)&bs->caps_lock;

	pthread_mutex_lock(lock);
	*out = bs->caps;
	pthread_mutex_unlock(lock);
	out->size = atomic_load(&bs->size);
}

void backstore_caps(const struct backstore *bs, struct director_caps *out)
{
	backstore_caps_plugin(bs, out);
	out->flags |= DIRECTOR_CAP_FLUSH | DIRECTOR_CAP_FUA | DIRECTOR_CAP_ZERO | DIRECTOR_CAP_CAW |
		DIRECTOR_CAP_EXTENTS | DIRECTOR_CAP_CHECKSUM;
	if (out->max_io && !out->optimal_io)
		out->optimal_io = out->max_io;
	out->max_io = 0;
	out->max_discard = 0;
}

int backstore_space(struct backstore *bs, uint64_t *used, uint64_t *available)
{
	struct backstore *root = bs->root;
	int r = -EOPNOTSUPP;

	pthread_mutex_lock(&root->control);
	/* A filter takes no room of its own. */
	while (bs && !bs->ops->space)
		bs = bs->n_children == 1 ? bs->children[0] : NULL;
	if (bs)
		r = bs->ops->space(bs->obj, used, available);
	pthread_mutex_unlock(&root->control);
	return r;
}

uint64_t backstore_epoch(const struct backstore *bs)
{
	return atomic_load(&bs->epoch);
}

uint64_t backstore_size(const struct backstore *bs)
{
	return atomic_load(&bs->size);
}

/* ---- open and close ---- */

static void slot_take(struct backstore *bs)
{
	struct backstore_host *h = bs->host;
	unsigned i;

	for (i = 0; i < h->n_slots && h->slots[i]; i++)
		;
	if (i == h->n_slots) {
		unsigned n = h->n_slots ? 2 * h->n_slots : 64;

		h->slots = mem_realloc(h->slots, n);
		memset(h->slots + h->n_slots, 0, n - h->n_slots);
		h->n_slots = n;
	}
	h->slots[i] = 1;
	bs->slot = i;
	bs->id = ++h->last_id;
}

/* Join the host's lists; -EMFILE when there are no slots left. */
static int enlist(struct backstore *bs)
{
	struct backstore_host *h = bs->host;
	int r = 0;

	pthread_mutex_lock(&h->lock);
	slot_take(bs);
	if (bs->slot >= BS_CHUNK * BS_CHUNKS) {
		h->slots[bs->slot] = 0;
		r = -EMFILE;
	} else {
		LIST_INSERT_HEAD(&h->objects, bs, link);
	}
	pthread_mutex_unlock(&h->lock);
	return r;
}

static void delist(struct backstore *bs)
{
	pthread_mutex_lock(&bs->host->lock);
	LIST_REMOVE(bs, link);
	bs->host->slots[bs->slot] = 0;
	pthread_mutex_unlock(&bs->host->lock);
}

/* ---- children that could not be opened and may be missing ---- */

static struct backstore_spec *spec_copy(const struct backstore_spec *from)
{
	struct backstore_spec *s = mem_dup(from, sizeof(*s)), *children = mem_zalloc((from->n_children + 1) * sizeof(*children));
	struct plugin_pair *params = mem_zalloc((from->n_params + 1) * sizeof(*params));
	unsigned i;

	s->plugin = mem_strdup(from->plugin);
	for (i = 0; i < from->n_params; i++)
		params[i] = (struct plugin_pair){ mem_strdup(from->params[i].name), mem_strdup(from->params[i].value) };
	for (i = 0; i < from->n_children; i++) {
		struct backstore_spec *c = spec_copy(&from->children[i]);

		children[i] = *c;
		free(c);
	}
	s->params = params;
	s->children = children;
	return s;
}

static void spec_fini(const struct backstore_spec *s)
{
	unsigned i;

	for (i = 0; i < s->n_params; i++) {
		free((void *)s->params[i].name);
		free((void *)s->params[i].value);
	}
	for (i = 0; i < s->n_children; i++)
		spec_fini(&s->children[i]);
	free((void *)s->plugin);
	free((void *)s->params);
	free((void *)s->children);
}

static void spec_free(struct backstore_spec **sp)
{
	if (!*sp)
		return;
	spec_fini(*sp);
	free(*sp);
	*sp = NULL;
}

static void opening_end(struct backstore *bs);

/* Close one level after the other, top first. What is not opened yet has no obj. */
static void level_close(struct backstore *bs, bool opened)
{
	unsigned i;

	if (opened) {
		/* Nobody submits here any more; this makes every thread let go of its plugs too. */
		bs_barrier_wait(bs, BS_CLOSED);
		bs_lend_close(&bs->lend);
		bs_pool_leave(bs->host->pool, bs);
		bs->ops->close(bs->obj);
	}
	opening_end(bs);
	for (i = 0; i < bs->n_children; i++)
		if (bs->children[i])
			level_close(bs->children[i], true);
	delist(bs);
	plugin_conf_free(&bs->conf);
	bs_range_fini(&bs->range);
	bs_lend_fini(&bs->lend);
	pthread_mutex_destroy(&bs->caps_lock);
	pthread_mutex_destroy(&bs->control);
	for (i = 0; bs->missing && i < bs->n_children; i++)
		spec_free(&bs->missing[i]);
	free(bs->missing);
	free(bs->children);
	free(bs);
}

static struct backstore *level_alloc(struct backstore_host *h, struct level *l, struct backstore *parent,
	unsigned n_children)
{
	struct backstore *bs = mem_zalloc(sizeof(*bs));

	bs->host = h;
	bs->plugin = l->plugin;
	bs->ops = &l->plugin->pl->backstore;
	bs->plugin_bit = (uint64_t)1 << l->plugin->index;
	bs->conf = l->conf;
	bs->parent = parent;
	bs->root = parent ? parent->root : bs;
	bs->home = bs_self && bs_self->host == h ? bs_self : NULL;
	bs->n_children = n_children;
	bs->children = mem_zalloc((n_children + 1) * sizeof(bs->children[0]));
	bs->async = bs->ops->threads == DIRECTOR_THREADS_ASYNC;
	bs->has_fd = bs->async && bs->ops->thread_fd;
	bs->takes_turns = bs->has_fd && bs->ops->threads_flags & DIRECTOR_THREADS_TURNS;
	bs->has_fd &= !bs->takes_turns;
	bs->has_plug = bs->async && bs->ops->plug;
	bs->lends = bs->async && bs->ops->lend;
	bs->serial_tail = &bs->serial_head;
	STAILQ_INIT(&bs->barriers);
	bs_range_init(&bs->range);
	bs_lend_init(&bs->lend);
	pthread_mutex_init(&bs->caps_lock, NULL);
	pthread_mutex_init(&bs->control, NULL);
	return bs;
}

/* ---- children that may miss are opened by threads of their own: one may take long, and others need not wait ---- */

#define CHILD_OPEN_MS 50                /* that who asks waits for it */

struct child_job {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct backstore *parent, *child;
	struct backstore_spec *spec;
	unsigned depth;
	struct director_err err;
	bool done;
	int result;
};

static int level_open(struct backstore_host *h, const struct backstore_spec *spec, unsigned depth, uint64_t epoch,
	struct backstore *parent, struct backstore **out, struct director_err *err);

static void *child_job_main(void *arg)
{
	struct child_job *j = arg;
	struct backstore *parent = j->parent;
	int r = level_open(parent->host, j->spec, j->depth, atomic_load(&parent->root->epoch), parent, &j->child, &j->err);

	pthread_mutex_lock(&j->lock);
	j->result = r;
	j->done = true;
	pthread_cond_signal(&j->cond);
	pthread_mutex_unlock(&j->lock);
	return NULL;
}

/* `spec` is given. */
static int child_job_start(struct backstore *bs, unsigned i, struct backstore_spec *spec, unsigned depth)
{
	struct child_job *j = mem_zalloc(sizeof(*j));
	int r;

	j->parent = bs;
	j->spec = spec;
	j->depth = depth;
	j->err.struct_size = sizeof(j->err);
	pthread_mutex_init(&j->lock, NULL);
	cond_init(&j->cond);
	if (!bs->opening)
		bs->opening = mem_zalloc(bs->n_children * sizeof(bs->opening[0]));
	bs->opening[i] = j;
	r = -pthread_create(&j->thread, NULL, child_job_main, j);
	if (r < 0) {
		bs->opening[i] = NULL;
		spec_free(&j->spec);
		free(j);
	}
	return r;
}

/* Joined and freed. The child, if there is one, is the caller's. */
static int child_job_end(struct child_job **jp, struct backstore **child, struct director_err *err)
{
	struct child_job *j = *jp;
	int r;

	*jp = NULL;
	pthread_join(j->thread, NULL);
	r = j->result;
	*child = r < 0 ? NULL : j->child;
	if (r < 0)
		plugin_err(err, r, "%s", j->err.text);
	pthread_cond_destroy(&j->cond);
	pthread_mutex_destroy(&j->lock);
	spec_free(&j->spec);
	free(j);
	return r;
}

static bool child_job_wait(struct child_job *j)
{
	struct timespec until = cond_until(CHILD_OPEN_MS);
	bool done;

	pthread_mutex_lock(&j->lock);
	while (!j->done && pthread_cond_timedwait(&j->cond, &j->lock, &until) == 0)
		;
	done = j->done;
	pthread_mutex_unlock(&j->lock);
	return done;
}

/* One that knows a newer epoch is not missing: we are succeeded. */
static int child_misses(struct backstore *bs, unsigned i, const struct backstore_spec *spec, int r, const struct director_err *err)
{
	if (r == 0 || r == -ESTALE || !(bs->ops->children_flags & DIRECTOR_CHILDREN_MAY_MISS))
		return r;
	if (!bs->missing)
		bs->missing = mem_zalloc(bs->n_children * sizeof(bs->missing[0]));
	bs->missing[i] = spec_copy(spec);
	if (err && err->text[0])
		snprintf(bs->missing_why, sizeof(bs->missing_why), "%.150s", err->text);
	return 0;
}

/* Where some may miss, all at once: the claim of one need not wait for the silence of another. */
static int children_open(struct backstore *bs, const struct backstore_spec *spec, unsigned depth, uint64_t epoch,
	struct director_err *err)
{
	bool may_miss = bs->ops->children_flags & DIRECTOR_CHILDREN_MAY_MISS;
	unsigned i;
	int r = 0;

	for (i = 1; i < spec->n_children && may_miss; i++)
		child_job_start(bs, i, spec_copy(&spec->children[i]), depth);
	for (i = 0; i < spec->n_children && r == 0; i++) {
		if (bs->opening && bs->opening[i])
			r = child_job_end(&bs->opening[i], &bs->children[i], err);
		else
			r = level_open(bs->host, &spec->children[i], depth, epoch, bs, &bs->children[i], err);
		r = child_misses(bs, i, &spec->children[i], r, err);
	}
	return r;
}

static int level_open(struct backstore_host *h, const struct backstore_spec *spec, unsigned depth, uint64_t epoch,
	struct backstore *parent, struct backstore **out, struct director_err *err)
{
	struct backstore *bs;
	struct level l;
	int r;

	*out = NULL;
	if (depth == STACK_DEPTH_MAX)
		return plugin_err(err, -EINVAL, "more than %d backstores over each other", STACK_DEPTH_MAX);
	r = level_new(h, spec, &l, err);
	if (r < 0)
		return r;
	bs = level_alloc(h, &l, parent, spec->n_children);
	r = enlist(bs);
	atomic_store(&bs->epoch, epoch);
	if (r == 0)
		r = children_open(bs, spec, depth + 1, epoch, err);
	if (r < 0) {
		level_close(bs, false);
		return r;
	}
	if (err)
		err->text[0] = 0;
	r = bs->ops->open(l.plugin->pl->priv, &bs->conf->conf, bs, epoch, &bs->obj, err);
	if (r < 0) {
		if (err && !err->text[0])
			plugin_err(err, r, "%s: %s", spec->plugin, strerror(-r));
		/* What it lacks may be why. */
		if (err && bs->missing_why[0])
			snprintf(err->text + strlen(err->text), sizeof(err->text) - strlen(err->text), " (%s)", bs->missing_why);
		level_close(bs, false);
		return r;
	}
	r = bs_caps_read(bs, err);
	if (r < 0) {
		level_close(bs, true);
		return r;
	}
	caps_use(bs);
	*out = bs;
	return 0;
}

int bs_child_open(struct backstore *bs, unsigned i, struct director_err *err)
{
	struct backstore *child;
	int r;

	if (i >= bs->n_children || __atomic_load_n(&bs->children[i], __ATOMIC_ACQUIRE))
		return 0;
	if (!bs->missing)
		return -EINVAL;
	if (!bs->opening || !bs->opening[i]) {
		struct backstore_spec *spec;

		pthread_mutex_lock(&bs->host->lock);
		spec = bs->missing[i] ? spec_copy(bs->missing[i]) : NULL;
		pthread_mutex_unlock(&bs->host->lock);
		r = spec ? child_job_start(bs, i, spec, 1) : -EINVAL;
		if (r < 0)
			return r;
	}
	if (!child_job_wait(bs->opening[i]))
		return plugin_err(err, -EINPROGRESS, "it is being opened");
	r = child_job_end(&bs->opening[i], &child, err);
	if (r < 0)
		return r;
	pthread_mutex_lock(&bs->host->lock);
	spec_free(&bs->missing[i]);
	pthread_mutex_unlock(&bs->host->lock);
	__atomic_store_n(&bs->children[i], child, __ATOMIC_RELEASE);
	return 0;
}

/* The stack goes: what is being opened for it is not wanted any more. */
static void opening_end(struct backstore *bs)
{
	struct backstore *child;
	unsigned i;

	for (i = 0; bs->opening && i < bs->n_children; i++)
		if (bs->opening[i] && child_job_end(&bs->opening[i], &child, NULL) == 0)
			level_close(child, true);
	free(bs->opening);
}

int backstore_open(struct backstore_host *h, const struct backstore_spec *spec, uint64_t epoch,
	const struct backstore_watch *watch, struct backstore **out, struct director_err *err)
{
	int r = level_open(h, spec, 0, epoch, NULL, out, err);

	if (r < 0)
		return r;
	atomic_store(&(*out)->epoch, epoch);
	pthread_mutex_lock(&h->lock);
	if (watch)
		(*out)->watch = *watch;
	pthread_mutex_unlock(&h->lock);
	return 0;
}

static int stop_level(struct backstore *bs, uint32_t how, struct director_err *err)
{
	int r = bs->ops->stop ? bs->ops->stop(bs->obj, how, err) : 0;

	for (unsigned i = 0; i < bs->n_children; i++) {
		struct backstore *child = __atomic_load_n(&bs->children[i], __ATOMIC_ACQUIRE);
		int below = child ? stop_level(child, how, err) : 0;

		r = r < 0 ? r : below;
	}
	return r;
}

int backstore_stop(struct backstore *bs, bool lost, struct director_err *err)
{
	int r;

	pthread_mutex_lock(&bs->control);
	if (!lost)
		bs_barrier_wait(bs, BS_CLOSED);
	r = stop_level(bs, lost ? DIRECTOR_STOP_LOST : DIRECTOR_STOP_QUIET, err);
	pthread_mutex_unlock(&bs->control);
	return r;
}

void backstore_unwatch(struct backstore *bs)
{
	pthread_mutex_lock(&bs->host->lock);
	bs->watch = (struct backstore_watch){ 0 };
	/* Who watches may be gone next; an event that comes on this very thread is over. */
	while (bs->n_events && !bs_self)
		pthread_cond_wait(&bs->host->event_over, &bs->host->lock);
	pthread_mutex_unlock(&bs->host->lock);
}

void backstore_close(struct backstore **bsp)
{
	struct backstore *bs = *bsp;

	if (!bs)
		return;
	*bsp = NULL;
	backstore_unwatch(bs);
	bs_barrier_wait(bs, BS_CLOSED);
	level_close(bs, true);
}

/* ---- fence, resize, reconfigure ---- */

static int fence_level(struct backstore *bs, uint64_t epoch, struct director_err *err)
{
	unsigned i;
	int r = bs->ops->fence ? bs->ops->fence(bs->obj, epoch, err) : 0;

	for (i = 0; i < bs->n_children && r == 0; i++)
		r = !bs->children[i] ? 0 : fence_level(bs->children[i], epoch, err);
	return r;
}

int backstore_fence(struct backstore *bs, uint64_t epoch, struct director_err *err)
{
	int r;

	pthread_mutex_lock(&bs->control);
	if (epoch > atomic_load(&bs->epoch))
		atomic_store(&bs->epoch, epoch);
	/* Each thread now sees the new epoch, and what it had let through has completed. */
	bs_barrier_wait(bs, 0);
	r = fence_level(bs, epoch, err);
	pthread_mutex_unlock(&bs->control);
	return r;
}

static int resize_level(struct backstore *bs, uint64_t size, struct director_err *err)
{
	bool keep = bs->ops->children_flags & DIRECTOR_CHILDREN_KEEP_SIZE;
	unsigned i;
	int r = 0;

	for (i = 0; i < bs->n_children && r == 0 && !keep; i++)
		r = !bs->children[i] ? 0 : resize_level(bs->children[i], size, err);
	if (r == 0 && bs->ops->resize)
		r = bs->ops->resize(bs->obj, size, err);
	else if (r == 0 && (keep || !bs->n_children))
		r = plugin_err(err, -EOPNOTSUPP, "%s cannot be resized", bs->plugin->pl->p.name);
	if (r < 0 && err && !err->text[0])
		plugin_err(err, r, "%s: %s", bs->plugin->pl->p.name, strerror(-r));
	/* Also after a failure: it may have gone half of the way. */
	bs_caps_read(bs, NULL);
	return r;
}

int bs_child_resize(struct backstore *bs, unsigned i, uint64_t size, struct director_err *err)
{
	struct backstore *child = i < bs->n_children ? __atomic_load_n(&bs->children[i], __ATOMIC_ACQUIRE) : NULL;

	return child ? resize_level(child, size, err) : -ENOTCONN;
}

int backstore_resize(struct backstore *bs, uint64_t size, struct director_err *err)
{
	int r;

	if (size == 0 || size & bs->block_mask)
		return plugin_err(err, -EINVAL, "a size must be a whole number of blocks of %u bytes", bs->block_mask + 1);
	if (err)
		err->text[0] = 0;
	pthread_mutex_lock(&bs->control);
	if (size < atomic_load(&bs->size)) {
		/* First nobody writes there, then it goes. */
		atomic_store(&bs->size, size);
		bs_barrier_wait(bs, 0);
	}
	r = resize_level(bs, size, err);
	pthread_mutex_unlock(&bs->control);
	return r;
}

int backstore_reconfigure(struct backstore *bs, unsigned depth, const struct plugin_pair *params, unsigned n,
	struct director_err *err)
{
	struct backstore *root = bs;
	struct plugin_conf *want;
	const char *fixed;
	int r;

	while (depth-- && bs->n_children && bs->children[0])
		bs = bs->children[0];
	r = plugin_conf_new(bs->plugin->pl, params, n, backstore_size(bs), &want, err);
	if (r < 0)
		return r;
	pthread_mutex_lock(&root->control);
	fixed = plugin_conf_fixed(bs->conf, want);
	if (fixed)
		r = plugin_err(err, -EBUSY, "%s: %s cannot be changed while it is open", bs->plugin->pl->p.name, fixed);
	else if (!bs->ops->reconfigure)
		r = plugin_err(err, -EOPNOTSUPP, "%s: nothing can be changed while it is open", bs->plugin->pl->p.name);
	else
		r = bs->ops->reconfigure(bs->obj, &want->conf, err);
	if (r == 0) {
		plugin_conf_free(&bs->conf);
		bs->conf = want;
		want = NULL;
	}
	pthread_mutex_unlock(&root->control);
	plugin_conf_free(&want);
	return r;
}

/* ---- a whole stack ---- */

/* A level that is to take other parameters. */
struct change {
	struct backstore *bs;
	struct plugin_conf *want;
};

struct changes {
	struct change *c;
	unsigned n, cap;
};

static bool conf_same(const struct plugin_conf *a, const struct plugin_conf *b)
{
	unsigned i;

	for (i = 0; i < a->n && i < b->n; i++) {
		const char *x = a->v[i].value, *y = b->v[i].value;

		if (strcmp(a->v[i].param->name, "size") != 0 && (!x != !y || (x && strcmp(x, y) != 0)))
			return false;
	}
	return true;
}

/* What differs, judged before any of it is changed. */
static int changes_find(struct changes *all, struct backstore *bs, const struct backstore_spec *spec, struct director_err *err)
{
	const char *name = bs->plugin->pl->p.name, *fixed;
	struct plugin_conf *want;
	unsigned i;
	int r;

	if (strcmp(name, spec->plugin) != 0 || bs->n_children != spec->n_children)
		return plugin_err(err, -EBUSY, "the stack of plugins cannot be changed while it is open");
	r = plugin_conf_new(bs->plugin->pl, spec->params, spec->n_params, backstore_size(bs), &want, err);
	if (r < 0)
		return r;
	fixed = plugin_conf_fixed(bs->conf, want);
	if (fixed)
		r = plugin_err(err, -EBUSY, "%s: %s cannot be changed while it is open", name, fixed);
	else if (!bs->ops->reconfigure && !conf_same(bs->conf, want))
		r = plugin_err(err, -EBUSY, "%s: nothing can be changed while it is open", name);
	if (r < 0 || conf_same(bs->conf, want)) {
		plugin_conf_free(&want);
	} else {
		all->c = mem_grow(all->c, &all->cap, all->n, sizeof(*all->c));
		all->c[all->n++] = (struct change){ bs, want };
	}
	for (i = 0; i < bs->n_children && r == 0; i++) {
		struct backstore *child = __atomic_load_n(&bs->children[i], __ATOMIC_ACQUIRE);

		if (child)
			r = changes_find(all, child, &spec->children[i], err);
	}
	return r;
}

/* A child that is missing is looked for with the new parameters. */
static void missing_change(struct backstore *bs, const struct backstore_spec *spec)
{
	unsigned i;

	for (i = 0; i < bs->n_children; i++) {
		struct backstore *child = __atomic_load_n(&bs->children[i], __ATOMIC_ACQUIRE);

		if (child) {
			missing_change(child, &spec->children[i]);
			continue;
		}
		pthread_mutex_lock(&bs->host->lock);
		if (bs->missing && bs->missing[i]) {
			spec_free(&bs->missing[i]);
			bs->missing[i] = spec_copy(&spec->children[i]);
		}
		pthread_mutex_unlock(&bs->host->lock);
	}
}

int backstore_reconfigure_all(struct backstore *bs, const struct backstore_spec *spec, struct director_err *err)
{
	struct changes all = { 0 };
	unsigned i;
	int r;

	pthread_mutex_lock(&bs->control);
	r = changes_find(&all, bs, spec, err);
	for (i = 0; i < all.n && r == 0; i++) {
		struct change *c = &all.c[i];

		r = c->bs->ops->reconfigure(c->bs->obj, &c->want->conf, err);
		if (r == 0) {
			plugin_conf_free(&c->bs->conf);
			c->bs->conf = c->want;
			c->want = NULL;
		}
	}
	if (r == 0)
		missing_change(bs, spec);
	pthread_mutex_unlock(&bs->control);
	for (i = 0; i < all.n; i++)
		plugin_conf_free(&all.c[i].want);
	free(all.c);
	return r;
}
