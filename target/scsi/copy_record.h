/* SPDX-License-Identifier: Apache-2.0 */
/* What a nexus may ask of its copies: by list identifier, the newest first, of the nexus's thread. */
#ifndef SCSI_COPY_RECORD_H
#define SCSI_COPY_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "target/task.h"

struct copy_record {
	struct copy_record *next;
	uint32_t id;
	bool lid4, running, failed;
	bool background;                /* it was answered when it began */
	bool stop;                      /* COPY OPERATION ABORT wants it to end */
	uint32_t segments;              /* processed */
	uint64_t bytes;
	uint8_t status;
	uint8_t sense_len;
	uint8_t sense[TASK_SENSE_MAX];
};

/* NULL with the answer set: the identifier is in use, or too many are. */
struct copy_record *copy_record_new(struct task *t, uint32_t id, bool background);
/* The task's answer is how it ended. */
void copy_record_end(struct copy_record *r, const struct task *t);

#endif
