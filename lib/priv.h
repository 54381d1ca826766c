/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of libdirector share. */
#ifndef LIB_PRIV_H
#define LIB_PRIV_H

#include <sys/queue.h>

#include "base/buf.h"
#include "base/mono.h"
#include "director/client.h"
#include "proto/control.h"

struct director_error {
	int code;
	char text[CONTROL_TEXT_MAX + 1], object[PATH_LEN_MAX], hint[CONTROL_TEXT_MAX + 1];
};

struct director_object {
	struct control_object o;
	char uuid[37];
	unsigned round;                 /* in a mirror: the snapshot that gave it last */
};

struct director_list {
	struct director_object **o;
	unsigned n, cap;
};

struct director_args {
	struct attrs attrs;
};

struct director_txn {
	struct txn t;
	char key[37];
};

struct director_result {
	struct control_done d;
};

struct director_history {
	struct history_row {
		uint64_t index;
		bool trimmed;
		char *key;
		struct director_txn txn;
	} *e;
	unsigned n, cap;
};

struct director_schema {
	struct control_type *t;
	unsigned n, cap;
};

struct director_status {
	struct control_status s;
};

struct director_request {
	struct director *d;
	uint64_t id;
	int unsent;                     /* the error for which it never was; 0: it was */
	/* A reply that is not the last; may be NULL. Strings in it may be moved out. `q` may be gone when a callback has used `d`. */
	void (*on_data)(struct director_request *q, struct control_reply *r);
	/* The last one; d is NULL when the connection broke (the error is then set already). Frees what arg is, if it must. */
	void (*on_done)(struct director_request *q, int code, struct control_done *d);
	void *arg;
	/* what the caller of a *_start gave */
	director_object_fn *object_fn;
	director_progress_fn *progress_fn;
	director_done_fn *done_fn;
	void *user;
	TAILQ_ENTRY(director_request) entry;
};

struct director {
	char *socket, *program, *version;
	int fd, wake;                   /* wake: an eventfd, for director_interrupt */
	bool ready;                     /* hands are shaken */
	bool may_write;
	uint64_t stream;                /* of the daemon's events */
	uint64_t next_id, timeout_ms;
	struct buf in, out;
	size_t in_at, out_at;
	struct director_error error;
	unsigned n_unsent;
	TAILQ_HEAD(, director_request) requests;
	LIST_HEAD(, director_mirror) mirrors;
};

/* error.c */
int error_clear(struct director *d);                            /* returns 0 */
int error_set(struct director *d, int code, const char *object, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
int error_from_done(struct director *d, const struct control_done *done);

/* conn.c */
struct mono deadline_of(const struct director *d);
/* Wait until `deadline` for something, and process it. 0, or an error; TIMEOUT is set as error too. */
int conn_wait(struct director *d, struct mono deadline);
/* The connection is of no use; all requests end with the error that is set. */
void conn_break(struct director *d);

/* request.c */
struct director_request *request_new(struct director *d, struct control_req *r,
	void (*on_data)(struct director_request *, struct control_reply *),
	void (*on_done)(struct director_request *, int, struct control_done *), void *arg);
/* The on_done of one that the caller of the library waits for with a director_done_fn. */
void request_told(struct director_request *q, int code, struct control_done *d);
/* Its callbacks are not called any more. If it is not done, the daemon is told. */
void request_drop(struct director_request *q);
void request_dispatch(struct director *d, struct control_reply *r);
/* End those that were not sent: they did not fit into a message, or there was no connection. */
void requests_unsent(struct director *d);
void requests_fail(struct director *d, int code);
/*
 * A whole request, blocking: connect if need be, on_data for each reply with q->arg = arg, the end into *done (zeroed before; control_done_fini;
 * may be NULL). Its error is set.
 */
int request_run(struct director *d, struct control_req *r,
	void (*on_data)(struct director_request *, struct control_reply *), void *arg, struct control_done *done);
int request_run_until(struct director *d, struct control_req *r,
	void (*on_data)(struct director_request *, struct control_reply *), void *arg, struct control_done *done,
	struct mono deadline);

/* object.c */
struct director_object *object_new(struct control_object *o);   /* moved out of *o */
void object_free(struct director_object *o);

/* mirror.c */
void mirrors_lost(struct director *d);
void mirrors_resume(struct director *d);

#endif
