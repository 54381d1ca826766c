/* SPDX-License-Identifier: Apache-2.0 */
/* The runner's network: sealed datagrams, the mesh, and where others may be. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "directord/discover.h"
#include "directord/mesh.h"
#include "directord/netaddr.h"
#include "directord/run_int.h"
#include "directord/seeds.h"
#include "directord/udp.h"
#include "proto/agree.h"
#include "proto/peer.h"

#define LISTEN_MAX 8
#define HELD_MAX 256
#define KNOCKS_PER_SECOND 20.   /* proofs of strangers that are verified; the rest is dropped unread */
#define KNOCKS_BURST 60.
#define REFUSED_EVERY 10000     /* milliseconds between lines about refused connections */

/* The first byte of a mesh message. */
enum { MESH_SYNC = 'S', MESH_AGREE = 'A' };

/* ---- keys ---- */

void run_seal_keys(struct run *r, const struct keys *ks)
{
	for (unsigned i = 0; i < r->keys.n; i++)
		if (!keys_find(ks, r->keys.k[i].epoch))
			seal_key_drop(&r->seal, r->keys.k[i].epoch);
	for (unsigned i = 0; i < ks->n; i++)
		seal_key_add(&r->seal, ks->k[i].epoch, ks->k[i].secret);
	r->keys = *ks;
}

/* ---- datagrams in ---- */

static enum gossip_stranger why_of(int err)
{
	return err == ERR_DENIED ? STRANGER_KEY : err == ERR_AGAIN ? STRANGER_STALE :
	       err == ERR_CRYPTO ? STRANGER_FORGED : STRANGER_MALFORMED;
}

static bool knock_allowed(struct run *r)
{
	struct mono now = mono_now();

	r->knocks += (double)(now.ns - r->knocks_at.ns) / 1e9 * KNOCKS_PER_SECOND;
	r->knocks_at = now;
	if (r->knocks > KNOCKS_BURST)
		r->knocks = KNOCKS_BURST;
	if (r->knocks < 1.)
		return false;
	r->knocks -= 1.;
	return true;
}

static void udp_received(void *arg, const struct addr *from, const struct addr *local, const uint8_t *p, size_t n)
{
	struct run *r = arg;
	struct cluster_in in = { .kind = CLUSTER_IN_STRANGER, .from = *from, .why = STRANGER_MALFORMED };
	struct gossip_head head;
	struct agree_msg agree;
	struct peer_dgram d;
	int err;

	if (!r->cluster)
		return;
	buf_reset(&r->opened);
	err = seal_open(&r->seal, p, n, gossip_boot_by_tag, cluster_gossip(r->cluster), &head, &r->opened);
	if (err) {
		in.why = why_of(err);
		in.number = seal_epoch_hint(p, n);
		run_step(r, &in);
	} else if (peer_dgram_decode(r->opened.data, r->opened.len, &d) < 0) {
		run_step(r, &in);
	} else {
		in.kind = CLUSTER_IN_DGRAM;
		in.head = &head;
		in.dgram = &d.msg;
		if (d.msg.kind == GOSSIP_PASS && agree_msg_decode(d.msg.blob, d.msg.n_blob, &agree) == 0)
			in.agree = &agree;
		if (d.msg.kind != GOSSIP_KNOCK || knock_allowed(r))
			run_step(r, &in);
		if (in.agree)
			agree_msg_fini(&agree);
		peer_dgram_fini(&d);
	}
}

static void udp_refused(void *arg, const struct addr *to)
{
	struct cluster_in in = { .kind = CLUSTER_IN_HINT, .from = *to };

	run_step(arg, &in);
}

/* ---- out ---- */

static void dgram_send(struct run *r, const struct gossip_dgram *g)
{
	struct held *h;

	buf_reset(&r->plain);
	buf_reset(&r->wire);
	peer_dgram_encode(&g->msg, &r->plain);
	if (seal_close(&r->seal, g->form, g->to_boot, r->plain.data, r->plain.len, &r->wire) < 0)
		return;
	if (!r->holding) {
		udp_send(r->udp, &g->to, r->wire.data, r->wire.len);
	} else if (r->n_held < HELD_MAX) {
		r->held = mem_grow(r->held, &r->cap_held, r->n_held, sizeof(*r->held));
		h = &r->held[r->n_held++];
		h->to = g->to;
		h->len = r->wire.len;
		h->bytes = mem_dup(r->wire.data, r->wire.len);
	}
}

