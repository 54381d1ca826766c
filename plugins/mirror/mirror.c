/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mirror: one volume on one to four legs. The machine in machine.h decides; the files named in mirror.h do its I/O on the
 * children, tell directord what must be agreed (events), and are told what was (the parameter legs=).
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "plugins/common/err.h"
#include "plugins/mirror/mirror.h"

static const struct director_param params[] = {
	{ .name = "uuid", .type = DIRECTOR_P_STRING, .help = "identity of the volume; what a leg holds must be of it" },
	{ .name = "legs", .type = DIRECTOR_P_STRING, .flags = DIRECTOR_PF_LIVE,
	  .help = "agreed state of each child: UUID:new|out|in|first|gone:TURN:MEMBER:SINCE:local|remote, with commas; left out: "
		  "nothing is agreed, and what fails is remembered only while it is open" },
	{ .name = "rate", .type = DIRECTOR_P_SIZE, .flags = DIRECTOR_PF_LIVE, .value = "0", .unit = "bytes a second",
	  .help = "bound of resync; 0: none" },
	{ .name = "scrub", .type = DIRECTOR_P_UINT, .flags = DIRECTOR_PF_LIVE, .value = "0",
	  .help = "a number that it did not have before: compare all legs that are in sync, and repair what differs" },
	{ .name = "scrub-rate", .type = DIRECTOR_P_SIZE, .flags = DIRECTOR_PF_LIVE, .value = "100M", .unit = "bytes a second",
	  .help = "bound of a scrub, of each leg; 0: none" },
	{ .name = "region", .type = DIRECTOR_P_SIZE, .value = "0", .max = 1ull << 40,
	  .help = "bytes that one intent bit stands for, a power of two; 0: by the size" },
	{ .name = "shrink", .type = DIRECTOR_P_BOOL, .flags = DIRECTOR_PF_LIVE, .value = "no",
	  .help = "let it become smaller" },
	{ .name = "force", .type = DIRECTOR_P_BOOL, .value = "no",
	  .help = "open with what is here, although a missing leg may have what these have lost" },
	{ .name = NULL },
};

/* ---- opening ---- */

static uint64_t region_for(uint64_t size, uint64_t asked)
{
	uint64_t region = asked ? asked : 1u << 20;

	while (size / region >= (asked ? (uint64_t)META_PAGES * MIRROR_PAGE_MAX * 8 : 1u << 20))
		region *= 2;
	return region;
}

/* What the children are: room beside the leg's own record, blocks, what they can. */
static int shape(struct mirror_obj *o, uint64_t room[MIRROR_LEGS_MAX], struct director_err *err)
{
	unsigned i;

	o->thin = true;
	for (i = 0; i < o->legs.n; i++) {
		struct director_caps caps = { .struct_size = sizeof(caps) };
		struct director_bs *child = o->host->child(o->host->arg, o->owner, i);

		room[i] = 0;
		if (!child || o->host->child_caps(o->host->arg, child, &caps) < 0)
			continue;
		if (o->block_size && caps.block_size != o->block_size)
			return fail(err, -EINVAL, "the legs have blocks of different sizes");
		o->block_size = caps.block_size;
		o->volatile_legs |= (caps.flags & DIRECTOR_CAP_VOLATILE) != 0;
		o->thin &= (caps.flags & DIRECTOR_CAP_DISCARD) && (caps.flags & DIRECTOR_CAP_DISCARD_ZEROES);
		if (caps.discard_granularity > o->granularity)
			o->granularity = caps.discard_granularity;
		room[i] = caps.size > LEG_DATA ? caps.size - LEG_DATA : 0;
	}
	return 0;
}

/* What the legs in use say; of blank ones, what fits on all that are here. */
static int size_find(struct mirror_obj *o, struct mirror_plan *plan, const uint64_t room[MIRROR_LEGS_MAX], struct director_err *err)
{
	uint64_t least = UINT64_MAX;
	unsigned i;

	for (i = 0; i < o->legs.n; i++)
		if (plan->leg[i] == MIRROR_USE && room[i] < least)
			least = room[i];
	o->size = plan->size ? plan->size : least;
	o->region = plan->size ? plan->region : region_for(least, o->region);
	if (!o->size || least < o->size)
		return fail(err, -EINVAL, "a leg has no room for the volume beside its own record");
	/* One that was away while the volume grew comes back when it has grown too. */
	for (i = 0; i < o->legs.n; i++)
		if ((plan->leg[i] == MIRROR_SYNC || plan->leg[i] == MIRROR_SYNC_FULL) && room[i] < o->size)
			plan->leg[i] = MIRROR_AWAY;
	return 0;
}

