/* SPDX-License-Identifier: Apache-2.0 */
/* directord/mesh: real ZeroMQ endpoints on loopback, with right keys and wrong ones. */
#include "directord/mesh.h"

#include <string.h>

#include <sodium.h>

#include "base/err.h"
#include "base/mem.h"
#include "tests/unit/check.h"
#include "tests/unit/loop.h"

struct end {
	struct mesh *mesh;
	struct node_id id;
	uint8_t curve[32];
	struct addr addr;
	unsigned got, up, down, refused;
	struct node_id from;
	uint8_t first;
	size_t len, bytes;
	bool in_order;
};

static struct ev_loop *loop;

static void received(void *arg, const struct node_id *from, const uint8_t *p, size_t n)
{
	struct end *e = arg;

	e->from = *from;
	e->first = n ? p[0] : 0;
	e->in_order &= n == 0 || p[0] == (uint8_t)e->got;
	e->len = n;
	e->bytes += n;
	e->got++;
}

static void up(void *arg, const struct node_id *peer)
{
	((struct end *)arg)->up++;
}

static void down(void *arg, const struct node_id *peer)
{
	((struct end *)arg)->down++;
}

static void refused(void *arg, const char *from, const uint8_t *key)
{
	((struct end *)arg)->refused++;
}

static const struct mesh_ops ops = { received, up, down, refused };

static void end_open_at(struct end *e, uint8_t number, const char *host, uint16_t port, unsigned idle_ms)
{
	struct mesh_conf conf = { .port = port, .n_listen = 1, .idle_ms = idle_ms };
	struct addr listen;
	char *why = NULL;

	memset(e, 0, sizeof(*e));
	e->id.b[0] = number;
	e->in_order = true;
	crypto_box_seed_keypair(conf.curve_public, conf.curve_secret, (uint8_t[32]){ number });
	memcpy(e->curve, conf.curve_public, 32);
	CHECK_EQ(addr_parse(host, 0, &listen), 0);
	conf.listen = &listen;
	e->mesh = mesh_new(loop, &conf, &ops, e, &why);
	CHECK(e->mesh);
	e->addr = listen;
	e->addr.port = mesh_port(e->mesh);
	CHECK(e->addr.port);
}

static void end_open(struct end *e, uint8_t number)
{
	end_open_at(e, number, "127.0.0.1", 0, 0);
}

static void know(struct end *a, const struct end *b)
{
	mesh_peer_set(a->mesh, &b->id, b->curve, &b->addr);
}

static void members_hear_each_other_and_know_who(void)
{
	struct end a, b;

	end_open(&a, 1);
	end_open(&b, 2);
	know(&a, &b);
	know(&b, &a);
	CHECK_EQ(mesh_send(a.mesh, &b.id, "x", 1), 0);
	LOOP_UNTIL(loop, b.got == 1 && a.up == 1);
	CHECK(node_id_eq(&b.from, &a.id));
	CHECK_EQ(mesh_send(b.mesh, &a.id, "y", 1), 0);
	LOOP_UNTIL(loop, a.got == 1);
	CHECK(node_id_eq(&a.from, &b.id));
	mesh_free(&a.mesh);
	mesh_free(&b.mesh);
}

static void ipv6_carries_too(void)
{
	struct end a, b;

	end_open_at(&a, 1, "::1", 0, 0);
	end_open_at(&b, 2, "::1", 0, 0);
	know(&a, &b);
	know(&b, &a);
	CHECK_EQ(mesh_send(a.mesh, &b.id, "x", 1), 0);
	LOOP_UNTIL(loop, b.got == 1 && a.up == 1);
	mesh_free(&a.mesh);
	mesh_free(&b.mesh);
}

static void a_large_message_and_a_full_queue_are_handled(void)
{
	size_t big = 3u << 20;
	uint8_t *p = mem_zalloc(MESH_MESSAGE_MAX + 1);
	struct end a, b;
	unsigned queued = 0;
	struct mesh_counts counts;

	end_open(&a, 1);
	end_open(&b, 2);
	know(&a, &b);
	know(&b, &a);
	CHECK_EQ(mesh_send(a.mesh, &b.id, p, MESH_MESSAGE_MAX + 1), ERR_LIMIT);
	CHECK_EQ(mesh_send(a.mesh, &b.id, p, big), 0);
	LOOP_UNTIL(loop, b.got == 1);
	CHECK_EQ(b.len, big);
	/* The peer does not read: its loop is ours. What was taken arrives, in order. */
	for (unsigned i = 1; i < 5000; i++) {
		p[0] = (uint8_t)i;
		if (mesh_send(a.mesh, &b.id, p, 64 << 10) != 0)
			break;
		queued++;
	}
	CHECK(queued >= MESH_QUEUE_MAX / 2);
	CHECK(queued < 4000);
	mesh_counts(a.mesh, &counts);
	CHECK_EQ(counts.full, 1);
	LOOP_UNTIL(loop, b.got == queued + 1);
	CHECK(b.in_order);
	mesh_free(&a.mesh);
	mesh_free(&b.mesh);
	mem_autofree(&p);
}

static void a_key_that_is_not_in_the_set_is_refused(void)
{
	struct end a, x;
	struct mesh_counts counts;

	end_open(&a, 1);
	end_open(&x, 9);
	know(&x, &a);                   /* x knows where a is, and a's key; a has never heard of x */
	CHECK_EQ(mesh_send(x.mesh, &a.id, "let me in", 9), 0);
	LOOP_UNTIL(loop, a.refused > 0);
	mesh_counts(a.mesh, &counts);
	CHECK(counts.refused > 0);
	CHECK_EQ(a.got, 0);
	CHECK_EQ(x.up, 0);
	/* And when it is admitted later, it can be heard. */
	know(&a, &x);
	LOOP_UNTIL(loop, mesh_send(x.mesh, &a.id, "now", 3) == 0 && a.got > 0);
	mesh_free(&a.mesh);
	mesh_free(&x.mesh);
}

