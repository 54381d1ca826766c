/* SPDX-License-Identifier: Apache-2.0 */
/* The host of backstores: its plugins, and the services that they are given. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "target/serve/bs_host.h"

static int builtin_add(struct backstore_host *h, const struct director_plugin *tables);

int backstore_host_new(const struct backstore_host_conf *conf, struct backstore_host **out)
{
	struct backstore_host *h = mem_zalloc(sizeof(*h));
	int r;

	*out = NULL;
	h->log = conf->log;
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->event_over, NULL);
	pthread_mutex_init(&h->plugins_lock, NULL);
	LIST_INIT(&h->queues);
	LIST_INIT(&h->objects);
	LIST_INIT(&h->shares);
	/* Never written, so the kernel maps its one page of zeroes all over it. */
	h->zero = mmap(NULL, BS_ZERO_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (h->zero == MAP_FAILED) {
		r = -errno;
		pthread_cond_destroy(&h->event_over);
		pthread_mutex_destroy(&h->lock);
		free(h);
		return r;
	}
	h->pool = bs_pool_new(conf->threads_max);
	r = bs_service_new(h, &h->service);
	if (r == 0)
		r = builtin_add(h, &bs_share_plugin);
	if (r < 0) {
		backstore_host_free(&h);
		return r;
	}
	*out = h;
	return 0;
}

