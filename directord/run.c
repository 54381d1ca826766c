/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runner: one cluster, its inputs stamped with the time, its outputs done. An output is done right after its step (its
 * messages are lent only until the next); what leaves by the network is gathered and sent when the turn ends.
 */
#include "directord/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "directord/answer.h"
#include "directord/fence.h"
#include "directord/file.h"
#include "directord/floataddr.h"
#include "directord/notify.h"
#include "directord/run_int.h"
#include "directord/store.h"
#include "directord/udp.h"
#include "proto/agree.h"
#include "proto/txn.h"

#define BYE_SECONDS 0.15        /* after the goodbye, for what is still in the sockets */

/* ---- the codec ---- */

static const struct cluster_codec codec = {
	.agree_encode = agree_msg_encode, .txn_encode = txn_encode, .txn_decode = txn_decode,
	.snapshot_encode = snapshot_encode, .snapshot_decode = snapshot_decode,
};

/* ---- output ---- */

static void fenced(void *arg, uint64_t act, int err, const char *text)
{
	run_done(arg, act, err, text);
}

static void do_act(struct run *r, const struct cluster_act *a)
{
	auto_free char *why = NULL;
	int err;

	switch (a->kind) {
	case CLUSTER_ACT_RING_WRITE:
	case CLUSTER_ACT_RING_RELOAD:
	case CLUSTER_ACT_RING_START:
	case CLUSTER_ACT_RING_STOP:
		run_ring_act(r, a);
		break;
	case CLUSTER_ACT_KEYS:
		run_seal_keys(r, cluster_keys(r->cluster));
		err = run_keys_store(r, cluster_keys(r->cluster), &why);
		run_done(r, a->id, err, why);
		break;
	case CLUSTER_ACT_PUBLISH:
		run_net_publish(r);
		break;
	case CLUSTER_ACT_PEER:
		run_net_peer(r, a);
		break;
	case CLUSTER_ACT_PLAN:
		run_host_plan(r, a);
		break;
	case CLUSTER_ACT_RECORD:
		run_disk_record(r, a);
		break;
	case CLUSTER_ACT_RESET:
		r->reset = true;
		break;
	case CLUSTER_ACT_MEMBERS:
		run_disk_members(r);
		break;
	case CLUSTER_ACT_DEVICES:
		run_host_devices(r);
		break;
	case CLUSTER_ACT_INNER:
		run_host_inner(r);
		break;
	case CLUSTER_ACT_LEASE:
		run_host_lease(r, a);
		break;
	case CLUSTER_ACT_KEEP:
		run_host_keep(r, a);
		break;
	case CLUSTER_ACT_FENCE:
		fence_off(r->plugins, a->id, a->fence, fenced, r);
		break;
	case CLUSTER_ACT_ADDRESS:
		if (r->floataddr)
			floataddr_act(r->floataddr, &a->address);
		break;
	}
}

static void wake_at(struct run *r, struct mono now, struct mono wake)
{
	double in = wake.ns > now.ns ? (double)(wake.ns - now.ns) / 1e9 : 0.;
	double turn = (double)(ev_time() - ev_now(r->loop));

	ev_timer_stop(r->loop, &r->wake);
	if (wake.ns == UINT64_MAX)
		return;
	/* The turn began some time ago; a timer counts from there. Unless somebody has set the clock. */
	if (turn < 0. || turn > 1.)
		ev_now_update(r->loop);
	else
		in += turn;
	ev_timer_set(&r->wake, in, 0.);
	ev_timer_start(r->loop, &r->wake);
}

/*
 * First what is lent until the next step, then what may step again from inside. The output is taken away
 * before, so that an inner step has one of its own.
 */
static void do_out(struct run *r, struct mono now)
{
	struct cluster_out out = r->out;

	r->out = (struct cluster_out){ .wake = out.wake };
	r->out.gossip.wake = out.gossip.wake;
	wake_at(r, now, out.wake);
	if (out.gossip.persist_incarnation)
		run_disk_incarnation(r, out.gossip.persist_incarnation);
	run_net_out(r, &out);
	run_disk_put(r, out.put, out.n_put);
	for (unsigned i = 0; i < out.n_cast; i++)
		run_ring_cast(r, &out.cast[i]);
	for (unsigned i = 0; i < out.n_act; i++)
		do_act(r, &out.act[i]);
	run_host_flush(r);
	for (unsigned i = 0; i < out.n_reply && r->answer; i++)
		answer_reply(r->answer, &out.reply[i]);
	if (out.names_changed)
		run_host_changed(r);
	cluster_out_fini(&out);
}

