/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mirror: one volume on two to four legs. The machine in machine.h decides; this does its I/O on the children,
 * tells directord what must be agreed (events), and is told what was (the parameter legs=).
 */
#include "config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/crc32c.h"
#include "plugins/mirror/mirror.h"

static const struct director_param params[] = {
	{ .name = "uuid", .type = DIRECTOR_P_STRING, .help = "identity of the volume; what a leg holds must be of it" },
	{ .name = "legs", .type = DIRECTOR_P_STRING, .flags = DIRECTOR_PF_LIVE,
	  .help = "agreed state of each child: UUID:new|out|in:TURN:MEMBER:SINCE:local|remote, with commas; left out: "
		  "nothing is agreed, and what fails is remembered only while it is open" },
	{ .name = "rate", .type = DIRECTOR_P_SIZE, .value = "0", .unit = "bytes a second",
	  .help = "bound of resync; 0: none" },
	{ .name = "region", .type = DIRECTOR_P_SIZE, .value = "0", .max = 1ull << 40,
	  .help = "bytes that one intent bit stands for, a power of two; 0: by the size" },
	{ .name = "force", .type = DIRECTOR_P_BOOL, .value = "no",
	  .help = "open with what is here, although a missing leg may have what these have lost" },
	{ .name = NULL },
};

/* ---- I/O of legs ---- */

struct child_io {
	struct director_io io;
	struct mirror_obj *o;
	struct mirror_io *mio;
	void *buf;                      /* of records and pages */
	struct director_iov iov;
};

struct request {
	struct mirror_op op;
	struct mirror_obj *o;
	struct director_io *io;         /* the host's */
};

/* What says that the way is lost, and not that the medium is bad. */
static int leg_error(int32_t result)
{
	switch (result) {
	case 0:
	case -ESTALE:
		return result;
	case -ENOTCONN:
	case -ETIMEDOUT:
	case -ECONNRESET:
	case -ECONNREFUSED:
	case -EHOSTUNREACH:
	case -ENETUNREACH:
	case -ENODEV:
	case -EPIPE:
	case -ESHUTDOWN:
		return -ENOTCONN;
	default:
		return -EIO;
	}
}

static void child_done(struct director_io *io, int32_t result)
{
	struct child_io *c = (struct child_io *)io;
	struct mirror_obj *o = c->o;
	struct mirror_io *mio = c->mio;

	free(c->buf);
	free(c);
	pthread_mutex_lock(&o->lock);
	mirror_done(o->m, mio, leg_error(result));
	mirror_run(o);
	if (o->closing)
		pthread_cond_broadcast(&o->changed);
	pthread_mutex_unlock(&o->lock);
}

static bool meta_fill(struct child_io *c, const struct mirror_io *mio)
{
	if (posix_memalign(&c->buf, META_RECORD, META_RECORD))
		return false;
	if (mio->kind == MIRROR_IO_META) {
		meta_encode(&mio->meta, c->buf);
		c->io.offset = mio->meta.seq % 2 * META_RECORD;
	} else {
		memcpy(c->buf, mio->p, MIRROR_PAGE_MAX);
		c->io.offset = META_BITS + (uint64_t)mio->page * MIRROR_PAGE_MAX;
	}
	c->iov = (struct director_iov){ c->buf, META_RECORD };
	c->io.len = META_RECORD;
	c->io.flags = DIRECTOR_IOF_FUA;
	c->io.op = DIRECTOR_WRITE;
	return true;
}

static void data_fill(struct child_io *c, const struct mirror_io *mio)
{
	const struct director_io *host = mio->op ? ((struct request *)mio->op)->io : NULL;

	c->io.op = mio->kind == MIRROR_IO_READ ? DIRECTOR_READ : DIRECTOR_WRITE;
	c->io.offset = META_AREA + mio->offset;
	c->io.len = mio->len;
	c->io.flags = mio->fua ? DIRECTOR_IOF_FUA : 0;
	if (host) {
		c->io.iov = host->iov;
		c->io.n_iov = host->n_iov;
		c->io.flags |= host->flags & DIRECTOR_IOF_DPO;
	} else {
		c->iov = (struct director_iov){ c->o->slot[mio->slot], mio->len };
	}
}

