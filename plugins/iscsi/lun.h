/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the iscsi plugin share: an opened LUN, its I/O, and with inner=yes the way to another node of the
 * cluster, which is watched here and not by the initiator: what a leg had in memory may be gone when it comes back.
 */
#ifndef ISCSI_LUN_H
#define ISCSI_LUN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/mono.h"
#include "base/unstable.h"
#include "director/iscsi.h"
#include "director/plugin.h"
#include "plugins/iscsi/hold.h"

#define PORTALS_MAX 16
#define CHECKSUM_MAX (64u << 20)        /* bytes of one CHECKSUM of our own units */

struct lun;
struct runner;

/* A loop, and who runs it (loops.c). Fields without a word are by its lock. */
struct seat {
	struct director_iscsi_loop *loop;
	_Atomic(struct runner *) at;    /* NULL: on its way to another */
	struct runner *to;              /* who shall run it */
	struct runner *home;            /* the thread of ours that runs it when nobody else does */
	TAILQ_ENTRY(seat) entry;        /* if asked */
	bool asked, ending;
	atomic_uint apart;              /* I/Os in a row that came from elsewhere */
	/* of its runner */
	LIST_ENTRY(seat) link;
	struct mono wake;
	bool unwatched;
};

/* One I/O of the host; big ones that the target wants in pieces go piece by piece. */
struct req {
	struct req *next;
	struct lun *lun;
	struct director_io *io;
	struct director_iscsi_io cmd;
	struct iovec one;
	struct director_iscsi *via;     /* inner: the session that has it */
	uint64_t deadline_ns, parked_ns, at, left, piece;
	uint8_t param[24];              /* of UNMAP */
	uint8_t data[64];               /* of GET LBA STATUS */
	TAILQ_ENTRY(req) entry;         /* inner: busy, parked or in doubt */
	bool busy;
	bool settling;                  /* it is done, and made stable now */
	struct unstable_mark mark;      /* of a flush */
};

TAILQ_HEAD(reqs, req);

/* Where a session is made to. Strings of its own. */
struct place {
	char *portal, *user, *secret;
};

enum way {
	WAY_UP,
	WAY_DOWN,                       /* it may be back in a moment: I/O waits */
	WAY_LOST,                       /* a leg: I/O fails with -ENOTCONN */
	WAY_STALE,                      /* a leg has a newer owner */
};

/* What claimed LUNs lose with their power has been made stable before: it is always the same life. */
#define CLAIM_LIFE 1

struct inner {
	bool on, lazy;                  /* lazy: a forward; else a leg */
	pthread_mutex_t control;        /* l->h comes and goes; before l->lock */
	/* by l->lock */
	enum way way;
	struct reqs busy, parked;
	struct reqs doubt;              /* of a forward: changes that may have been done, until they can be done no more */
	struct director_iscsi *old;     /* the session to the place before: it gets answers, and nothing new */
	uint64_t old_until;
	struct place want;              /* for the next session */
	bool renew;                     /* the session is to be made anew: the place is another, or a command did not end */
	bool renewing, closing;
	bool connected;                 /* logged in, and `life` is known */
	bool noticed;                   /* since the way was lost an I/O has failed for it */
	uint64_t life, told;            /* the leg's, and the one that who uses it knows */
	uint64_t other, told_other;     /* another disk than it was claimed with: which, and the same */
	uint64_t down_ns;
	bool ticking;
	unsigned refs;                  /* of this memory: the owner, and a timer */
	/* of the loop's thread */
	struct director_iscsi_io probe;
	struct iovec probe_iov;
	uint8_t probe_data[32];
	bool probing;
};

/* A LUN of a foreign target that is a leg: kept from everyone else (hold.h), looked after by a thread of its own. */
struct claim {
	bool on, blank;
	struct hold_id id;
	uint64_t limit;                 /* bytes that are used */
	pthread_t thread;
	bool running;
	pthread_cond_t cond;
	/* by l->lock */
	bool look;                      /* there is a session: the claim is to be made again */
	uint64_t downs;                 /* how often a session ended */
	/* of who makes the claim */
	bool refused;                   /* it could not be made: said once */
	bool had;                       /* it was ours before, */
	uint32_t seq;                   /* with this number on record */
	bool changed;                   /* and what is on record is not what we wrote: it is not the LUN that it was */
};

