/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lent memory against writes: what is on its way to an initiator must not change under way, so nothing is written while
 * something is lent. An object is read without copies or written, not both: the first write asks all threads to give
 * back what they have, and waits; when reads have been alone for a while, all threads are told that writes wait again.
 * The path of an I/O takes no lock and no fence for it: the threads that take part are told by messages.
 *
 *   COPYING --many reads, no write--> TURNING --all threads know--> LENDING --a write--> RECALLING --all have given back--> COPYING
 *
 * Objects that lend complete their I/O inside of submit, so a thread that gets a message has no write under way.
 */
#include "config.h"

#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "target/serve/bs_host.h"

#define READS_ALONE 1024u

struct lend_round {
	struct backstore *bs;
	atomic_uint left;
	struct lend_msg {
		struct backstore_msg msg;
		struct lend_round *round;
	} msgs[];
};

void bs_lend_init(struct bs_lend *l)
{
	pthread_mutex_init(&l->lock, NULL);
	atomic_store(&l->state, LEND_LENDING);
	l->waiting_tail = &l->waiting;
}

void bs_lend_fini(struct bs_lend *l)
{
	pthread_mutex_destroy(&l->lock);
}

void bs_lend_close(struct bs_lend *l)
{
	while (atomic_load(&l->rounds)) {
		if (bs_self)
			backstore_queue_run(bs_self, 0);
		nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
	}
}

static void resume(struct backstore_queue *q, struct backstore_msg *m)
{
	struct backstore_io *bio = (struct backstore_io *)((char *)m - offsetof(struct backstore_io, msg));

	bs_go_on(bio->bs, bs_slot(q, bio->bs), bio);
}

static void round_start(struct backstore *bs);

/* All threads have answered. Compares came up meanwhile: they hold ranges from now on, and nothing is lent any more. */
static void round_end(struct lend_round *round)
{
	struct backstore *bs = round->bs;
	struct bs_lend *l = &bs->lend;
	struct backstore_io *bio, *next = NULL;
	bool again = false, ranged;

	free(round);
	pthread_mutex_lock(&bs->range.lock);
	ranged = bs->range.state != RANGE_OFF;
	pthread_mutex_unlock(&bs->range.lock);
	pthread_mutex_lock(&l->lock);
	if (ranged || atomic_load(&l->state) == LEND_RECALLING) {
		next = l->waiting;
		l->waiting = NULL;
		l->waiting_tail = &l->waiting;
		atomic_store(&l->state, LEND_COPYING);
	} else {
		again = l->waiting != NULL;
		atomic_store(&l->state, again ? LEND_RECALLING : LEND_LENDING);
	}
	pthread_mutex_unlock(&l->lock);
	if (again)
		round_start(bs);
	while ((bio = next) != NULL) {
		next = bio->range_next;
		bio->msg.run = resume;
		bs_post(bio->queue, &bio->msg);
	}
	atomic_fetch_sub(&l->rounds, 1);        /* now it may be closed */
}

static void answer(struct lend_round *round)
{
	if (atomic_fetch_sub(&round->left, 1) == 1)
		round_end(round);
}

static void round_run(struct backstore_queue *q, struct backstore_msg *m)
{
	struct lend_round *round = ((struct lend_msg *)m)->round;
	struct backstore *bs = round->bs;
	struct bs_slot *s = bs_slot(q, bs);

	if (s && atomic_load(&bs->lend.state) == LEND_TURNING)
		s->special &= (uint8_t)~BS_COPIES;
	if (s && s->lent && q->recall)
		q->recall(q->recall_arg, bs);
	if (s && s->lent)
		s->recall = round;
	else
		answer(round);
}

static bool concerned(const struct backstore_queue *q, const struct backstore *bs)
{
	const struct bs_slot *s = bs_slot_of(q, bs);

	return s && s->joined;
}

/* Who has not joined will find the new state: other threads may be long in coming back to their queue. */
static void round_start(struct backstore *bs)
{
	struct backstore_host *h = bs->host;
	struct backstore_queue *q;
	struct lend_round *round;
	unsigned n = 0, i = 0;

	atomic_fetch_add(&bs->lend.rounds, 1);
	pthread_mutex_lock(&h->lock);
	pthread_mutex_lock(&bs->lend.lock);
	LIST_FOREACH(q, &h->queues, link)
		n += concerned(q, bs);
	round = mem_zalloc(sizeof(*round) + n * sizeof(round->msgs[0]));
	round->bs = bs;
	atomic_store(&round->left, n + 1);
	LIST_FOREACH(q, &h->queues, link) {
		if (!concerned(q, bs))
			continue;
		round->msgs[i].msg.run = round_run;
		round->msgs[i].round = round;
		bs_post(q, &round->msgs[i++].msg);
	}
	pthread_mutex_unlock(&bs->lend.lock);
	pthread_mutex_unlock(&h->lock);
	answer(round);
}

bool bs_lend_write(struct backstore *bs, struct bs_slot *s, struct backstore_io *bio)
{
	struct bs_lend *l = &bs->lend;
	bool go, recall;

	pthread_mutex_lock(&l->lock);
	go = atomic_load(&l->state) == LEND_COPYING;
	recall = atomic_load(&l->state) == LEND_LENDING;
	if (go) {
		s->special |= BS_COPIES;
		s->joined = true;
	} else {
		bio->range_next = NULL;
		*l->waiting_tail = bio;
		l->waiting_tail = &bio->range_next;
	}
	if (recall)
		atomic_store(&l->state, LEND_RECALLING);
	pthread_mutex_unlock(&l->lock);
	if (recall)
		round_start(bs);
	return go;
}

bool bs_lend_may(struct backstore *bs, struct bs_slot *s)
{
	struct bs_lend *l = &bs->lend;
	bool turn;

	if (unlikely(!s->joined)) {
		pthread_mutex_lock(&l->lock);
		s->joined = true;
		pthread_mutex_unlock(&l->lock);
	}
	if (likely(atomic_load_explicit(&l->state, memory_order_acquire) == LEND_LENDING))
		return true;
	if (++s->copied % READS_ALONE || atomic_exchange(&l->written, false))
		return false;
	pthread_mutex_lock(&l->lock);
	turn = atomic_load(&l->state) == LEND_COPYING;
	if (turn)
		atomic_store(&l->state, LEND_TURNING);
	pthread_mutex_unlock(&l->lock);
	if (turn)
		round_start(bs);
	return false;
}

void backstore_lend_end(struct backstore *bs, struct backstore_queue *q)
{
	struct bs_slot *s = bs_slot(q, bs);
	struct lend_round *round = s->recall;

	if (--s->lent || !round)
		return;
	s->recall = NULL;
	answer(round);
}

void backstore_queue_recall(struct backstore_queue *q, void (*recall)(void *arg, struct backstore *), void *arg)
{
	q->recall = recall;
	q->recall_arg = arg;
}
