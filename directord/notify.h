/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service manager (sd_notify(3)'s protocol, which is one datagram to $NOTIFY_SOCKET): readiness, a
 * line of status, the watchdog. Without a manager all of it does nothing.
 */
#ifndef DIRECTORD_NOTIFY_H
#define DIRECTORD_NOTIFY_H

#include <stdbool.h>

struct ev_loop;

/* Reads and clears the environment; starts the watchdog's timer if one is wanted. */
void notify_init(struct ev_loop *loop);
void notify_fini(void);
void notify_ready(void);
void notify_reloading(void);
void notify_stopping(void);
void notify_status(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Is standard error the journal (or a pipe to it)? */
bool notify_journal(void);

#endif
