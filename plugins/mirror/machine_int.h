/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the mirror machine share. */
#ifndef MIRROR_MACHINE_INT_H
#define MIRROR_MACHINE_INT_H

#include "plugins/mirror/machine.h"

#define RATE_LATE_NS 200000000u         /* what a bounded copy may make up for: two ticks */

enum leg_run {
	LEG_AWAY,               /* not in sync, gets nothing */
	LEG_SYNC,               /* not in sync, gets copies and writes */
	LEG_JOIN,               /* counts for writes as if it were in sync, which is being asked for */
	LEG_LIVE,               /* in sync */
	LEG_FAILED,             /* in sync, as far as is agreed, and does not have all that was written */
};

enum leg_phase { PHASE_NONE, SYNC_PAGES, SYNC_META, SYNC_COPY, JOIN_FLUSH, JOIN_PAGES, JOIN_META, JOIN_ASK };

enum io_why { WHY_OP = 1, WHY_META, WHY_PAGE, WHY_FLUSH };

enum op_state { OP_WAIT, OP_INTENT, OP_SENT };

struct leg {
	struct mirror_leg_conf conf;
	enum leg_run run;
	enum leg_phase phase;
	uint64_t failed_turn;           /* FAILED: over when a later turn says out */
	uint64_t failed_at, proving;    /* against mirror.proof: when it failed; when the flush under way began */
	bool proven;                    /* FAILED: another leg has answered since */
	unsigned n_io;
	struct mirror_meta meta, meta_sent;     /* as it shall be; what meta_io carries */
	uint64_t life;
	bool meta_want, meta_again, page_again;
	bool meta_first;                /* no page before the metadata is stable */
	struct mirror_io meta_io, flush_io;
	/* Intent bits: what is stable there, and the pages to be written. */
	uint64_t *disk;
	bool *page_want;
	struct mirror_io *page_io;
	uint8_t *page_buf;
	/* SYNC: regions it lacks; what of that may not be cleared there yet; what may after the flush under way. */
	uint64_t *need, *kept, *next;
	uint64_t n_need, n_copied;
	bool checkpoint;
};

/* A scrub of a chunk: LOOK beside reads; if the legs differ, again from AGAIN on with nobody else there. */
enum scrub_step { SCRUB_NONE, SCRUB_LOOK, SCRUB_AGAIN, SCRUB_READ, SCRUB_WRITE, SCRUB_VERIFY };

struct mirror_copy {
	bool busy, recover, writing;
	uint8_t slot, source, targets, tried;
	uint64_t region, at;
	struct mirror_op op;
	/* scrub and repair */
	enum scrub_step step;
	uint64_t number;                /* of the scrub; another may have begun meanwhile */
	bool repair;                    /* of one chunk, because a read failed */
	bool guessed;
	bool read;                      /* what is to be copied was read */
	uint8_t asked, have, bad;       /* legs: asked for digests; whose are in `sum`; that cannot read it */
	unsigned group;
	uint8_t from[MIRROR_GROUPS_MAX], to[MIRROR_GROUPS_MAX];         /* what is to be copied: a leg, a mask of legs */
	uint8_t sum[MIRROR_LEGS_MAX][MIRROR_GROUPS_MAX * MIRROR_SUM];
};

struct mirror {
	struct mirror_conf conf;
	struct mono now;
	struct leg leg[MIRROR_LEGS_MAX];
	unsigned n_leg, source;
	uint64_t n_region;
	unsigned page_cap;
	uint64_t size_said;             /* in the metadata of legs */
	enum { RESIZE_NONE, RESIZE_BITS, RESIZE_META } resize;
	unsigned recover_low;           /* no word before it has a bit of `recover` */
	unsigned n_page, n_word;        /* words of all bits */
	uint64_t *dirty, *touched, *cold, *recover;
	uint64_t n_recover;
	struct mirror_ops ops;          /* in the order they came; waiting and running */
	unsigned n_waiting;
	struct mirror_ios todo;
	struct mirror_ops answers;
	struct mirror_copy copy[MIRROR_SLOTS];
	struct mirror_op clean_op, freeze_op;
	bool cleaning, flushing;
	struct mirror_scrub scrub;
	struct mirror_scrub scrub_was;  /* of an owner before */
	bool scrub_differs, scrub_fails, scrub_guessed; /* in the region that is at */
	uint64_t repair[MIRROR_REPAIRS];        /* offsets of chunks */
	unsigned n_repair;
	uint64_t repaired, repair_failed;
	struct mono scrub_due;
	struct mono clean_due, rate_due;
	uint64_t proof;
	bool open, over, doubt, freezing, frozen, served;
	bool unquiet;                   /* frozen, and the last flush failed */
	bool recheck;                   /* legs or bits changed: look at every operation */
};

