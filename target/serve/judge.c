/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A leg that somebody has claimed is opened: does its storage say so too, or is it another disk since, blank or of an earlier time? A
 * thread of its own reads what the mirror keeps in front, and is waited for so long and no longer. Storage that does not answer
 * stays with that thread until it does, and nothing else of its leg is opened meanwhile: the leg is missing, with a reason.
 */
#include "config.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/leg_record.h"
#include "base/mem.h"
#include "target/serve/serve.h"

#define JUDGE_MS 5000                   /* as long as a mirror waits for a leg */

struct look {
	struct look *next;
	struct judge *judge;
	struct backstore *bs;
	uint8_t leg[16];
	uint64_t claimed;
	bool same;
	bool over;
	bool late;                      /* nobody waits for it: what it has is its own */
};

struct judge {
	struct serve *serve;
	pthread_mutex_t lock;           /* what follows, and `over` and `late` */
	pthread_cond_t changed;
	struct look *looks;
};

/* ---- the thread ---- */

struct head {
	struct backstore_io bio;
	bool over;
	int32_t result;
};

static void head_done(struct backstore_io *bio, int32_t result)
{
	struct head *h = bio->user;

	h->result = result;
	h->over = true;
}

static int head_read(struct serve *s, struct backstore *bs, void *p, size_t len)
{
	struct director_iov iov = { p, len };
	struct head h = { .bio = { .io = { .struct_size = sizeof(h.bio.io), .op = DIRECTOR_READ, .len = len, .iov = &iov, .n_iov = 1 },
				   .done = head_done, .user = &h } };
	struct backstore_queue *q;
	int r = backstore_queue_new(s->host, &q);

	if (r < 0)
		return r;
	backstore_submit(bs, q, &h.bio);
	while (!h.over) {
		struct pollfd fd = { .fd = backstore_queue_fd(q), .events = POLLIN };

		if (backstore_queue_run(q, 0) == 0)
			poll(&fd, 1, -1);
	}
	backstore_queue_free(&q);
	return h.result;
}

/* Is it of this leg, and of this owner or a later one? */
static bool record_is(const struct leg_record *r, const struct look *k)
{
	return leg_record_good(r) && memcmp(r->leg, k->leg, 16) == 0 && le_get(r->epoch, 8) >= k->claimed;
}

static bool is_same(const struct look *k)
{
	struct leg_record *head;
	void *p = NULL;
	bool same;

	if (posix_memalign(&p, LEG_RECORD, 2 * sizeof(*head)))
		return false;
	head = p;
	same = head_read(k->judge->serve, k->bs, head, 2 * sizeof(*head)) == 0 && (record_is(&head[0], k) || record_is(&head[1], k));
	free(head);
	return same;
}

/* With the lock. */
static void look_free(struct look *k)
{
	struct look **p = &k->judge->looks;

	while (*p != k)
		p = &(*p)->next;
	*p = k->next;
	free(k);
}

static void *look_main(void *arg)
{
	struct look *k = arg;
	struct judge *j = k->judge;

	k->same = is_same(k);
	pthread_mutex_lock(&j->lock);
	k->over = true;
	if (k->late) {
		pthread_mutex_unlock(&j->lock);
		backstore_close(&k->bs);
		pthread_mutex_lock(&j->lock);
		look_free(k);
	}
	pthread_cond_broadcast(&j->changed);
	pthread_mutex_unlock(&j->lock);
	return NULL;
}

/* ---- who opens it ---- */

static bool look_begin(struct look *k)
{
	pthread_attr_t attr;
	pthread_t t;
	bool ok;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 256 << 10);
	ok = pthread_create(&t, &attr, look_main, k) == 0;
	pthread_attr_destroy(&attr);
	return ok;
}

/* With the lock. False: it is late. */
static bool look_wait(struct look *k)
{
	struct timespec until = cond_until(JUDGE_MS);

	while (!k->over && pthread_cond_timedwait(&k->judge->changed, &k->judge->lock, &until) == 0)
		;
	k->late = !k->over;
	return k->over;
}

int judge_free_to_open(const struct volume *v, char **why)
{
	struct judge *j = v->serve->judge;
	const struct look *k;

	pthread_mutex_lock(&j->lock);
	for (k = j->looks; k && memcmp(k->leg, v->def.uuid, 16) != 0; k = k->next)
		;
	pthread_mutex_unlock(&j->lock);
	if (!k)
		return 0;
	*why = mem_printf("its storage still does not answer; it is opened when that does");
	return ERR_TIMEOUT;
}

int judge_leg(const struct volume *v, uint64_t claimed, struct backstore **bs, bool *same, char **why)
{
	struct judge *j = v->serve->judge;
	struct look *k = mem_zalloc(sizeof(*k));
	bool begun, over;

	k->judge = j;
	k->bs = *bs;
	k->claimed = claimed;
	memcpy(k->leg, v->def.uuid, 16);
	pthread_mutex_lock(&j->lock);
	k->next = j->looks;
	j->looks = k;
	begun = look_begin(k);
	over = begun && look_wait(k);
	*same = over && k->same;
	if (over || !begun)
		look_free(k);
	else
		backstore_unwatch(*bs);
	pthread_mutex_unlock(&j->lock);
	if (over)
		return 0;
	if (!begun) {
		*why = mem_printf("there is no thread to look at its storage");
		return ERR_AGAIN;
	}
	*bs = NULL;
	*why = mem_printf("its storage does not answer: its first %u bytes were not read in %u s", 2 * LEG_RECORD, JUDGE_MS / 1000);
	return ERR_TIMEOUT;
}

struct judge *judge_new(struct serve *s)
{
	struct judge *j = mem_zalloc(sizeof(*j));

	j->serve = s;
	pthread_mutex_init(&j->lock, NULL);
	cond_init(&j->changed);
	return j;
}

void judge_free(struct judge **judge)
{
	struct judge *j = *judge;

	if (!j)
		return;
	*judge = NULL;
	pthread_mutex_lock(&j->lock);
	while (j->looks)
		pthread_cond_wait(&j->changed, &j->lock);
	pthread_mutex_unlock(&j->lock);
	pthread_cond_destroy(&j->changed);
	pthread_mutex_destroy(&j->lock);
	free(j);
}
