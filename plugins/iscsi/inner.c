/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way to another node of the cluster (doc/ownership.md 9). I/O goes to the initiator only while the way is up.
 *
 * When the way to a leg is lost, all of it comes back here and waits a moment; then it fails and the mirror judges the leg anew.
 * A leg that comes back with another life has lost what was not flushed: nobody's I/O goes on there before who uses it has seen
 * an I/O fail, and has looked.
 *
 * A forward's commands stay with the initiator, whose session outlives its connections (ERL 2), until it is known what became of
 * them, or their session is over. What changes the medium and may have been done then is in doubt, and stays here until a new
 * session proves that it can be done no more: the owner has ended the old one, or another epoch has shut it out.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/be.h"
#include "plugins/iscsi/lun.h"

#define TICK_MS 50
#define GRACE_NS 500000000ull           /* for a leg whose connection is lost */
#define PARK_NS UINT64_C(300000000)     /* that a forward keeps what could not be sent; then who asked decides again */
#define HELD_MS 50                      /* until a piece that the owner holds is asked for again */
#define DRAIN_NS UINT64_C(2000000000)   /* for answers of the place before */
#define DOUBT_NS UINT64_C(5000000000)   /* that doubt waits for a new session, at most */
#define PROBE_MS 2000
#define PAGE_INNER 0xc0
#define FORBIDDEN 0x0202
#define UNIT_ATTENTION 6

static uint64_t now(const struct lun *l)
{
	return l->host->now_ns(l->host->arg);
}

/* ---- places ---- */

static char *copy(const char *s)
{
	return s ? strdup(s) : NULL;
}

void place_fini(struct place *p)
{
	free(p->portal);
	free(p->user);
	if (p->secret)
		explicit_bzero(p->secret, strlen(p->secret));
	free(p->secret);
	*p = (struct place){ NULL, NULL, NULL };
}

void place_set(struct place *p, const struct director_conf *conf)
{
	place_fini(p);
	p->portal = copy(conf->get(conf, "portal"));
	p->user = copy(conf->get(conf, "user"));
	p->secret = copy(conf->get(conf, "secret"));
}

static bool differ(const char *a, const char *b)
{
	return !a != !b || (a && strcmp(a, b) != 0);
}

bool place_is(const struct place *p, const struct director_conf *conf)
{
	return !differ(p->portal, conf->get(conf, "portal")) && !differ(p->user, conf->get(conf, "user")) &&
		!differ(p->secret, conf->get(conf, "secret"));
}

/* ---- parked I/O ---- */

/* It was not sent since it came here. */
static void unsent_end(struct req *r, int error)
{
	req_end(r, r->lun->inner.lazy ? req_begun(r) ? -ENOTCONN : -EAGAIN : error);
}

/* What waits, to be ended with `error` (below 0), or sent (0). With the lock, which is let go meanwhile. */
static void parked_end(struct lun *l, int error)
{
	struct reqs list = TAILQ_HEAD_INITIALIZER(list);
	struct req *r;

	TAILQ_CONCAT(&list, &l->inner.parked, entry);
	if (error == -ENOTCONN && !TAILQ_EMPTY(&list))
		l->inner.noticed = true;
	pthread_mutex_unlock(&l->lock);
	while ((r = TAILQ_FIRST(&list)) != NULL) {
		TAILQ_REMOVE(&list, r, entry);
		if (error)
			unsent_end(r, error);
		else
			req_send(r);
	}
	pthread_mutex_lock(&l->lock);
}

/* Those in doubt, or of these who waited for too long. With the lock, which is let go meanwhile. */
static void doubt_end(struct lun *l, bool all)
{
	struct reqs list = TAILQ_HEAD_INITIALIZER(list);
	struct req *r, *next;
	uint64_t t = now(l);

	for (r = TAILQ_FIRST(&l->inner.doubt); r; r = next) {
		next = TAILQ_NEXT(r, entry);
		if (!all && t - r->parked_ns < DOUBT_NS)
			continue;
		TAILQ_REMOVE(&l->inner.doubt, r, entry);
		TAILQ_INSERT_TAIL(&list, r, entry);
	}
	pthread_mutex_unlock(&l->lock);
	while ((r = TAILQ_FIRST(&list)) != NULL) {
		TAILQ_REMOVE(&list, r, entry);
		req_end(r, -ENOTCONN);
	}
	pthread_mutex_lock(&l->lock);
}