void run_step(struct run *r, struct cluster_in *in)
{
	if (r->left || !r->cluster)
		return;
	in->now = mono_now();
	in->wall_ms = wall_ms();
	r->left = in->kind == CLUSTER_IN_LEAVE;
	cluster_step(r->cluster, in, &r->out);
	do_out(r, in->now);
}

void run_done(struct run *r, uint64_t act, int err, const char *text)
{
	struct cluster_in in = { .kind = CLUSTER_IN_DONE, .number = act, .err = err, .text = text };

	run_step(r, &in);
}

static void wake_due(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct cluster_in in = { .kind = CLUSTER_IN_TIMER };

	run_step(w->data, &in);
}

/* ---- life ---- */

static void own_name(struct run *r)
{
	char host[256] = "";

	if (*r->conf->name) {
		snprintf(r->name, sizeof(r->name), "%s", r->conf->name);
		return;
	}
	gethostname(host, sizeof(host) - 1);
	host[strcspn(host, ".")] = 0;
	snprintf(r->name, sizeof(r->name), "%.63s", *host ? host : "node");
}

/* DIRECTORD_PROTOCOL=MIN-MAX plays a node of another version: upgrades are tested with it. */
static void play_version(struct run *r, struct cluster_conf *c)
{
	const char *s = getenv("DIRECTORD_PROTOCOL");
	unsigned min, max;

	if (!s)
		return;
	if (sscanf(s, "%5u-%5u", &min, &max) != 2 || min == 0 || min > max || max > UINT16_MAX) {
		log_warn(r->log, "directord: DIRECTORD_PROTOCOL=%s is not MIN-MAX: ignored", s);
		return;
	}
	c->version_min = (uint16_t)min;
	c->version_max = (uint16_t)max;
	log_warn(r->log, "directord: plays protocol versions %u to %u (DIRECTORD_PROTOCOL)", min, max);
}

/* Make the cluster from what is on disk and start it. */
static int cluster_begin(struct run *r, const struct store_image *image, char **why)
{
	struct run_disk disk;
	struct cluster_conf c = {
		.codec = &codec, .log = r->log, .software = VERSION, .incarnation = r->incarnation, .fact_base = wall_ms() * 1000,
		.votes = r->conf->agreement != CONF_AGREEMENT_OFF, .founds = r->conf->found,
		.host_ring = r->conf->agreement == CONF_AGREEMENT_HOST, .inner_port = (uint16_t)r->conf->inner_port,
	};
	struct cluster_in in = { .kind = CLUSTER_IN_START, .disk = &disk.disk };
	int err;

	err = run_disk_read(r, image, &disk, why);
	if (!err)
		err = run_keys_load(r, &c.keys, why);
	if (err) {
		run_disk_fini(&disk);
		return err;
	}
	memcpy(c.public_key, r->id.public_key, 32);
	memcpy(c.secret_key, r->id.secret_key, 64);
	identity_random(c.boot, sizeof(c.boot));
	c.life = identity_life();
	identity_random(&c.seed, sizeof(c.seed));
	memcpy(c.name, r->name, sizeof(c.name));
	if (!r->volumes)
		r->volumes = run_volumes_dir(r);
	c.volumes = r->volumes;
	c.n_addrs = run_own_addrs(r, c.addrs);
	run_ring_addrs(r, c.addrs, c.n_addrs);
	memcpy(c.ring_addrs, r->ring_addr, sizeof(c.ring_addrs));
	c.n_ring_addrs = r->n_ring_addr;
	play_version(r, &c);
	seal_fini(&r->seal);
	seal_init(&r->seal, c.boot);
	r->keys = (struct keys){ 0 };
	run_seal_keys(r, &c.keys);
	r->cluster = cluster_new(&c);
	run_host_bind(r);
	r->out = (struct cluster_out){ .n_put = 0 };
	log_info(r->log, "directord: node %s, %s cluster key, log up to %llu", r->name, c.keys.n ? "with" : "without",
	         (unsigned long long)(disk.agree.n_entry ? disk.agree.entry[disk.agree.n_entry - 1]->index :
	                              disk.agree.snap ? disk.agree.snap->index : 0));
	run_step(r, &in);
	run_disk_fini(&disk);
	memset(&c.secret_key, 0, sizeof(c.secret_key));
	return 0;
}

/*
 * The node yields to another lineage. Everything agreed is forgotten, and a new cluster machine with a new boot id
 * starts, which knows of the others what the old one knew.
 */
