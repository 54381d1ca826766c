/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One opened mirrored volume as a machine: what is read and written where, in which order, and what may be
 * answered. The plugin and the simulator drive it; it does no I/O, takes no lock and reads no clock.
 * doc/ownership.md 5 to 7 has the rules. All calls on one machine are made one at a time; each may leave
 * I/O to do, operations to answer and requests to ask in the lists below, which the caller empties after it.
 */
#ifndef MIRROR_MACHINE_H
#define MIRROR_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/mono.h"

#define MIRROR_LEGS_MAX 4
#define MIRROR_SLOTS 4                  /* regions that are copied at once */
#define MIRROR_PAGE_MAX 4096            /* bytes of intent bits that are written at once */
#define MIRROR_GROUPS_MAX 4             /* groups of a chunk that have a digest each */
#define MIRROR_SUM 32                   /* bytes of a digest */
#define MIRROR_REPAIRS 16               /* chunks that wait for their repair */

/* ---- what a leg says of itself ---- */

struct mirror_meta {
	uint8_t volume[16], leg[16];
	uint64_t epoch;                 /* of the owner that wrote it */
	uint64_t member;                /* doc/ownership.md 6 */
	uint64_t life;                  /* the leg's life when it was claimed */
	uint64_t seq;                   /* of this record; the newer of two counts */
	uint64_t size, region;          /* bytes */
	uint64_t scrub, scrub_at, scrub_different, scrub_repaired;      /* as in struct mirror_scrub */
	bool quiet;                     /* all in-sync legs were equal and flushed when it was written */
	bool bits;                      /* the intent bits mean something */
};

enum mirror_state { MIRROR_NEW, MIRROR_OUT, MIRROR_IN };        /* agreed */

struct mirror_leg_conf {
	uint8_t uuid[16];
	enum mirror_state state;
	uint64_t turn, member, since;
	bool local;                     /* preferred for reads */
};

struct mirror_leg_says {
	bool here;                      /* claimed under our epoch */
	bool known;                     /* `meta` was read and is this volume's and this leg's */
	bool foreign;                   /* it was read and is another volume's: nothing is written there */
	struct mirror_meta meta;
	uint64_t life;                  /* the life it is in now */
	const uint64_t *bits;           /* intent bits, pages_max pages of them; lent for the call; NULL: none */
};

enum mirror_verdict {
	MIRROR_AWAY,                    /* not in sync, and not here, or not ours */
	MIRROR_USE,                     /* in sync */
	MIRROR_PUT_OUT,                 /* agreed in-sync, but may not count: out before anything is answered */
	MIRROR_SYNC,                    /* gets what the intent bits name */
	MIRROR_SYNC_FULL,
};

struct mirror_plan {
	enum mirror_verdict leg[MIRROR_LEGS_MAX];
	unsigned source;
	bool recover;                   /* regions with a bit may differ between the legs in use */
	uint64_t size, region;          /* what all legs in use say; 0: they are blank */
};

/*
 * Judge the legs. 0; -EAGAIN: an in-sync leg is missing that may have what those here have lost, wait for it;
 * -ENODATA: no leg is good. `force` takes what is here.
 */
int mirror_assemble(const struct mirror_leg_conf *conf, const struct mirror_leg_says *says, unsigned n, bool force,
                    struct mirror_plan *plan);

/* ---- I/O that the machine wants done ---- */

enum mirror_io_kind {
	MIRROR_IO_READ = 1,             /* op's buffer, or with op NULL the slot's */
	MIRROR_IO_WRITE,
	MIRROR_IO_FLUSH,
	MIRROR_IO_SUM,                  /* sum: a digest of each group of the range, computed where the leg is; -ENOSYS: it cannot */
	MIRROR_IO_META,                 /* meta: stable before it is done */
	MIRROR_IO_PAGE,                 /* page, p: number and bytes of a page of intent bits; stable before it is done */
};

struct mirror_op;

struct mirror_io {
	enum mirror_io_kind kind;
	uint8_t leg, slot;
	bool fua;
	struct mirror_op *op;           /* NULL: the machine's own */
	uint64_t offset, len;           /* bytes of the volume */
	const struct mirror_meta *meta;
	unsigned page;
	const uint8_t *p;
	uint8_t *sum;
	void *runner[2];                /* the caller's while it has the io */
	TAILQ_ENTRY(mirror_io) entry;
	/* private */
	uint64_t version;
	struct mirror_copy *copy;
	uint8_t why;
	bool busy;
};

TAILQ_HEAD(mirror_ios, mirror_io);

/* ---- operations ---- */

enum mirror_op_kind { MIRROR_READ = 1, MIRROR_WRITE, MIRROR_FLUSH };

/* The submitter's memory, the first five fields set; the machine's until it is in `answer`. */
struct mirror_op {
	enum mirror_op_kind kind;
	bool fua;
	uint64_t offset, len;
	void *user;
	int result;                     /* 0 or a negative errno */
	TAILQ_ENTRY(mirror_op) entry;
	/* private */
	uint8_t state, sent, failed, done, tried;
	uint8_t pending;
	struct mirror_copy *copy;
	struct mirror_io io[MIRROR_LEGS_MAX];
};

TAILQ_HEAD(mirror_ops, mirror_op);

enum mirror_ask { MIRROR_ASK_NONE, MIRROR_ASK_OUT, MIRROR_ASK_IN };

