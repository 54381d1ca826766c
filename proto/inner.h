/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and proofs inside the cluster (doc/ownership.md 9): what a node's director-target must name and prove to reach a
 * volume at another node's inner portal. directord gives them to the one that logs in, director-target checks them.
 */
#ifndef PROTO_INNER_H
#define PROTO_INNER_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/target.h"

#define INNER_IQN "iqn.2026-11.director.inner:"
#define INNER_NAME_LEN (sizeof(INNER_IQN) - 1 + 32 + 1)
#define INNER_USER_LEN 21               /* a u64 in decimal */
#define INNER_SECRET_LEN 65             /* 64 hex digits */
#define INNER_PORT 7341

/* The target's name. Returns out. */
char *inner_name(const uint8_t uuid[16], char out[INNER_NAME_LEN]);
/* Is it one, in whatever case? Then *uuid is whose. */
bool inner_name_parse(const char *name, uint8_t uuid[16]);
/* The CHAP user of an epoch, and back: decimal, no sign, no leading zero. */
char *inner_user(uint64_t epoch, char out[INNER_USER_LEN]);
bool inner_user_parse(const char *user, uint64_t *epoch);
/* hex(BLAKE2b-256(key, "director inner" || uuid || epoch as LE64)). Returns out. */
char *inner_secret(const uint8_t key[TARGET_KEY_LEN], const uint8_t uuid[16], uint64_t epoch, char out[INNER_SECRET_LEN]);

#endif
