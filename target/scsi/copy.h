/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Third-party copy (SPC-4 5.16, 6.3, 6.16 to 6.24): EXTENDED COPY with lists of segments between units of
 * this process, and what is reported of it.
 */
#ifndef SCSI_COPY_H
#define SCSI_COPY_H

#include <stdint.h>

#define COPY_CSCDS_MAX 16
#define COPY_SEGMENTS_MAX 64
#define COPY_LIST_MAX (COPY_CSCDS_MAX * 32 + COPY_SEGMENTS_MAX * 28)   /* bytes of descriptors */
#define COPY_SEGMENT_BYTES_MAX (256u << 20)
#define COPY_RECORDS_MAX 8              /* kept per nexus */

struct scsi_nexus;
struct task;

/* The records of a nexus that goes. */
void copies_free(struct scsi_nexus *n);

int copy_extended(struct task *t);
/* `t` goes on, and is answered by this. */
void copy_early(const struct task *t, struct task *answer);
/* One that was answered before it was over is. */
void copy_over(struct task *t);
int copy_abort(struct task *t);
int copy_status(struct task *t);
int copy_parameters(struct task *t);
int copy_failure(struct task *t);

/* VPD page 8Fh, from byte 4 on; returns its end. */
uint8_t *copy_page(const struct task *t, uint8_t *p);

#endif
