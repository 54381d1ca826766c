/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a leg of a mirrored volume keeps before its data, as it lies there: the mirror writes it (plugins/mirror/meta.c), and
 * director-target looks whether a disk that comes back is the one that went (target/serve/inner.c). It outlives programs:
 * fields are appended, and none is ever moved.
 *
 *      | record | record | claim | … | intent bits | data …
 *      0        4K       8K          64K           1M
 *
 * Of the two records the newer one counts, so that one is always whole. The claim is of legs on LUNs of foreign targets
 * (plugins/iscsi/hold.h), and not the mirror's.
 */
#ifndef BASE_LEG_RECORD_H
#define BASE_LEG_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/le.h"

#define LEG_RECORD 4096u                /* bytes of a record; two of them from 0 on */
#define LEG_CLAIM (2 * LEG_RECORD)
#define LEG_BITS (64u << 10)
#define LEG_DATA (1u << 20)             /* the volume's byte 0 lies here */

#define LEG_MAGIC "director-leg\0\0\0\1"        /* and the version, all 16 bytes */

#define LEG_QUIET 1u                    /* flags */
#define LEG_HAS_BITS 2u

/* Numbers are little-endian. */
struct leg_record {
	uint8_t magic[16];
	uint8_t volume[16], leg[16];    /* uuids */
	uint8_t epoch[8];               /* of the owner that wrote it */
	uint8_t member[8], life[8], seq[8], size[8], region[8], flags[8];       /* struct mirror_meta */
	uint8_t scrub[8], scrub_at[8], scrub_different[8], scrub_repaired[8];
	uint8_t zero[3952];
	uint8_t sum[8];                 /* CRC32C of all before it */
};

_Static_assert(sizeof(struct leg_record) == LEG_RECORD, "a leg's record has one size for ever");
_Static_assert(offsetof(struct leg_record, leg) == 32 && offsetof(struct leg_record, epoch) == 48 &&
	offsetof(struct leg_record, scrub_repaired) == 128 && offsetof(struct leg_record, sum) == LEG_RECORD - 8,
	"fields of a leg's record stay where they are");

static inline uint64_t leg_record_sum(const struct leg_record *r)
{
	return crc32c(0, r, offsetof(struct leg_record, sum));
}

/* Is it one, and whole? */
static inline bool leg_record_good(const struct leg_record *r)
{
	return memcmp(r->magic, LEG_MAGIC, sizeof(r->magic)) == 0 && le_get(r->sum, 8) == leg_record_sum(r);
}

#endif
