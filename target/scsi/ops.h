/* SPDX-License-Identifier: Apache-2.0 */
/* The handlers that the table names; each is in the file of its noun. */
#ifndef SCSI_OPS_H
#define SCSI_OPS_H

struct task;

/* inquiry.c */
int op_inquiry(struct task *t);
int inquiry_no_lun(struct task *t);
/* report.c */
int op_test_unit_ready(struct task *t);
int op_request_sense(struct task *t);
int op_report_luns(struct task *t);
int op_report_opcodes(struct task *t);
int op_report_tmfs(struct task *t);
int op_read_capacity10(struct task *t);
int op_read_capacity16(struct task *t);
int op_get_lba_status(struct task *t);
int op_start_stop(struct task *t);
int op_prevent_allow(struct task *t);
int op_defect_data(struct task *t);
int op_send_diagnostic(struct task *t);
/* mode.c */
int op_mode_sense(struct task *t);
int op_mode_select(struct task *t);
/* log.c */
int log_sense(struct task *t);
int log_select(struct task *t);
/* sanitize.c */
int sanitize_overwrite(struct task *t);
int sanitize_erase(struct task *t);
int sanitize_exit(struct task *t);
int sanitize_background(struct task *t);
/* rw.c */
int op_read(struct task *t);
int op_write(struct task *t);
int op_prefetch(struct task *t);
int op_synchronize(struct task *t);
int op_compare_and_write(struct task *t);
int op_orwrite(struct task *t);
/* checksum.c */
int op_checksum(struct task *t);
/* verify.c */
int op_verify(struct task *t);
int op_write_verify(struct task *t);
/* same.c */
int op_write_same(struct task *t);
int op_unmap(struct task *t);

#endif