int mirror_foreign(unsigned leg, const uint8_t volume[16], struct director_err *err)
{
	char uuid[33] = "";
	unsigned i;

	for (i = 0; i < 16; i++)
		snprintf(uuid + 2 * i, 3, "%02x", volume[i]);
	return fail(err, -EEXIST, "leg %u carries another volume, %.8s-%.4s-%.4s-%.4s-%s, and is left alone: name another file or device; or, if what is "
		"there is needed no more, zero its first MiB (of one that was a volume without copies: the MiB that its in-front= says)", leg, uuid, uuid + 8, uuid + 12, uuid + 16, uuid + 20);
}

/* A file or device that was named outlives its volume, so the next one may be given it; and disks come into the wrong slot. */
static bool any_foreign(const struct mirror_said *said, unsigned n, struct director_err *err)
{
	unsigned i;

	for (i = 0; i < n; i++)
		if (said->says[i].foreign)
			return mirror_foreign(i, said->says[i].meta.volume, err) < 0;
	return false;
}

int mirror_assembled(struct mirror_obj *o, const struct mirror_said *said, bool force, struct director_err *err)
{
	struct mirror_conf c = { .epoch = o->epoch, .chunk = MIRROR_CHUNK, .group = DIRECTOR_CHECKSUM_GROUP, .page = MIRROR_PAGE_MAX,
		.pages_max = META_PAGES, .rate = o->rate, .scrub_rate = o->scrub_rate, .clean_ms = 2000, .n_leg = o->legs.n };
	uint64_t room[MIRROR_LEGS_MAX];
	struct mirror_plan plan;
	int r = shape(o, room, err);

	if (r < 0)
		return r;
	if (said->newer)
		return fail(err, -ESTALE, "a leg knows a newer owner");
	r = mirror_assemble(o->legs.leg, said->says, o->legs.n, force, &plan);
	if (r < 0 && any_foreign(said, o->legs.n, err))
		return r;
	if (r == -EAGAIN)
		return fail(err, r, "a leg that is missing may have what those here have lost: its node has to come back, or, if it is gone for good, "
			"director node remove NODE --force");
	if (r < 0)
		return fail(err, r, "no leg is in sync and good");
	r = size_find(o, &plan, room, err);
	if (r < 0)
		return r;
	c.size = o->size;
	c.region = o->region;
	memcpy(c.uuid, o->uuid, 16);
	memcpy(c.leg, o->legs.leg, sizeof(c.leg));
	o->m = mirror_new(&c, said->says, &plan, (struct mono){ o->host->now_ns(o->host->arg) });
	if (o->m)
		mirror_scrub(o->m, o->scrub);
	return o->m ? 0 : -ENOMEM;
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
	mirror_io_fini(o);
	pthread_cond_destroy(&o->changed);
	pthread_mutex_destroy(&o->wake_lock);
	pthread_mutex_destroy(&o->lock);
	free(o);
}

static struct mirror_obj *obj_new(const struct director_host *host, void *owner, uint64_t epoch)
{
	struct mirror_obj *o = calloc(1, sizeof(*o));
	pthread_condattr_t attr;
	bool ok;
	unsigned i;