struct mirror_conf {
	uint8_t uuid[16];
	uint64_t epoch, size, region;   /* bytes; region divides what is copied, the last may be short */
	unsigned pages_max;             /* of intent bits, for growing; `bits` of struct mirror_leg_says has as many */
	uint32_t chunk;                 /* bytes that are copied at once */
	uint32_t group;                 /* bytes that have a digest; a chunk has at most MIRROR_GROUPS_MAX of them */
	uint32_t page;                  /* bytes of a page of intent bits: a multiple of 8 */
	uint64_t rate, scrub_rate;      /* bytes a second of resync, of a scrub; 0: no bound */
	uint32_t clean_ms;              /* regions idle this long lose their bit */
	struct mirror_leg_conf leg[MIRROR_LEGS_MAX];
	unsigned n_leg;
};

struct mirror;

/* NULL: out of memory. `plan` is mirror_assemble's. Nothing is served before mirror_is_open. */
struct mirror *mirror_new(const struct mirror_conf *conf, const struct mirror_leg_says *says, const struct mirror_plan *plan,
                          struct mono now);
/* No I/O is with the caller. */
void mirror_free(struct mirror **m);

void mirror_submit(struct mirror *m, struct mirror_op *op);
/*
 * io is done: 0 or a negative errno. -ESTALE: the leg has seen a newer epoch, and this machine is over. -ENOTCONN: the
 * way to the leg, or its memory, is lost: if no other leg is sure to be there, it is over too (mirror_in_doubt).
 */
void mirror_done(struct mirror *m, struct mirror_io *io, int result);
void mirror_tick(struct mirror *m, struct mono now);
/* Agreed state of a leg, as it was applied. */
void mirror_agreed(struct mirror *m, const uint8_t leg[16], enum mirror_state state, uint64_t turn, uint64_t member,
                   uint64_t since);
/*
 * Compare all legs that are in sync, region by region, and make equal what differs: what most of them have counts, and
 * without a majority what is read. `number` is one that no scrub had before; one that was begun by an owner before goes on, one that
 * came to its end is not done again.
 */
void mirror_scrub(struct mirror *m, uint64_t number);

struct mirror_scrub {
	uint64_t number;                /* 0: there was none */
	bool running;
	uint64_t at;                    /* bytes: what lies before was compared */
	uint64_t different, repaired, failed;   /* regions; failed: no leg can be read, or writing it does not help */
	uint64_t guessed;               /* regions repaired without a majority */
};
const struct mirror_scrub *mirror_scrub_now(const struct mirror *m);
/* What was repaired because a read failed, in chunks; and what could not be. */
void mirror_repairs(const struct mirror *m, uint64_t *repaired, uint64_t *failed);
void mirror_rates(struct mirror *m, uint64_t rate, uint64_t scrub_rate);

/*
 * Another size, which every leg has room for. Grown, it is there when mirror_is_resized says so: what is new counts as
 * recovery, and nobody reads it before all legs are equal there. May be repeated. -EFBIG: there is no room for its intent bits.
 * -EBUSY: it cannot shrink while legs are copied; not at all before it is open.
 */
int mirror_resize(struct mirror *m, uint64_t size);
bool mirror_is_resized(const struct mirror *m);
uint64_t mirror_size(const struct mirror *m);

/* A leg that was away is here again, claimed. -EBUSY: it is not away; -EEXIST: it is another volume's, and left alone. */
int mirror_attach(struct mirror *m, unsigned leg, const struct mirror_leg_says *says);
/* The way to the leg is lost: as if its I/O failed so. */
void mirror_detach(struct mirror *m, unsigned leg);
/* Take nothing new, finish, flush, mark quiet; then mirror_is_frozen, and mirror_is_quiet if no leg in use failed that. */
void mirror_freeze(struct mirror *m);
/* Somebody else may serve: answer all, take nothing, touch no leg any more; then mirror_is_over. */
void mirror_lose(struct mirror *m);

/* What is to be done now; the caller takes the items off. Order matters within one list and leg. */
struct mirror_ios *mirror_todo(struct mirror *m);
struct mirror_ops *mirror_answers(struct mirror *m);
/* What is to be asked for a leg; asked again at each tick until it is agreed. *turn is the turn it means. */
enum mirror_ask mirror_ask(struct mirror *m, unsigned leg, uint64_t *turn);

struct mono mirror_wake(const struct mirror *m);
bool mirror_is_open(const struct mirror *m);    /* it may serve: all in-sync legs are claimed, the others are out */
bool mirror_is_frozen(const struct mirror *m);
bool mirror_is_quiet(const struct mirror *m);
bool mirror_is_over(const struct mirror *m);    /* it answers nothing any more: close it */
bool mirror_in_doubt(const struct mirror *m);   /* over, because legs must be judged anew: open again, under a new epoch */
bool mirror_idle(const struct mirror *m);       /* no I/O is with the caller */
/*
 * The leg that any read may be sent to without the machine as long as no write that overlaps is in it, from before
 * that is submitted until it is answered, and it ends before *below; -1: now no read may.
 */
int mirror_read_leg(struct mirror *m, uint64_t *below);
/* Has it answered anything? For `since`. */
bool mirror_served(const struct mirror *m);
enum mirror_verdict mirror_leg_now(const struct mirror *m, unsigned leg);
/* Bytes that are still to be copied to the leg, and of recovery (leg n_leg). */
uint64_t mirror_left(const struct mirror *m, unsigned leg);

/* Planted bugs of the simulator: see cluster/plant.h for the idea. */
enum mirror_plant { MIRROR_PLANT_NONE, MIRROR_PLANT_NO_OUT, MIRROR_PLANT_NO_INTENT, MIRROR_PLANT_EARLY_IN,
	MIRROR_PLANT_SCRUB, MIRROR_PLANT_GROW };
#ifdef DIRECTOR_PLANT
extern unsigned mirror_plant;
#define MIRROR_PLANTED(bug) (mirror_plant == (bug))
#else
#define MIRROR_PLANTED(bug) 0
#endif

#endif
