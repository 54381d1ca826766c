/* SPDX-License-Identifier: Apache-2.0 */
/* Avahi's wish for a main loop (AvahiPoll), fulfilled by libev. */
#ifndef DIRECTORD_AVAHI_EV_H
#define DIRECTORD_AVAHI_EV_H

struct AvahiPoll;
struct ev_loop;

/* All watches and timeouts must be freed before the poll is. */
struct AvahiPoll *avahi_ev_new(struct ev_loop *loop);
void avahi_ev_free(struct AvahiPoll **p);

#endif
