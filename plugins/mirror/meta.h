/* SPDX-License-Identifier: Apache-2.0 */
/* What a leg knows of itself, as its record (base/leg_record.h) and back. */
#ifndef MIRROR_META_H
#define MIRROR_META_H

#include "base/leg_record.h"
#include "plugins/mirror/machine.h"

#define META_PAGES ((LEG_DATA - LEG_BITS) / MIRROR_PAGE_MAX)

void meta_encode(const struct mirror_meta *m, uint8_t out[LEG_RECORD]);
/* 0; -ENODATA: there is none; -EINVAL: it is damaged, or of another version. */
int meta_decode(const uint8_t in[LEG_RECORD], struct mirror_meta *m);

#endif
