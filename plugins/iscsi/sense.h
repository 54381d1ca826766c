/* SPDX-License-Identifier: Apache-2.0 */
/* What a SCSI status means for an I/O of the host. */
#ifndef PLUGINS_ISCSI_SENSE_H
#define PLUGINS_ISCSI_SENSE_H

#include <stdbool.h>
#include <stdint.h>

#include "director/iscsi.h"

#define SENSE_MEDIUM_ERROR 3
#define SENSE_UNIT_ATTENTION 6

struct outcome {
	bool retry;                     /* until the I/O's deadline */
	uint32_t retry_ms;
	int error;                      /* a negative errno */
	bool pass;                      /* the sense data says more than the errno */
	uint64_t information;
};

/* `c` came back with a status that is not GOOD. */
struct outcome sense_outcome(const struct director_iscsi_io *c);

#endif
