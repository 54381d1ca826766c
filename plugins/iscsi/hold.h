/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may use a LUN of a foreign target that is a leg of a mirrored volume: decisions about its persistent reservation. Pure.
 *
 * Whoever serves the volume registers a key and holds EXCLUSIVE ACCESS - REGISTRANTS ONLY (SPC-4 5.13.4) alone: the target
 * then refuses whoever served before, reads too. A key says whose it is: two bytes of the cluster, two of the leg, three of the epoch,
 * and a number that makes each opening's another. What the target forgets with its power is in a record on the LUN as well.
 */
#ifndef ISCSI_HOLD_H
#define ISCSI_HOLD_H

#include <stdbool.h>
#include <stdint.h>

#define HOLD_KEYS_MAX 128
#define HOLD_OTHERS_MAX 256
#define HOLD_EPOCH_MAX 0xffffffu
#define HOLD_TYPE 6                     /* exclusive access, registrants only */
#define HOLD_RECORD 4096u               /* bytes of the record, */
#define HOLD_RECORD_AT 8192u            /* and where: in the gap of what the mirror keeps (plugins/mirror/meta.h) */

struct hold_id {
	uint16_t cluster, leg;
	uint32_t epoch;
	bool take;                      /* from legs of this cluster that are no more */
	uint32_t other[HOLD_OTHERS_MAX];        /* cluster and leg of those that are in use besides */
	unsigned n_other;
};

/* What the LUN says. */
struct hold_seen {
	uint64_t key[HOLD_KEYS_MAX];
	unsigned n_key;
	bool more;                      /* than fit here */
	bool reserved;
	uint64_t holder;
	uint8_t type;
};

enum hold_step {
	HOLD_REGISTER = 1,              /* with the key we have chosen */
	HOLD_RESERVE,
	HOLD_PREEMPT,                   /* *key, and abort what it has under way */
	HOLD_DONE,                      /* nobody else may read or write */
	HOLD_STALE,                     /* a newer owner was here */
	HOLD_FOREIGN,                   /* *key: somebody who is none of us, or another volume, uses it */
};

/* "CCCCLLLL" and "CCCCLLLL,…" in hex. False: no such text. */
bool hold_parse(const char *tag, const char *others, struct hold_id *id);
/* A key that nobody there has. */
uint64_t hold_key(const struct hold_id *id, const struct hold_seen *seen);
/* What to do next, by a nexus that shall have `mine`. */
enum hold_step hold_next(const struct hold_id *id, uint64_t mine, const struct hold_seen *seen, uint64_t *key);

/* Answers of PERSISTENT RESERVE IN: READ KEYS (SPC-4 6.15.2), READ RESERVATION (6.15.3). False: they make no sense. */
bool hold_keys_read(const uint8_t *p, uint32_t n, struct hold_seen *seen);
bool hold_reservation_read(const uint8_t *p, uint32_t n, struct hold_seen *seen);

/* `seq` rises with every claim. */
void hold_record_write(const struct hold_id *id, uint32_t seq, uint8_t out[HOLD_RECORD]);
/* The epoch that is on record for this leg; 0: none. */
uint32_t hold_record_read(const struct hold_id *id, const uint8_t in[HOLD_RECORD], uint32_t *seq);

#endif