/* NULL: out of memory, or no child: the leg's I/O fails. */
static struct child_io *child_io_new(struct mirror_obj *o, struct mirror_io *mio)
{
	struct child_io *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->o = o;
	c->mio = mio;
	c->io = (struct director_io){ .struct_size = sizeof(c->io), .epoch = o->epoch, .done = child_done, .iov = &c->iov, .n_iov = 1 };
	if (mio->kind == MIRROR_IO_META || mio->kind == MIRROR_IO_PAGE) {
		if (!meta_fill(c, mio)) {
			free(c);
			return NULL;
		}
	} else if (mio->kind == MIRROR_IO_FLUSH) {
		c->io.op = DIRECTOR_FLUSH;
		c->io.iov = NULL;
		c->io.n_iov = 0;
	} else {
		data_fill(c, mio);
	}
	return c;
}

static void answers_give(struct mirror_obj *o, struct mirror_ops *list)
{
	struct mirror_op *op;

	while ((op = TAILQ_FIRST(list)) != NULL) {
		struct request *r = (struct request *)op;
		struct director_io *io = r->io;
		int result = op->result;

		TAILQ_REMOVE(list, op, entry);
		free(r);
		o->host->io_done(o->host->arg, io, result);
	}
}

static void leg_submit(struct mirror_obj *o, struct mirror_io *mio)
{
	struct director_bs *child = o->host->child(o->host->arg, o->owner, mio->leg);
	struct child_io *c = child ? child_io_new(o, mio) : NULL;

	if (c) {
		o->host->child_submit(o->host->arg, child, &c->io);
		return;
	}
	pthread_mutex_lock(&o->lock);
	mirror_done(o->m, mio, child ? -EIO : -ENOTCONN);
	pthread_mutex_unlock(&o->lock);
}

/*
 * What belongs to an operation of the host's is submitted by whoever is here. The rest is left to the object's
 * thread: I/O may complete on the thread that submitted it only, and others end or wait (in close) before it does.
 */
void mirror_run(struct mirror_obj *o)
{
	struct mirror_ops answers = TAILQ_HEAD_INITIALIZER(answers);
	struct mirror_io *mio;
	bool more = true;

	while (more) {
		struct mirror_ios todo = TAILQ_HEAD_INITIALIZER(todo);

		while ((mio = TAILQ_FIRST(mirror_todo(o->m))) != NULL) {
			TAILQ_REMOVE(mirror_todo(o->m), mio, entry);
			if (mio->op && mio->op->user) {
				TAILQ_INSERT_TAIL(&todo, mio, entry);
			} else {
				TAILQ_INSERT_TAIL(&o->mine, mio, entry);
				pthread_cond_broadcast(&o->changed);
			}
		}
		TAILQ_CONCAT(&answers, mirror_answers(o->m), entry);
		more = !TAILQ_EMPTY(&todo) || !TAILQ_EMPTY(&answers);
		if (!more)
			break;
		pthread_mutex_unlock(&o->lock);
		answers_give(o, &answers);
		while ((mio = TAILQ_FIRST(&todo)) != NULL) {
			TAILQ_REMOVE(&todo, mio, entry);
			leg_submit(o, mio);
		}
		pthread_mutex_lock(&o->lock);
	}
}

/* By the object's thread, with the lock, which is let go meanwhile. */
static void mine_submit(struct mirror_obj *o)
{
	struct mirror_io *mio;

	while ((mio = TAILQ_FIRST(&o->mine)) != NULL) {
		TAILQ_REMOVE(&o->mine, mio, entry);
		pthread_mutex_unlock(&o->lock);
		leg_submit(o, mio);
		pthread_mutex_lock(&o->lock);
		mirror_run(o);
	}
}

static void mirror_io_submit(void *obj, struct director_io *io)
{
	struct mirror_obj *o = obj;
	struct request *r = calloc(1, sizeof(*r));

	if (!r) {
		o->host->io_done(o->host->arg, io, -ENOMEM);
		return;
	}
	r->o = o;
	r->io = io;
	r->op.user = r;
	r->op.kind = io->op == DIRECTOR_READ ? MIRROR_READ : io->op == DIRECTOR_WRITE ? MIRROR_WRITE : MIRROR_FLUSH;
	r->op.offset = io->offset;
	r->op.len = io->len;
	r->op.fua = io->flags & DIRECTOR_IOF_FUA;
	pthread_mutex_lock(&o->lock);
	mirror_submit(o->m, &r->op);
	mirror_run(o);
	pthread_mutex_unlock(&o->lock);
}

