/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shares, and the store `volume` that refers to one: a volume of this process under another stack. The backstore under a
 * share may be closed and another opened; I/O of references waits in the share meanwhile.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "target/serve/bs_host.h"
#include "target/serve/plant.h"

struct backstore_share {
	LIST_ENTRY(backstore_share) link;       /* host->lock, as refs */
	struct backstore_host *host;
	struct backstore_share_conf conf;
	unsigned refs;
	_Atomic(struct backstore *) bs;         /* NULL: closed, or held */
	_Atomic uint64_t epoch;                 /* of bs; of a leg: the newest that claimed it */
	pthread_mutex_t claiming;               /* taken before `lock`, and before a backstore's control */
	pthread_mutex_t lock;                   /* what follows */
	uint64_t gen;                           /* counts backstores */
	_Atomic uint64_t forgot;                /* counts how often one may have lost what was not flushed */
	bool gone, ticking;
	struct director_io *parked, **parked_tail;      /* plugin[0]: next, [1]: the reference's level, [2]: see enum */
};

/* What becomes of a parked I/O. */
enum parked { PARKED_RUN, PARKED_DONE };

/* An object of the store `volume`. */
struct ref {
	const struct director_host *host;
	struct backstore *level;                /* ours, in the stack above */
	struct backstore_share *share;
	struct director_caps caps;
	_Atomic bool stopped;                   /* the right of the stack above is gone */
	_Atomic uint64_t knows;                 /* the share's `forgot` that the stack above has taken note of */
	_Atomic bool noticed;                   /* an I/O has failed since for it */
};

/* An I/O of a reference on its way through the share. */
struct ref_io {
	struct backstore_io bio;
	struct ref *ref;
	struct director_io *up;
	uint64_t gen, forgot;
};

/* ---- parked I/O ---- */

static void ref_run(struct ref *ref, struct director_io *up);

static void up_done(struct ref *ref, struct director_io *up, int32_t result)
{
	ref->host->io_done(ref->host->arg, up, result);
}

/* With the lock held. */
static void park(struct backstore_share *s, struct ref *ref, struct director_io *up, enum parked how)
{
	up->plugin[0] = NULL;
	up->plugin[1] = ref->level;
	up->plugin[2] = (void *)(uintptr_t)how;
	*s->parked_tail = up;
	s->parked_tail = (struct director_io **)&up->plugin[0];
}

/* With the lock held; the list is the caller's then. */
static struct director_io *parked_take(struct backstore_share *s)
{
	struct director_io *list = s->parked;

	s->parked = NULL;
	s->parked_tail = &s->parked;
	return list;
}

/* What of it the medium has nobody knows, and others may have written there since: it is not run again (hold.c). */
static bool changes(const struct director_io *up)
{
	return up->op == DIRECTOR_WRITE || up->op == DIRECTOR_DISCARD || up->op == DIRECTOR_WRITE_ZEROES || up->op == DIRECTOR_COMPARE_AND_WRITE;
}

/* What was read in a backstore that is gone is read again in the next one; what was written there may be in that one, or not. */
static void parked_go(struct backstore_share *s, struct director_io *list, bool newer)
{
	while (list) {
		struct director_io *up = list;
		struct backstore *level = up->plugin[1];
		enum parked how = (enum parked)(uintptr_t)up->plugin[2];

		list = up->plugin[0];
		if (how == PARKED_DONE && !newer)
			up_done(level->obj, up, 0);
		else if (how == PARKED_DONE && changes(up) && !planted("once"))
			up_done(level->obj, up, -ENOTCONN);
		else
			bs_service_submit(s->host->service, level, up);
	}
}

/* ---- I/O ---- */

#define AGAIN_MS 100

static void share_put(struct backstore_share *s);

/* The right to the volume is gone, or the backstore is going: somebody will open another one. Or the way is lost. */
static bool to_wait(const struct backstore_share *s, int32_t result)
{
	if (s->conf.leg || result == 0)
		return false;
	return result == -ESTALE || result == -ESHUTDOWN || result == -EAGAIN ||
		(s->conf.tries_again && s->conf.tries_again(s->conf.arg, result));
}

