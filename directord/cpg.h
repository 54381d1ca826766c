/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node's seat in Corosync's process group: views, messages in total order, casts. A thread of its own
 * talks to libcpg and libquorum, because their calls wait for a Corosync that may be stopped or
 * stalled; everything reaches the caller on the loop, in the order in which Corosync gave it.
 *
 * It connects by itself and again whenever Corosync dies or restarts. A seat that is down has no view.
 */
#ifndef DIRECTORD_CPG_H
#define DIRECTORD_CPG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cpg;
struct ev_loop;
struct log;

#define CPG_CAST_MAX (900u * 1024)      /* bytes of one cast (Corosync's own limit is 1 MiB with its headers) */
#define CPG_QUEUE_MAX 1024              /* casts that may wait for Corosync's flow control */
#define CPG_QUEUE_BYTES_MAX (8u << 20)

/*
 * The members of the group at one point of the total order. `id` is the same on all members for the same ring and
 * the same processes, and differs when either differs: it is made of the ring id and of every
 * member's (nodeid, pid), with Corosync's join reason left out. A ring that re-forms with the same members
 * is a new view.
 */
struct cpg_view {
	uint64_t id;
	uint32_t ring_node;             /* Totem's ring id: representative and sequence */
	uint64_t ring_seq;
	uint32_t self;                  /* our nodeid; always among the members */
	const uint32_t *nodes;          /* ascending, without duplicates */
	unsigned n;
	const uint32_t *ring;           /* all whose Corosync is in the ring, whether or not their process is in the group */
	unsigned n_ring;
};

struct cpg_events {
	/* A new view. Every message delivered after it was ordered after it at all its members. */
	void (*view)(void *arg, const struct cpg_view *v);
	/* The seat is lost: no view, nothing more is delivered until the next view; queued casts are dropped. */
	void (*down)(void *arg, const char *why);
	/* A message, our own casts included. `data` is borrowed. */
	void (*message)(void *arg, uint32_t from, const uint8_t *data, size_t len);
	/*
	 * Corosync's own idea of quorum, for the ring that it names. It comes after the view of that ring, proves nothing
	 * about ownership, and does not change when a node was paused. May be NULL.
	 */
	void (*quorate)(void *arg, bool quorate, uint32_t ring_node, uint64_t ring_seq, const uint32_t *nodes, unsigned n);
};

struct cpg_options {
	struct ev_loop *loop;
	const struct log *log;          /* written to on the loop only; may be NULL */
	const char *group;              /* name of the process group, at most 127 bytes */
	struct cpg_events on;
	void *arg;
};

/* Starts connecting at once and goes on trying (every 50 ms, slowing down to once a second). */
struct cpg *cpg_open(const struct cpg_options *o);
/* Leaves the group; no event comes after it. Waits for the thread a second at most (a Corosync that hangs). */
void cpg_close(struct cpg **c);
/* Corosync was started just now: try again soon, and often. */
void cpg_hurry(struct cpg *c);
/*
 * Send to all members, ourselves included (borrowed, copied). Casts of one node stay in order.
 * ERR_AGAIN: no seat now. ERR_LIMIT: the queue is full or the message too long. A cast that was taken is not
 * a promise: a seat lost before delivery loses it.
 */
int cpg_cast(struct cpg *c, const void *data, size_t len);
bool cpg_is_up(const struct cpg *c);
/*
 * Milliseconds since the oldest of our casts that was not delivered back to us was handed over; 0: none is
 * outstanding. In an asymmetric partition this is the only sign that the ring has stalled.
 */
uint64_t cpg_waiting_ms(const struct cpg *c);

#endif
