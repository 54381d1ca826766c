/* SPDX-License-Identifier: Apache-2.0 */
/* When a worker goes to the processor of its packets, and when it leaves (place.h). */
#include "target/serve/place.h"

#define ALIKE 4u                /* looks before it goes */
#define WAIT_NS 10000u          /* less is not worth it */
#define PAUSE_MIN_MS 100u
#define PAUSE_MAX_MS 60000u

void place_init(struct place *p)
{
	*p = (struct place){ .cpu = -1, .pause_ms = PAUSE_MIN_MS };
}

void place_failed(struct place *p, struct mono now)
{
	p->cpu = -1;
	p->looks = 0;
	p->not_before = mono_add_ms(now, p->pause_ms);
	p->pause_ms = p->pause_ms > PAUSE_MAX_MS / 2 ? PAUSE_MAX_MS : p->pause_ms * 2;
}

static bool one_by_one(const struct place_look *l)
{
	return l->tasks <= l->turns + l->turns / 8;
}

static enum place_act leave(struct place *p, const struct place_look *l)
{
	place_failed(p, l->now);
	return PLACE_LEAVE;
}

/* It is there: is it better than before? */
static enum place_act judge(struct place *p, const struct place_look *l)
{
	if (!one_by_one(l) || l->wait_ns > p->before_ns / 2 || l->cpu != p->cpu)
		return leave(p, l);
	/* What has held for long may be tried again soon after it ends. */
	if (++p->looks == 64)
		p->pause_ms = PAUSE_MIN_MS;
	return PLACE_STAY;
}

enum place_act place_look(struct place *p, const struct place_look *l)
{
	if (p->cpu >= 0)
		return judge(p, l);
	if (!one_by_one(l) || l->cpu < 0 || l->wait_ns < WAIT_NS || mono_before(l->now, p->not_before)) {
		p->looks = 0;
		return PLACE_STAY;
	}
	if (p->looks && l->cpu != p->candidate)
		p->looks = 0;
	p->candidate = l->cpu;
	p->before_ns = p->looks ? (p->before_ns * 3 + l->wait_ns) / 4 : l->wait_ns;
	if (++p->looks < ALIKE)
		return PLACE_STAY;
	p->looks = 0;
	p->cpu = l->cpu;
	return PLACE_GO;
}
