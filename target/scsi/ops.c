/* SPDX-License-Identifier: Apache-2.0 */
/* The table itself: sorted by opcode, then service action. Usage bytes as in the standards' CDB figures. */
#include "target/scsi/op.h"

#include <stddef.h>

#include "target/scsi/ops.h"
#include "target/scsi/reserve.h"

#define FF4 0xff, 0xff, 0xff, 0xff
#define FF8 FF4, FF4
#define Z4 0, 0, 0, 0

/* RDPROTECT and WRPROTECT are left out (there is no protection information), DPO 0x10 and FUA 0x08 are in. */
const struct scsi_op scsi_ops[] = {
	{ 0x00, SA_NONE, 6, { 0x00, Z4, 0 }, op_test_unit_ready, ACCESS_READY, 0, REPEAT_READ,
		"TEST UNIT READY" },
	{ 0x03, SA_NONE, 6, { 0x03, 0x01, 0, 0, 0xff, 0 }, op_request_sense, ACCESS_FREE, OPF_KEEP_UA | OPF_NO_LUN, REPEAT_READ,
		"REQUEST SENSE" },
	{ 0x08, SA_NONE, 6, { 0x08, 0x1f, 0xff, 0xff, 0xff, 0 }, op_read, ACCESS_READ, 0, REPEAT_READ, "READ(6)" },
	{ 0x0a, SA_NONE, 6, { 0x0a, 0x1f, 0xff, 0xff, 0xff, 0 }, op_write, ACCESS_WRITE, OPF_WRITES, REPEAT_IDEMPOTENT, "WRITE(6)" },
	{ 0x12, SA_NONE, 6, { 0x12, 0x01, 0xff, 0xff, 0xff, 0 }, op_inquiry, ACCESS_FREE, OPF_KEEP_UA | OPF_NO_LUN, REPEAT_READ, "INQUIRY" },
	{ 0x15, SA_NONE, 6, { 0x15, 0x11, 0, 0, 0xff, 0 }, op_mode_select, ACCESS_WRITE, OPF_STATE, REPEAT_IDEMPOTENT, "MODE SELECT(6)" },
	{ 0x16, SA_NONE, 6, { 0x16, Z4, 0 }, reserve_reserve6, ACCESS_RESERVE, OPF_STATE, REPEAT_IDEMPOTENT, "RESERVE(6)" },
	{ 0x17, SA_NONE, 6, { 0x17, Z4, 0 }, reserve_release6, ACCESS_RELEASE, OPF_STATE, REPEAT_IDEMPOTENT, "RELEASE(6)" },
	{ 0x1a, SA_NONE, 6, { 0x1a, 0x08, 0xff, 0xff, 0xff, 0 }, op_mode_sense, ACCESS_WRITE, 0, REPEAT_READ, "MODE SENSE(6)" },
	{ 0x1b, SA_NONE, 6, { 0x1b, 0x01, 0x00, 0x0f, 0xf7, 0 }, op_start_stop, ACCESS_WRITE, 0, REPEAT_IDEMPOTENT, "START STOP UNIT" },
	{ 0x1e, SA_NONE, 6, { 0x1e, 0, 0, 0, 0x03, 0 }, op_prevent_allow, ACCESS_READ, 0, REPEAT_IDEMPOTENT, "PREVENT ALLOW MEDIUM REMOVAL" },
	{ 0x25, SA_NONE, 10, { 0x25, 0, FF4, 0, 0, 0x01, 0 }, op_read_capacity10, ACCESS_FREE, 0, REPEAT_READ, "READ CAPACITY(10)" },
	{ 0x28, SA_NONE, 10, { 0x28, 0x18, FF4, 0x3f, 0xff, 0xff, 0 }, op_read, ACCESS_READ, 0, REPEAT_READ, "READ(10)" },
	{ 0x2a, SA_NONE, 10, { 0x2a, 0x18, FF4, 0x3f, 0xff, 0xff, 0 }, op_write, ACCESS_WRITE, OPF_WRITES, REPEAT_IDEMPOTENT, "WRITE(10)" },
	{ 0x2e, SA_NONE, 10, { 0x2e, 0x16, FF4, 0x3f, 0xff, 0xff, 0 }, op_write_verify, ACCESS_WRITE, OPF_WRITES, REPEAT_IDEMPOTENT,
		"WRITE AND VERIFY(10)" },
	{ 0x2f, SA_NONE, 10, { 0x2f, 0x16, FF4, 0x3f, 0xff, 0xff, 0 }, op_verify, ACCESS_READ, 0, REPEAT_READ, "VERIFY(10)" },
	{ 0x34, SA_NONE, 10, { 0x34, 0x02, FF4, 0x3f, 0xff, 0xff, 0 }, op_prefetch, ACCESS_READ, 0, REPEAT_READ, "PRE-FETCH(10)" },
	{ 0x35, SA_NONE, 10, { 0x35, 0x02, FF4, 0x3f, 0xff, 0xff, 0 }, op_synchronize, ACCESS_WRITE, 0, REPEAT_IDEMPOTENT,
		"SYNCHRONIZE CACHE(10)" },
	{ 0x37, SA_NONE, 10, { 0x37, 0, 0x1f, Z4, 0xff, 0xff, 0 }, op_defect_data, ACCESS_READ, 0, REPEAT_READ, "READ DEFECT DATA(10)" },
	{ 0x41, SA_NONE, 10, { 0x41, 0x08, FF4, 0x3f, 0xff, 0xff, 0 }, op_write_same, ACCESS_WRITE, OPF_WRITES, REPEAT_IDEMPOTENT,
		"WRITE SAME(10)" },
	{ 0x42, SA_NONE, 10, { 0x42, 0, Z4, 0x3f, 0xff, 0xff, 0 }, op_unmap, ACCESS_WRITE, OPF_WRITES, REPEAT_IDEMPOTENT, "UNMAP" },
	{ 0x55, SA_NONE, 10, { 0x55, 0x11, 0, Z4, 0xff, 0xff, 0 }, op_mode_select, ACCESS_WRITE, OPF_STATE, REPEAT_IDEMPOTENT,
		"MODE SELECT(10)" },
	{ 0x5a, SA_NONE, 10, { 0x5a, 0x18, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0 }, op_mode_sense, ACCESS_WRITE, 0, REPEAT_READ,
		"MODE SENSE(10)" },
	{ 0x5e, 0x00, 10, { 0x5e, 0x1f, 0, Z4, 0xff, 0xff, 0 }, reserve_pr_in, ACCESS_PR_IN, OPF_STATE, REPEAT_READ, "READ KEYS" },
	{ 0x5e, 0x01, 10, { 0x5e, 0x1f, 0, Z4, 0xff, 0xff, 0 }, reserve_pr_in, ACCESS_PR_IN, OPF_STATE, REPEAT_READ, "READ RESERVATION" },
	{ 0x5e, 0x02, 10, { 0x5e, 0x1f, 0, Z4, 0xff, 0xff, 0 }, reserve_pr_in, ACCESS_PR_IN, OPF_STATE, REPEAT_READ, "REPORT CAPABILITIES" },
	{ 0x5e, 0x03, 10, { 0x5e, 0x1f, 0, Z4, 0xff, 0xff, 0 }, reserve_pr_in, ACCESS_PR_IN, OPF_STATE, REPEAT_READ, "READ FULL STATUS" },
	{ 0x5f, 0x00, 10, { 0x5f, 0x1f, 0xff, 0, 0, FF4, 0 }, reserve_pr_out, ACCESS_PR_OUT, OPF_STATE, REPEAT_ONCE, "REGISTER" },
	{ 0x5f, 0x01, 10, { 0x5f, 0x1f, 0xff, 0, 0, FF4, 0 }, reserve_pr_out, ACCESS_PR_OUT, OPF_STATE, REPEAT_ONCE, "RESERVE" },
	{ 0x5f, 0x02, 10, { 0x5f, 0x1f, 0xff, 0, 0, FF4, 0 }, reserve_pr_out, ACCESS_PR_OUT, OPF_STATE, REPEAT_ONCE, "RELEASE" },
	{ 0x5f, 0x03, 10, { 0x5f, 0x1f, 0xff, 0, 0, FF4, 0 }, reserve_pr_out, ACCESS_PR_OUT, OPF_STATE, REPEAT_ONCE, "CLEAR" },
	{ 0x5f, 0x04, 10, { 0x5f, 0x1f, 0xff, 0, 0, FF4, 0 }, reserve_pr_out, ACCESS_PR_OUT, OPF_STATE, REPEAT_ONCE, "PREEMPT" },
	{ 0x5f, 0x06, 10, { 0x5f, 0x1f, 0xff, 0, 0, FF4, 0 }, reserve_pr_out, ACCESS_PR_OUT, OPF_STATE, REPEAT_ONCE,
		"REGISTER AND IGNORE EXISTING KEY" },
	{ 0x88, SA_NONE, 16, { 0x88, 0x18, FF8, FF4, 0x3f, 0 }, op_read, ACCESS_READ, 0, REPEAT_READ, "READ(16)" },
	{ 0x89, SA_NONE, 16, { 0x89, 0x18, FF8, 0, 0, 0, 0xff, 0x3f, 0 }, op_compare_and_write, ACCESS_WRITE, OPF_WRITES, REPEAT_ONCE,
		"COMPARE AND WRITE" },
	{ 0x8a, SA_NONE, 16, { 0x8a, 0x18, FF8, FF4, 0x3f, 0 }, op_write, ACCESS_WRITE, OPF_WRITES, REPEAT_IDEMPOTENT, "WRITE(16)" },
	{ 0x8b, SA_NONE, 16, { 0x8b, 0x18, FF8, FF4, 0x3f, 0 }, op_orwrite, ACCESS_WRITE, OPF_WRITES, REPEAT_IDEMPOTENT, "ORWRITE(16)" },
	{ 0x8e, SA_NONE, 16, { 0x8e, 0x16, FF8, FF4, 0x3f, 0 }, op_write_verify, ACCESS_WRITE, OPF_WRITES, REPEAT_IDEMPOTENT,
		"WRITE AND VERIFY(16)" },
	{ 0x8f, SA_NONE, 16, { 0x8f, 0x16, FF8, FF4, 0x3f, 0 }, op_verify, ACCESS_READ, 0, REPEAT_READ, "VERIFY(16)" },
	{ 0x90, SA_NONE, 16, { 0x90, 0x02, FF8, FF4, 0x3f, 0 }, op_prefetch, ACCESS_READ, 0, REPEAT_READ, "PRE-FETCH(16)" },
	{ 0x91, SA_NONE, 16, { 0x91, 0x02, FF8, FF4, 0x3f, 0 }, op_synchronize, ACCESS_WRITE, 0, REPEAT_IDEMPOTENT, "SYNCHRONIZE CACHE(16)" },
	{ 0x93, SA_NONE, 16, { 0x93, 0x09, FF8, FF4, 0x3f, 0 }, op_write_same, ACCESS_WRITE, OPF_WRITES, REPEAT_IDEMPOTENT,
		"WRITE SAME(16)" },
	{ 0x9e, 0x10, 16, { 0x9e, 0x1f, FF8, FF4, 0x01, 0 }, op_read_capacity16, ACCESS_FREE, 0, REPEAT_READ, "READ CAPACITY(16)" },
	{ 0x9e, 0x12, 16, { 0x9e, 0x1f, FF8, FF4, 0, 0 }, op_get_lba_status, ACCESS_READ, 0, REPEAT_READ, "GET LBA STATUS" },
	{ 0xa0, SA_NONE, 12, { 0xa0, 0, 0xff, 0, 0, 0, FF4, 0, 0 }, op_report_luns, ACCESS_FREE, OPF_KEEP_UA | OPF_NO_LUN, REPEAT_READ,
		"REPORT LUNS" },
	{ 0xa3, 0x0c, 12, { 0xa3, 0x1f, 0x87, 0xff, 0xff, 0xff, FF4, 0, 0 }, op_report_opcodes, ACCESS_FREE, 0, REPEAT_READ,
		"REPORT SUPPORTED OPERATION CODES" },
	{ 0xa3, 0x0d, 12, { 0xa3, 0x1f, 0x80, 0, 0, 0, FF4, 0, 0 }, op_report_tmfs, ACCESS_FREE, 0, REPEAT_READ,
		"REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS" },
	{ 0xa8, SA_NONE, 12, { 0xa8, 0x18, FF8, 0x3f, 0 }, op_read, ACCESS_READ, 0, REPEAT_READ, "READ(12)" },
	{ 0xaa, SA_NONE, 12, { 0xaa, 0x18, FF8, 0x3f, 0 }, op_write, ACCESS_WRITE, OPF_WRITES, REPEAT_IDEMPOTENT, "WRITE(12)" },
	{ 0xae, SA_NONE, 12, { 0xae, 0x16, FF8, 0x3f, 0 }, op_write_verify, ACCESS_WRITE, OPF_WRITES, REPEAT_IDEMPOTENT,
		"WRITE AND VERIFY(12)" },
	{ 0xaf, SA_NONE, 12, { 0xaf, 0x16, FF8, 0x3f, 0 }, op_verify, ACCESS_READ, 0, REPEAT_READ, "VERIFY(12)" },
	{ 0xb7, SA_NONE, 12, { 0xb7, 0x1f, FF8, 0, 0 }, op_defect_data, ACCESS_READ, 0, REPEAT_READ, "READ DEFECT DATA(12)" },
};

const unsigned scsi_n_ops = sizeof(scsi_ops) / sizeof(scsi_ops[0]);
