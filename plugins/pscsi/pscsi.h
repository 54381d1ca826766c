/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A SCSI disk by its own commands, through Linux's SG_IO:
 *
 *   pscsi.c     parameters, life cycle, block operations as commands
 *   learn.c     what the device says of itself
 *   command.c   one command: sent, tried again where that helps, its sense understood
 */
#ifndef PLUGINS_PSCSI_PSCSI_H
#define PLUGINS_PSCSI_PSCSI_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "director/plugin.h"
#include "plugins/common/err.h"

struct pscsi {
	const struct director_host *host;
	void *owner;
	int fd, claim_fd;               /* claim_fd: the block device of the same disk, held; -1: none */
	uint32_t timeout_ms;
	bool read_only;
	/* what it said */
	uint32_t flags;                 /* DIRECTOR_CAP_* */
	uint32_t block_size, physical, max_io, optimal_io, discard_granularity;
	uint32_t caw_max, same_max;     /* blocks; 0: none */
	uint64_t unmap_max;             /* blocks of one UNMAP; 0: none */
	bool same_unmaps;               /* WRITE SAME with UNMAP leaves zeroes */
	bool zeroes;                    /* unmapped blocks read as zeroes */
	_Atomic uint64_t size;
	_Atomic bool lost;
};

/* One command and what came of it. */
struct command {
	uint8_t cdb[16];
	uint8_t cdb_len;
	enum { DATA_NONE, DATA_IN, DATA_OUT } way;
	const struct director_iov *iov;
	uint32_t n_iov, len;
	/* the answer */
	uint32_t got;                   /* bytes moved */
	uint8_t key, asc, ascq;         /* key 0: none */
	bool has_info;
	bool unsure;                    /* it may have been done, for all that is known */
	uint64_t info;                  /* the INFORMATION field */
};

/*
 * Run it, within the object's timeout: busy devices and unit attentions are waited for and tried again. 0 or a
 * negative errno; -EIO with a key, when the device said why. COMPARE AND WRITE is not tried again where it may have
 * been done, and would meet its own data: -ETIMEDOUT. Blocks.
 */
int command_run(struct pscsi *p, struct command *c);

/* Fill in what the device says. 0 or a negative errno with err->text. */
int learn(struct pscsi *p, const char *path, struct director_err *err);
/* Its capacity alone, again. */
int learn_size(struct pscsi *p);


static inline void put_be(uint8_t *p, uint64_t v, unsigned bytes)
{
	while (bytes--) {
		p[bytes] = (uint8_t)v;
		v >>= 8;
	}
}

static inline uint64_t get_be(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;

	while (bytes--)
		v = v << 8 | *p++;
	return v;
}

#endif