struct lun {
	const struct director_host *host;
	void *owner;
	struct seat seat;
	struct director_iscsi *h;
	struct director_iscsi_conf conf;        /* without what is in `place`; strings: target, initiator */
	struct director_iscsi_disk disk;
	uint64_t number;
	uint32_t timeout_ms;
	bool lost, extents;
	pthread_mutex_t lock;
	struct req *free;
	uint8_t *zeroes;                /* one block, for WRITE SAME */
	struct inner inner;
	struct claim claim;
	struct unstable unstable;       /* of a plain LUN with a write cache */
	bool trust;                     /* that the cache outlives the target */
};

/* iscsi.c */
void req_send(struct req *r);
void req_end(struct req *r, int result);
/* It may have had its effect, and must not have it twice. */
void req_aborted(struct req *r);
/* Has a piece of it been done? */
bool req_begun(const struct req *r);
/* Again, in a moment. */
void req_again(struct req *r, uint32_t ms);
/* A session to `place`, with l->conf. 0 or a negative errno. */
int session_open(struct lun *l, const struct place *place);
/* The memory, when nothing refers to it any more. */
void lun_free(struct lun *l);
void path_event(struct lun *l, bool up, const char *text);

/* loops.c: a loop, and somebody who runs it. 0 or a negative errno. */
int loop_get(struct seat *s);
/* Its sessions are closed. Waits for who runs it; there may be none any more. */
void loop_put(struct seat *s);
/* An I/O of so many bytes comes to it, on this thread. */
void loop_used(struct seat *s, uint64_t len);
/* As in director_backstore_ops. */
void loop_plug(struct seat *s);
void loop_unplug(struct seat *s);
int loop_thread_fd(void *priv);
void loop_reap(void *priv);
void loop_thread_exit(void *priv);

/* inner.c */
void inner_init(struct lun *l);
/* May it be sent once more when the initiator does not know what became of it? Not what a forward writes: others write, too. */
bool inner_repeats(const struct req *r);
/* May the command go now? Then it is handed to the initiator. Else it is parked, or ended. */
void inner_send(struct req *r);
/* The command is back. True: that is all, it was parked, ended or sent again. */
bool inner_done(struct req *r);
void inner_event(struct lun *l, const struct director_iscsi *h, const struct director_iscsi_event *ev);
/* A leg that was just opened: what it says of itself. 0 or a negative errno. */
int inner_opened(struct lun *l);
/* What came of a claim made on the session after `downs` others. */
void inner_claimed(struct lun *l, int result, uint64_t downs);
/* A leg has a newer owner. */
bool inner_is_stale(struct lun *l);
/* Its life, for capabilities. */
uint64_t inner_life(struct lun *l);
int inner_reconfigure(struct lun *l, const struct director_conf *conf);
/* All I/O ends with -ESTALE, now. */
void inner_lose(struct lun *l);
/* Nothing is outstanding: the session ends. */
void inner_end(struct lun *l);
/* claim.c */
int claim_conf(struct lun *l, const struct director_conf *conf, uint64_t epoch);
/* Keep everyone else from the LUN, on a thread that may wait. 0, -ESTALE, -EBUSY (somebody else's) or another negative errno. */
int claim_make(struct lun *l, char *why, size_t n);
/* It is ours and known: make it blank if it shall be. */
int claim_opened(struct lun *l, char *why, size_t n);
uint64_t claim_session(struct lun *l);
/* Watch it from now on. */
int claim_watch(struct lun *l);
void claim_look(struct lun *l);
/* `closing` is set. */
void claim_end(struct lun *l);
/* The target says that something has become of our registration. */
bool claim_doubt(const struct director_iscsi_io *c);

/* Does `conf` say the same? */
bool place_is(const struct place *p, const struct director_conf *conf);
void place_set(struct place *p, const struct director_conf *conf);
void place_fini(struct place *p);

#endif
