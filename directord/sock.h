/* SPDX-License-Identifier: Apache-2.0 */
/* struct addr to the kernel's socket addresses and back. */
#ifndef DIRECTORD_SOCK_H
#define DIRECTORD_SOCK_H

#include <sys/socket.h>

#include "base/addr.h"

/* Fills *ss; returns its length, 0 for an address of no family. */
socklen_t sock_of_addr(const struct addr *a, struct sockaddr_storage *ss);
/* Family 0 for what is neither IPv4 nor IPv6. An IPv4 address mapped into IPv6 becomes IPv4. Scope is kept for link-local addresses only. */
struct addr sock_addr(const void *sa);

#endif
