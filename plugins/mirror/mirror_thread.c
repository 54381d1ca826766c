/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The object's own threads. One ticks, tells what must be agreed, and submits the machine's own I/O; the other
 * opens and reads legs that were away, which may block for long.
 */
#include "plugins/mirror/mirror.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define LOOK_S 3                        /* between looks at each leg that is in use */

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

/* While a leg lacks something, how far that is counts; a scrub may even stand still then. */
static bool all_in_use(struct mirror_obj *o)
{
	unsigned i = 0;

	while (i < o->legs.n && mirror_leg_now(o->m, i) == MIRROR_USE)
		i++;
	return i == o->legs.n;
}

static void tell_scrub(struct mirror_obj *o)
{
	const struct mirror_scrub *s = mirror_scrub_now(o->m);
	uint64_t regions = (o->size + o->region - 1) / o->region;
	char line[250];

	if (!s->number || s->number == o->told_scrub)
		return;
	if (s->running) {
		if (o->ticks % 10 == 0 && all_in_use(o))
			event(o, DIRECTOR_EV_PROGRESS, s->at, o->size);
		return;
	}
	o->told_scrub = s->number;
	snprintf(line, sizeof(line), "scrub %" PRIu64 ": %" PRIu64 " regions compared, %" PRIu64 " different, %" PRIu64
		" repaired, %" PRIu64 " of these by what reads are served from, without a majority; %" PRIu64 " could not be repaired",
		s->number, regions, s->different, s->repaired, s->guessed, s->failed);
	o->host->log(o->host->arg, s->different || s->failed ? DIRECTOR_LOG_WARN : DIRECTOR_LOG_INFO, line);
	event(o, DIRECTOR_EV_REPAIRED, s->repaired, s->failed);
	event(o, DIRECTOR_EV_SCRUBBED, regions, s->different);
}

/* Of reads that failed on one leg. */
static void tell_repairs(struct mirror_obj *o)
{
	uint64_t repaired, failed;
	char line[120];

	mirror_repairs(o->m, &repaired, &failed);
	if (repaired + failed == o->told_repaired)
		return;
	o->told_repaired = repaired + failed;
	snprintf(line, sizeof(line), "reads that failed on a leg: %" PRIu64 " times repaired from another, %" PRIu64 " times not",
		repaired, failed);
	o->host->log(o->host->arg, DIRECTOR_LOG_WARN, line);
	event(o, DIRECTOR_EV_REPAIRED, repaired, failed);
}

static void tell_progress(struct mirror_obj *o)
{
	uint64_t left = mirror_left(o->m, o->legs.n);
	unsigned i;

	for (i = 0; i < o->legs.n; i++)
		left += mirror_leg_now(o->m, i) == MIRROR_SYNC ? mirror_left(o->m, i) : 0;
	/* Not at once: who is opening it does not listen yet. */
	if (left == o->progress || (o->ticks + 1) % 10)
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
	if (!o->told_lost && mirror_is_over(o->m) && !atomic_load(&o->lost)) {
		o->told_lost = true;
		event(o, DIRECTOR_EV_LOST, 0, 0);
	}
	tell_progress(o);
	tell_scrub(o);
	tell_repairs(o);
}

/* ---- waiting ---- */

static void after(struct timespec *t, unsigned ms)
{
	clock_gettime(CLOCK_MONOTONIC, t);
	t->tv_sec += ms / 1000;
	t->tv_nsec += (long)(ms % 1000) * 1000000;
	t->tv_sec += t->tv_nsec / 1000000000;
	t->tv_nsec %= 1000000000;
}

void mirror_rouse(struct mirror_obj *o)
{
	pthread_mutex_lock(&o->wake_lock);
	o->changes++;
	o->awake = true;
	pthread_cond_broadcast(&o->changed);
	pthread_mutex_unlock(&o->wake_lock);
}

bool mirror_wait(struct mirror_obj *o, bool (*is)(const struct mirror *), unsigned ms)
{
	struct timespec t;
	bool yes, late = false;

	after(&t, ms);
	atomic_store(&o->watched, true);
	for (;;) {
		uint64_t seen;

		pthread_mutex_lock(&o->wake_lock);
		seen = o->changes;
		pthread_mutex_unlock(&o->wake_lock);
		mirror_enter(o);
		yes = is(o->m);
		mirror_leave_unchanged(o);
		if (yes || late)
			break;
		pthread_mutex_lock(&o->wake_lock);
		while (o->changes == seen && !late)
			late = pthread_cond_timedwait(&o->changed, &o->wake_lock, &t) == ETIMEDOUT;
		pthread_mutex_unlock(&o->wake_lock);
	}
	atomic_store(&o->watched, false);
	return yes;
}

/* ---- the thread that ticks ---- */

static void tick(struct mirror_obj *o)
{
	mirror_enter(o);
	mirror_tick(o->m, (struct mono){ o->host->now_ns(o->host->arg) });
	tell(o);
	mirror_leave(o);
	o->ticks++;
}

/* Until the next tick, doing what comes. True: it is over. */
static bool tick_wait(struct mirror_obj *o)
{
	struct timespec t;
	bool ending, late = false;

	after(&t, MIRROR_TICK_MS);
	do {
		mirror_mine_submit(o);
		pthread_mutex_lock(&o->wake_lock);
		while (!o->awake && !o->ending && !late)
			late = pthread_cond_timedwait(&o->changed, &o->wake_lock, &t) == ETIMEDOUT;
		o->awake = false;
		ending = o->ending;
		pthread_mutex_unlock(&o->wake_lock);
	} while (!late && !ending);
	return ending;
}

