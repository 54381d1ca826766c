/* SPDX-License-Identifier: Apache-2.0 */
/* Floating addresses: what a node does with them, and a small world in which nodes die, stop and are cut off. */
#include "cluster/float.h"

#include <stdint.h>
#include <string.h>

#include "base/addr.h"
#include "tests/unit/check.h"

static struct float_out out;

static struct mono ms(uint64_t t)
{
	return mono_add_ms((struct mono){ 1 }, t);
}

static struct float_host on(const char *interface, const char *ip, uint8_t prefix, bool floating)
{
	struct float_host h = { .prefix = prefix, .floating = floating };

	snprintf(h.interface, sizeof(h.interface), "%s", interface);
	if (ip)
		CHECK_EQ(addr_parse(ip, 0, &h.ip), 0);
	return h;
}

static struct float_want want(const char *ip, uint8_t prefix)
{
	struct float_want w = { .path = "/targets/t/addresses/a", .prefix = prefix, .mine = true, .until = MONO_NEVER,
	                        .ready = true, .known = true };

	CHECK_EQ(addr_parse(ip, 0, &w.ip), 0);
	return w;
}

static void tell(struct floats *f, const struct float_host *h, unsigned n)
{
	struct float_news news = { .kind = FLOAT_NEWS_HOST, .host = h, .n_host = n };

	floats_news(f, &news, ms(0));
}

static void news(struct floats *f, int kind, const struct float_want *w, const char *text, uint64_t at)
{
	struct float_news n = { .kind = kind, .ip = w->ip, .text = text };

	floats_news(f, &n, ms(at));
}

static struct floats *host(void)
{
	struct float_host h[] = { on("eth0", NULL, 0, false), on("eth0", "10.0.0.1", 24, false),
	                          on("eth0", "fd00::1", 64, false), on("eth1", NULL, 0, false) };
	struct floats *f = floats_new();

	tell(f, h, 4);
	return f;
}

static unsigned step(struct floats *f, const struct float_want *w, unsigned n, uint64_t at)
{
	out.n = 0;
	floats_step(f, w, n, ms(at), &out);
	return out.n;
}

static void is(unsigned i, enum float_act_kind kind, const char *interface)
{
	CHECK(i < out.n);
	CHECK_EQ(out.act[i].kind, kind);
	CHECK_STR(out.act[i].interface, interface);
}

static void test_taken_announced_renewed_and_given_back(void)
{
	struct float_want w = want("10.0.0.9", 24);
	struct floats *f = host();

	CHECK_EQ(step(f, &w, 1, 1000), 2);
	is(0, FLOAT_ADD, "eth0");
	is(1, FLOAT_ANNOUNCE, "eth0");
	CHECK(!out.act[0].route);
	CHECK_EQ(floats_report(f, w.path).state, FLOAT_UP);
	CHECK_EQ(step(f, &w, 1, 1150), 0);
	CHECK_EQ(step(f, &w, 1, 1200), 1);
	is(0, FLOAT_ANNOUNCE, "eth0");
	CHECK_EQ(step(f, &w, 1, 1250), 1);
	is(0, FLOAT_RENEW, "eth0");
	CHECK_EQ(out.wake.ns, ms(1500).ns);
	CHECK_EQ(step(f, &w, 1, 2000), 2);
	CHECK_EQ(step(f, &w, 1, 4000), 2);
	CHECK_EQ(step(f, &w, 1, 9000), 1);
	w.mine = false;
	CHECK_EQ(step(f, &w, 1, 9001), 1);
	is(0, FLOAT_REMOVE, "eth0");
	CHECK_EQ(floats_report(f, w.path).state, FLOAT_NONE);
	floats_free(&f);
}

static void test_ends_with_the_lease_and_is_renewed_only_with_it(void)
{
	struct float_want w = want("10.0.0.9", 24);
	struct floats *f = host();

	w.until = ms(2000);
	CHECK_EQ(step(f, &w, 1, 1000), 2);
	CHECK_EQ(step(f, &w, 1, 1400), 1);      /* the announcement */
	CHECK_EQ(step(f, &w, 1, 1900), 0);
	w.until = ms(2900);
	CHECK_EQ(step(f, &w, 1, 1901), 1);
	is(0, FLOAT_RENEW, "eth0");
	CHECK_EQ(step(f, &w, 1, 2900), 1);
	is(0, FLOAT_REMOVE, "eth0");
	floats_free(&f);
}

