/* SPDX-License-Identifier: Apache-2.0 */
/* Bounds of the command set, as VPD page B0h states them. */
#ifndef SCSI_LIMITS_H
#define SCSI_LIMITS_H

#define SCSI_CAW_BLOCKS_MAX 255         /* COMPARE AND WRITE */
#define SCSI_UNMAP_BLOCKS_MAX 0x100000u /* of one UNMAP, over all its ranges */
#define SCSI_UNMAP_RANGES_MAX 256u
#define SCSI_SAME_BLOCKS_MAX 0xffffu  /* WRITE SAME */
#define SCSI_CHUNK (1u << 20)           /* bytes of one step of a long verify or pattern write */

#endif
