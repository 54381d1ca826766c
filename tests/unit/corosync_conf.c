/* SPDX-License-Identifier: Apache-2.0 */
/* corosync.conf as text: what goes in, what is refused, and what the hash depends on. */
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "directord/corosync.h"
#include "directord/corosync_int.h"
#include "tests/unit/check.h"

static struct corosync_conf conf_of(unsigned n)
{
	struct corosync_conf c = { .cluster = "7f3a", .version = 12, .n_nodes = n };

	for (unsigned i = 0; i < n; i++) {
		c.nodes[i].nodeid = i + 1;
		snprintf(c.nodes[i].name, sizeof(c.nodes[i].name), "n%u", i + 1);
		c.nodes[i].link[0] = (struct addr){ .family = 4, .ip = { 10, 0, 0, (uint8_t)(i + 1) } };
	}
	return c;
}

static void test_text_of_two_nodes(void)
{
	static const char wanted[] =
		"# Written by directord; changes are overwritten.\n"
		"nodelist {\n"
		"  node {\n    nodeid: 1\n    name: director-1-n1\n    ring0_addr: 10.0.0.1\n  }\n"
		"  node {\n    nodeid: 2\n    name: director-2-n2\n    ring0_addr: 10.0.0.2\n  }\n"
		"}\n"
		"quorum {\n  provider: corosync_votequorum\n}\n"
		"totem {\n  version: 2\n  cluster_name: 7f3a\n  transport: knet\n"
		"  crypto_cipher: aes256\n  crypto_hash: sha256\n"
		"  token: 1000\n  token_coefficient: 0\n  consensus: 600\n"
		"  token_retransmits_before_loss_const: 10\n"
		"  interface {\n    linknumber: 0\n    mcastport: 5405\n    knet_ping_interval: 100\n    knet_ping_timeout: 500\n  }\n";
	struct corosync_conf c = conf_of(2);
	char *text = corosync_conf_text(&c, "/s/c");

	CHECK(strncmp(text, wanted, strlen(wanted)) == 0);
	CHECK(strstr(text, "  keyfile: /s/c/authkey-"));
	CHECK(strstr(text, "  state_dir: /s/c/state\n"));
	CHECK(strstr(text, "director {\n  version: 12\n  hash: "));
	free(text);
}

static void test_a_second_link_is_used_when_all_nodes_have_one(void)
{
	struct corosync_conf c = conf_of(2);
	char *text;

	c.nodes[0].link[1] = (struct addr){ .family = 6, .ip = { 0xfd, 0, 1 } };
	CHECK_EQ(corosync_conf_check(&c, NULL), 0);
	text = corosync_conf_text(&c, "/s");
	CHECK(!strstr(text, "ring1_addr") && !strstr(text, "link_mode"));
	free(text);
	c.nodes[1].link[1] = (struct addr){ .family = 6, .ip = { 0xfd, 0, 2 } };
	text = corosync_conf_text(&c, "/s");
	CHECK(strstr(text, "ring1_addr: fd00:100::\n") && strstr(text, "link_mode: active\n"));
	CHECK(strstr(text, "linknumber: 1\n    mcastport: 5406\n"));
	free(text);
	/* What cannot be a second link costs that one and not the ring. */
	c.nodes[1].link[1] = c.nodes[0].link[1];
	CHECK_EQ(corosync_conf_check(&c, NULL), 0);
	text = corosync_conf_text(&c, "/s");
	CHECK(!strstr(text, "ring1_addr"));
	free(text);
	c.nodes[1].link[1] = c.nodes[0].link[0];
	CHECK(!corosync_conf_second(&c, NULL));
}

static void refused(const struct corosync_conf *c, const char *because)
{
	char *why = NULL;

	CHECK_EQ(corosync_conf_check(c, &why), ERR_INVAL);
	if (!strstr(why, because)) {
		fprintf(stderr, "said \"%s\", not \"%s\"\n", why, because);
		exit(1);
	}
	free(why);
}

