/* SPDX-License-Identifier: Apache-2.0 */
/* Workers whose commands come one by one go where their packets come in (base/seat.h has the decision, base/pin.h carries it out). */
#include "config.h"

#include <sched.h>
#include <sys/socket.h>

#include "target/serve/serve.h"

void follow_init(struct worker *w)
{
	pin_init(&w->follow.pin);
	if (w->serve->conf.follow)
		pin_begin(&w->follow.pin);
}

static void sample(struct follow *f)
{
	int cpu = -1;
	socklen_t n = sizeof(cpu);

	if (getsockopt(f->link->fd, SOL_SOCKET, SO_INCOMING_CPU, &cpu, &n) < 0)
		cpu = -1;
	pin_sample(&f->pin, cpu, sched_getcpu() != cpu);
}

void follow_turn(struct worker *w)
{
	struct follow *f = &w->follow;
	unsigned now = f->now;
	int before = pin_cpu(&f->pin);

	f->now = 0;
	if (pin_turn(&f->pin, now, w->now) && f->link)
		sample(f);
	if (pin_cpu(&f->pin) == before)
		return;
	if (before >= 0)
		log_debug(&w->serve->log, "follow: worker %u leaves processor %d", w->index, before);
	else
		log_debug(&w->serve->log, "follow: worker %u goes to processor %d", w->index, pin_cpu(&f->pin));
}

void follow_fini(struct worker *w)
{
	pin_end(&w->follow.pin);
}
