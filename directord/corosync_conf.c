/* SPDX-License-Identifier: Apache-2.0 */
/*
 * corosync.conf from a struct. The settings are the measured ones: encrypted always (unauthenticated packets reach
 * parsers that had overflows), token_coefficient 0 because the default slows detection with every node, 10
 * retransmits because fewer make a lost packet cost 100 ms, two links active because Totem cannot stand loss.
 */
#include "directord/corosync_int.h"

#include <sodium.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"

#define TOKEN_MS 1000
#define TOKEN_MS_MIN 500                /* below it load makes rings break again and again */
#define CONSENSUS_MS 600
#define CONSENSUS_MS_LARGE 1200         /* rings of more than 8 nodes */

static unsigned token_of(const struct corosync_conf *conf)
{
	return conf->token_ms ? conf->token_ms : TOKEN_MS;
}

static unsigned consensus_of(const struct corosync_conf *conf)
{
	if (conf->consensus_ms)
		return conf->consensus_ms;
	return conf->n_nodes > 8 ? CONSENSUS_MS_LARGE : CONSENSUS_MS;
}

static uint16_t port_of(const struct corosync_conf *conf)
{
	return conf->port ? conf->port : COROSYNC_PORT;
}

/* A value stands alone on its line, so it must be one word without the characters of the syntax. */
static bool is_word(const char *s, size_t max)
{
	size_t n = strnlen(s, max);

	if (n == 0 || n == max)
		return false;
	return strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") == n;
}

static bool same_ip(const struct addr *a, const struct addr *b)
{
	return a->family == b->family && memcmp(a->ip, b->ip, a->family == 4 ? 4 : 16) == 0;
}

static int bad(char **why, char *text)
{
	if (why)
		*why = text;
	else
		free(text);
	return ERR_INVAL;
}

static int check_link(const struct corosync_conf *conf, unsigned i, unsigned link, char **why)
{
	const struct corosync_node *n = &conf->nodes[i];
	const struct addr *a = &n->link[link];

	if (a->family != 4 && a->family != 6)
		return bad(why, mem_printf("node %s has no address", n->name));
	if (a->family != conf->nodes[0].link[link].family && conf->nodes[0].link[link].family)
		return bad(why, mem_printf("node %s: a link cannot mix IPv4 and IPv6 addresses", n->name));
	if (addr_is_linklocal(a))
		return bad(why, mem_printf("node %s: a link-local address means nothing on other nodes", n->name));
	if (addr_is_loopback(a) && conf->n_nodes > 1)
		return bad(why, mem_printf("node %s: a loopback address cannot be reached by others", n->name));
	for (unsigned j = 0; j < (link ? conf->n_nodes : i); j++)
		if ((j < i && same_ip(a, &conf->nodes[j].link[link])) || (link && same_ip(a, &conf->nodes[j].link[0])))
			return bad(why, mem_printf("nodes %s and %s have the same address", conf->nodes[j].name, n->name));
	return 0;
}

int corosync_conf_check(const struct corosync_conf *conf, char **why)
{
	unsigned token = token_of(conf);
	int err;

	if (!is_word(conf->cluster, sizeof(conf->cluster)))
		return bad(why, mem_strdup("the cluster name is not one word"));
	if (conf->n_nodes == 0 || conf->n_nodes > COROSYNC_NODES_MAX)
		return bad(why, mem_printf("%u nodes; a ring has 1 to %d", conf->n_nodes, COROSYNC_NODES_MAX));
	if (token < TOKEN_MS_MIN || token > 60000 || consensus_of(conf) < token / 2 || consensus_of(conf) > 120000)
		return bad(why, mem_printf("token %u ms with consensus %u ms", token, consensus_of(conf)));
	for (unsigned i = 0; i < conf->n_nodes; i++) {
		const struct corosync_node *n = &conf->nodes[i];

		if (n->nodeid == 0)
			return bad(why, mem_printf("node number %u has no nodeid", i));
		if (!is_word(n->name, sizeof(n->name)))
			return bad(why, mem_printf("nodeid %u: its name is not one word", n->nodeid));
		for (unsigned j = 0; j < i; j++)
			if (conf->nodes[j].nodeid == n->nodeid)
				return bad(why, mem_printf("nodeid %u is there twice", n->nodeid));
		err = check_link(conf, i, 0, why);
		if (err)
			return err;
	}
	return 0;
}

/*
 * A ring's links are the same for all of its nodes, so a second one counts when all have it. It is often found and not
 * configured: one that cannot be (the same bridge's address on every machine) costs the second link, not the ring.
 */
bool corosync_conf_second(const struct corosync_conf *conf, char **why)
{
	for (unsigned i = 0; i < conf->n_nodes; i++) {
		if (conf->nodes[i].link[1].family == 0) {
			bad(why, mem_printf("node %s has one network", conf->nodes[i].name));
			return false;
		}
		if (check_link(conf, i, 1, why) < 0)
			return false;
	}
	return true;
}

static int nodeid_cmp(const void *a, const void *b)
{
	const struct corosync_node *x = a, *y = b;

	return x->nodeid < y->nodeid ? -1 : x->nodeid > y->nodeid;
}