static void again(void *arg)
{
	struct backstore_share *s = arg;

	pthread_mutex_lock(&s->lock);
	s->ticking = false;
	pthread_mutex_unlock(&s->lock);
	backstore_share_go(s);
	share_put(s);
}

/* With the lock held: what is parked is tried again in a moment. */
static void tick_arm(struct backstore_share *s)
{
	if (s->ticking || bs_service_after(s->host->service, AGAIN_MS, again, s) != 0)
		return;
	s->ticking = true;
	pthread_mutex_lock(&s->host->lock);
	s->refs++;
	pthread_mutex_unlock(&s->host->lock);
}

/* Who uses the leg looks at it again (caps.life) before anything else is answered. */
static void unknown_leg(struct ref *ref, struct director_io *up)
{
	atomic_store(&ref->noticed, true);
	up_done(ref, up, -ENOTCONN);
}

static void ref_done(struct backstore_io *bio, int32_t result)
{
	struct ref_io *r = (struct ref_io *)bio;
	struct ref *ref = r->ref;
	struct backstore_share *s = ref->share;
	struct director_io *up = r->up;
	bool wait = to_wait(s, result), newer, gone, unknown = changes(up) && result != -EAGAIN && result != -EILSEQ && !bio->refused;
	uint64_t gen = r->gen, epoch = bio->io.epoch;
	/* What was read may be what was there before it was written. */
	bool forgot = s->conf.leg && result == 0 && r->forgot != atomic_load(&s->forgot);

	up->at = bio->io.at;
	up->flags_out = bio->io.flags_out;
	free(r);
	if (forgot) {
		unknown_leg(ref, up);
		return;
	}
	if (!wait && (result < 0 || !s->conf.may_answer || s->conf.may_answer(s->conf.arg, epoch))) {
		up_done(ref, up, result);
		return;
	}
	if (unknown && result) {
		up_done(ref, up, -ENOTCONN);
		return;
	}
	pthread_mutex_lock(&s->lock);
	newer = s->gen != gen;
	gone = s->gone || ref->stopped;
	if (!gone && !newer)
		park(s, ref, up, result == 0 ? PARKED_DONE : PARKED_RUN);
	if (!gone && !newer && result)
		tick_arm(s);
	pthread_mutex_unlock(&s->lock);
	if (gone || (newer && unknown))
		up_done(ref, up, ref->stopped ? -ESTALE : -ENOTCONN);
	else if (newer)
		ref_run(ref, up);
}

/* NULL: parked, or answered. */
static struct backstore *ref_way(struct ref *ref, struct director_io *up, uint64_t *gen)
{
	struct backstore_share *s = ref->share;
	struct backstore *bs;
	bool gone, stopped;

	pthread_mutex_lock(&s->lock);
	stopped = ref->stopped;
	bs = stopped ? NULL : atomic_load(&s->bs);
	gone = s->gone;
	*gen = s->gen;
	if (!bs && !gone && !stopped)
		park(s, ref, up, PARKED_RUN);
	pthread_mutex_unlock(&s->lock);
	if (stopped || (!bs && gone))
		up_done(ref, up, stopped ? -ESTALE : -ENOTCONN);
	return bs;
}

static void ref_run(struct ref *ref, struct director_io *up)
{
	struct backstore_share *s = ref->share;
	uint64_t gen;
	struct backstore *bs = ref_way(ref, up, &gen);
	struct ref_io *r;
	uint64_t forgot;

	if (!bs)
		return;
	forgot = atomic_load(&s->forgot);
	if (s->conf.leg && atomic_load(&ref->knows) != forgot) {
		unknown_leg(ref, up);
		return;
	}
	r = calloc(1, sizeof(*r));
	if (!r) {
		up_done(ref, up, -ENOMEM);
		return;
	}
	r->ref = ref;
	r->up = up;
	r->gen = gen;
	r->forgot = forgot;
	r->bio.done = ref_done;
	r->bio.io.op = up->op;
	r->bio.io.flags = up->flags;
	r->bio.io.offset = up->offset;
	r->bio.io.len = up->len;
	r->bio.io.iov = up->iov;
	r->bio.io.n_iov = up->n_iov;
	r->bio.io.sense = up->sense;
	r->bio.io.epoch = s->conf.leg ? up->epoch : atomic_load_explicit(&s->epoch, memory_order_relaxed);
	backstore_submit(bs, bs_self, &r->bio);
}