/* Those of a forward whose time is over. With the lock, which is let go meanwhile. */
static void parked_expire(struct lun *l)
{
	struct reqs list = TAILQ_HEAD_INITIALIZER(list);
	struct req *r, *next;
	uint64_t t = now(l);

	for (r = TAILQ_FIRST(&l->inner.parked); r; r = next) {
		next = TAILQ_NEXT(r, entry);
		if (t < r->deadline_ns && !(l->inner.lazy && t - r->parked_ns >= PARK_NS))
			continue;
		TAILQ_REMOVE(&l->inner.parked, r, entry);
		TAILQ_INSERT_TAIL(&list, r, entry);
	}
	pthread_mutex_unlock(&l->lock);
	while ((r = TAILQ_FIRST(&list)) != NULL) {
		TAILQ_REMOVE(&list, r, entry);
		unsent_end(r, -ETIMEDOUT);
	}
	pthread_mutex_lock(&l->lock);
}

/* With the lock, which is let go meanwhile. */
static void way_set(struct lun *l, enum way way)
{
	l->inner.way = way;
	if (way == WAY_UP) {
		l->inner.noticed = false;
		doubt_end(l, true);
		parked_end(l, 0);
	}
	if (way == WAY_STALE)
		parked_end(l, -ESTALE);
	if (way == WAY_LOST)
		parked_end(l, -ENOTCONN);
}

/* ---- time ---- */

/* The initiator gets back what it was given in the moment in which the way was lost. With `control`. */
static void busy_cancel(struct lun *l)
{
	struct director_iscsi_io *some[64];
	unsigned n = 0, i;
	struct req *r;

	pthread_mutex_lock(&l->lock);
	TAILQ_FOREACH(r, &l->inner.busy, entry)
		if (n < 64)
			some[n++] = &r->cmd;
	pthread_mutex_unlock(&l->lock);
	for (i = 0; i < n && l->h; i++)
		director_iscsi_cancel(l->h, some[i]);
}

/* With `control`, under which alone it comes and goes. Until its last event it is known as the old one. */
static void old_end(struct lun *l)
{
	struct director_iscsi *old = l->inner.old;

	director_iscsi_close(&old, 0);
	pthread_mutex_lock(&l->lock);
	l->inner.old = NULL;
	pthread_mutex_unlock(&l->lock);
}

/* With `control`. */
static void old_look(struct lun *l)
{
	const struct inner *in = &l->inner;
	const struct req *r;
	bool over;

	pthread_mutex_lock(&l->lock);
	TAILQ_FOREACH(r, &in->busy, entry)
		if (r->via == in->old)
			break;
	over = in->old && (!r || now(l) >= in->old_until);
	pthread_mutex_unlock(&l->lock);
	if (over)
		old_end(l);
}

/*
 * Make another session. With `control`. `drain`: the one before is good, but in the wrong place: who is there answers what it
 * has, or says that it has not done it. Else it ends; all I/O comes back, and is parked.
 */
static void renew(struct lun *l, bool drain)
{
	struct place place;
	int r;

	old_end(l);
	pthread_mutex_lock(&l->lock);
	l->inner.renew = false;
	l->inner.renewing = true;
	l->claim.downs++;
	l->inner.connected = false;
	if (drain && l->inner.lazy && l->inner.way == WAY_UP) {
		l->inner.old = l->h;
		l->inner.old_until = now(l) + DRAIN_NS;
		l->h = NULL;
	}
	if (l->inner.way == WAY_UP) {
		l->inner.down_ns = now(l);
		l->inner.way = WAY_DOWN;
	}
	place = (struct place){ copy(l->inner.want.portal), copy(l->inner.want.user), copy(l->inner.want.secret) };
	pthread_mutex_unlock(&l->lock);
	director_iscsi_close(&l->h, 0);
	l->inner.probing = false;
	pthread_mutex_lock(&l->lock);
	l->inner.renewing = false;
	pthread_mutex_unlock(&l->lock);
	r = session_open(l, &place);
	place_fini(&place);
	if (r < 0)
		l->host->log(l->host->arg, DIRECTOR_LOG_WARN, "the session cannot be made anew");
}