static void test_not_before_it_is_served_and_not_gone_at_once_when_the_server_dies(void)
{
	struct float_want w = want("10.0.0.9", 24);
	struct floats *f = host();

	w.ready = false;
	CHECK_EQ(step(f, &w, 1, 1000), 0);
	w.ready = true;
	w.until = ms(1000000);
	CHECK_EQ(step(f, &w, 1, 1001), 2);
	w.ready = false;
	step(f, &w, 1, 9000);
	w.ready = true;
	step(f, &w, 1, 11000);
	w.ready = false;
	step(f, &w, 1, 11100);
	step(f, &w, 1, 11100 + FLOAT_GRACE_MS - 1);
	CHECK_EQ(floats_report(f, w.path).state, FLOAT_UP);
	CHECK_EQ(step(f, &w, 1, 11100 + FLOAT_GRACE_MS), 1);
	is(0, FLOAT_REMOVE, "eth0");
	floats_free(&f);
}

static void test_the_interface(void)
{
	struct float_want w = want("10.1.0.9", 24);
	struct floats *f = host();

	CHECK_EQ(step(f, &w, 1, 1000), 0);
	CHECK_EQ(floats_report(f, w.path).state, FLOAT_FAILED);
	CHECK_STR(floats_report(f, w.path).text, "this node has no address in the same network: name an interface");
	w.interface = "eth7";
	CHECK_EQ(step(f, &w, 1, 1001), 0);
	CHECK_STR(floats_report(f, w.path).text, "this node has no interface eth7");
	w.interface = "eth1";
	CHECK_EQ(step(f, &w, 1, 1002), 2);
	is(0, FLOAT_ADD, "eth1");
	CHECK(out.act[0].route);
	/* Another interface: away from one, onto the other. */
	w.interface = "eth0";
	CHECK_EQ(step(f, &w, 1, 1003), 3);
	is(0, FLOAT_REMOVE, "eth1");
	is(1, FLOAT_ADD, "eth0");
	CHECK_EQ(step(f, NULL, 0, 1004), 1);
	is(0, FLOAT_REMOVE, "eth0");
	floats_free(&f);
}

static void test_several_of_both_families(void)
{
	struct float_want w[2] = { want("10.0.0.9", 24), want("fd00::9", 64) };
	struct floats *f = host();

	w[1].path = "/targets/t/addresses/b";
	CHECK_EQ(step(f, w, 2, 1000), 4);
	CHECK(floats_report(f, w[0].path).held && floats_report(f, w[1].path).held);
	out.n = 0;
	floats_leave(f, &out);
	CHECK_EQ(out.n, 2);
	CHECK(!floats_report(f, w[0].path).held);
	floats_free(&f);
}

static void test_a_new_address_is_asked_for_first(void)
{
	struct float_want w = want("10.0.0.9", 24);
	struct floats *f = host();

	w.known = false;
	CHECK_EQ(step(f, &w, 1, 1000), 1);
	is(0, FLOAT_PROBE, "eth0");
	CHECK_EQ(step(f, &w, 1, 1000 + FLOAT_PROBE_MS), 1);
	is(0, FLOAT_PROBE, "eth0");
	news(f, FLOAT_NEWS_CONFLICT, &w, "02:00:00:00:00:01 on eth0", 1250);
	CHECK_EQ(step(f, &w, 1, 5000), 0);
	CHECK_STR(floats_report(f, w.path).text, "another machine has this address: 02:00:00:00:00:01 on eth0");
	CHECK_EQ(step(f, &w, 1, 1250 + FLOAT_AGAIN_MS), 1);
	is(0, FLOAT_PROBE, "eth0");
	step(f, &w, 1, 1250 + FLOAT_AGAIN_MS + FLOAT_PROBE_MS);
	CHECK_EQ(step(f, &w, 1, 1250 + FLOAT_AGAIN_MS + 2 * FLOAT_PROBE_MS), 2);
	is(0, FLOAT_ADD, "eth0");
	CHECK(!floats_report(f, w.path).text);
	floats_free(&f);
}

static void test_defended_but_not_shouting(void)
{
	struct float_want w = want("10.0.0.9", 24);
	struct floats *f = host();

	w.until = ms(1000000);
	step(f, &w, 1, 1000);
	step(f, &w, 1, 1200);
	step(f, &w, 1, 2000);
	step(f, &w, 1, 4000);
	for (unsigned i = 0; i < 50; i++) {
		news(f, FLOAT_NEWS_CONFLICT, &w, "02:00:00:00:00:01 on eth0", 20000 + i * 100);
		CHECK_EQ(step(f, &w, 1, 20000 + i * 100), i == 0);
	}
	CHECK_EQ(floats_report(f, w.path).state, FLOAT_CONFLICT);
	CHECK(floats_report(f, w.path).held);
	CHECK_STR(floats_report(f, w.path).text, "another machine claims this address: 02:00:00:00:00:01 on eth0");
	news(f, FLOAT_NEWS_CONFLICT, &w, "02:00:00:00:00:01 on eth0", 20000 + FLOAT_DEFEND_MS);
	CHECK_EQ(step(f, &w, 1, 20000 + FLOAT_DEFEND_MS), 1);
	is(0, FLOAT_ANNOUNCE, "eth0");
	step(f, &w, 1, 20000 + FLOAT_DEFEND_MS + FLOAT_CONFLICT_MS);
	CHECK(!floats_report(f, w.path).text);
	floats_free(&f);
}

