/* SPDX-License-Identifier: Apache-2.0 */
/* Ending TCP connections from outside (sock_diag(7), by libmnl). */
#ifndef DIRECTORD_TCPEND_H
#define DIRECTORD_TCPEND_H

#include "base/addr.h"

/*
 * Reset every connection that this machine has under the address `ip` (its port is not looked at), so that the other ends
 * know at once. How many there were, or -errno; a kernel without CONFIG_INET_DIAG_DESTROY says -EOPNOTSUPP.
 */
int tcp_end(const struct addr *ip);

#endif
