/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams: one socket per family and listen address. Sends are gathered and leave together at
 * udp_flush (and, at the latest, before the loop sleeps). A destination that is told to be unreachable by
 * ICMP is a hint, never a proof.
 */
#ifndef DIRECTORD_UDP_H
#define DIRECTORD_UDP_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

struct ev_loop;
struct log;
struct udp;

#define UDP_DGRAM_MAX 1500              /* longer ones are dropped and counted */

struct udp_ops {
	/* `local`: the address it was sent to (family 0 when not known), with our port. Bytes are borrowed. */
	void (*received)(void *arg, const struct addr *from, const struct addr *local, const uint8_t *p, size_t n);
	/* ICMP says that nobody listens at `to`, or that there is no way to it. May be NULL. */
	void (*refused)(void *arg, const struct addr *to);
	/* All that one turn of the loop had to deliver was delivered. May be NULL. */
	void (*turn)(void *arg);
};

struct udp_counts {
	uint64_t in, out, bytes_in, bytes_out;
	uint64_t dropped_long, dropped_full, send_failed, refused;
};

/*
 * Open sockets at `listen` (n 0: all addresses of both families; a family that the kernel lacks is left
 * out). Ports of 0 in `listen` take `port`. *why (may be NULL) is given a sentence.
 */
struct udp *udp_new(struct ev_loop *loop, const struct addr *listen, unsigned n, uint16_t port,
                    const struct udp_ops *ops, void *arg, const struct log *log, char **why);
void udp_free(struct udp **u);
/* Queue one datagram (copied). A full queue is flushed first. Failures are counted: datagrams may be lost anyway. */
void udp_send(struct udp *u, const struct addr *to, const void *p, size_t n);
void udp_flush(struct udp *u);
const struct udp_counts *udp_counts(const struct udp *u);
/* The port in use (asked for with 0 in tests). */
uint16_t udp_port(const struct udp *u);

#endif