static void test_left_over_or_foreign_on_the_host(void)
{
	struct float_host h[] = { on("eth0", NULL, 0, false), on("eth0", "10.0.0.1", 24, false),
	                          on("eth0", "10.0.0.8", 24, true), on("eth0", "10.0.0.9", 24, false) };
	struct float_want w = want("10.0.0.9", 24);
	struct floats *f = floats_new();

	CHECK_EQ(step(f, &w, 1, 900), 0);       /* nobody said what the host has */
	tell(f, h, 4);
	CHECK_EQ(step(f, &w, 1, 1000), 1);
	is(0, FLOAT_REMOVE, "eth0");
	CHECK_EQ(out.act[0].ip.ip[3], 8);
	CHECK_STR(floats_report(f, w.path).text, "this node has the address on eth0 already, and not from director");
	h[3].floating = true;
	h[2].ip.family = 0;
	tell(f, h, 4);
	CHECK_EQ(step(f, &w, 1, 1001), 2);
	is(0, FLOAT_ADD, "eth0");
	/* It vanishes: it is put there again. */
	news(f, FLOAT_NEWS_GONE, &w, NULL, 1001);
	CHECK_EQ(step(f, &w, 1, 1002), 2);
	is(0, FLOAT_ADD, "eth0");
	news(f, FLOAT_NEWS_FAILED, &w, "not permitted", 1003);
	CHECK_EQ(step(f, &w, 1, 1500), 0);
	CHECK_STR(floats_report(f, w.path).text, "not permitted");
	CHECK_EQ(step(f, &w, 1, 1003 + FLOAT_RETRY_MS), 1);
	floats_free(&f);
}

static void test_without_a_lease_the_former_holder_gets_time(void)
{
	struct float_want w = want("10.0.0.9", 24);
	struct floats *f = host();

	w.elsewhere = true;
	CHECK_EQ(step(f, &w, 1, 1000), 0);
	CHECK_EQ(out.wake.ns, ms(1000 + FLOAT_PASS_MS).ns);
	w.elsewhere = false;
	CHECK_EQ(step(f, &w, 1, 1500), 2);
	floats_free(&f);
}

static void test_what_no_floating_address_can_be(void)
{
	static const struct { const char *ip; unsigned prefix; bool good; } t[] = {
		{ "10.0.0.9", 24, true }, { "10.0.0.9", 32, true }, { "10.0.0.0", 31, true }, { "fd00::9", 64, true },
		{ "2001:db8::1", 128, true }, { "10.0.0.9", 0, false }, { "10.0.0.9", 33, false }, { "0.0.0.0", 24, false },
		{ "127.0.0.1", 8, false }, { "224.0.0.5", 24, false }, { "255.255.255.255", 32, false }, { "10.0.0.0", 24, false },
		{ "10.0.0.255", 24, false }, { "::", 64, false }, { "::1", 64, false }, { "ff02::1", 64, false },
		{ "fe80::1", 64, false }, { "::ffff:10.0.0.9", 96, false }, { "fd00::9", 0, false }, { "fd00::9", 129, false },
		{ "fd00::", 64, false },
	};

	for (unsigned i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		const char *why;
		struct addr a;

		CHECK_EQ(addr_parse(t[i].ip, 0, &a), 0);
		if ((float_addr_check(&a, t[i].prefix, &why) == 0) != t[i].good) {
			fprintf(stderr, "%s/%u: %s\n", t[i].ip, t[i].prefix, why ? why : "was taken");
			exit(1);
		}
	}
}

/* ---- a world ---- */

#define NODES 3
#define LIFE_MS 1025            /* as measured, with FLOAT_LIFE_S 1 */
#define WAIT_MS 1060            /* of a successor; OWN_WAIT_MS */

struct node {
	struct floats *f;
	bool dead, paused, cut;         /* directord is killed; stopped; its messages get lost */
	uint64_t until;                 /* its lease, as it knows it */
	uint64_t may;                   /* a successor waits until then */
	bool owner;                     /* as far as it has heard */
	uint64_t kernel;                /* the host has the address until then; 0: not */
};

