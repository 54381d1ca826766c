/* SPDX-License-Identifier: Apache-2.0 */
/* Which legs may be used when a mirrored volume is opened: doc/ownership.md 6. */
#include "plugins/mirror/machine.h"

#include <errno.h>
#include <string.h>

/* Is it the leg, of the right time, that the row speaks of? */
static bool good(const struct mirror_leg_conf *c, const struct mirror_leg_says *s)
{
	return s->here && s->known && s->meta.bits && s->bits && s->meta.member >= c->member && s->meta.epoch >= c->since;
}

/* Its node lost power, and with it what was not flushed. */
static bool lost_memory(const struct mirror_leg_says *s)
{
	return !s->meta.quiet && s->meta.life != s->life;
}

static void use(const struct mirror_leg_conf *conf, const struct mirror_leg_says *says, unsigned i, struct mirror_plan *p,
	unsigned *n)
{
	if (*n == 0 || (conf[i].local && !conf[p->source].local))
		p->source = i;
	p->leg[i] = MIRROR_USE;
	if (!says[i].meta.quiet)
		p->recover = true;
	/* A new size counts when all have it. */
	if (says[i].meta.size && (!p->size || says[i].meta.size < p->size)) {
		p->size = says[i].meta.size;
		p->region = says[i].meta.region;
	}
	(*n)++;
}

int mirror_assemble(const struct mirror_leg_conf *conf, const struct mirror_leg_says *says, unsigned n, bool force,
	struct mirror_plan *p)
{
	unsigned kept = 0, used = 0, missing = 0, i;

	memset(p, 0, sizeof(*p));
	for (i = 0; i < n; i++) {
		if (conf[i].state != MIRROR_IN) {
			if (says[i].here && !says[i].foreign)
				p->leg[i] = good(&conf[i], &says[i]) ? MIRROR_SYNC : MIRROR_SYNC_FULL;
			continue;
		}
		p->leg[i] = MIRROR_PUT_OUT;
		if (!says[i].here)
			missing++;
		else if (good(&conf[i], &says[i]) && !lost_memory(&says[i]))
			kept++;
	}
	if (!kept && missing && !force)
		return -EAGAIN;
	for (i = 0; i < n; i++)
		if (conf[i].state == MIRROR_IN && good(&conf[i], &says[i]) && (!kept || !lost_memory(&says[i])))
			use(conf, says, i, p, &used);
	return used ? 0 : -ENODATA;
}
