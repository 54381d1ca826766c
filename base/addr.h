/* SPDX-License-Identifier: Apache-2.0 */
/* A network address as plain data (no socket header), IPv4 or IPv6, with port. */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include <stdbool.h>
#include <stdint.h>

struct addr {
	uint8_t family;         /* 4, 6, or 0 for none */
	uint8_t ip[16];         /* network order; IPv4 uses the first four */
	uint16_t port;          /* host order */
	uint32_t scope;         /* interface index of a link-local IPv6 address, else 0; never sent to others */
};

bool addr_eq(const struct addr *a, const struct addr *b);
int addr_cmp(const struct addr *a, const struct addr *b);
/* "10.0.0.1:7946" or "[fe80::1%2]:7946"; without port when it is 0. `out` holds 64 bytes. Returns out. */
char *addr_text(const struct addr *a, char *out);
/* The reverse; `port` is used when the text has none. Literal addresses only. */
int addr_parse(const char *s, uint16_t port, struct addr *a);
bool addr_is_loopback(const struct addr *a);
bool addr_is_linklocal(const struct addr *a);

#endif