static struct node node[NODES];
static unsigned owner;
static uint64_t silent_since, rng;

static unsigned pick(unsigned n)
{
	rng ^= rng << 13, rng ^= rng >> 7, rng ^= rng << 17;
	return (unsigned)(rng >> 33) % n;
}

static bool runs(const struct node *n) { return !n->dead && !n->paused; }

static void run_node(struct node *n, uint64_t now)
{
	struct float_want w = want("10.0.0.9", 24);

	w.mine = n->owner && now >= n->may;
	w.until = ms(n->until);
	step(n->f, &w, 1, now);
	for (unsigned i = 0; i < out.n; i++) {
		if (out.act[i].kind == FLOAT_ADD || out.act[i].kind == FLOAT_RENEW)
			n->kernel = now + LIFE_MS;
		else if (out.act[i].kind == FLOAT_REMOVE)
			n->kernel = 0;
	}
}

/* The owner is renewed every 250 ms; one that is silent for as long as it takes is succeeded by another. */
static void agree(uint64_t now, uint64_t patience)
{
	struct node *o = &node[owner];
	unsigned next;

	if (runs(o) && !o->cut) {
		silent_since = now;
		o->owner = true;
		if (now % 250 == 0 && now >= o->may)
			o->until = now + 1000;
		return;
	}
	next = (owner + 1 + pick(NODES - 1)) % NODES;
	if (now < silent_since + patience || !runs(&node[next]) || node[next].cut)
		return;
	owner = next;
	silent_since = now;
	node[next].owner = true;
	node[next].may = now + WAIT_MS;
}

static void fault(struct node *n)
{
	switch (pick(6)) {
	case 0: n->dead = true; break;
	case 1: n->paused = true; break;
	case 2: n->cut = true; break;
	default:
		if (n->dead) {
			struct float_host h[] = { on("eth0", NULL, 0, false), on("eth0", "10.0.0.1", 24, false),
			                          on("eth0", "10.0.0.9", 24, true) };

			floats_free(&n->f);
			n->f = floats_new();
			tell(n->f, h, n->kernel ? 3 : 2);
			n->until = 0;
			n->owner = false;
		}
		n->dead = n->paused = n->cut = false;
	}
}

static void world(uint64_t seed)
{
	uint64_t patience, quiet = 60000;
	unsigned n_held;

	rng = seed * 2654435769u + 1;
	patience = pick(1600);
	owner = 0;
	silent_since = 0;
	for (unsigned i = 0; i < NODES; i++)
		node[i] = (struct node){ .f = host() };
	for (uint64_t now = 10; now < quiet + 8000; now += 10) {
		if (now < quiet && pick(60) == 0)
			fault(&node[pick(NODES)]);
		for (unsigned i = 0; now == quiet && i < NODES; i++)
			while (node[i].dead || node[i].paused || node[i].cut)
				fault(&node[i]);
		agree(now, patience);
		n_held = 0;
		for (unsigned i = 0; i < NODES; i++) {
			/* One that hears of its successor is no owner any more. */
			if (runs(&node[i]) && !node[i].cut && i != owner)
				node[i].owner = false;
			if (runs(&node[i]))
				run_node(&node[i], now);
			if (node[i].kernel && node[i].kernel <= now)
				node[i].kernel = 0;
			n_held += node[i].kernel != 0;
		}
		if (n_held > 1) {
			fprintf(stderr, "seed %llu: at %llu ms %u hosts have the address\n", (unsigned long long)seed,
			        (unsigned long long)now, n_held);
			exit(1);
		}
	}
	CHECK_EQ(n_held, 1);
	CHECK(node[owner].kernel != 0);
	for (unsigned i = 0; i < NODES; i++)
		floats_free(&node[i].f);
}

static void test_one_holder_whatever_happens_and_one_in_the_end(void)
{
	for (uint64_t seed = 1; seed <= 300; seed++)
		world(seed);
}

int main(void)
{
	RUN(test_taken_announced_renewed_and_given_back);
	RUN(test_ends_with_the_lease_and_is_renewed_only_with_it);
	RUN(test_not_before_it_is_served_and_not_gone_at_once_when_the_server_dies);
	RUN(test_the_interface);
	RUN(test_several_of_both_families);
	RUN(test_a_new_address_is_asked_for_first);
	RUN(test_defended_but_not_shouting);
	RUN(test_left_over_or_foreign_on_the_host);
	RUN(test_without_a_lease_the_former_holder_gets_time);
	RUN(test_what_no_floating_address_can_be);
	RUN(test_one_holder_whatever_happens_and_one_in_the_end);
	float_out_fini(&out);
	return 0;
}
