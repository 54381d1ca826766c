/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The login phase of one connection, target side (RFC 7143 section 6.3, 11.12, 11.13, 12.1): requests in,
 * responses out. It asks its owner, as data: who is this (LOGIN_ASK_POLICY), where that depends on the CHAP user what
 * he must prove (LOGIN_ASK_PROOF), and may this session begin (LOGIN_ASK_SESSION).
 */
#ifndef ISCSI_LOGIN_H
#define ISCSI_LOGIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "target/iscsi/chap.h"
#include "target/iscsi/keys.h"

#define ISCSI_NAME_MAX 223

/* Status class and detail, 11.13.5 */
enum login_status {
	LOGIN_OK = 0x0000,
	LOGIN_MOVED_TEMPORARILY = 0x0101,
	LOGIN_MOVED_PERMANENTLY = 0x0102,
	LOGIN_INITIATOR_ERROR = 0x0200,
	LOGIN_AUTH_FAILED = 0x0201,
	LOGIN_FORBIDDEN = 0x0202,
	LOGIN_NOT_FOUND = 0x0203,
	LOGIN_REMOVED = 0x0204,
	LOGIN_VERSION = 0x0205,
	LOGIN_TOO_MANY = 0x0206,
	LOGIN_MISSING = 0x0207,
	LOGIN_CANNOT_INCLUDE = 0x0208,
	LOGIN_SESSION_TYPE = 0x0209,
	LOGIN_NO_SESSION = 0x020a,
	LOGIN_INVALID_REQUEST = 0x020b,
	LOGIN_TARGET_ERROR = 0x0300,
	LOGIN_UNAVAILABLE = 0x0301,
	LOGIN_NO_RESOURCES = 0x0302,
};

enum login_stage { STAGE_SECURITY = 0, STAGE_OPERATIONAL = 1, STAGE_FULL_FEATURE = 3 };

/* What the owner answers to LOGIN_ASK_POLICY; strings are borrowed for the call, "" is none. */
struct login_policy {
	enum login_status status;       /* not OK: refuse, or redirect to `address` */
	const char *address;
	const char *alias;
	uint16_t tag;                   /* target portal group tag */
	struct iscsi_params ours;
	/* CHAP: what the initiator must prove, and what we prove to it. */
	const char *user, *secret, *mutual_user, *mutual_secret;
	bool by_user;                   /* instead: the secret depends on the user that the initiator names; one-way */
	uint8_t chap_id;
	uint8_t challenge[CHAP_HASH_MAX];       /* random, for this login only */
};

enum login_next {
	LOGIN_ASK_POLICY,       /* call login_policy */
	LOGIN_ASK_PROOF,        /* login->user is whom the initiator says it is: call login_proof */
	LOGIN_ASK_SESSION,      /* call login_session */
	LOGIN_REPLY,            /* login->bhs and text[0..text_len) are the response; then see `status` and `done` */
};

enum chap_step { CHAP_NOT_BEGUN, CHAP_CHOSEN, CHAP_CHALLENGED, CHAP_DONE };

struct login {
	/* The identity, from the first request. */
	uint8_t isid[6];
	uint16_t tsih, cid;
	uint32_t itt;
	char initiator[ISCSI_NAME_MAX + 1], target[ISCSI_NAME_MAX + 1], alias[256];
	bool discovery;

	struct iscsi_params params;     /* the result */
	bool done;                      /* the reply ends the login: full feature phase */
	enum login_status status;       /* of the reply; not OK: close after it */
	uint8_t bhs[48];                /* the reply; StatSN, ExpCmdSN and MaxCmdSN are the owner's to fill */
	const uint8_t *text;
	uint32_t text_len;

	/* inside */
	bool begun, named, identified, answered_tag;
	enum login_stage stage;
	uint8_t flags;                  /* byte 1 of the request in work */
	struct buf in, out;
	size_t out_at;
	struct iscsi_params ours;
	struct keys_negotiation negotiation;
	uint16_t tag;
	char target_alias[256];
	bool declared;
	char user[CHAP_NAME_MAX + 1], secret[CHAP_SECRET_MAX + 1];
	char mutual_user[CHAP_NAME_MAX + 1], mutual_secret[CHAP_SECRET_MAX + 1];
	bool auth_needed, by_user;
	enum chap_step chap;
	unsigned chap_algorithm;
	uint8_t chap_id, challenge[CHAP_HASH_MAX];
	unsigned rounds;
};

void login_init(struct login *l);
void login_fini(struct login *l);       /* wipes the secrets */
/* A Login request with its whole data segment. */
enum login_next login_request(struct login *l, const uint8_t *bhs, const uint8_t *text, uint32_t len);
enum login_next login_policy(struct login *l, const struct login_policy *p);
/* The secrets that login->user may have, any of which will do; none: it is refused. Borrowed. */
enum login_next login_proof(struct login *l, const char *const *secrets, unsigned n);
/* `tsih`: of the session that now exists. */
enum login_next login_session(struct login *l, enum login_status status, uint16_t tsih);

#endif
