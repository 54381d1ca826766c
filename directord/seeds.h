/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses that the administrator wrote down, for networks without multicast: literal addresses, and
 * names that a thread resolves. All are offered at the start and again with growing pauses.
 */
#ifndef DIRECTORD_SEEDS_H
#define DIRECTORD_SEEDS_H

#include <stdint.h>

#include "base/addr.h"

struct ev_loop;
struct log;
struct seeds;

typedef void seeds_fn(void *arg, const struct addr *addr);

/* `seeds`: "10.0.0.1", "10.0.0.1:7340", "[fe80::1%eth0]:7340", "name", "name:7340"; copied. */
struct seeds *seeds_new(struct ev_loop *loop, char *const *seeds, unsigned n, uint16_t port,
                        seeds_fn *found, void *arg, const struct log *log);
void seeds_free(struct seeds **s);
/* Start over at once, with short pauses again: the node is alone. */
void seeds_again(struct seeds *s);
/* Is this the text of a seed? */
int seeds_check(const char *seed);

#endif