void run_release(struct run *r)
{
	r->holding = false;
	for (unsigned i = 0; i < r->n_held; i++) {
		udp_send(r->udp, &r->held[i].to, r->held[i].bytes, r->held[i].len);
		mem_autofree(&r->held[i].bytes);
	}
	r->n_held = 0;
}

static void mesh_put(struct run *r, const struct node_id *to)
{
	char id[33];
	int err = mesh_send(r->mesh, to, r->wire.data, r->wire.len);

	/* A connection that was given up a moment ago is made anew by the next call. */
	if (err == ERR_UNREACHABLE)
		err = mesh_send(r->mesh, to, r->wire.data, r->wire.len);
	if (err)
		log_debug(r->log, "mesh: a message to %s is dropped: %s", node_id_text(to, id), err_text(err));
}

void run_net_out(struct run *r, const struct cluster_out *out)
{
	bool pass = false;
	uint8_t kind;

	for (unsigned i = 0; i < out->gossip.n_dgrams; i++) {
		dgram_send(r, &out->gossip.dgrams[i]);
		pass |= out->gossip.dgrams[i].msg.kind == GOSSIP_PASS;
	}
	/* Others' disks may begin before ours, whose thread would take the processor from us. */
	if (pass)
		udp_flush(r->udp);
	for (unsigned i = 0; i < out->gossip.n_mesh; i++) {
		buf_reset(&r->wire);
		kind = MESH_SYNC;
		buf_put(&r->wire, &kind, 1);
		peer_sync_encode(&out->gossip.mesh[i].sync, &r->wire);
		mesh_put(r, &out->gossip.mesh[i].to);
	}
	for (unsigned i = 0; i < out->n_send; i++) {
		buf_reset(&r->wire);
		kind = MESH_AGREE;
		buf_put(&r->wire, &kind, 1);
		buf_put(&r->wire, out->send[i].bytes.data, out->send[i].bytes.len);
		mesh_put(r, &out->send[i].node);
	}
}

/* ---- mesh in ---- */

static void mesh_received(void *arg, const struct node_id *from, const uint8_t *p, size_t n)
{
	struct run *r = arg;
	struct cluster_in in = { .node = *from };
	struct peer_sync sync;
	struct agree_msg msg;
	char id[33];

	if (n && p[0] == MESH_SYNC && peer_sync_decode(p + 1, n - 1, &sync) == 0) {
		in.kind = CLUSTER_IN_SYNC;
		in.sync = &sync.sync;
		run_step(r, &in);
		peer_sync_fini(&sync);
	} else if (n && p[0] == MESH_AGREE && agree_msg_decode(p + 1, n - 1, &msg) == 0) {
		if (agree_msg_is_direct(msg.kind)) {
			in.kind = CLUSTER_IN_AGREE;
			in.agree = &msg;
			run_step(r, &in);
		}
		agree_msg_fini(&msg);
	} else {
		log_warn(r->log, "mesh: a message of %s does not decode", node_id_text(from, id));
	}
}

static void mesh_up(void *arg, const struct node_id *peer)
{
	struct cluster_in in = { .kind = CLUSTER_IN_MESH_UP, .node = *peer };

	run_step(arg, &in);
}

static void mesh_down(void *arg, const struct node_id *peer)
{
	struct cluster_in in = { .kind = CLUSTER_IN_MESH_DOWN, .node = *peer };

	run_step(arg, &in);
}

static void mesh_refused(void *arg, const char *from, const uint8_t *key)
{
	struct run *r = arg;

	struct mono now = mono_now();

	if (r->refused_at.ns && mono_ms_between(r->refused_at, now) < REFUSED_EVERY)
		return;
	r->refused_at = now;
	if (*from)
		log_warn(r->log, "mesh: a connection from %s is refused: %s", from, key ? "its key is no member's" : "it has no key");
}

