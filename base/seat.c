/* SPDX-License-Identifier: Apache-2.0 */
/* When a thread is bound to a processor, and when it is let go (seat.h). */
#include "base/seat.h"

#define ALIKE 4u                /* looks before it goes, and on trial */
#define HELD 64u                /* looks after which it has helped */
#define WAIT_NS 20000u          /* more than before: it is in the way of others there */
#define PAUSE_MIN_MS 100u
#define PAUSE_MAX_MS 60000u

void seat_init(struct seat *p)
{
	*p = (struct seat){ .cpu = -1, .pause_ms = PAUSE_MIN_MS };
}

void seat_anew(struct seat *p)
{
	p->not_before = (struct mono){ 0 };
	p->pause_ms = PAUSE_MIN_MS;
}

void seat_failed(struct seat *p, struct mono now)
{
	p->cpu = -1;
	p->looks = 0;
	p->not_before = mono_add_ms(now, p->pause_ms);
	p->pause_ms = p->pause_ms > PAUSE_MAX_MS / 2 ? PAUSE_MAX_MS : p->pause_ms * 2;
}

static bool one_by_one(const struct seat_look *l)
{
	return l->tasks <= l->turns + l->turns / 8;
}

/* It is there: is it as good as before? How many come later is the initiator's business. */
static bool worse(const struct seat *p, const struct seat_look *l)
{
	return !one_by_one(l) || l->cpu != p->cpu || l->wait_ns > p->before_wait_ns + WAIT_NS ||
		(p->looks < ALIKE && l->span_ns > p->before_span_ns + p->before_span_ns / 8);
}

static enum seat_act judge(struct seat *p, const struct seat_look *l)
{
	if (worse(p, l)) {
		seat_failed(p, l->now);
		return SEAT_LEAVE;
	}
	/* What has held for long may be tried again soon after it ends. */
	if (++p->looks == HELD)
		p->pause_ms = PAUSE_MIN_MS;
	return SEAT_STAY;
}

enum seat_act seat_look(struct seat *p, const struct seat_look *l)
{
	if (p->cpu >= 0)
		return judge(p, l);
	if (!one_by_one(l) || l->cpu < 0 || !l->apart || mono_before(l->now, p->not_before)) {
		p->looks = 0;
		return SEAT_STAY;
	}
	if (p->looks && l->cpu != p->candidate)
		p->looks = 0;
	p->candidate = l->cpu;
	p->before_span_ns = p->looks ? (p->before_span_ns * 3 + l->span_ns) / 4 : l->span_ns;
	p->before_wait_ns = p->looks ? (p->before_wait_ns * 3 + l->wait_ns) / 4 : l->wait_ns;
	if (++p->looks < ALIKE)
		return SEAT_STAY;
	p->looks = 0;
	p->cpu = l->cpu;
	return SEAT_GO;
}
