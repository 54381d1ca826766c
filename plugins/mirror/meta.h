/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a leg keeps what it knows of itself: the first MiB before the data. Two records, the newer one
 * counts, so that one is always whole; then the intent bits. The 4 KiB after the records are not the mirror's: a leg on
 * a foreign target has the claim there (plugins/iscsi/hold.h).
 */
#ifndef MIRROR_META_H
#define MIRROR_META_H

#include "plugins/mirror/machine.h"

#define META_AREA (1u << 20)            /* the volume's byte 0 lies here */
#define META_RECORD 4096u               /* bytes of a record; two of them from 0 on */
#define META_BITS (64u << 10)           /* where the intent bits begin */
#define META_PAGES ((META_AREA - META_BITS) / MIRROR_PAGE_MAX)

void meta_encode(const struct mirror_meta *m, uint8_t out[META_RECORD]);
/* 0; -ENODATA: there is none; -EINVAL: it is damaged, or of another version. */
int meta_decode(const uint8_t in[META_RECORD], struct mirror_meta *m);

#endif
