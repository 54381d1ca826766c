/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The threads of the initiator: as many as there are processors, each with the sessions of many objects. The first object on
 * one starts it, the last one ends it. What runs on them must not wait for a session: of that thread, or of another one.
 */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "plugins/iscsi/lun.h"

#define LOOPS_MAX 32

static struct {
	pthread_mutex_t lock;
	struct {
		struct director_iscsi_loop *loop;
		unsigned users;
	} at[LOOPS_MAX];
} loops = { .lock = PTHREAD_MUTEX_INITIALIZER };

static unsigned most(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : n > LOOPS_MAX ? LOOPS_MAX : (unsigned)n;
}

int loop_get(struct director_iscsi_loop **out)
{
	unsigned n = most(), best = 0;
	int r = 0;

	pthread_mutex_lock(&loops.lock);
	for (unsigned i = 1; i < n; i++)
		if (loops.at[i].users < loops.at[best].users)
			best = i;
	if (!loops.at[best].users) {
		errno = ENOMEM;
		loops.at[best].loop = director_iscsi_loop_new();
		r = loops.at[best].loop ? director_iscsi_loop_start(loops.at[best].loop) : -errno;
		if (r < 0)
			director_iscsi_loop_free(&loops.at[best].loop);
	}
	if (r == 0)
		loops.at[best].users++;
	*out = r == 0 ? loops.at[best].loop : NULL;
	pthread_mutex_unlock(&loops.lock);
	return r;
}

void loop_put(struct director_iscsi_loop **loop)
{
	struct director_iscsi_loop *last = NULL;

	if (!*loop)
		return;
	pthread_mutex_lock(&loops.lock);
	for (unsigned i = 0; i < LOOPS_MAX; i++)
		if (loops.at[i].loop == *loop && --loops.at[i].users == 0) {
			last = loops.at[i].loop;
			loops.at[i].loop = NULL;
		}
	pthread_mutex_unlock(&loops.lock);
	*loop = NULL;
	director_iscsi_loop_free(&last);
}
