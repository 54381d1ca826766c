/* SPDX-License-Identifier: Apache-2.0 */
/* director-iscsi discover, inquiry, read, write, verify, serve: what moves no more data than a person waits for. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "initiator/tool.h"

int cmd_discover(struct tool *t, int argc, char **argv) { return 2; }
int cmd_inquiry(struct tool *t, int argc, char **argv) { return 2; }
int cmd_read(struct tool *t, int argc, char **argv) { return 2; }
int cmd_write(struct tool *t, int argc, char **argv) { return 2; }
int cmd_verify(struct tool *t, int argc, char **argv) { return 2; }
int cmd_serve(struct tool *t, int argc, char **argv) { return 2; }
