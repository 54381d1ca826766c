/* SPDX-License-Identifier: Apache-2.0 */
/* What directord/api*.c share. */
#ifndef DIRECTORD_API_PRIV_H
#define DIRECTORD_API_PRIV_H

#include <ev.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "base/mem.h"
#include "directord/api.h"

#define API_OPEN_MAX 256                /* open requests of one client */
#define API_OUT_LOW (64u << 10)         /* below it, lists go on */
#define API_OUT_HIGH (1u << 20)         /* above it, no more requests are read */

/* ---- events ---- */

struct api_event {
	uint64_t time_ms;
	enum control_event_kind kind;
	char *path, *text;              /* text may be NULL */
};

/* The last `cap` events; number `first` is at slot[first % cap]. */
struct api_ring {
	struct api_event *slot;
	unsigned cap;
	uint64_t first, next;           /* numbers: first kept, next to be given; from 1 */
};

void api_ring_init(struct api_ring *r, unsigned cap);
void api_ring_fini(struct api_ring *r);
void api_ring_put(struct api_ring *r, enum control_event_kind kind, const char *path, const char *text);

/* ---- candidates ---- */

struct api_candidate {
	uid_t uid;
	uint64_t number;                /* another transaction of the same user has another one */
	uint64_t begun_ms;
	uint64_t n_gone;                /* operations that were in it and are committed */
	struct txn txn;                 /* ops, base */
	LIST_ENTRY(api_candidate) entry;
};

LIST_HEAD(api_candidates, api_candidate);

/* ---- a request that is not done yet ---- */

enum api_open_kind { OPEN_LIST = 1, OPEN_ASYNC, OPEN_CANDIDATE_ADD, OPEN_CANDIDATE_COMMIT };

struct api_list {                       /* OPEN_LIST */
	char path[PATH_LEN_MAX], at[PATH_LEN_MAX];      /* top; the object given last, "" before the first */
	char *prefix;
	uint32_t depth, flags;
	uint64_t cursor;                /* the last event given */
	uint64_t limit;                 /* objects or events still to give */
	enum { LIST_SNAPSHOT, LIST_LIVE } phase;
};

struct api_open {
	uint64_t id;
	enum api_open_kind kind;
	struct api_list list;
	struct txn add;                 /* OPEN_CANDIDATE_ADD */
	bool part;                      /* … tried with a part of the candidate only */
	uint64_t candidate, upto;       /* OPEN_CANDIDATE_…: which one; how many operations it had, with those that are gone */
	TAILQ_ENTRY(api_open) entry;
};

/* ---- a client ---- */

struct api_client {
	struct api *api;
	uint64_t id;
	int fd;
	struct ev_io io;
	struct ev_timer stall;
	struct buf in, out;
	size_t out_at;                  /* what is written of out */
	bool hello, dead;
	bool flushing, pumping;
	struct api_peer peer;
	unsigned n_open;
	TAILQ_HEAD(, api_open) open;
	TAILQ_ENTRY(api_client) entry;
};

struct api {
	struct api_conf conf;
	char *socket, *state, *node;
	gid_t gid;
	bool has_gid;
	int fd;
	struct ev_io io;
	struct ev_timer retry;          /* of accept, when there was no descriptor left */
	struct ev_prepare prepare;
	uint64_t next_client;
	unsigned n_clients, clients_max;
	TAILQ_HEAD(, api_client) clients;
	struct api_ring ring;
	bool news;                      /* events that followers were not told yet */
	struct api_candidates candidates;
	uint64_t next_candidate;
};

/* api_client.c */
void api_client_new(struct api *api, int fd);
void api_client_free(struct api_client *c);
struct api_client *api_client_of(const struct api *api, uint64_t id);
/* Append a reply; what cannot be sent (too long) becomes a DONE with ERR_LIMIT. */
void api_send(struct api_client *c, const struct control_reply *r);
void api_send_done(struct api_client *c, uint64_t id, const struct control_done *d);
void api_send_err(struct api_client *c, uint64_t id, int err, const char *path, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 6, 7)));
static inline size_t api_client_queued(const struct api_client *c) { return c->out.len - c->out_at; }
/* Look again at what the client waits for. */
void api_client_kick(struct api_client *c);

struct api_open *api_open_new(struct api_client *c, uint64_t id, enum api_open_kind kind);
struct api_open *api_open_of(struct api_client *c, uint64_t id);
void api_open_free(struct api_client *c, struct api_open *o);

/* api_request.c: one decoded request, borrowed (its txn may be moved out). */
void api_request(struct api_client *c, struct control_req *r);

/* api_list.c */
void api_list_begin(struct api_client *c, const struct control_req *r);
/* Give more of every list while there is room. */
void api_list_pump(struct api_client *c);
/* Its followers start over. */
void api_list_restart(struct api_open *o);

/* api_candidate.c */
void api_candidate_request(struct api_client *c, struct control_req *r);
/* The check of an add, or the commit, came to an end. False: it goes on, or is answered already; `o` may be gone. */
bool api_candidate_done(struct api_client *c, struct api_open *o, const struct control_done *d);
struct api_candidate *api_candidate_of(const struct api *api, uid_t uid);
void api_candidate_load(struct api *api);
void api_candidate_fini(struct api *api);

/* api_mask.c: shallow copies with secrets replaced; the strings are lent from the original. */
void api_mask_object(const struct api *api, const struct control_object *o, struct control_object *out);
void api_mask_object_fini(struct control_object *out);
void api_mask_txn(const struct api *api, const struct txn *t, struct txn *out);
void api_mask_txn_fini(struct txn *out);

#endif
