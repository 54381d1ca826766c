/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who this node is, as files: its key pair, made at the first start, and the cluster key it was given.
 * Both are written beside, synced and renamed, readable by their owner alone; a file that others
 * may read is refused.
 */
#ifndef DIRECTORD_IDENTITY_H
#define DIRECTORD_IDENTITY_H

#include <stdint.h>

#include "cluster/id.h"
#include "cluster/keys.h"

struct identity {
	uint8_t public_key[32], secret_key[64];         /* Ed25519 */
	uint8_t curve_public[32], curve_secret[32];     /* X25519, derived; for the mesh */
	struct node_id id;
};

/*
 * Load `path`, or make a new identity there when there is none. `why` (may be NULL) is given a sentence:
 * ERR_MALFORMED (the file is damaged), ERR_DENIED (others can read it), ERR_IO, ERR_NOSPC.
 */
int identity_open(struct identity *i, const char *path, char **why);
void identity_fini(struct identity *i);                 /* wipes */
/* The mesh key of another node from its Ed25519 key; ERR_CRYPTO if that is none. */
int identity_curve(const uint8_t public_key[32], uint8_t curve_public[32]);

/*
 * The cluster key file: one line per epoch, "EPOCH HEX", oldest first; '#' begins a comment. One line of 64
 * hex digits alone is epoch 1, so that an image builder can write `openssl rand -hex 32`.
 */
int keyfile_load(struct keys *ks, const char *path, char **why);   /* ERR_NOENT: no file; *ks is empty then */
int keyfile_store(const struct keys *ks, const char *path, char **why);
int keyfile_parse(struct keys *ks, const char *text, size_t len, char **why);

void identity_random(void *p, size_t n);
/* Another number after each start of this machine; 0: it cannot be known. */
uint64_t identity_life(void);

#endif