static void tick(void *arg);

/* With the lock. */
static void tick_arm(struct lun *l)
{
	if (l->inner.ticking || l->inner.closing)
		return;
	l->inner.ticking = l->host->after_ms(l->host->arg, TICK_MS, tick, l) == 0;
	l->inner.refs += l->inner.ticking;
}

static void put(struct lun *l)
{
	unsigned refs;

	pthread_mutex_lock(&l->lock);
	refs = --l->inner.refs;
	pthread_mutex_unlock(&l->lock);
	if (!refs)
		lun_free(l);
}

static void tick(void *arg)
{
	struct lun *l = arg;
	struct inner *in = &l->inner;
	bool again, anew, free = true;

	/* Who makes a claim anew may take his time. */
	if (l->claim.on)
		free = pthread_mutex_trylock(&in->control) == 0;
	else
		pthread_mutex_lock(&in->control);
	pthread_mutex_lock(&l->lock);
	in->ticking = false;
	again = !in->closing && in->way != WAY_UP;
	anew = !in->closing && in->renew && in->way != WAY_UP;
	pthread_mutex_unlock(&l->lock);
	if (free)
		old_look(l);
	if (anew && free)
		renew(l, false);
	else if (again && free && !in->lazy)
		busy_cancel(l);
	pthread_mutex_lock(&l->lock);
	if (again && in->way == WAY_DOWN && !in->lazy && now(l) - in->down_ns >= GRACE_NS)
		way_set(l, WAY_LOST);
	if (again) {
		parked_expire(l);
		doubt_end(l, false);
	}
	/* What is lost is looked after only while something of it is about. */
	if (!free || in->old || (in->way == WAY_DOWN ? !in->lazy || in->renew || !TAILQ_EMPTY(&in->parked) || !TAILQ_EMPTY(&in->doubt)
						     : in->way != WAY_UP && !TAILQ_EMPTY(&in->busy)))
		tick_arm(l);
	pthread_mutex_unlock(&l->lock);
	if (free)
		pthread_mutex_unlock(&in->control);
	put(l);
}

/* ---- commands ---- */

void inner_send(struct req *r)
{
	struct lun *l = r->lun;
	struct inner *in = &l->inner;
	int error = 0;

	pthread_mutex_lock(&l->lock);
	if (in->way == WAY_UP) {
		r->busy = true;
		r->via = l->h;
		TAILQ_INSERT_TAIL(&in->busy, r, entry);
		director_iscsi_submit(l->h, &r->cmd);
	} else if (in->way == WAY_DOWN) {
		r->parked_ns = now(l);
		TAILQ_INSERT_TAIL(&in->parked, r, entry);
		tick_arm(l);
	} else {
		error = in->way == WAY_STALE ? -ESTALE : -ENOTCONN;
		in->noticed = true;
	}
	pthread_mutex_unlock(&l->lock);
	if (error)
		unsent_end(r, error);
}

/* It did not end in time: the target may do it yet. Nothing else goes there before its session is over. */
static void overdue(struct lun *l)
{
	l->inner.renew = true;
	if (l->inner.way == WAY_UP)
		way_set(l, l->inner.lazy ? WAY_DOWN : WAY_LOST);
	l->inner.noticed = true;
	tick_arm(l);
}

/* Is the LUN still ours? What was refused waits until that is known. With the lock. */
static void doubted(struct lun *l)
{
	if (l->inner.way == WAY_UP) {
		l->inner.way = WAY_DOWN;
		l->inner.down_ns = now(l);
		tick_arm(l);
	}
	l->claim.look = true;
	pthread_cond_signal(&l->claim.cond);
}

/* 04h/0Ch: an epoch that is over. */
static bool is_stale(const struct director_iscsi_io *c)
{
	return c->result == 0 && c->status == 2 && c->sense_key == 2 && c->asc == 0x04 && c->ascq == 0x0c;
}