/* ---- the share ---- */

int backstore_share_new(struct backstore_host *h, const struct backstore_share_conf *conf, struct backstore_share **out)
{
	struct backstore_share *s, *o;

	*out = NULL;
	s = mem_zalloc(sizeof(*s));
	s->host = h;
	s->conf = *conf;
	s->refs = 1;
	s->parked_tail = &s->parked;
	atomic_store(&s->epoch, conf->claimed);
	pthread_mutex_init(&s->claiming, NULL);
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_lock(&h->lock);
	LIST_FOREACH(o, &h->shares, link)
		if (memcmp(o->conf.uuid, conf->uuid, 16) == 0)
			break;
	if (!o)
		LIST_INSERT_HEAD(&h->shares, s, link);
	pthread_mutex_unlock(&h->lock);
	if (o) {
		pthread_mutex_destroy(&s->claiming);
		pthread_mutex_destroy(&s->lock);
		free(s);
		return -EEXIST;
	}
	*out = s;
	return 0;
}

static void share_put(struct backstore_share *s)
{
	bool last;

	pthread_mutex_lock(&s->host->lock);
	last = --s->refs == 0;
	pthread_mutex_unlock(&s->host->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&s->claiming);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

int backstore_share_open(struct backstore_share *s, struct backstore *bs, uint64_t epoch, struct director_err *err)
{
	struct director_io *list;
	int r = 0;

	pthread_mutex_lock(&s->claiming);
	if (s->conf.leg)
		r = backstore_fence(bs, atomic_load(&s->epoch), err);
	if (r == 0) {
		pthread_mutex_lock(&s->lock);
		if (!s->conf.leg)
			atomic_store(&s->epoch, epoch);
		s->gen++;
		atomic_store(&s->bs, bs);
		list = parked_take(s);
		pthread_mutex_unlock(&s->lock);
	}
	pthread_mutex_unlock(&s->claiming);
	if (r == 0)
		parked_go(s, list, true);
	return r;
}

/* A thread that has seen the old one submits before it runs its queue again, where backstore_close waits for it. */
void backstore_share_hold(struct backstore_share *s)
{
	/* A claim that is under way still uses it. */
	pthread_mutex_lock(&s->claiming);
	pthread_mutex_lock(&s->lock);
	atomic_store(&s->bs, NULL);
	pthread_mutex_unlock(&s->lock);
	pthread_mutex_unlock(&s->claiming);
}

void backstore_share_go(struct backstore_share *s)
{
	struct director_io *list = NULL;

	pthread_mutex_lock(&s->lock);
	if (atomic_load(&s->bs) && (!s->conf.may_answer || s->conf.may_answer(s->conf.arg, atomic_load(&s->epoch))))
		list = parked_take(s);
	pthread_mutex_unlock(&s->lock);
	parked_go(s, list, false);
}

void backstore_share_forgot(struct backstore_share *s)
{
	atomic_fetch_add(&s->forgot, 1);
}

void bs_share_forgot(struct backstore *root)
{
	struct backstore_share *s;

	pthread_mutex_lock(&root->host->lock);
	LIST_FOREACH(s, &root->host->shares, link)
		if (atomic_load(&s->bs) == root)
			backstore_share_forgot(s);
	pthread_mutex_unlock(&root->host->lock);
}

void backstore_share_free(struct backstore_share **sp)
{
	struct backstore_share *s = *sp;
	struct director_io *list, *up;

	if (!s)
		return;
	*sp = NULL;
	pthread_mutex_lock(&s->host->lock);
	LIST_REMOVE(s, link);
	pthread_mutex_unlock(&s->host->lock);
	backstore_share_hold(s);
	pthread_mutex_lock(&s->lock);
	s->gone = true;
	list = parked_take(s);
	pthread_mutex_unlock(&s->lock);
	while ((up = list) != NULL) {
		struct backstore *level = up->plugin[1];

		list = up->plugin[0];
		up_done(level->obj, up, -ENOTCONN);
	}
	share_put(s);
}

uint64_t backstore_share_claimed(const struct backstore_share *s)
{
	return atomic_load(&s->epoch);
}

static int claim(struct backstore_share *s, uint64_t epoch, struct director_err *err)
{
	struct backstore *bs;
	int r = 0;

	pthread_mutex_lock(&s->claiming);
	bs = atomic_load(&s->bs);
	if (planted("epoch") && epoch < atomic_load(&s->epoch))
		epoch = atomic_load(&s->epoch);
	if (epoch < atomic_load(&s->epoch))
		r = plugin_err(err, -ESTALE, "the leg was claimed under epoch %llu",
			(unsigned long long)atomic_load(&s->epoch));
	else if (!bs)
		r = plugin_err(err, -ENOTCONN, "the leg is not open");
	else if (epoch > atomic_load(&s->epoch))
		r = s->conf.claim ? s->conf.claim(s->conf.arg, epoch, err) : 0;
	if (r == 0) {
		atomic_store(&s->epoch, epoch);
		if (atomic_load(&bs->epoch) < epoch && !planted("epoch"))
			r = backstore_fence(bs, epoch, err);
	}
	pthread_mutex_unlock(&s->claiming);
	return r;
}

static struct backstore_share *share_get(struct backstore_host *h, const uint8_t uuid[16])
{
	struct backstore_share *s;

	pthread_mutex_lock(&h->lock);
	LIST_FOREACH(s, &h->shares, link)
		if (memcmp(s->conf.uuid, uuid, 16) == 0)
			break;
	if (s)
		s->refs++;
	pthread_mutex_unlock(&h->lock);
	return s;
}

int backstore_claim(struct backstore_host *h, const uint8_t uuid[16], uint64_t epoch, struct director_err *err)
{
	struct backstore_share *s = share_get(h, uuid);
	int r;

	if (!s)
		return plugin_err(err, -ENOTCONN, "the leg is not open");
	r = s->conf.leg ? claim(s, epoch, err) : plugin_err(err, -EINVAL, "the volume is no leg");
	share_put(s);
	return r;
}

/* ---- the store `volume` ---- */

static const struct director_param params[] = {
	{ .name = "uuid", .type = DIRECTOR_P_STRING, .flags = DIRECTOR_PF_REQUIRED,
	  .help = "the volume of this node that is meant; as a leg it is claimed" },
	{ .name = NULL },
};

/* 32 hex digits, or with the dashes of a UUID. */
static int uuid_parse(const char *text, uint8_t uuid[16])
{
	return text_hex_parse(text, uuid, 16) == 0 || text_uuid_parse(text, uuid) == 0 ? 0 : -EINVAL;
}

static int ref_check(void *priv, const struct director_conf *conf, struct director_err *err)
{
	uint8_t uuid[16];

	(void)priv;
	return uuid_parse(conf->get(conf, "uuid"), uuid) < 0 ? plugin_err(err, -EINVAL, "uuid= is no UUID") : 0;
}

/* Under the lock the backstore stays: who closes it takes it away here first. */
static int caps_now(struct ref *ref, struct director_caps *caps)
{
	struct backstore *bs;

	pthread_mutex_lock(&ref->share->lock);
	bs = atomic_load(&ref->share->bs);
	if (bs)
		backstore_caps(bs, caps);
	pthread_mutex_unlock(&ref->share->lock);
	return bs ? 0 : -ENOTCONN;
}

static int ref_open(void *priv, const struct director_conf *conf, void *owner, uint64_t epoch, void **obj, struct director_err *err)
{
	const struct director_host *host = priv;
	struct backstore_host *h = ((struct bs_plugin *)host->arg)->host;
	const char *text = conf->get(conf, "uuid");
	struct backstore_share *s;
	struct ref *ref;
	uint8_t uuid[16];
	int r = 0;

	uuid_parse(text, uuid);
	s = share_get(h, uuid);
	if (!s)
		return plugin_err(err, -ENOTCONN, "volume %s is not open here", text);
	ref = mem_zalloc(sizeof(*ref));
	*ref = (struct ref){ .host = host, .level = owner, .share = s, .knows = atomic_load(&s->forgot) };
	if (s->conf.leg)
		r = claim(s, epoch, err);
	if (r == 0 && caps_now(ref, &ref->caps) < 0)
		r = plugin_err(err, -ENOTCONN, "volume %s is not open now", text);
	if (r < 0) {
		share_put(s);
		free(ref);
		return r;
	}
	*obj = ref;
	return 0;
}

/* While the backstore is away it is what it was last. */
static int ref_caps(void *obj, struct director_caps *c)
{
	struct ref *ref = obj;
	uint32_t size = c->struct_size;
	struct director_caps now;
	uint64_t forgot = atomic_load(&ref->share->forgot);

	if (caps_now(ref, &now) == 0) {
		if (atomic_exchange(&ref->noticed, false))
			atomic_store(&ref->knows, forgot);
		pthread_mutex_lock(&ref->share->lock);
		ref->caps = now;
		pthread_mutex_unlock(&ref->share->lock);
	}
	memcpy(c, &ref->caps, size < sizeof(ref->caps) ? size : sizeof(ref->caps));
	c->struct_size = size;
	return 0;
}

static void ref_submit(void *obj, struct director_io *io)
{
	ref_run(obj, io);
}

static int ref_fence(void *obj, uint64_t epoch, struct director_err *err)
{
	struct ref *ref = obj;

	return ref->share->conf.leg ? claim(ref->share, epoch, err) : 0;
}

/* The volume is resized by itself; who refers to it only looks. */
static int ref_resize(void *obj, uint64_t size, struct director_err *err)
{
	struct director_caps now;

	if (caps_now(obj, &now) < 0)
		return plugin_err(err, -ENOTCONN, "the volume is not open now");
	return now.size >= size ? 0 : plugin_err(err, -EAGAIN, "the volume is still smaller");
}

/* What waits for the volume does not wait any more; what it has ends by itself. */
static int ref_stop(void *obj, uint32_t how, struct director_err *err)
{
	struct ref *ref = obj;
	struct backstore_share *s = ref->share;
	struct director_io *list, *next, *mine = NULL;

	(void)err;
	if (how != DIRECTOR_STOP_LOST)
		return 0;
	pthread_mutex_lock(&s->lock);
	ref->stopped = true;
	for (list = parked_take(s); list; list = next) {
		next = list->plugin[0];
		if (list->plugin[1] == ref->level) {
			list->plugin[0] = mine;
			mine = list;
		} else {
			park(s, ((struct backstore *)list->plugin[1])->obj, list, (enum parked)(uintptr_t)list->plugin[2]);
		}
	}
	pthread_mutex_unlock(&s->lock);
	for (; mine; mine = next) {
		next = mine->plugin[0];
		up_done(ref, mine, -ESTALE);
	}
	return 0;
}

static void ref_close(void *obj)
{
	struct ref *ref = obj;

	share_put(ref->share);
	free(ref);
}

static int ref_init(const struct director_host *host, void **priv)
{
	*priv = (void *)host;
	return 0;
}

/* I/O is submitted on threads that have a queue only. */
static int no_fd(void *priv)
{
	(void)priv;
	return -ENOENT;
}

static void no_reap(void *priv)
{
	(void)priv;
}

static const struct director_backstore_ops ops = {
	.struct_size = sizeof(ops),
	.threads = DIRECTOR_THREADS_ASYNC,
	.check = ref_check,
	.open = ref_open,
	.caps = ref_caps,
	.submit = ref_submit,
	.fence = ref_fence,
	.resize = ref_resize,
	.close = ref_close,
	.stop = ref_stop,
	.thread_fd = no_fd,
	.reap = no_reap,
};

const struct director_plugin bs_share_plugin = {
	.magic = DIRECTOR_PLUGIN_MAGIC, .struct_size = sizeof(struct director_plugin),
	.abi_major = DIRECTOR_ABI_MAJOR, .abi_minor = DIRECTOR_ABI_MINOR,
	.kind = DIRECTOR_BACKSTORE, .name = "volume", .version = "1", .license = "Apache-2.0",
	.summary = "another volume of this node", .params = params, .init = ref_init, .backstore = &ops,
};
