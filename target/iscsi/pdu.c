/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of each PDU that an initiator may send. */
#include "target/iscsi/pdu.h"

#define FULL (PDU_F_FULL | PDU_F_CMDSN | PDU_F_IMMEDIATE)

static const struct pdu_row rows[] = {
	{ PDU_NOP_OUT, FULL | PDU_F_DISCOVERY | PDU_F_DATA, "NOP-Out" },                /* 11.18 */
	{ PDU_SCSI_COMMAND, FULL | PDU_F_DATA, "SCSI Command" },                        /* 11.3 */
	{ PDU_TASK_MGMT, FULL, "Task Management" },                                     /* 11.5 */
	{ PDU_LOGIN, PDU_F_LOGIN | PDU_F_DATA | PDU_F_IMMEDIATE, "Login" },             /* 11.12 */
	{ PDU_TEXT, FULL | PDU_F_DISCOVERY | PDU_F_DATA, "Text" },                      /* 11.10 */
	{ PDU_DATA_OUT, PDU_F_FULL | PDU_F_DATA, "Data-Out" },                          /* 11.7 */
	{ PDU_LOGOUT, FULL | PDU_F_DISCOVERY, "Logout" },                               /* 11.14 */
	{ PDU_SNACK, PDU_F_FULL, "SNACK" },                                             /* 11.16 */
};

const struct pdu_row *pdu_row(uint8_t op)
{
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].op == op)
			return &rows[i];
	return NULL;
}