static bool changes(unsigned op)
{
	return op == DIRECTOR_WRITE || op == DIRECTOR_WRITE_ZEROES || op == DIRECTOR_DISCARD || op == DIRECTOR_COMPARE_AND_WRITE;
}

bool inner_repeats(const struct req *r)
{
	return !r->lun->inner.lazy || !changes(r->io->op);
}

/* An owner that cannot say what became of it (hold.c): 0Bh/08h. 0Bh/00h is an abort, which may have come too late. */
static bool is_unknown(const struct director_iscsi_io *c)
{
	return c->result == 0 && ((c->status == 2 && c->sense_key == 0x0b && (c->asc == 0x08 || c->asc == 0)) || c->status == 0x40);
}

/* It may have been done, or be done yet. While there is a session that shuts that out nobody is told. */
static void doubt(struct req *r)
{
	struct lun *l = r->lun;
	struct inner *in = &l->inner;
	bool wait;

	pthread_mutex_lock(&l->lock);
	wait = in->way == WAY_DOWN && !in->closing;
	if (wait) {
		r->parked_ns = now(l);
		TAILQ_INSERT_TAIL(&in->doubt, r, entry);
		tick_arm(l);
	}
	pthread_mutex_unlock(&l->lock);
	if (!wait)
		req_end(r, -ENOTCONN);
}

/* Of a forward. False: an answer that is the unit's own. */
static bool forward_done(struct req *r)
{
	const struct director_iscsi_io *c = &r->cmd;
	bool lost = c->result == -ECANCELED || c->result == -EIO || c->result == -ETIMEDOUT;

	if (is_stale(c) && req_begun(r))
		req_again(r, HELD_MS);
	else if (is_stale(c))
		req_end(r, -EAGAIN);
	else if (lost && c->sent && changes(r->io->op))
		doubt(r);
	else if (lost)
		req_send(r);
	else if (is_unknown(c) && changes(r->io->op))
		req_end(r, -ENOTCONN);
	else
		return false;
	return true;
}

bool inner_done(struct req *r)
{
	struct lun *l = r->lun;
	struct inner *in = &l->inner;
	const struct director_iscsi_io *c = &r->cmd;
	bool once = r->io->op == DIRECTOR_COMPARE_AND_WRITE, lost = c->result == -ECANCELED || c->result == -EIO;
	bool unsure = l->claim.on && claim_doubt(c);

	pthread_mutex_lock(&l->lock);
	if (r->busy)
		TAILQ_REMOVE(&in->busy, r, entry);
	r->busy = false;
	if (c->result == -ETIMEDOUT)
		overdue(l);
	if (unsure)
		doubted(l);
	if (!in->lazy && is_stale(c) && !l->claim.on)
		way_set(l, WAY_STALE);
	pthread_mutex_unlock(&l->lock);
	if (in->lazy)
		return forward_done(r);
	if (unsure)
		req_send(r);
	else if (lost && once)
		req_aborted(r);
	else if (lost)
		req_send(r);
	else if (is_stale(c) && !l->claim.on)
		req_end(r, -ESTALE);
	else if (c->result == -ETIMEDOUT)
		req_end(r, -ENOTCONN);
	else
		return false;
	return true;
}

/* ---- what becomes of the way ---- */

static void probe_done(struct director_iscsi_io *c);

/* VPD page C0h. On the loop's thread, or with the loop idle. */
static void probe_fill(struct lun *l)
{
	struct inner *in = &l->inner;
	struct director_iscsi_io *c = &in->probe;

	memset(c->cdb, 0, sizeof(c->cdb));
	c->lun = l->number;
	c->cdb[0] = 0x12;
	c->cdb[1] = 1;
	c->cdb[2] = PAGE_INNER;
	c->cdb[4] = sizeof(in->probe_data);
	c->cdb_len = 6;
	c->flags = DIRECTOR_ISCSI_REPEAT;
	in->probe_iov = (struct iovec){ in->probe_data, sizeof(in->probe_data) };
	c->in = &in->probe_iov;
	c->n_in = 1;
	c->in_len = sizeof(in->probe_data);
	c->timeout_ms = PROBE_MS;
	c->user = l;
	c->done = probe_done;
}