static inline bool bit_test(const uint64_t *b, uint64_t i)
{
	return b[i / 64] >> (i % 64) & 1;
}

static inline void bit_set(uint64_t *b, uint64_t i)
{
	b[i / 64] |= 1ull << (i % 64);
}

static inline void bit_clear(uint64_t *b, uint64_t i)
{
	b[i / 64] &= ~(1ull << (i % 64));
}

static inline bool counts(const struct leg *l)
{
	return l->run == LEG_LIVE || l->run == LEG_JOIN;
}

/* Does it get what clients write? Then it has the intent first, whoever else has it: others may be gone when it is read. */
static inline bool written(const struct leg *l)
{
	return counts(l) || l->run == LEG_SYNC;
}

static inline bool op_runs(const struct mirror_op *op)
{
	return op->state != OP_WAIT;
}

/* machine_copy.c: `bytes` are begun now, and no more before *due. */
void rate_pay(struct mono *due, struct mono now, uint64_t bytes, uint64_t rate);

/* machine.c */
unsigned legs_in(const struct mirror *m, enum leg_run run);     /* a mask */
void io_emit(struct mirror *m, struct mirror_io *io, unsigned leg, enum mirror_io_kind kind, enum io_why why);
void leg_fail(struct mirror *m, unsigned leg, int why);
/* A read failed there: if others have it, the leg is not called failed before it was written anew. True: so it is. */
bool leg_spared(struct mirror *m, unsigned leg, int why, uint64_t offset, uint64_t len);
unsigned read_from(const struct mirror *m, unsigned tried);
void leg_failed(struct mirror *m, unsigned leg);
void leg_away(struct mirror *m, unsigned leg);
void op_add(struct mirror *m, struct mirror_op *op);
void op_drop(struct mirror *m, struct mirror_op *op);
void op_send(struct mirror *m, struct mirror_op *op, unsigned mask);
void mirror_kick(struct mirror *m);

/* machine_bits.c: intent, metadata, cleaning */
void bits_of(const struct mirror *m, const struct mirror_op *op, uint64_t *first, uint64_t *last);
void intent_set(struct mirror *m, const struct mirror_op *op);
bool intent_stable(const struct mirror *m, const struct mirror_op *op);
/* The last leg could not write it, and will be asked again at a tick only. */
bool intent_refused(const struct mirror *m, const struct mirror_op *op);
void pages_want(struct mirror *m, struct leg *l);
bool pages_written(const struct mirror *m, const struct leg *l);
void meta_want(struct mirror *m, struct leg *l, bool quiet, uint64_t member);
void bits_again(struct mirror *m);
void bits_kick(struct mirror *m);
void bits_mask(const struct mirror *m, uint64_t *bits);         /* no bits of regions that are not there */
void page_done(struct mirror *m, struct mirror_io *io, int result);
void clean_tick(struct mirror *m);
void clean_done(struct mirror *m, int result);

/* machine_scrub.c: comparing legs, and repair */
void scrub_kick(struct mirror *m);
void scrub_begin(struct mirror *m, struct mirror_copy *c);
void scrub_io_done(struct mirror *m, struct mirror_copy *c, struct mirror_io *io, int result);
void scrub_finish(struct mirror *m, struct mirror_copy *c);
void scrub_remember(struct mirror *m);          /* how far it is, on the legs */
void repair_want(struct mirror *m, uint64_t offset, uint64_t len);

/* machine_size.c */
void size_set(struct mirror *m, uint64_t size);
void size_kick(struct mirror *m);

/* machine_copy.c: recovery and resync */
void copy_kick(struct mirror *m);
void copy_begin(struct mirror *m, struct mirror_copy *c);       /* its range is free */
void copy_io_done(struct mirror *m, struct mirror_copy *c, struct mirror_io *io, int result);
bool copy_finish(struct mirror *m, struct mirror_copy *c);      /* nothing is pending; true: its op left the list */
void copy_leg_gone(struct mirror *m, unsigned leg);
void proof_kick(struct mirror *m);
void sync_kick(struct mirror *m, unsigned leg);
void sync_flushed(struct mirror *m, unsigned leg);

#endif