static void reset(struct run *r)
{
	struct addr known[256];
	struct store_image image = { 0 };
	struct gossip_member m;
	struct plan_have none = { 0 };
	char *why = NULL;
	unsigned n = 0;

	r->reset = false;
	log_warn(r->log, "directord: this node's agreed state is given up for that of the cluster it joins");
	for (unsigned i = 0; gossip_at(cluster_gossip(r->cluster), i, &m) && n < ARRAY_LEN(known); i++)
		if (!m.self && m.addr.family)
			known[n++] = m.addr;
	run_ring_reset(r);
	cluster_out_fini(&r->out);
	cluster_free(&r->cluster);
	if (run_disk_wipe(r, &why) < 0 || run_disk_open(r, &image, &why) < 0 || cluster_begin(r, &image, &why) < 0) {
		/* Nothing can be agreed without a disk; the service manager starts us again, and the state is what it is. */
		log_line(r->log, LOG_LEVEL_FATAL, "directord: %s", why ? why : "the state could not be made anew");
		_exit(1);
	}
	store_image_fini(&image);
	run_host_cluster(r);
	for (unsigned i = 0; i < n; i++) {
		struct cluster_in in = { .kind = CLUSTER_IN_CANDIDATE, .from = known[i] };

		run_step(r, &in);
	}
	if (r->target_heard) {
		struct cluster_in in = { .kind = CLUSTER_IN_HAVE, .have = r->target_there ? &none : NULL };

		run_step(r, &in);
	}
	run_net_again(r);
}

/* Between turns, where nobody's callback is on the stack. */
static void turn_ends(struct ev_loop *loop, ev_prepare *w, int revents)
{
	struct run *r = w->data;

	if (r->reset && !r->left)
		reset(r);
}

static ev_prepare turn;

struct run *run_new(struct ev_loop *loop, struct conf *conf, struct log *log, int *err, char **why)
{
	struct run *r = mem_zalloc(sizeof(*r));
	auto_free char *id_path = mem_printf("%s/identity.key", conf->state);
	struct store_image image = { 0 };
	char id[33];

	r->loop = loop;
	r->conf = conf;
	r->log = log;
	ev_timer_init(&r->wake, wake_due, 0., 0.);
	r->wake.data = r;
	run_host_init(r);
	own_name(r);
	*err = identity_open(&r->id, id_path, why);
	if (!*err)
		*err = run_disk_open(r, &image, why);
	if (!*err)
		*err = run_net_open(r, why);
	if (!*err) {
		log_info(log, "directord: %s, identity %s", VERSION, node_id_text(&r->id.id, id));
		run_ring_open(r);
		run_facts_read(r);
		*err = cluster_begin(r, &image, why);
		if (!*err) {
			run_facts_give(r);
			run_ring_begin(r);
		}
	}
	store_image_fini(&image);
	if (!*err)
		*err = run_host_open(r, why);
	if (*err) {
		run_free(&r);
		return NULL;
	}
	run_net_begin(r);
	ev_prepare_init(&turn, turn_ends);
	turn.data = r;
	ev_prepare_start(loop, &turn);
	return r;
}

static void bye(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct run *r = w->data;

	r->left_fn(r->left_arg);
}

void run_leave(struct run *r, void (*done)(void *arg), void *arg)
{
	struct cluster_in in = { .kind = CLUSTER_IN_LEAVE };

	r->left_fn = done;
	r->left_arg = arg;
	run_step(r, &in);
	udp_flush(r->udp);
	ev_timer_init(&r->bye, bye, BYE_SECONDS, 0.);
	r->bye.data = r;
	ev_timer_start(r->loop, &r->bye);
}

void run_reconf(struct run *r)
{
	run_net_reconf(r);
}

void run_free(struct run **rp)
{
	struct run *r = *rp;

	if (!r)
		return;
	r->left = true;
	ev_prepare_stop(r->loop, &turn);
	ev_timer_stop(r->loop, &r->wake);
	ev_timer_stop(r->loop, &r->bye);
	run_host_close(r);
	run_net_close(r);
	run_ring_close(r);
	if (r->cluster && r->store)
		run_facts_save(r);
	run_facts_close(r);
	run_disk_close(r);
	cluster_out_fini(&r->out);
	if (r->cluster)
		cluster_free(&r->cluster);
	mem_autofree(&r->volumes);
	seal_fini(&r->seal);
	identity_fini(&r->id);
	mem_autofree(&r);
	*rp = NULL;
}
