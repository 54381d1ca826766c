/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines to standard error: with the priority prefix that the journal understands, or with a time stamp when a
 * person or a file reads them. Callable from every thread.
 */
#ifndef DIRECTORD_LOGGER_H
#define DIRECTORD_LOGGER_H

#include <stdbool.h>

#include "base/log.h"

/* `journal`: see notify_journal. The strings of *l are the caller's. */
void logger_init(struct log *l, enum log_level level, const char *debug, bool journal);
/*
 * Also hand every line (after its filter) to `tap`, on the loop's thread only; for events. One tap; NULL: none.
 */
void logger_tap(void (*tap)(void *arg, enum log_level level, const char *line), void *arg);

#endif