/* ---- what must be agreed ---- */

static void grant(struct mirror_obj *o, unsigned leg, enum mirror_ask ask, uint64_t turn)
{
	struct mirror_leg_conf *l = &o->legs.leg[leg];

	l->state = ask == MIRROR_ASK_OUT ? MIRROR_OUT : MIRROR_IN;
	l->turn = turn + 1;
	if (ask == MIRROR_ASK_IN)
		l->member = l->turn;
	l->since = o->epoch;
	mirror_agreed(o->m, l->uuid, l->state, l->turn, l->member, l->since);
}

static void event(struct mirror_obj *o, uint32_t kind, uint64_t value, uint64_t of)
{
	o->host->event(o->host->arg, o->owner, kind, value, of);
}

static void tell_progress(struct mirror_obj *o)
{
	uint64_t left = mirror_left(o->m, o->legs.n);
	unsigned i;

	for (i = 0; i < o->legs.n; i++)
		left += mirror_leg_now(o->m, i) == MIRROR_SYNC ? mirror_left(o->m, i) : 0;
	if (left == o->progress || o->ticks % 10)
		return;
	o->progress = left;
	event(o, DIRECTOR_EV_PROGRESS, o->size > left ? o->size - left : 0, o->size);
}

static void tell(struct mirror_obj *o)
{
	unsigned i;

	for (i = 0; i < o->legs.n; i++) {
		uint64_t turn;
		enum mirror_ask ask = mirror_ask(o->m, i, &turn);

		if (ask != MIRROR_ASK_NONE && o->alone)
			grant(o, i, ask, turn);
		else if (ask != MIRROR_ASK_NONE)
			event(o, ask == MIRROR_ASK_OUT ? DIRECTOR_EV_LEG_FAILED : DIRECTOR_EV_LEG_READY, i, turn);
	}
	if (!o->told_open && mirror_is_open(o->m)) {
		o->told_open = true;
		event(o, DIRECTOR_EV_HEALTHY, 0, 0);
	}
	if (!o->told_lost && mirror_is_over(o->m)) {
		o->told_lost = true;
		event(o, DIRECTOR_EV_LOST, 0, 0);
	}
	tell_progress(o);
}

/* ---- the object's thread: opens, ticks, brings legs back ---- */

/* A leg that is out, and here again. Without the lock: it reads. */
static void leg_back(struct mirror_obj *o, unsigned leg)
{
	struct director_err err = { .struct_size = sizeof(err) };
	struct mirror_said said = { .newer = false };

	if (!o->host->child(o->host->arg, o->owner, leg) && (o->host->struct_size <= offsetof(struct director_host, child_open) ||
	    o->host->child_open(o->host->arg, o->owner, leg, &err) < 0))
		return;
	mirror_leg_read(o, leg, &said);
	if (said.says[leg].here && !said.newer) {
		pthread_mutex_lock(&o->lock);
		mirror_attach(o->m, leg, &said.says[leg]);
		mirror_run(o);
		pthread_mutex_unlock(&o->lock);
	}
	mirror_said_free(&said);
}

static void legs_back(struct mirror_obj *o)
{
	unsigned i;

	for (i = 0; i < o->legs.n; i++) {
		bool away;

		pthread_mutex_lock(&o->lock);
		away = mirror_leg_now(o->m, i) == MIRROR_AWAY && o->legs.leg[i].state != MIRROR_IN && !o->ending && !mirror_is_over(o->m);
		pthread_mutex_unlock(&o->lock);
		if (away)
			leg_back(o, i);
	}
}

static void tick(struct mirror_obj *o)
{
	pthread_mutex_lock(&o->lock);
	mirror_tick(o->m, (struct mono){ o->host->now_ns(o->host->arg) });
	mirror_run(o);
	tell(o);
	mirror_run(o);
	pthread_mutex_unlock(&o->lock);
	if (++o->ticks % 10 == 0)
		legs_back(o);
}

static void after(struct timespec *t, unsigned ms)
{
	clock_gettime(CLOCK_MONOTONIC, t);
	t->tv_nsec += (long)ms * 1000000;
	t->tv_sec += t->tv_nsec / 1000000000;
	t->tv_nsec %= 1000000000;
}