static void what_was_said_too_early_arrives_once_the_speaker_is_known(void)
{
	struct end a, b;

	end_open(&a, 1);
	end_open(&b, 2);
	know(&a, &b);
	CHECK_EQ(mesh_send(a.mesh, &b.id, "x", 1), 0);
	LOOP_FOR(loop, 0.2);
	CHECK_EQ(b.got, 0);
	know(&b, &a);
	LOOP_UNTIL(loop, b.got == 1);
	CHECK_EQ(b.refused, 0);
	mesh_free(&a.mesh);
	mesh_free(&b.mesh);
}

static void a_server_with_another_key_gets_nothing(void)
{
	struct end a, x, b;

	end_open(&a, 1);
	end_open(&x, 9);
	end_open(&b, 2);
	b.addr = x.addr;                /* x sits where b should be */
	know(&a, &b);
	know(&x, &a);
	CHECK_EQ(mesh_send(a.mesh, &b.id, "secret", 6), 0);
	LOOP_UNTIL(loop, x.refused > 0);
	CHECK_EQ(x.got, 0);
	CHECK_EQ(a.up, 0);
	mesh_free(&a.mesh);
	mesh_free(&x.mesh);
	mesh_free(&b.mesh);
}

static void a_removed_peer_is_not_heard_on_its_open_connection(void)
{
	struct end a, b;
	struct mesh_counts counts;

	end_open(&a, 1);
	end_open(&b, 2);
	know(&a, &b);
	know(&b, &a);
	CHECK_EQ(mesh_send(b.mesh, &a.id, "1", 1), 0);
	LOOP_UNTIL(loop, a.got == 1);
	mesh_peer_remove(a.mesh, &b.id);
	CHECK_EQ(mesh_send(b.mesh, &a.id, "2", 1), 0);
	LOOP_UNTIL(loop, (mesh_counts(a.mesh, &counts), counts.dropped == 1));
	CHECK_EQ(a.got, 1);
	CHECK_EQ(mesh_send(a.mesh, &b.id, "3", 1), ERR_NOENT);
	mesh_free(&a.mesh);
	mesh_free(&b.mesh);
}

static void a_peer_that_restarts_is_told_down_and_reached_again(void)
{
	struct end a, b, again;

	end_open(&a, 1);
	end_open(&b, 2);
	know(&a, &b);
	know(&b, &a);
	CHECK_EQ(mesh_send(a.mesh, &b.id, "1", 1), 0);
	LOOP_UNTIL(loop, b.got == 1);
	mesh_free(&b.mesh);
	LOOP_UNTIL(loop, a.down == 1);
	end_open_at(&again, 2, "127.0.0.1", b.addr.port, 0);
	know(&a, &again);
	know(&again, &a);
	CHECK_EQ(mesh_send(a.mesh, &again.id, "2", 1), 0);
	LOOP_UNTIL(loop, again.got == 1 && a.up == 2);
	mesh_free(&a.mesh);
	mesh_free(&again.mesh);
}

static void an_idle_connection_is_closed_without_alarm_and_made_again(void)
{
	struct end a, b;
	struct mesh_counts counts;

	end_open_at(&a, 1, "127.0.0.1", 0, 100);
	end_open(&b, 2);
	know(&a, &b);
	know(&b, &a);
	CHECK_EQ(mesh_send(a.mesh, &b.id, "1", 1), 0);
	LOOP_UNTIL(loop, b.got == 1 && a.up == 1);
	LOOP_UNTIL(loop, (mesh_counts(a.mesh, &counts), counts.up == 0));
	CHECK_EQ(a.down, 0);
	CHECK_EQ(mesh_send(a.mesh, &b.id, "2", 1), 0);
	LOOP_UNTIL(loop, b.got == 2);
	mesh_free(&a.mesh);
	mesh_free(&b.mesh);
}

static void an_address_that_changes_hands_reaches_the_new_owner(void)
{
	struct end a, b, c;

	end_open(&a, 1);
	end_open(&b, 2);
	know(&a, &b);
	know(&b, &a);
	CHECK_EQ(mesh_send(a.mesh, &b.id, "1", 1), 0);
	LOOP_UNTIL(loop, b.got == 1);
	mesh_free(&b.mesh);
	end_open_at(&c, 3, "127.0.0.1", b.addr.port, 0);
	know(&a, &c);
	know(&c, &a);
	CHECK_EQ(mesh_send(a.mesh, &c.id, "2", 1), 0);
	LOOP_UNTIL(loop, c.got == 1);
	mesh_free(&a.mesh);
	mesh_free(&c.mesh);
}

int main(void)
{
	CHECK(sodium_init() >= 0);
	loop = ev_default_loop(0);
	RUN(members_hear_each_other_and_know_who);
	RUN(ipv6_carries_too);
	RUN(a_large_message_and_a_full_queue_are_handled);
	RUN(a_key_that_is_not_in_the_set_is_refused);
	RUN(what_was_said_too_early_arrives_once_the_speaker_is_known);
	RUN(a_server_with_another_key_gets_nothing);
	RUN(a_removed_peer_is_not_heard_on_its_open_connection);
	RUN(a_peer_that_restarts_is_told_down_and_reached_again);
	RUN(an_idle_connection_is_closed_without_alarm_and_made_again);
	RUN(an_address_that_changes_hands_reaches_the_new_owner);
	ev_loop_destroy(loop);
	return 0;
}