/* A node of an older version does not say whether the disk is another. */
static bool probe_read(const struct inner *in, uint64_t *life, uint64_t *other)
{
	const struct director_iscsi_io *c = &in->probe;

	if (c->result || c->status || c->got < 16 || in->probe_data[1] != PAGE_INNER)
		return false;
	*life = be_get(in->probe_data + 8, 8);
	*other = c->got < 24 ? 0 : be_get(in->probe_data + 16, 8);
	return true;
}

static bool is_same(const struct inner *in)
{
	return in->life == in->told && in->other == in->told_other;
}

/* Who uses it judges it anew. With the lock. */
static void told(struct inner *in)
{
	in->told = in->life;
	in->told_other = in->other;
}

static void probe_done(struct director_iscsi_io *c)
{
	struct lun *l = c->user;
	struct inner *in = &l->inner;
	bool back = false;
	uint64_t life, other;

	in->probing = false;
	if (c->result == -ECANCELED)
		return;
	if (!probe_read(in, &life, &other)) {
		if (c->result || c->status != 2 || c->sense_key != UNIT_ATTENTION)
			return;
		in->probing = true;
		probe_fill(l);
		director_iscsi_submit(l->h, c);
		return;
	}
	pthread_mutex_lock(&l->lock);
	in->life = life;
	in->other = other;
	in->connected = true;
	if (in->way != WAY_STALE && !in->renew && (in->lazy || is_same(in))) {
		way_set(l, WAY_UP);
		back = true;
	}
	pthread_mutex_unlock(&l->lock);
	if (back)
		path_event(l, true, "");
}

void inner_claimed(struct lun *l, int result, uint64_t downs)
{
	struct inner *in = &l->inner;
	bool back = false;

	pthread_mutex_lock(&l->lock);
	/* If the session has ended since, there is another look at the next one. */
	if (!in->closing && l->claim.downs == downs && in->way != WAY_STALE) {
		in->connected = result == 0;
		in->life += result == 0 && l->claim.changed;
		if (result == 0 && !in->renew && in->life == in->told) {
			way_set(l, WAY_UP);
			back = true;
		} else if (result == -ESTALE) {
			way_set(l, WAY_STALE);
		} else if (result < 0) {
			way_set(l, WAY_LOST);
		}
	}
	pthread_mutex_unlock(&l->lock);
	if (back)
		path_event(l, true, "");
}

static void went_down(struct lun *l, const char *why)
{
	struct inner *in = &l->inner;
	struct req *r, *next;

	path_event(l, false, why);
	pthread_mutex_lock(&l->lock);
	l->claim.downs++;
	in->connected = false;
	if (in->way == WAY_UP) {
		in->way = WAY_DOWN;
		in->down_ns = now(l);
	}
	tick_arm(l);
	/* `done` comes later, on this thread. */
	for (r = in->lazy ? NULL : TAILQ_FIRST(&in->busy); r; r = next) {
		next = TAILQ_NEXT(r, entry);
		director_iscsi_cancel(l->h, &r->cmd);
	}
	pthread_mutex_unlock(&l->lock);
}

void inner_event(struct lun *l, const struct director_iscsi *h, const struct director_iscsi_event *ev)
{
	struct inner *in = &l->inner;
	bool off;

	pthread_mutex_lock(&l->lock);
	if (h == in->old && ev->kind == DIRECTOR_ISCSI_DOWN)
		in->old_until = 0;
	off = in->renewing || in->closing || h == in->old;
	pthread_mutex_unlock(&l->lock);
	if (off)
		return;
	switch (ev->kind) {
	case DIRECTOR_ISCSI_DOWN:
		went_down(l, ev->text);
		break;
	case DIRECTOR_ISCSI_UP:
		if (l->claim.on) {
			claim_look(l);
			break;
		}
		if (in->probing)
			break;
		in->probing = true;
		probe_fill(l);
		director_iscsi_submit(l->h, &in->probe);
		break;
	case DIRECTOR_ISCSI_REFUSED:
	case DIRECTOR_ISCSI_FAILED:
		pthread_mutex_lock(&l->lock);
		if (!in->lazy && !l->claim.on && ev->kind == DIRECTOR_ISCSI_REFUSED && ev->status == FORBIDDEN)
			way_set(l, WAY_STALE);
		else if (!in->lazy && in->way == WAY_DOWN)
			way_set(l, WAY_LOST);
		pthread_mutex_unlock(&l->lock);
		break;
	default:
		break;
	}
}

