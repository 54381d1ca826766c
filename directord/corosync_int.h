/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the Corosync adapter share: corosync.c (process), corosync_conf.c (text), corosync_call.c (calls that block). */
#ifndef DIRECTORD_COROSYNC_INT_H
#define DIRECTORD_COROSYNC_INT_H

#include "directord/corosync.h"

/* "authkey-1f3a…": the key file is named by its key, so that one rename changes file and key together. `out`: 40 bytes. */
char *corosync_key_name(const uint8_t key[32], char *out);
/* Corosync's authkey: 256 bytes made from the ring's key. */
#define COROSYNC_AUTHKEY_LEN 256
void corosync_authkey(const uint8_t key[32], uint8_t out[COROSYNC_AUTHKEY_LEN]);

/* A thread for calls that wait for disk or Corosync. Answers come on the loop, in the order of the calls. */
struct corosync_calls;

enum corosync_call_kind {
	CALL_WRITE,             /* text and key to DIR/corosync.conf.new */
	CALL_INSTALL,           /* rename it to DIR/corosync.conf; remove other keys */
	CALL_RELOAD,
	CALL_ACTIVE,
};

struct corosync_call {
	struct corosync_call *next;
	enum corosync_call_kind kind;
	char *dir;
	char *text;                     /* WRITE */
	uint8_t key[32];                /* WRITE, INSTALL */
	bool abandoned;                 /* answered with ERR_TIMEOUT already (the loop's) */
	void (*done)(struct corosync_call *call);       /* on the loop; the call is freed after it */
	void *owner, *arg;
	void (*user)(void);             /* the caller's function, of the type its kind asks for */
	/* the answer */
	int err;
	char *why;
	struct corosync_active active;
};

struct corosync_calls *corosync_calls_open(struct ev_loop *loop);
/* Pending calls are not answered. Does not wait: a call that is under way is left to its thread. */
void corosync_calls_close(struct corosync_calls **c);
/* `call` is a zeroed heap struct with its upper part filled; given. */
void corosync_calls_put(struct corosync_calls *c, struct corosync_call *call);

#endif
