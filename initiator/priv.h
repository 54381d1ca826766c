/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of libdirector-iscsi: sockets, time and threads around target/iscsi/ini.h. */
#ifndef INITIATOR_PRIV_H
#define INITIATOR_PRIV_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "base/pin.h"
#include "director/iscsi.h"
#include "target/iscsi/ini.h"

#define BOUNCE_LEN (256u << 10)
#define EVENTS_MAX 64

/* What io->opaque holds. */
struct io_priv {
	struct ini_cmd cmd;
	struct director_iscsi *h;
	struct director_iscsi_io *next;         /* in the inbox */
};

_Static_assert(sizeof(struct io_priv) <= DIRECTOR_ISCSI_IO_PRIVATE, "a command has room for its state");

static inline struct io_priv *io_priv(struct director_iscsi_io *io)
{
	return (struct io_priv *)io->opaque;
}

struct lookup;

struct sock {
	struct director_iscsi *h;
	unsigned index;
	int fd;                                 /* -1: none */
	bool connecting, blocked, readable;
	struct lookup *lookup;                  /* of the address to connect to, under way */
};

struct director_iscsi {
	struct director_iscsi_loop *loop;
	struct director_iscsi *next;            /* of the loop's */
	struct director_iscsi *dirty_next;
	bool dirty;
	struct ini_session *s;
	struct sock *sock;
	struct mono wake;
	struct director_iscsi_conf conf;        /* numbers and callbacks; strings are the machine's */
	/* for director_iscsi_wait */
	bool refused, failed;
	uint16_t refused_status;
	char why[200];
};

/* Something to do on the loop's thread, for one who waits. */
struct job {
	struct job *next;
	void (*fn)(void *arg);
	void *arg;
	bool done;
};

struct director_iscsi_loop {
	int epoll, event;
	pthread_t thread;
	bool threaded;
	bool adopted;                           /* run by threads of the caller's; never reset */
	_Atomic(const void *) runner;           /* by which now: the address of a variable of that thread; NULL: by none */
	atomic_bool stop, sleeping;
	pthread_mutex_t lock;                   /* jobs */
	pthread_cond_t cond;
	atomic_bool stay;                       /* stay.c */
	bool stay_said;                         /* by the caller */
	unsigned n_done;                        /* commands of this turn */
	struct pin pin;
	pthread_t pinned;                       /* whose that is */
	struct job *jobs;
	_Atomic(struct director_iscsi_io *) inbox;
	struct director_iscsi *sessions, *dirty;
	struct mono now, wake;
	unsigned n_lookups, n_readable;
	bool running, poked, held;
	uint8_t *bounce;                        /* `own`, or the runner's */
	uint8_t *own;
	size_t bounce_len;
};

/* Run fn(arg) where the machine may be touched, and wait for it. */
void loop_call(struct director_iscsi_loop *loop, void (*fn)(void *arg), void *arg);
bool loop_here(const struct director_iscsi_loop *loop);
/* Some of the time that others need: run the loop, or sleep. */
void loop_pass(struct director_iscsi_loop *loop, unsigned ms);
/* The socket, or what would become one. */
void sock_close(struct sock *k);
void loop_dirty(struct director_iscsi *h);
void loop_poke(struct director_iscsi_loop *loop);
/* Give back what is over, tell what happened. */
void loop_deliver(struct director_iscsi *h);
/* Wait for *flag, which `done` of a command sets: by running the loop, or for its thread. */
void loop_wait(struct director_iscsi_loop *loop, const atomic_bool *flag);

/* stay.c: the thread of a loop stays where it is. A turn of the loop is over. */
void stay_turn(struct director_iscsi_loop *loop);

void io_begin(struct director_iscsi *h, struct director_iscsi_io *io);
void io_done(struct ini_cmd *cmd);
int errno_of(int err);
void lun_put(uint8_t out[8], uint64_t lun);
struct mono clock_now(void);

/* A portal as text to a socket address; -errno. `numeric`: never ask a name server. */
int address_parse(const char *text, bool numeric, void *addr, unsigned *len);
/* And back, with the port. */
void address_print(const void *addr, unsigned len, char *text, size_t size);

/* lookup.c: an address that is a name, resolved aside; `bell` (an eventfd) is rung when it is over. NULL: it cannot be. */
struct lookup *lookup_start(const char *text, int bell);
bool lookup_over(const struct lookup *l);
/* Once it is over: 0 or -errno. */
int lookup_result(const struct lookup *l, struct sockaddr_storage *addr, unsigned *len);
/* Also before it is over. NULLs the pointer. */
void lookup_free(struct lookup **l);

#endif