void run_net_peer(struct run *r, const struct cluster_act *a)
{
	struct addr at = { 0 };
	uint8_t curve[32];
	char id[33];

	if (a->n_addr == 0) {
		mesh_peer_remove(r->mesh, &a->node);
		return;
	}
	if (identity_curve(a->public_key, curve) < 0) {
		log_warn(r->log, "mesh: the key of %s is not one", node_id_text(&a->node, id));
		return;
	}
	at = a->addr[0];
	if (r->conf->mesh_port)
		at.port = (uint16_t)r->conf->mesh_port;
	mesh_peer_set(r->mesh, &a->node, curve, &at);
}

/* ---- where others may be ---- */

static void candidate(struct run *r, const struct addr *addr, bool has_cluster)
{
	struct cluster_in in = { .kind = CLUSTER_IN_CANDIDATE, .from = *addr, .running = has_cluster };

	run_step(r, &in);
}

static void discovered(void *arg, const struct addr *addr, const struct discover_card *card)
{
	candidate(arg, addr, card && *card->cluster);
}

static void seed(void *arg, const struct addr *addr)
{
	candidate(arg, addr, false);
}

/* Whom gossip hears of, mDNS need not find. */
static bool known(void *arg, const struct node_id *id)
{
	struct run *r = arg;
	struct gossip_member m;

	return r->cluster && gossip_find(cluster_gossip(r->cluster), id, &m) && m.state == MEMBER_ALIVE;
}

static unsigned company(void *arg)
{
	struct run *r = arg;

	return r->cluster ? gossip_alive(cluster_gossip(r->cluster)) : 0;
}

static void discover_begin(struct run *r)
{
	struct discover_conf conf = {
		.mode = (enum discover_mode)r->conf->discovery, .port = udp_port(r->udp), .log = r->log,
		.interfaces = r->conf->interfaces.item, .n_interfaces = r->conf->interfaces.n,
		.self = { .id = r->id.id, .version = GOSSIP_VERSION_MAX }, .known = known, .company = company,
	};

	snprintf(conf.self.cluster, sizeof(conf.self.cluster), "%s", cluster_hash(r->cluster));
	r->discover = discover_new(r->loop, &conf, discovered, r);
}

static void seeds_begin(struct run *r)
{
	r->seeds = seeds_new(r->loop, r->conf->seeds.item, r->conf->seeds.n, (uint16_t)r->conf->port, seed, r, r->log);
}

void run_net_publish(struct run *r)
{
	if (r->discover)
		discover_publish(r->discover, cluster_hash(r->cluster));
}

void run_net_again(struct run *r)
{
	seeds_again(r->seeds);
	discover_free(&r->discover);
	discover_begin(r);
}

void run_net_reconf(struct run *r)
{
	seeds_free(&r->seeds);
	discover_free(&r->discover);
	seeds_begin(r);
	discover_begin(r);
}

static bool interface_wanted(const struct run *r, const struct netaddr_entry *e)
{
	for (unsigned k = 0; k < r->conf->interfaces.n; k++)
		if (strcmp(r->conf->interfaces.item[k], e->ifname) == 0)
			return true;
	return r->conf->interfaces.n == 0 && e->running;
}

/*
 * What others may call us by: where we listen, else every address of an interface that discovery may use.
 * Link-local ones mean nothing on another link, and are left out.
 */
unsigned run_own_addrs(struct run *r, struct addr out[CARD_ADDRS_MAX])
{
	const struct netaddr_entry *e;
	unsigned n = 0, count;

	for (unsigned i = 0; i < r->conf->listen.n && n < CARD_ADDRS_MAX; i++)
		if (addr_parse(r->conf->listen.item[i], (uint16_t)r->conf->port, &out[n]) == 0)
			n++;
	if (n)
		return n;
	e = netaddr_list(r->netaddr, &count);
	for (unsigned i = 0; i < count && n < CARD_ADDRS_MAX; i++) {
		if (!interface_wanted(r, &e[i]) || addr_is_linklocal(&e[i].addr))
			continue;
		out[n] = e[i].addr;
		out[n++].port = (uint16_t)r->conf->port;
	}
	return n;
}

static const struct netaddr_entry *entry_of(const struct run *r, const struct addr *a)
{
	unsigned count;
	const struct netaddr_entry *e = netaddr_list(r->netaddr, &count);

	for (unsigned i = 0; i < count; i++)
		if (e[i].addr.family == a->family && memcmp(e[i].addr.ip, a->ip, sizeof(a->ip)) == 0)
			return &e[i];
	return NULL;
}