static void test_what_would_break_a_ring_is_refused(void)
{
	struct corosync_conf c = conf_of(0);

	refused(&c, "0 nodes");
	c = conf_of(3);
	CHECK_EQ(corosync_conf_check(&c, NULL), 0);
	c.nodes[2].nodeid = 1;
	refused(&c, "twice");
	c = conf_of(3);
	c.nodes[2].link[0] = c.nodes[0].link[0];
	refused(&c, "same address");
	c = conf_of(3);
	c.nodes[1].nodeid = 0;
	refused(&c, "no nodeid");
	c = conf_of(3);
	c.nodes[1].link[0].family = 0;
	refused(&c, "no address");
	c = conf_of(3);
	c.nodes[1].link[0] = (struct addr){ .family = 6, .ip = { 0xfd } };
	refused(&c, "mix");
	c = conf_of(1);
	c.nodes[0].link[0] = (struct addr){ .family = 6, .ip = { 0xfe, 0x80, [15] = 1 } };
	refused(&c, "link-local");
	c = conf_of(2);
	c.nodes[1].link[0] = (struct addr){ .family = 4, .ip = { 127, 0, 0, 1 } };
	refused(&c, "loopback");
	c = conf_of(2);
	c.token_ms = 300;
	refused(&c, "token 300");
	c = conf_of(2);
	snprintf(c.nodes[0].name, sizeof(c.nodes[0].name), "%s", "n1 }");
	refused(&c, "one word");
	c = conf_of(2);
	snprintf(c.cluster, sizeof(c.cluster), "%s", "a\nb");
	refused(&c, "one word");
	c = conf_of(2);
	memset(c.cluster, 'x', sizeof(c.cluster));
	refused(&c, "one word");
}

static void test_hash_names_everything_that_nodes_must_have_alike(void)
{
	struct corosync_conf a = conf_of(3), b = conf_of(3);
	struct corosync_node swap;
	uint8_t ha[16], hb[16];

	corosync_conf_hash(&a, ha);
	/* The order in the struct does not matter. */
	swap = b.nodes[0];
	b.nodes[0] = b.nodes[2];
	b.nodes[2] = swap;
	corosync_conf_hash(&b, hb);
	CHECK(memcmp(ha, hb, 16) == 0);
#define DIFFERS(change) do { \
		b = conf_of(3); \
		change; \
		corosync_conf_hash(&b, hb); \
		CHECK(memcmp(ha, hb, 16) != 0); \
	} while (0)
	DIFFERS(b.key[31] = 1);
	DIFFERS(b.version = 13);
	DIFFERS(b.nodes[1].link[0].ip[3] = 99);
	DIFFERS(b.nodes[1].nodeid = 99);
	DIFFERS(b.n_nodes = 2);
	DIFFERS(b.token_ms = 2000);
	DIFFERS(b.port = 5500);
	DIFFERS(snprintf(b.cluster, sizeof(b.cluster), "%s", "other"));
}

static void test_keys_and_their_names_differ_with_the_key(void)
{
	uint8_t k1[32] = { 1 }, k2[32] = { 2 }, a1[COROSYNC_AUTHKEY_LEN], a2[COROSYNC_AUTHKEY_LEN];
	char n1[40], n2[40];

	corosync_authkey(k1, a1);
	corosync_authkey(k2, a2);
	CHECK(memcmp(a1, a2, sizeof(a1)) != 0);
	CHECK(memcmp(a1, a1 + 64, 64) != 0);
	CHECK(memcmp(a1 + 64, a1 + 128, 64) != 0);
	CHECK(strcmp(corosync_key_name(k1, n1), corosync_key_name(k2, n2)) != 0);
}

/* Whatever the bytes of a struct are: it is refused, or its text has the lines that it should and no others. */
static void test_random_structs_never_make_a_line_of_their_own(void)
{
	struct rng rng = { 11 };

	for (unsigned i = 0; i < 20000; i++) {
		struct corosync_conf c = conf_of(1 + (unsigned)rng_below(&rng, COROSYNC_NODES_MAX));
		unsigned nodes = 0;
		char *text;

		for (unsigned k = 0; k < 3; k++)
			((uint8_t *)&c)[rng_below(&rng, offsetof(struct corosync_conf, n_nodes))] = (uint8_t)rng_next(&rng);
		if (corosync_conf_check(&c, NULL))
			continue;
		text = corosync_conf_text(&c, "/s");
		for (char *p = text; (p = strstr(p, "\n  node {\n")); p++)
			nodes++;
		CHECK_EQ(nodes, c.n_nodes);
		free(text);
	}
}

int main(void)
{
	RUN(test_text_of_two_nodes);
	RUN(test_a_second_link_is_used_when_all_nodes_have_one);
	RUN(test_what_would_break_a_ring_is_refused);
	RUN(test_hash_names_everything_that_nodes_must_have_alike);
	RUN(test_keys_and_their_names_differ_with_the_key);
	RUN(test_random_structs_never_make_a_line_of_their_own);
	return 0;
}
