/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the mirror plugin share: the world around the machine of machine.h. */
#ifndef MIRROR_MIRROR_H
#define MIRROR_MIRROR_H

#include <pthread.h>

#include "director/plugin.h"
#include "plugins/mirror/meta.h"

#define MIRROR_CHUNK (256u << 10)
#define MIRROR_TICK_MS 100

struct mirror_legs {                    /* the parameter legs= */
	struct mirror_leg_conf leg[MIRROR_LEGS_MAX];
	unsigned n;
};

struct mirror_obj {
	const struct director_host *host;
	void *owner;
	pthread_mutex_t lock;           /* the machine, and what follows */
	pthread_cond_t changed;
	struct mirror *m;
	struct mirror_ios mine;         /* for the object's thread to submit */
	struct mirror_legs legs;
	unsigned n_child;
	bool alone;                     /* legs= is not given: what would be agreed is granted here */
	bool volatile_legs;
	bool closing, stopped, ending, told_open, told_lost;
	uint64_t epoch, life, size, region;
	uint32_t block_size;
	uint8_t uuid[16];
	uint64_t rate;
	uint8_t *slot[MIRROR_SLOTS];
	pthread_t thread;
	int opened;                     /* 1: not yet; else 0 or the error of opening */
	struct director_err *open_err;
	uint64_t progress;              /* what was last told */
	unsigned ticks;
};

/* mirror_legs.c: "UUID:STATE:TURN:MEMBER:SINCE:PLACE", separated by commas. 0 or -EINVAL. */
int mirror_legs_parse(const char *text, struct mirror_legs *legs);
int mirror_uuid_parse(const char *text, uint8_t uuid[16]);

/* mirror_leg.c: reading what legs say of themselves; blocks, on the object's own thread. */
struct mirror_said {
	struct mirror_leg_says says[MIRROR_LEGS_MAX];
	uint64_t *bits[MIRROR_LEGS_MAX];
	bool newer;                     /* a leg knows a newer epoch */
};
void mirror_leg_read(struct mirror_obj *o, unsigned leg, struct mirror_said *said);
void mirror_said_free(struct mirror_said *said);

/* With the lock held, which is let go and taken again: do what the machine wants. */
void mirror_run(struct mirror_obj *o);

#endif