static void put_addr(struct buf *b, const char *key, const struct addr *a)
{
	struct addr bare = *a;
	char text[64];

	bare.port = 0;
	buf_printf(b, "    %s: %s\n", key, addr_text(&bare, text));
}

/* What all nodes have in common: what the hash is made of. */
static void put_common(struct buf *b, const struct corosync_conf *conf)
{
	struct corosync_node nodes[COROSYNC_NODES_MAX];
	bool two = corosync_conf_second(conf, NULL);

	memcpy(nodes, conf->nodes, conf->n_nodes * sizeof(nodes[0]));
	qsort(nodes, conf->n_nodes, sizeof(nodes[0]), nodeid_cmp);
	buf_printf(b, "nodelist {\n");
	for (unsigned i = 0; i < conf->n_nodes; i++) {
		/*
		 * Corosync takes the node whose name is the host's for itself, before it looks at addresses; two machines of
		 * one image may have the same. So the name is one that no host has, and the address decides.
		 */
		buf_printf(b, "  node {\n    nodeid: %u\n    name: director-%u-%s\n", nodes[i].nodeid, nodes[i].nodeid,
			   nodes[i].name);
		put_addr(b, "ring0_addr", &nodes[i].link[0]);
		if (two)
			put_addr(b, "ring1_addr", &nodes[i].link[1]);
		buf_printf(b, "  }\n");
	}
	buf_printf(b, "}\nquorum {\n  provider: corosync_votequorum\n}\n");
	buf_printf(b, "totem {\n  version: 2\n  cluster_name: %s\n  transport: knet\n", conf->cluster);
	buf_printf(b, "  crypto_cipher: aes256\n  crypto_hash: sha256\n");
	buf_printf(b, "  token: %u\n  token_coefficient: 0\n  consensus: %u\n", token_of(conf), consensus_of(conf));
	buf_printf(b, "  token_retransmits_before_loss_const: 10\n");
	if (two)
		buf_printf(b, "  link_mode: active\n");
	/*
	 * A link is up after two pings; the default interval, a quarter of the token's time, kept a newcomer alone for so long that
	 * it formed a ring of its own first. When a link is held for dead is as by default.
	 */
	for (int link = 0; link < 1 + two; link++)
		buf_printf(b, "  interface {\n    linknumber: %d\n    mcastport: %u\n    knet_ping_interval: %u\n    knet_ping_timeout: %u\n  }\n",
			   link, port_of(conf) + link, token_of(conf) / 10, token_of(conf) / 2);
}

void corosync_conf_hash(const struct corosync_conf *conf, uint8_t hash[16])
{
	crypto_generichash_state st;
	struct buf b = { 0 };

	put_common(&b, conf);
	buf_printf(&b, "%llu", (unsigned long long)conf->version);
	/* The key makes it one that tells nothing to those who do not know the key. */
	crypto_generichash_init(&st, conf->key, sizeof(conf->key), 16);
	crypto_generichash_update(&st, b.data, b.len);
	crypto_generichash_final(&st, hash, 16);
	buf_fini(&b);
}

char *corosync_key_name(const uint8_t key[32], char *out)
{
	static const char label[] = "director corosync key name";
	uint8_t hash[16];

	crypto_generichash(hash, sizeof(hash), (const uint8_t *)label, sizeof(label), key, 32);
	memcpy(out, "authkey-", 8);
	text_hex(hash, 8, out + 8);
	return out;
}

void corosync_authkey(const uint8_t key[32], uint8_t out[COROSYNC_AUTHKEY_LEN])
{
	for (uint8_t i = 0; i < COROSYNC_AUTHKEY_LEN / 64; i++) {
		char label[] = "director corosync authkey 0";

		label[sizeof(label) - 2] = (char)('0' + i);
		crypto_generichash(out + 64 * i, 64, (const uint8_t *)label, sizeof(label), key, 32);
	}
}

char *corosync_conf_text(const struct corosync_conf *conf, const char *dir)
{
	struct buf b = { 0 };
	uint8_t hash[16];
	char hex[33], key[40];

	corosync_conf_hash(conf, hash);
	buf_printf(&b, "# Written by directord; changes are overwritten.\n");
	put_common(&b, conf);
	buf_printf(&b, "  keyfile: %s/%s\n}\n", dir, corosync_key_name(conf->key, key));
	/* The log is the file that standard error goes to. */
	buf_printf(&b, "logging {\n  to_stderr: yes\n  to_syslog: no\n  to_logfile: no\n  timestamp: hires\n}\n");
	buf_printf(&b, "system {\n  state_dir: %s/state\n  allow_knet_handle_fallback: yes\n"
		   "  move_to_root_cgroup: no\n}\n", dir);
	/* A section that Corosync does not know goes into its cmap, where corosync_active finds it. */
	buf_printf(&b, "director {\n  version: %llu\n  hash: %s\n}\n", (unsigned long long)conf->version,
		   text_hex(hash, sizeof(hash), hex));
	return buf_take(&b);
}
