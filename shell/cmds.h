/* SPDX-License-Identifier: Apache-2.0 */
/* The command tables, one for each noun or so; each ends with words NULL. */
#ifndef SHELL_CMDS_H
#define SHELL_CMDS_H

#include "shell/shell.h"

extern const struct cmd cmd_tree[], cmd_volume[], cmd_node[], cmd_target[], cmd_task[], cmd_txn[], cmd_status[],
	cmd_plugin[], cmd_help[];

#endif
