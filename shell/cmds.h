/* SPDX-License-Identifier: Apache-2.0 */
/* The command tables, one for each noun or so; each ends with words NULL. */
#ifndef SHELL_CMDS_H
#define SHELL_CMDS_H

#include "shell/shell.h"

/* A word of a command: one that must be there, one that may, and all that are left. */
#define ARG(word, what) { .name = (word), .kind = (what) }
#define MAYBE(word, what) { .name = (word), .kind = (what), .optional = true }
#define REST(word, what) { .name = (word), .kind = (what), .optional = true, .rest = true }
/* Of commands that take away what initiators use; see sessions_refuse. */
#define FORCE_OPT { "force", 0, NULL, 0, NULL, "also while initiators are logged in" }

extern const struct cmd cmd_tree[], cmd_volume[], cmd_node[], cmd_target[], cmd_task[], cmd_txn[], cmd_status[],
	cmd_plugin[], cmd_help[], cmd_address[];

#endif