void backstore_host_free(struct backstore_host **hp)
{
	struct backstore_host *h = *hp;

	if (!h)
		return;
	*hp = NULL;
	bs_service_free(&h->service);
	bs_pool_free(&h->pool);
	while (h->n_plugins) {
		struct bs_plugin *p = h->plugins[--h->n_plugins];

		plugin_unload(&p->pl);
		free(p);
	}
	munmap(h->zero, BS_ZERO_SIZE);
	free(h->slots);
	pthread_cond_destroy(&h->event_over);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

/* ---- services ---- */

static void host_log(void *arg, int level, const char *line)
{
	static const enum log_level levels[] = {
		[DIRECTOR_LOG_WARN] = LOG_LEVEL_WARN, [DIRECTOR_LOG_INFO] = LOG_LEVEL_INFO,
		[DIRECTOR_LOG_DEBUG] = LOG_LEVEL_DEBUG,
	};
	struct bs_plugin *p = arg;

	if (level < DIRECTOR_LOG_WARN || level > DIRECTOR_LOG_DEBUG)
		level = DIRECTOR_LOG_WARN;
	if (!text_ok(line, 4096))
		line = "(a line that cannot be printed)";
	log_line(p->host->log, levels[level], "plugin %s: %s", p->pl->p.name, line);
}

static void host_io_done(void *arg, struct director_io *io, int32_t result)
{
	io->done(io, result > 0 ? 0 : result);
}

static uint64_t host_now_ns(void *arg)
{
	return mono_now().ns;
}

static int host_after_ms(void *arg, uint32_t ms, void (*fn)(void *), void *fn_arg)
{
	return bs_service_after(((struct bs_plugin *)arg)->host->service, ms, fn, fn_arg);
}

static struct director_bs *host_child(void *arg, void *owner, uint32_t i)
{
	struct backstore *bs = owner;

	return i < bs->n_children ? (struct director_bs *)__atomic_load_n(&bs->children[i], __ATOMIC_ACQUIRE) : NULL;
}

static int host_child_open(void *arg, void *owner, uint32_t i, struct director_err *err)
{
	return bs_child_open(owner, i, err);
}

static int host_child_resize(void *arg, void *owner, uint32_t i, uint64_t size, struct director_err *err)
{
	return bs_child_resize(owner, i, size, err);
}

static int host_child_caps(void *arg, struct director_bs *child, struct director_caps *caps)
{
	struct backstore *bs = (struct backstore *)child;
	uint32_t size = caps->struct_size;
	struct director_caps all;

	if (size < offsetof(struct director_caps, size))
		return -EINVAL;
	/* Its size, or its life, may be another now. */
	bs_caps_read(bs, NULL);
	/* As with the host's help, but for compares: those are guarded at the top of the stack only. */
	backstore_caps(bs, &all);
	if (!(bs->native >> DIRECTOR_COMPARE_AND_WRITE & 1))
		all.flags &= ~DIRECTOR_CAP_CAW;
	memcpy(caps, &all, size < sizeof(all) ? size : sizeof(all));
	caps->struct_size = size;
	return 0;
}

static void host_child_submit(void *arg, struct director_bs *child, struct director_io *io)
{
	bs_level_submit((struct backstore *)child, io);
}

/* ---- events ---- */

struct event {
	struct backstore_msg msg;
	struct backstore_host *host;
	uint64_t id, value, of;
	uint32_t kind;
};

static void event_run(struct backstore_queue *q, struct backstore_msg *m)
{
	struct event *e = (struct event *)m;
	struct backstore_watch watch = { 0 };
	struct backstore *bs;

	pthread_mutex_lock(&e->host->lock);
	LIST_FOREACH(bs, &e->host->objects, link)
		if (bs->id == e->id)
			break;
	if (bs && bs->watch.event) {
		watch = bs->watch;
		bs->n_events++;
	}
	pthread_mutex_unlock(&e->host->lock);
	if (watch.event) {
		watch.event(watch.arg, bs, e->kind, e->value, e->of);
		pthread_mutex_lock(&e->host->lock);
		bs->n_events--;
		pthread_cond_broadcast(&e->host->event_over);
		pthread_mutex_unlock(&e->host->lock);
	}
	free(e);
}

static void host_event(void *arg, void *owner, uint32_t kind, uint64_t value, uint64_t of)
{
	struct backstore *bs = owner, *up;
	struct event *e;

	if (kind == DIRECTOR_EV_RESIZED || kind == DIRECTOR_EV_FORGOT)
		for (up = bs; up; up = up->parent)
			bs_caps_read(up, NULL);
	/* Before the plugin answers anything. */
	if (kind == DIRECTOR_EV_FORGOT)
		bs_share_forgot(bs->root);
	e = mem_zalloc(sizeof(*e));
	*e = (struct event){ .msg.run = event_run, .host = bs->host, .id = bs->root->id, .value = value, .of = of,
		.kind = kind };
	pthread_mutex_lock(&bs->host->lock);
	if (bs->root->home)
		bs_post(bs->root->home, &e->msg);
	else
		bs_service_post(bs->host->service, &e->msg);
	pthread_mutex_unlock(&bs->host->lock);
}

/* ---- plugins ---- */

static const struct director_host services = {
	.struct_size = sizeof(struct director_host),
	.abi_major = DIRECTOR_ABI_MAJOR, .abi_minor = DIRECTOR_ABI_MINOR,
	.log = host_log, .event = host_event, .io_done = host_io_done, .now_ns = host_now_ns,
	.after_ms = host_after_ms, .child = host_child, .child_caps = host_child_caps,
	.child_submit = host_child_submit, .child_open = host_child_open, .child_resize = host_child_resize,
};

static struct bs_plugin *plugin_known(struct backstore_host *h, const char *name)
{
	unsigned i;

	for (i = 0; i < h->n_plugins; i++)
		if (strcmp(h->plugins[i]->pl->p.name, name) == 0)
			return h->plugins[i];
	return NULL;
}

static int plugin_add(struct backstore_host *h, struct plugin *pl, struct bs_plugin **out, struct director_err *err)
{
	struct bs_plugin *p;
	int r;

	if (pl->p.kind != DIRECTOR_BACKSTORE)
		return plugin_err(err, -EINVAL, "the plugin %s is of kind %s, not a backstore", pl->p.name,
			plugin_kind_name(pl->p.kind));
	if (h->n_plugins == BS_PLUGINS_MAX)
		return plugin_err(err, -ENOSPC, "more than %d plugins are in use", BS_PLUGINS_MAX);
	p = mem_zalloc(sizeof(*p));
	p->host = h;
	p->pl = pl;
	p->services = services;
	p->services.arg = p;
	p->index = h->n_plugins;
	r = plugin_start(pl, &p->services, err);
	if (r < 0) {
		free(p);
		return r;
	}
	h->plugins[h->n_plugins++] = p;
	*out = p;
	return 0;
}

int backstore_plugin_add(struct backstore_host *h, struct plugin **given, struct director_err *err)
{
	struct bs_plugin *p;
	int r;

	pthread_mutex_lock(&h->plugins_lock);
	if (plugin_known(h, (*given)->p.name))
		r = plugin_err(err, -EEXIST, "the plugin %s is loaded already", (*given)->p.name);
	else
		r = plugin_add(h, *given, &p, err);
	pthread_mutex_unlock(&h->plugins_lock);
	if (r == 0)
		*given = NULL;
	return r;
}

static int builtin_add(struct backstore_host *h, const struct director_plugin *tables)
{
	struct plugin *pl;
	int r = plugin_wrap(tables, &pl, NULL);

	if (r == 0)
		r = backstore_plugin_add(h, &pl, NULL);
	if (r < 0)
		plugin_unload(&pl);
	return r;
}

int bs_plugin_get(struct backstore_host *h, const char *name, struct bs_plugin **out, struct director_err *err)
{
	struct plugin *pl = NULL;
	char *file;
	int r = 0;

	pthread_mutex_lock(&h->plugins_lock);
	*out = plugin_known(h, name);
	if (!*out) {
		file = plugin_find(name);
		if (!file)
			r = plugin_err(err, -ENOENT, "there is no plugin %.40s", name);
		else
			r = plugin_load(file, &pl, err);
		if (r == 0 && strcmp(pl->p.name, name) != 0)
			r = plugin_err(err, -ENOEXEC, "%.100s calls itself %s", file, pl->p.name);
		if (r == 0)
			r = plugin_add(h, pl, out, err);
		if (r < 0)
			plugin_unload(&pl);
		free(file);
	}
	pthread_mutex_unlock(&h->plugins_lock);
	return r;
}
