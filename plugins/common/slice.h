/* SPDX-License-Identifier: Apache-2.0 */
/* A part of an I/O's buffers, for plugins that spread one I/O over several. */
#ifndef PLUGINS_COMMON_SLICE_H
#define PLUGINS_COMMON_SLICE_H

#include "director/plugin.h"

/* The slice [at, at + len) of the buffers into `to`; returns how many entries it takes, at most io->n_iov. */
static inline uint32_t slice(const struct director_io *io, uint64_t at, uint64_t len, struct director_iov *to)
{
	uint32_t i, n = 0;

	for (i = 0; i < io->n_iov && len; i++) {
		const struct director_iov *v = &io->iov[i];
		uint64_t take;

		if (at >= v->len) {
			at -= v->len;
			continue;
		}
		take = v->len - at < len ? v->len - at : len;
		to[n++] = (struct director_iov){ (char *)v->base + at, (size_t)take };
		at = 0;
		len -= take;
	}
	return n;
}

#endif