/*
 * The configured ones, else the address that gossip uses and the first one of the same family on another interface. A
 * cable that is pulled must not move the ring, so what was chosen stays while the machine has it.
 */
void run_ring_addrs(struct run *r, const struct addr *own, unsigned n)
{
	const struct netaddr_entry *first, *e;
	unsigned count, had = r->n_ring_addr;

	if (r->conf->ring_addresses.n) {
		r->n_ring_addr = 0;
		for (unsigned i = 0; i < r->conf->ring_addresses.n && r->n_ring_addr < ROSTER_ADDRS_MAX; i++)
			if (addr_parse(r->conf->ring_addresses.item[i], 0, &r->ring_addr[r->n_ring_addr]) == 0)
				r->n_ring_addr++;
		return;
	}
	if (had == 0 || !entry_of(r, &r->ring_addr[0])) {
		r->n_ring_addr = had = n > 0;
		if (n == 0)
			return;
		r->ring_addr[0] = own[0];
		r->ring_addr[0].port = 0;
	}
	first = entry_of(r, &r->ring_addr[0]);
	if (!first || (had == 2 && entry_of(r, &r->ring_addr[1])))
		return;
	r->n_ring_addr = 1;
	e = netaddr_list(r->netaddr, &count);
	for (unsigned i = 0; i < count; i++) {
		if (!interface_wanted(r, &e[i]) || e[i].ifindex == first->ifindex || e[i].addr.family != first->addr.family ||
		    addr_is_linklocal(&e[i].addr))
			continue;
		r->ring_addr[1] = e[i].addr;
		r->ring_addr[1].port = 0;
		r->n_ring_addr = 2;
		return;
	}
}

static void addrs_changed(void *arg)
{
	struct run *r = arg;
	struct addr addr[CARD_ADDRS_MAX];
	struct cluster_in in = { .kind = CLUSTER_IN_ADDRS, .addr = addr, .ring_addr = r->ring_addr };

	if (r->conf->listen.n)
		return;
	in.n_addr = run_own_addrs(r, addr);
	run_ring_addrs(r, addr, in.n_addr);
	in.n_ring_addr = r->n_ring_addr;
	run_step(r, &in);
}

/* ---- open, close ---- */

int run_net_open(struct run *r, char **why)
{
	static const struct udp_ops udp_ops = { .received = udp_received, .refused = udp_refused };
	static const struct mesh_ops mesh_ops = { .received = mesh_received, .up = mesh_up, .down = mesh_down, .refused = mesh_refused };
	struct addr listen[LISTEN_MAX];
	unsigned n = 0;
	struct mesh_conf mc = { .log = r->log, .listen = listen };

	for (unsigned i = 0; i < r->conf->listen.n && n < LISTEN_MAX; i++)
		if (addr_parse(r->conf->listen.item[i], 0, &listen[n]) == 0)
			n++;
	r->knocks = KNOCKS_BURST;
	r->knocks_at = mono_now();
	r->netaddr = netaddr_new(r->loop, addrs_changed, r);
	r->udp = udp_new(r->loop, listen, n, (uint16_t)r->conf->port, &udp_ops, r, r->log, why);
	if (!r->udp)
		return ERR_BUSY;
	mc.n_listen = n;
	mc.port = (uint16_t)(r->conf->mesh_port ? r->conf->mesh_port : r->conf->port);
	memcpy(mc.curve_public, r->id.curve_public, 32);
	memcpy(mc.curve_secret, r->id.curve_secret, 32);
	r->mesh = mesh_new(r->loop, &mc, &mesh_ops, r, why);
	return r->mesh ? 0 : ERR_BUSY;
}

void run_net_begin(struct run *r)
{
	seeds_begin(r);
	discover_begin(r);
}

void run_net_close(struct run *r)
{
	seeds_free(&r->seeds);
	discover_free(&r->discover);
	netaddr_free(&r->netaddr);
	mesh_free(&r->mesh);
	udp_free(&r->udp);
	for (unsigned i = 0; i < r->n_held; i++)
		mem_autofree(&r->held[i].bytes);
	mem_autofree(&r->held);
	buf_fini(&r->opened);
	buf_fini(&r->plain);
	buf_fini(&r->wire);
}