/* ---- the life of an object ---- */

void inner_init(struct lun *l)
{
	struct inner *in = &l->inner;

	pthread_mutex_init(&in->control, NULL);
	TAILQ_INIT(&in->busy);
	TAILQ_INIT(&in->parked);
	TAILQ_INIT(&in->doubt);
	in->way = WAY_DOWN;
	in->refs = 1;
}

bool inner_is_stale(struct lun *l)
{
	bool stale;

	pthread_mutex_lock(&l->lock);
	stale = l->inner.way == WAY_STALE;
	pthread_mutex_unlock(&l->lock);
	return stale;
}

int inner_opened(struct lun *l)
{
	struct inner *in = &l->inner;
	enum way way;
	unsigned i;

	if (l->claim.on)
		return claim_watch(l);

	for (i = 0; i < 200; i++) {
		struct timespec t = { .tv_nsec = 5000000 };

		pthread_mutex_lock(&l->lock);
		if (in->connected && in->way != WAY_STALE) {
			told(in);
			way_set(l, WAY_UP);
		}
		way = in->way;
		pthread_mutex_unlock(&l->lock);
		if (way == WAY_UP || way == WAY_STALE)
			break;
		nanosleep(&t, NULL);
	}
	return way == WAY_UP ? 0 : way == WAY_STALE ? -ESTALE : -ENOTCONN;
}

uint64_t inner_life(struct lun *l)
{
	struct inner *in = &l->inner;
	uint64_t life;

	pthread_mutex_lock(&l->lock);
	if (in->connected && in->noticed && !in->lazy && in->way == WAY_LOST && !in->renew) {
		told(in);
		in->noticed = false;
		way_set(l, WAY_UP);
	}
	life = in->told;
	pthread_mutex_unlock(&l->lock);
	return life;
}

int inner_reconfigure(struct lun *l, const struct director_conf *conf)
{
	struct inner *in = &l->inner;
	bool other, now_then;

	pthread_mutex_lock(&in->control);
	pthread_mutex_lock(&l->lock);
	other = !place_is(&in->want, conf);
	if (other)
		place_set(&in->want, conf);
	/* A leg that is there needs no other way to it now. */
	now_then = other && (in->lazy || !in->connected);
	in->renew |= other && !now_then;
	pthread_mutex_unlock(&l->lock);
	if (now_then)
		renew(l, true);
	pthread_mutex_lock(&l->lock);
	if (now_then)
		tick_arm(l);
	pthread_mutex_unlock(&l->lock);
	pthread_mutex_unlock(&in->control);
	return 0;
}

/* The right to the storage is gone: whatever is out there ends now, and nothing goes there any more. */
void inner_lose(struct lun *l)
{
	struct inner *in = &l->inner;

	/* Who makes a claim stops, and lets go of `control`. */
	if (l->claim.on) {
		pthread_mutex_lock(&l->lock);
		in->closing = true;
		pthread_mutex_unlock(&l->lock);
	}
	pthread_mutex_lock(&in->control);
	pthread_mutex_lock(&l->lock);
	in->closing = true;
	in->connected = false;
	way_set(l, WAY_STALE);
	doubt_end(l, true);
	pthread_mutex_unlock(&l->lock);
	old_end(l);
	director_iscsi_close(&l->h, 0);
	pthread_mutex_unlock(&in->control);
}

void inner_end(struct lun *l)
{
	struct inner *in = &l->inner;

	pthread_mutex_lock(&l->lock);
	in->closing = true;
	pthread_mutex_unlock(&l->lock);
	claim_end(l);
	pthread_mutex_lock(&in->control);
	old_end(l);
	director_iscsi_close(&l->h, in->connected ? 100 : 0);
	loop_put(&l->seat);
	pthread_mutex_unlock(&in->control);
	put(l);
}
