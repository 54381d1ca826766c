/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The login phase of one connection, initiator side (RFC 7143 6.3, 11.12, 11.13, 12.1): what the next request is,
 * and what a response means.
 */
#ifndef ISCSI_INI_LOGIN_H
#define ISCSI_INI_LOGIN_H

#include "target/iscsi/ini.h"

enum ini_login_next {
	INI_LOGIN_SEND,         /* login->stage, flags and text are the next request */
	INI_LOGIN_DONE,         /* full feature phase; params and tsih are the result */
	INI_LOGIN_REFUSED,      /* status says why */
	INI_LOGIN_MOVED,        /* go to `address` */
	INI_LOGIN_BROKEN,       /* the target does not keep to the protocol, or cannot prove who it is; `why` */
};

struct ini_login {
	const struct ini_conf *conf;
	bool leading;                           /* makes the session; else adds a connection to it */
	struct iscsi_params params;
	uint16_t tsih;
	enum login_status status;
	char address[INI_ADDRESS_MAX];
	const char *why;

	/* the request to send */
	enum login_stage stage, next_stage;
	bool transit;
	struct buf text;

	/* inside */
	struct buf in;                          /* text over responses with the C bit */
	bool first, offered, moved_on;
	bool proposed;                          /* AuthMethod was offered */
	bool chap, challenged, proved, mutual_done;
	unsigned algorithm;
	uint8_t id, challenge[CHAP_HASH_MAX];
	unsigned rounds;
	uint64_t answered;                      /* rows of keys.c that the target has answered */
};

/* `random`: our challenge and its identifier. After it the first request is ready (INI_LOGIN_SEND). */
void ini_login_init(struct ini_login *l, const struct ini_conf *conf, bool leading, const struct iscsi_params *params,
	const uint8_t random[CHAP_HASH_MAX + 1]);
void ini_login_fini(struct ini_login *l);
/* A Login Response with its data. */
enum ini_login_next ini_login_response(struct ini_login *l, const uint8_t *bhs, const uint8_t *text, uint32_t len);

#endif
