/* SPDX-License-Identifier: Apache-2.0 */
/*
 * COMPARE_AND_WRITE on a plugin that cannot: read, compare, write, and nobody else may write in between.
 * Objects that are never asked for it pay nothing. The first one arms the object: each thread is told to
 * take ranges from now on, and when the I/O from before has drained, compares may begin. Reads and writes
 * share; a compare excludes; who overlaps with an earlier waiter waits behind it.
 */
#include "config.h"

#include "target/serve/bs_host.h"

enum { SHARED = 1, EXCLUSIVE };

void bs_range_init(struct bs_range *r)
{
	pthread_mutex_init(&r->lock, NULL);
	r->state = RANGE_OFF;
	r->waiting_tail = &r->waiting;
}

void bs_range_fini(struct bs_range *r)
{
	pthread_mutex_destroy(&r->lock);
}

bool bs_range_needed(const struct backstore *bs, uint16_t op)
{
	if (bs->native >> DIRECTOR_COMPARE_AND_WRITE & 1)
		return false;
	return op == DIRECTOR_READ || op == DIRECTOR_WRITE || op == DIRECTOR_WRITE_ZEROES || op == DIRECTOR_DISCARD ||
		op == DIRECTOR_COMPARE_AND_WRITE;
}

static bool conflict(const struct backstore_io *a, const struct backstore_io *b)
{
	if (a->range == SHARED && b->range == SHARED)
		return false;
	return a->io.offset < b->io.offset + b->io.len && b->io.offset < a->io.offset + a->io.len;
}

/* May `bio` go, given what is held and who waited before it? */
static bool grantable(const struct bs_range *r, const struct backstore_io *bio)
{
	const struct backstore_io *o;

	if (bio->range == EXCLUSIVE && r->state != RANGE_ARMED)
		return false;
	for (o = r->held; o; o = o->range_next)
		if (conflict(o, bio))
			return false;
	for (o = r->waiting; o && o != bio; o = o->range_next)
		if (conflict(o, bio))
			return false;
	return true;
}

static void hold(struct bs_range *r, struct backstore_io *bio)
{
	bio->range_prev = NULL;
	bio->range_next = r->held;
	if (r->held)
		r->held->range_prev = bio;
	r->held = bio;
}

static void resume(struct backstore_queue *q, struct backstore_msg *m)
{
	struct backstore_io *bio = (struct backstore_io *)((char *)m - offsetof(struct backstore_io, msg));

	bs_start(bio);
}

/* With the lock held: whoever may go now is sent back to its own thread. */
static void wake(struct bs_range *r)
{
	struct backstore_io **at = &r->waiting, *bio;

	while ((bio = *at) != NULL) {
		if (!grantable(r, bio)) {
			at = &bio->range_next;
			continue;
		}
		*at = bio->range_next;
		if (!*at)
			r->waiting_tail = at;
		hold(r, bio);
		bio->msg.run = resume;
		bs_post(bio->queue, &bio->msg);
	}
}

static void armed(struct bs_barrier *b)
{
	struct bs_range *r = &b->bs->range;

	pthread_mutex_lock(&r->lock);
	r->state = RANGE_ARMED;
	wake(r);
	pthread_mutex_unlock(&r->lock);
}

void bs_range_submit(struct backstore *bs, struct backstore_io *bio)
{
	struct bs_range *r = &bs->range;
	bool arm, go;

	bio->range = bio->io.op == DIRECTOR_COMPARE_AND_WRITE || bio->io.flags & BACKSTORE_IOF_ATOMIC ? EXCLUSIVE : SHARED;
	pthread_mutex_lock(&r->lock);
	arm = r->state == RANGE_OFF;
	if (arm)
		r->state = RANGE_ARMING;
	go = grantable(r, bio);
	if (go) {
		hold(r, bio);
	} else {
		/* What waits for the arming must not be waited for by it. */
		if (r->state == RANGE_ARMING)
			bs_slot_park(bs_slot(bio->queue, bs), bio);
		bio->range_next = NULL;
		*r->waiting_tail = bio;
		r->waiting_tail = &bio->range_next;
	}
	pthread_mutex_unlock(&r->lock);
	if (arm)
		bs_barrier_start(&r->barrier, bs, BS_RANGED, armed, NULL);
	if (go)
		bs_start(bio);
}

void bs_range_release(struct backstore *bs, struct backstore_io *bio)
{
	struct bs_range *r = &bs->range;

	pthread_mutex_lock(&r->lock);
	if (bio->range_prev)
		bio->range_prev->range_next = bio->range_next;
	else
		r->held = bio->range_next;
	if (bio->range_next)
		bio->range_next->range_prev = bio->range_prev;
	if (r->waiting)
		wake(r);
	pthread_mutex_unlock(&r->lock);
}