/* With force, or not. */
static int read_and_assemble(struct mirror_obj *o, bool force)
{
	struct mirror_said said = { .newer = false };
	unsigned i;
	int r;

	for (i = 0; i < o->legs.n; i++)
		mirror_leg_read(o, i, &said);
	r = mirror_assembled(o, &said, force, o->open_err);
	mirror_said_free(&said);
	return r;
}

void *mirror_thread(void *arg)
{
	struct mirror_obj *o = arg;
	int r = read_and_assemble(o, o->opened == 2);

	if (r == 0)
		tick(o);
	pthread_mutex_lock(&o->wake_lock);
	o->opened = r;
	pthread_cond_broadcast(&o->changed);
	pthread_mutex_unlock(&o->wake_lock);
	while (r == 0 && !tick_wait(o))
		tick(o);
	return NULL;
}

/* ---- the thread that calls legs back ---- */

static bool is_away(struct mirror_obj *o, unsigned leg)
{
	bool away;

	mirror_enter(o);
	away = mirror_leg_now(o->m, leg) == MIRROR_AWAY && o->legs.leg[leg].state != MIRROR_IN && !mirror_is_over(o->m);
	mirror_leave(o);
	return away;
}

static bool has_room(struct mirror_obj *o, unsigned leg)
{
	struct director_caps caps = { .struct_size = sizeof(caps) };
	struct director_bs *child = o->host->child(o->host->arg, o->owner, leg);

	return child && o->host->child_caps(o->host->arg, child, &caps) == 0 && caps.size >= LEG_DATA + o->size &&
		caps.block_size == o->block_size;
}

/* Why it is not there is said when it is another reason than before. */
static bool missing(struct mirror_obj *o, unsigned leg, int r, const struct director_err *err)
{
	char *told = o->told_missing[leg], line[sizeof(o->told_missing[leg]) + 40];

	if (r == 0)
		told[0] = 0;
	if (r == 0 || r == -EINPROGRESS || strncmp(told, err->text, sizeof(o->told_missing[leg]) - 1) == 0)
		return r < 0;
	snprintf(told, sizeof(o->told_missing[leg]), "%s", err->text);
	snprintf(line, sizeof(line), "leg %u is missing: %s", leg, told);
	o->host->log(o->host->arg, DIRECTOR_LOG_WARN, line);
	return true;
}

/*
 * What another volume has there may be the last of it. It is told again each time: who is told may have started since.
 */
static void foreign(struct mirror_obj *o, unsigned leg, const struct mirror_leg_says *says)
{
	struct director_err err = { .struct_size = sizeof(err) };
	uint64_t whose = 0;
	unsigned i;

	for (i = 0; says->foreign && i < 8; i++)
		whose = whose << 8 | says->meta.volume[i];
	if (says->foreign && !o->told_foreign[leg]) {
		mirror_foreign(leg, says->meta.volume, &err);
		o->host->log(o->host->arg, DIRECTOR_LOG_WARN, err.text);
	}
	if (says->foreign || o->told_foreign[leg])
		event(o, DIRECTOR_EV_LEG_FOREIGN, leg, says->foreign && !whose ? 1 : whose);
	o->told_foreign[leg] = says->foreign;
}

static void leg_back(struct mirror_obj *o, unsigned leg)
{
	struct director_err err = { .struct_size = sizeof(err) };
	struct mirror_said said = { .newer = false };

	if (!o->host->child(o->host->arg, o->owner, leg) && (o->host->struct_size <= offsetof(struct director_host, child_open) ||
	    missing(o, leg, o->host->child_open(o->host->arg, o->owner, leg, &err), &err)))
		return;
	if (!has_room(o, leg))
		return;
	mirror_leg_read(o, leg, &said);
	if (said.says[leg].here)
		foreign(o, leg, &said.says[leg]);
	if (said.says[leg].here && !said.newer) {
		mirror_enter(o);
		mirror_attach(o->m, leg, &said.says[leg]);
		mirror_leave(o);
	}
	mirror_said_free(&said);
}

static bool second_over(struct mirror_obj *o)
{
	struct timespec t;
	bool ending, late = false;

	after(&t, 1000);
	pthread_mutex_lock(&o->wake_lock);
	while (!o->ending && !late)
		late = pthread_cond_timedwait(&o->changed, &o->wake_lock, &t) == ETIMEDOUT;
	ending = o->ending;
	pthread_mutex_unlock(&o->wake_lock);
	return !ending;
}

static bool is_used(struct mirror_obj *o, unsigned leg)
{
	bool used;

	mirror_enter(o);
	used = mirror_leg_now(o->m, leg) == MIRROR_USE && mirror_is_open(o->m);
	mirror_leave_unchanged(o);
	return used;
}

/* A disk that is gone is noticed although nobody writes: by errors, twice in a row. */
static void leg_look(struct mirror_obj *o, unsigned leg)
{
	o->ill[leg] = mirror_leg_ill(o, leg) ? o->ill[leg] + 1 : 0;
	if (o->ill[leg] < 2)
		return;
	mirror_enter(o);
	mirror_leg_give_up(o, leg);
	mirror_leave(o);
}

void *mirror_caller(void *arg)
{
	struct mirror_obj *o = arg;
	unsigned i, seconds;

	for (seconds = 1; second_over(o); seconds++)
		for (i = 0; i < o->legs.n; i++)
			if (is_away(o, i))
				leg_back(o, i);
			else if (seconds % LOOK_S == 0 && is_used(o, i))
				leg_look(o, i);
	return NULL;
}
