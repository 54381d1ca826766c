/* SPDX-License-Identifier: Apache-2.0 */
/* directord/udp: real sockets on loopback. */
#include "directord/udp.h"

#include <string.h>

#include "tests/unit/check.h"
#include "tests/unit/loop.h"

struct end {
	struct udp *udp;
	unsigned got, turns;
	size_t bytes;
	struct addr from, local, refused;
	uint8_t last[UDP_DGRAM_MAX];
	size_t last_len;
};

static void received(void *arg, const struct addr *from, const struct addr *local, const uint8_t *p, size_t n)
{
	struct end *e = arg;

	e->got++;
	e->bytes += n;
	e->from = *from;
	e->local = *local;
	memcpy(e->last, p, n);
	e->last_len = n;
}

static void refused(void *arg, const struct addr *to)
{
	((struct end *)arg)->refused = *to;
}

static void turn(void *arg)
{
	((struct end *)arg)->turns++;
}

static const struct udp_ops ops = { received, refused, turn };
static struct ev_loop *loop;

static void end_open(struct end *e, const char *at)
{
	struct addr a;
	char *why = NULL;

	memset(e, 0, sizeof(*e));
	CHECK_EQ(addr_parse(at, 0, &a), 0);
	e->udp = udp_new(loop, &a, 1, 0, &ops, e, NULL, &why);
	CHECK(e->udp);
	CHECK(udp_port(e->udp) != 0);
}

static void both_families_carry_both_addresses(void)
{
	static const char *const at[] = { "127.0.0.1", "::1" };

	for (unsigned i = 0; i < 2; i++) {
		struct end a, b;
		struct addr to;

		end_open(&a, at[i]);
		end_open(&b, at[i]);
		CHECK_EQ(addr_parse(at[i], udp_port(b.udp), &to), 0);
		udp_send(a.udp, &to, "hello", 5);
		LOOP_UNTIL(loop, b.got == 1);
		CHECK_EQ(b.last_len, 5);
		CHECK(memcmp(b.last, "hello", 5) == 0);
		CHECK_EQ(b.from.port, udp_port(a.udp));
		CHECK(addr_eq(&b.local, &to));
		CHECK(b.turns > 0);
		udp_free(&a.udp);
		udp_free(&b.udp);
	}
}

static void many_datagrams_leave_and_arrive_in_batches(void)
{
	struct end a, b;
	struct addr to;
	uint8_t big[UDP_DGRAM_MAX] = { 7 };

	end_open(&a, "127.0.0.1");
	end_open(&b, "127.0.0.1");
	CHECK_EQ(addr_parse("127.0.0.1", udp_port(b.udp), &to), 0);
	for (unsigned i = 0; i < 200; i++)
		udp_send(a.udp, &to, big, i == 199 ? sizeof(big) : 100);
	LOOP_UNTIL(loop, b.got == 200);
	CHECK_EQ(b.bytes, 199 * 100 + sizeof(big));
	CHECK_EQ(udp_counts(a.udp)->out, 200);
	CHECK_EQ(udp_counts(b.udp)->in, 200);
	udp_free(&a.udp);
	udp_free(&b.udp);
}

static void a_closed_port_is_told_with_its_address(void)
{
	struct end a, b;
	struct addr to;

	end_open(&a, "127.0.0.1");
	end_open(&b, "127.0.0.1");
	CHECK_EQ(addr_parse("127.0.0.1", udp_port(b.udp), &to), 0);
	udp_free(&b.udp);
	udp_send(a.udp, &to, "?", 1);
	LOOP_UNTIL(loop, a.refused.family != 0);
	CHECK(addr_eq(&a.refused, &to));
	/* And the error of that one does not eat the next. */
	end_open(&b, "127.0.0.1");
	CHECK_EQ(addr_parse("127.0.0.1", udp_port(b.udp), &to), 0);
	udp_send(a.udp, &to, "!", 1);
	LOOP_UNTIL(loop, b.got == 1);
	udp_free(&a.udp);
	udp_free(&b.udp);
}

static void a_port_in_use_is_named(void)
{
	struct end a;
	struct addr at;
	char *why = NULL;

	end_open(&a, "127.0.0.1");
	CHECK_EQ(addr_parse("127.0.0.1", udp_port(a.udp), &at), 0);
	CHECK(!udp_new(loop, &at, 1, 0, &ops, &a, NULL, &why));
	CHECK(why && strstr(why, "cannot listen at 127.0.0.1:"));
	free(why);
	udp_free(&a.udp);
}

int main(void)
{
	loop = ev_default_loop(0);
	RUN(both_families_carry_both_addresses);
	RUN(many_datagrams_leave_and_arrive_in_batches);
	RUN(a_closed_port_is_told_with_its_address);
	RUN(a_port_in_use_is_named);
	ev_loop_destroy(loop);
	return 0;
}
