/* SPDX-License-Identifier: Apache-2.0 */
/* What a leg says of itself, read when it is opened or comes back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/mirror/mirror.h"

struct wait {
	struct director_io io;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
	int result;
};

static void wait_done(struct director_io *io, int32_t result)
{
	struct wait *w = (struct wait *)io;

	pthread_mutex_lock(&w->lock);
	w->done = true;
	w->result = result;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

static int io_wait(struct mirror_obj *o, struct director_bs *child, uint32_t op, uint64_t offset, void *p, size_t len)
{
	struct director_iov iov = { p, len };
	struct wait w = { .io = { .struct_size = sizeof(w.io), .op = op, .offset = offset, .len = len, .iov = &iov, .n_iov = len != 0,
				  .epoch = o->epoch, .done = wait_done } };

	pthread_mutex_init(&w.lock, NULL);
	pthread_cond_init(&w.cond, NULL);
	o->host->child_submit(o->host->arg, child, &w.io);
	pthread_mutex_lock(&w.lock);
	while (!w.done)
		pthread_cond_wait(&w.cond, &w.lock);
	pthread_mutex_unlock(&w.lock);
	pthread_cond_destroy(&w.cond);
	pthread_mutex_destroy(&w.lock);
	return w.result;
}

static int read_wait(struct mirror_obj *o, struct director_bs *child, uint64_t offset, void *p, size_t len)
{
	return io_wait(o, child, DIRECTOR_READ, offset, p, len);
}

/* The newer of the two records; 0, -ENODATA: blank, -EINVAL: neither is good, or an I/O error. */
static int record_read(struct mirror_obj *o, struct director_bs *child, uint8_t *buf, struct mirror_meta *meta)
{
	int r = -ENODATA;
	unsigned i;

	for (i = 0; i < 2; i++) {
		struct mirror_meta m;
		int one = read_wait(o, child, (uint64_t)i * LEG_RECORD, buf, LEG_RECORD);

		if (one < 0)
			return one == -EINVAL ? -EIO : one;
		one = meta_decode(buf, &m);
		if (one == 0 && (r < 0 || m.seq > meta->seq)) {
			*meta = m;
			r = 0;
		} else if (one == -EINVAL && r < 0) {
			r = -EINVAL;
		}
	}
	return r;
}

static int bits_read(struct mirror_obj *o, struct director_bs *child, uint64_t n_region, uint8_t *buf, uint64_t **bits)
{
	unsigned n = (unsigned)((n_region + MIRROR_PAGE_MAX * 8 - 1) / (MIRROR_PAGE_MAX * 8)), i;
	int r = 0;

	*bits = calloc(META_PAGES, MIRROR_PAGE_MAX);
	if (!*bits)
		return -ENOMEM;
	for (i = 0; i < n && r == 0; i++) {
		r = read_wait(o, child, LEG_BITS + (uint64_t)i * MIRROR_PAGE_MAX, buf, MIRROR_PAGE_MAX);
		if (r == 0)
			memcpy((uint8_t *)*bits + (size_t)i * MIRROR_PAGE_MAX, buf, MIRROR_PAGE_MAX);
	}
	return r;
}

static uint64_t regions(uint64_t size, uint64_t region)
{
	return (size + region - 1) / region;
}

/* A blank leg is a member from the start only before the volume was served. */
static bool first_time(const struct mirror_obj *o, unsigned leg)
{
	return o->alone || (o->legs.first[leg] && o->legs.leg[leg].member == 0);
}

static void blank(struct mirror_obj *o, unsigned leg, struct mirror_said *said)
{
	struct mirror_leg_says *s = &said->says[leg];

	if (!first_time(o, leg))
		return;
	said->bits[leg] = calloc(META_PAGES, MIRROR_PAGE_MAX);
	s->known = said->bits[leg];
	s->bits = said->bits[leg];
	s->meta = (struct mirror_meta){ .life = s->life, .quiet = true, .bits = true };
}

/* Of storage that does not say it: this machine's, as if the leg's memory were here. */
static uint64_t life_of(struct mirror_obj *o, struct director_bs *child)
{
	struct director_caps caps = { .struct_size = sizeof(caps) };

	return o->host->child_caps(o->host->arg, child, &caps) == 0 && caps.life ? caps.life : o->life;
}

void mirror_leg_read(struct mirror_obj *o, unsigned leg, struct mirror_said *said)
{
	struct director_bs *child = o->host->child(o->host->arg, o->owner, leg);
	struct mirror_leg_says *s = &said->says[leg];
	void *buf;
	int r;

	if (!child || posix_memalign(&buf, LEG_RECORD, LEG_RECORD))
		return;
	s->life = life_of(o, child);
	r = record_read(o, child, buf, &s->meta);
	if (o->legs.taken[leg] && (r == -EINVAL || (r == 0 && memcmp(s->meta.volume, o->uuid, 16) != 0)))
		r = -ENODATA;
	s->here = r == 0 || r == -ENODATA || r == -EINVAL;
	if (r == -ENODATA)
		blank(o, leg, said);
	s->foreign = r == 0 && memcmp(s->meta.volume, o->uuid, 16) != 0;
	/* Epochs of another volume say nothing here. */
	said->newer |= r == 0 && !s->foreign && s->meta.epoch > o->epoch;
	if (r == 0 && !s->foreign && memcmp(s->meta.leg, o->legs.leg[leg].uuid, 16) == 0 &&
		bits_read(o, child, regions(s->meta.size, s->meta.region), buf, &said->bits[leg]) == 0) {
		s->known = true;
		s->bits = said->bits[leg];
	}
	free(buf);
}

bool mirror_leg_ill(struct mirror_obj *o, unsigned leg)
{
	struct director_bs *child = o->host->child(o->host->arg, o->owner, leg);
	void *buf;
	int r;

	if (!child || posix_memalign(&buf, LEG_RECORD, LEG_RECORD))
		return false;
	r = io_wait(o, child, DIRECTOR_FLUSH, 0, NULL, 0);
	if (r == 0)
		r = read_wait(o, child, 0, buf, LEG_RECORD);
	free(buf);
	return r < 0 && r != -ENOTCONN && r != -ESTALE && r != -EOPNOTSUPP;
}

void mirror_said_free(struct mirror_said *said)
{
	unsigned i;

	for (i = 0; i < MIRROR_LEGS_MAX; i++)
		free(said->bits[i]);
}