	if (!o)
		return NULL;
	o->host = host;
	o->owner = owner;
	o->epoch = epoch;
	o->life = life_now();
	o->progress = UINT64_MAX;
	TAILQ_INIT(&o->mine);
	STAILQ_INIT(&o->ready);
	atomic_store(&o->read_leg, -1);
	pthread_mutex_init(&o->lock, NULL);
	pthread_mutex_init(&o->wake_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&o->changed, &attr);
	pthread_condattr_destroy(&attr);
	ok = mirror_io_init(o) == 0;
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

static void threads_end(struct mirror_obj *o, bool both)
{
	pthread_mutex_lock(&o->wake_lock);
	o->ending = true;
	pthread_cond_broadcast(&o->changed);
	pthread_mutex_unlock(&o->wake_lock);
	pthread_join(o->thread, NULL);
	if (both)
		pthread_join(o->caller, NULL);
	mirror_all_out(o);
}

/* Start both threads; 0: it is open. */
static int threads_begin(struct mirror_obj *o)
{
	int r = -pthread_create(&o->thread, NULL, mirror_thread, o);

	if (r < 0)
		return r;
	pthread_mutex_lock(&o->wake_lock);
	while (o->opened > 0)
		pthread_cond_wait(&o->changed, &o->wake_lock);
	r = o->opened;
	o->open_err = NULL;
	pthread_mutex_unlock(&o->wake_lock);
	if (r == 0)
		r = -pthread_create(&o->caller, NULL, mirror_caller, o);
	if (r < 0)
		threads_end(o, false);
	return r;
}

static int mirror_open(void *priv, const struct director_conf *conf, void *owner, uint64_t epoch, void **obj, struct director_err *err)
{
	struct mirror_obj *o = obj_new(priv, owner, epoch);
	int r;

	if (!o)
		return -ENOMEM;
	o->rate = conf->get_uint(conf, "rate", 0);
	o->scrub = conf->get_uint(conf, "scrub", 0);
	o->shrink = conf->get_uint(conf, "shrink", 0);
	o->scrub_rate = conf->get_uint(conf, "scrub-rate", 0);
	o->region = conf->get_uint(conf, "region", 0);
	o->open_err = err;
	o->opened = conf->get_uint(conf, "force", 0) ? 2 : 1;
	r = legs_conf(o, conf, err);
	if (r == 0 && o->legs.n < 1)
		r = fail(err, -EINVAL, "there is no leg");
	if (r == 0)
		r = threads_begin(o);
	if (r < 0) {
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

/* What was agreed of the legs. */
static void agreed(struct mirror_obj *o, const struct mirror_legs *legs)
{
	unsigned i;

	for (i = 0; i < legs->n; i++) {
		const struct mirror_leg_conf *l = &legs->leg[i];

		if (memcmp(l->uuid, o->legs.leg[i].uuid, 16) == 0 && l->turn > o->legs.leg[i].turn) {
			o->legs.leg[i] = *l;
			mirror_agreed(o->m, l->uuid, l->state, l->turn, l->member, l->since);
		}
	}
}

void mirror_leg_give_up(struct mirror_obj *o, unsigned leg)
{
	unsigned used = 0, i;

	for (i = 0; i < o->legs.n; i++)
		used += mirror_leg_now(o->m, i) == MIRROR_USE;
	if (used > 1 && mirror_leg_now(o->m, leg) == MIRROR_USE)
		mirror_detach(o->m, leg);
}

/* Legs are never added or taken away while it is open. */
static int mirror_reconfigure(void *obj, const struct director_conf *conf, struct director_err *err)
{
	const char *text = conf->get(conf, "legs");
	struct mirror_obj *o = obj;
	struct mirror_legs legs;
	unsigned i;

	if (text && (mirror_legs_parse(text, &legs) < 0 || legs.n != o->legs.n))
		return fail(err, -EINVAL, "legs= does not fit the %u legs", o->legs.n);
	mirror_enter(o);
	if (text) {
		agreed(o, &legs);
		for (i = 0; i < legs.n; i++)
			if (legs.gone[i])
				mirror_leg_give_up(o, i);
	}
	o->shrink = conf->get_uint(conf, "shrink", 0);
	mirror_rates(o->m, conf->get_uint(conf, "rate", 0), conf->get_uint(conf, "scrub-rate", 0));
	mirror_scrub(o->m, conf->get_uint(conf, "scrub", 0));
	mirror_leave(o);
	return 0;
}

static int mirror_caps(void *obj, struct director_caps *c)
{
	struct mirror_obj *o = obj;

	c->flags = DIRECTOR_CAP_FLUSH | DIRECTOR_CAP_FUA | DIRECTOR_CAP_WRITE_CACHE | DIRECTOR_CAP_ZERO | DIRECTOR_CAP_RESIZE |
		DIRECTOR_CAP_EXTENTS | DIRECTOR_CAP_CHECKSUM | (o->volatile_legs ? DIRECTOR_CAP_VOLATILE : 0) |
		(o->thin ? DIRECTOR_CAP_DISCARD | DIRECTOR_CAP_DISCARD_ZEROES : 0);
	c->size = o->size / o->block_size * o->block_size;
	c->block_size = o->block_size;
	c->physical_block = 4096;
	c->align = 512;
	c->max_discard = MIRROR_DISCARD_MAX;
	c->discard_granularity = o->granularity;
	return 0;
}

static int legs_resize(struct mirror_obj *o, uint64_t size, struct director_err *err)
{
	unsigned i;
	int r = 0;

	if (o->host->struct_size <= offsetof(struct director_host, child_resize))
		return fail(err, -EOPNOTSUPP, "this host cannot resize legs");
	for (i = 0; i < o->legs.n && r == 0; i++) {
		bool used;

		mirror_enter(o);
		used = mirror_leg_now(o->m, i) != MIRROR_AWAY;
		mirror_leave(o);
		if (used)
			r = o->host->child_resize(o->host->arg, o->owner, i, LEG_DATA + size, err);
	}
	return r;
}

static int machine_resize(struct mirror_obj *o, uint64_t size, struct director_err *err)
{
	int r;

	mirror_enter(o);
	r = mirror_resize(o->m, size);
	mirror_leave(o);
	if (r == -EFBIG)
		return fail(err, r, "there is no room for the intent bits of such a size");
	if (r == -EBUSY)
		return fail(err, r, "not while it is opened, resized, or shrunk while legs are copied");
	if (r == 0 && !mirror_wait(o, mirror_is_resized, 10000))
		return fail(err, -EAGAIN, "not all legs know the new size yet");
	return r;
}

/* Everything may be repeated. Growing: first the legs; shrinking: last. */
static int mirror_backstore_resize(void *obj, uint64_t size, struct director_err *err)
{
	struct mirror_obj *o = obj;
	bool grows = size > o->size;
	int r;

	if (size < o->size && !o->shrink)
		return fail(err, -EPERM, "it would become smaller, and shrink= does not allow it");
	r = grows ? legs_resize(o, size, err) : 0;
	if (r == 0)
		r = machine_resize(o, size, err);
	if (r < 0)
		return r;
	mirror_enter(o);
	o->size = mirror_size(o->m);
	mirror_leave(o);
	return grows ? 0 : legs_resize(o, size, err);
}

static bool has_ended(const struct mirror *m)
{
	return mirror_is_frozen(m) || mirror_is_over(m);
}

/* If the legs can be made quiet they are; a second is enough, or they cannot. */
static bool freeze(struct mirror_obj *o)
{
	bool quiet;

	mirror_enter(o);
	mirror_freeze(o->m);
	mirror_leave(o);
	mirror_wait(o, has_ended, 1000);
	mirror_enter(o);
	quiet = mirror_is_quiet(o->m);
	mirror_leave(o);
	return quiet;
}

static int mirror_stop(void *obj, uint32_t how, struct director_err *err)
{
	struct mirror_obj *o = obj;

	o->stopped = true;
	if (how == DIRECTOR_STOP_QUIET)
		return freeze(o) ? 0 : fail(err, -EAGAIN, "the legs could not be marked as quiet");
	mirror_enter(o);
	atomic_store(&o->lost, true);
	mirror_lose(o->m);
	mirror_leave(o);
	return 0;
}

/* Nothing is outstanding above. */
static void mirror_close(void *obj)
{
	struct mirror_obj *o = obj;

	if (!o->stopped)
		freeze(o);
	mirror_wait(o, mirror_idle, UINT32_MAX);
	threads_end(o, true);
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
	.resize = mirror_backstore_resize,
	.close = mirror_close,
	.stop = mirror_stop,
	.n_children = 1,
	.n_children_max = MIRROR_LEGS_MAX,
	.children_flags = DIRECTOR_CHILDREN_MAY_MISS | DIRECTOR_CHILDREN_KEEP_SIZE,
};

DIRECTOR_PLUGIN(.kind = DIRECTOR_BACKSTORE, .name = "mirror", .version = "1", .license = "Apache-2.0",
	.summary = "one volume on several legs", .params = params, .init = mirror_init, .backstore = &ops);