/* Until the next tick, doing what comes. With the lock held. */
static void tick_wait(struct mirror_obj *o)
{
	struct timespec t;

	after(&t, MIRROR_TICK_MS);
	do
		mine_submit(o);
	while (!o->ending && (pthread_cond_timedwait(&o->changed, &o->lock, &t) == 0 || !TAILQ_EMPTY(&o->mine)));
}

/* ---- opening ---- */

static int fail(struct director_err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static int fail(struct director_err *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (err) {
		va_start(ap, fmt);
		vsnprintf(err->text, sizeof(err->text), fmt, ap);
		va_end(ap);
	}
	return code;
}

static uint64_t region_for(uint64_t size, uint64_t asked)
{
	uint64_t region = asked ? asked : 1u << 20;

	while (size / region >= (asked ? (uint64_t)META_PAGES * MIRROR_PAGE_MAX * 8 : 1u << 20))
		region *= 2;
	return region;
}

/* Size and region: what the legs say, else what fits on all that are here. */
static int shape(struct mirror_obj *o, const struct mirror_said *said, struct director_err *err)
{
	uint64_t least = UINT64_MAX;
	unsigned i;

	for (i = 0; i < o->legs.n; i++) {
		struct director_caps caps = { .struct_size = sizeof(caps) };
		struct director_bs *child = o->host->child(o->host->arg, o->owner, i);

		if (!child || o->host->child_caps(o->host->arg, child, &caps) < 0)
			continue;
		if (o->block_size && caps.block_size != o->block_size)
			return fail(err, -EINVAL, "the legs have blocks of different sizes");
		o->block_size = caps.block_size;
		o->volatile_legs |= (caps.flags & DIRECTOR_CAP_VOLATILE) != 0;
		if (caps.size > META_AREA && caps.size - META_AREA < least)
			least = caps.size - META_AREA;
		if (said->says[i].known && said->says[i].meta.size && (!o->size || said->says[i].meta.size < o->size)) {
			o->size = said->says[i].meta.size;
			o->region = said->says[i].meta.region;
		}
	}
	if (!o->size && least != UINT64_MAX) {
		o->size = least;
		o->region = region_for(least, o->region);
	}
	if (!o->size || least < o->size)
		return fail(err, -EINVAL, "a leg has no room for the volume beside its own record");
	return 0;
}

static int assemble(struct mirror_obj *o, const struct mirror_said *said, bool force, struct director_err *err)
{
	struct mirror_conf c = { .epoch = o->epoch, .size = o->size, .region = o->region, .chunk = MIRROR_CHUNK, .page = MIRROR_PAGE_MAX,
		.rate = o->rate, .clean_ms = 2000, .n_leg = o->legs.n };
	struct mirror_plan plan;
	int r;

	if (said->newer)
		return fail(err, -ESTALE, "a leg knows a newer owner");
	r = mirror_assemble(o->legs.leg, said->says, o->legs.n, force, &plan);
	if (r == -EAGAIN)
		return fail(err, r, "a leg that is missing may have what those here have lost");
	if (r < 0)
		return fail(err, r, "no leg is in sync and good");
	memcpy(c.uuid, o->uuid, 16);
	memcpy(c.leg, o->legs.leg, sizeof(c.leg));
	o->m = mirror_new(&c, said->says, &plan, (struct mono){ o->host->now_ns(o->host->arg) });
	return o->m ? 0 : -ENOMEM;
}

static void *mirror_thread(void *arg)
{
	struct mirror_obj *o = arg;
	struct mirror_said said = { .newer = false };
	bool force = o->opened == 2;
	unsigned i;
	int r;

	for (i = 0; i < o->legs.n; i++)
		mirror_leg_read(o, i, &said);
	r = shape(o, &said, o->open_err);
	pthread_mutex_lock(&o->lock);
	if (r == 0)
		r = assemble(o, &said, force, o->open_err);
	mirror_said_free(&said);
	if (r == 0)
		mirror_run(o);
	o->opened = r;
	pthread_cond_broadcast(&o->changed);
	while (r == 0 && !o->ending) {
		pthread_mutex_unlock(&o->lock);
		tick(o);
		pthread_mutex_lock(&o->lock);
		tick_wait(o);
	}
	pthread_mutex_unlock(&o->lock);
	return NULL;
}

/* Another number after each start of the machine: what was not flushed before is gone. */
static uint64_t life_now(void)
{
	char id[64] = "";
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (f) {
		if (!fgets(id, sizeof(id), f))
			id[0] = 0;
		fclose(f);
	}
	return (uint64_t)crc32c(0, id, strlen(id)) << 32 | crc32c(1, id, strlen(id)) | 1;
}

static int legs_conf(struct mirror_obj *o, const struct director_conf *conf, struct director_err *err)
{
	const char *text = conf->get(conf, "legs"), *uuid = conf->get(conf, "uuid");
	unsigned i;

	if (uuid && mirror_uuid_parse(uuid, o->uuid) < 0)
		return fail(err, -EINVAL, "uuid=%s is no UUID", uuid);
	if (text)
		return mirror_legs_parse(text, &o->legs) < 0 ? fail(err, -EINVAL, "legs= cannot be read") : 0;
	o->alone = true;
	for (i = 0; i < MIRROR_LEGS_MAX && o->host->child(o->host->arg, o->owner, i); i++) {
		o->legs.leg[i] = (struct mirror_leg_conf){ .uuid = { (uint8_t)(i + 1) }, .state = MIRROR_IN, .local = i == 0 };
		o->legs.n++;
	}
	return 0;
}

static void obj_free(struct mirror_obj *o)
{
	unsigned i;

	mirror_free(&o->m);
	for (i = 0; i < MIRROR_SLOTS; i++)
		free(o->slot[i]);
	pthread_cond_destroy(&o->changed);
	pthread_mutex_destroy(&o->lock);
	free(o);
}

static struct mirror_obj *obj_new(const struct director_host *host, void *owner, uint64_t epoch)
{
	struct mirror_obj *o = calloc(1, sizeof(*o));
	pthread_condattr_t attr;
	bool ok = true;
	unsigned i;

	if (!o)
		return NULL;
	o->host = host;
	o->owner = owner;
	o->epoch = epoch;
	o->life = life_now();
	TAILQ_INIT(&o->mine);
	pthread_mutex_init(&o->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&o->changed, &attr);
	pthread_condattr_destroy(&attr);
	for (i = 0; i < MIRROR_SLOTS; i++) {
		void *p = NULL;

		ok &= posix_memalign(&p, 4096, MIRROR_CHUNK) == 0;
		o->slot[i] = p;
	}
	if (!ok) {
		obj_free(o);
		return NULL;
	}
	return o;
}

static int mirror_open(void *priv, const struct director_conf *conf, void *owner, uint64_t epoch, void **obj, struct director_err *err)
{
	struct mirror_obj *o = obj_new(priv, owner, epoch);
	int r;

	if (!o)
		return -ENOMEM;
	o->rate = conf->get_uint(conf, "rate", 0);
	o->region = conf->get_uint(conf, "region", 0);
	o->open_err = err;
	o->opened = conf->get_uint(conf, "force", 0) ? 2 : 1;
	r = legs_conf(o, conf, err);
	if (r == 0 && o->legs.n < 1)
		r = fail(err, -EINVAL, "there is no leg");
	if (r == 0)
		r = -pthread_create(&o->thread, NULL, mirror_thread, o);
	if (r < 0) {
		obj_free(o);
		return r;
	}
	pthread_mutex_lock(&o->lock);
	while (o->opened > 0)
		pthread_cond_wait(&o->changed, &o->lock);
	r = o->opened;
	o->open_err = NULL;
	pthread_mutex_unlock(&o->lock);
	if (r < 0) {
		pthread_join(o->thread, NULL);
		obj_free(o);
		return r;
	}
	*obj = o;
	return 0;
}

static int mirror_check(void *priv, const struct director_conf *conf, struct director_err *err)
{
	const char *legs = conf->get(conf, "legs"), *uuid = conf->get(conf, "uuid");
	uint64_t region = conf->get_uint(conf, "region", 0);
	struct mirror_legs parsed;
	uint8_t id[16];

	(void)priv;
	if (legs && mirror_legs_parse(legs, &parsed) < 0)
		return fail(err, -EINVAL, "legs= cannot be read");
	if (uuid && mirror_uuid_parse(uuid, id) < 0)
		return fail(err, -EINVAL, "uuid=%s is no UUID", uuid);
	if (region && (region < 4096 || (region & (region - 1))))
		return fail(err, -EINVAL, "region= is no power of two from 4096 on");
	return 0;
}

/* What was agreed of the legs. Legs are never added or taken away while it is open. */
static int mirror_reconfigure(void *obj, const struct director_conf *conf, struct director_err *err)
{
	const char *text = conf->get(conf, "legs");
	struct mirror_obj *o = obj;
	struct mirror_legs legs;
	unsigned i;

	if (!text)
		return 0;
	if (mirror_legs_parse(text, &legs) < 0 || legs.n != o->legs.n)
		return fail(err, -EINVAL, "legs= does not fit the %u legs", o->legs.n);
	pthread_mutex_lock(&o->lock);
	for (i = 0; i < legs.n; i++) {
		const struct mirror_leg_conf *l = &legs.leg[i];

		if (memcmp(l->uuid, o->legs.leg[i].uuid, 16) == 0 && l->turn > o->legs.leg[i].turn) {
			o->legs.leg[i] = *l;
			mirror_agreed(o->m, l->uuid, l->state, l->turn, l->member, l->since);
		}
	}
	mirror_run(o);
	pthread_mutex_unlock(&o->lock);
	return 0;
}

static int mirror_caps(void *obj, struct director_caps *c)
{
	struct mirror_obj *o = obj;

	c->flags = DIRECTOR_CAP_FLUSH | DIRECTOR_CAP_FUA | DIRECTOR_CAP_WRITE_CACHE | (o->volatile_legs ? DIRECTOR_CAP_VOLATILE : 0);
	c->size = o->size / o->block_size * o->block_size;
	c->block_size = o->block_size;
	c->physical_block = 4096;
	c->align = 512;
	return 0;
}

/* If the legs can be made quiet they are; a second is enough, or they cannot. With the lock. */
static bool freeze(struct mirror_obj *o)
{
	struct timespec t;
	int r = 0;

	mirror_freeze(o->m);
	mirror_run(o);
	after(&t, 1000);
	while (!mirror_is_frozen(o->m) && !mirror_is_over(o->m) && r == 0)
		r = pthread_cond_timedwait(&o->changed, &o->lock, &t);
	return mirror_is_frozen(o->m);
}

static int mirror_stop(void *obj, uint32_t how, struct director_err *err)
{
	struct mirror_obj *o = obj;
	bool ok = true;

	pthread_mutex_lock(&o->lock);
	o->closing = o->stopped = true;
	if (how == DIRECTOR_STOP_QUIET) {
		ok = freeze(o);
	} else {
		/* It is known already. */
		o->told_lost = true;
		mirror_lose(o->m);
		mirror_run(o);
	}
	pthread_mutex_unlock(&o->lock);
	return ok ? 0 : fail(err, -EAGAIN, "the legs could not be marked as quiet");
}

/* Nothing is outstanding above. */
static void mirror_close(void *obj)
{
	struct mirror_obj *o = obj;

	pthread_mutex_lock(&o->lock);
	o->closing = true;
	if (!o->stopped)
		freeze(o);
	while (!mirror_idle(o->m))
		pthread_cond_wait(&o->changed, &o->lock);
	o->ending = true;
	pthread_cond_broadcast(&o->changed);
	pthread_mutex_unlock(&o->lock);
	pthread_join(o->thread, NULL);
	/* Whoever completed the last I/O has let go of the lock. */
	pthread_mutex_lock(&o->lock);
	pthread_mutex_unlock(&o->lock);
	obj_free(o);
}

static int mirror_init(const struct director_host *host, void **priv)
{
	*priv = (void *)host;
	return 0;
}

static const struct director_backstore_ops ops = {
	.struct_size = sizeof(ops),
	.threads = DIRECTOR_THREADS_ASYNC,
	.check = mirror_check,
	.open = mirror_open,
	.caps = mirror_caps,
	.submit = mirror_io_submit,
	.reconfigure = mirror_reconfigure,
	.close = mirror_close,
	.stop = mirror_stop,
	.n_children = 2,
	.n_children_max = MIRROR_LEGS_MAX,
	.children_flags = DIRECTOR_CHILDREN_MAY_MISS | DIRECTOR_CHILDREN_KEEP_SIZE,
};

DIRECTOR_PLUGIN(.kind = DIRECTOR_BACKSTORE, .name = "mirror", .version = "1", .license = "Apache-2.0",
	.summary = "one volume on several legs", .params = params, .init = mirror_init, .backstore = &ops);
