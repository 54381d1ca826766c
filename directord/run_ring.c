/* SPDX-License-Identifier: Apache-2.0 */
/* The runner's Corosync: acts become calls, and what Corosync does becomes what the cluster takes in. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "directord/corosync.h"
#include "directord/cpg.h"
#include "directord/run_int.h"
#include "proto/agree.h"

#define GROUP "director"
#define POLL 0.1                /* seconds between questions for the active node list, while it is about to change */
#define POLLS_MAX 300           /* then every POLL_SLOW */
#define POLL_SLOW 5.

/* An act that Corosync was asked for. */
struct owed {
	struct run *run;
	uint64_t act, epoch;
	bool write;
};

static bool host(const struct run *r)
{
	return r->conf->agreement == CONF_AGREEMENT_HOST;
}

static void ring_tell(struct run *r, int err, const char *why)
{
	struct cluster_in in = {
		.kind = CLUSTER_IN_RING, .running = r->ring_running, .active = r->ring_active, .err = err, .text = why,
		.nodeid = r->ring_self, .nodeids = r->ring_nodes, .n_nodeids = r->n_ring_nodes, .quorate = r->ring_quorate,
	};

	run_step(r, &in);
}

/* ---- what is active ---- */

static void poll_after(struct run *r, double seconds)
{
	ev_timer_stop(r->loop, &r->ring_poll);
	ev_timer_set(&r->ring_poll, seconds, 0.);
	ev_timer_start(r->loop, &r->ring_poll);
}

static void poll_soon(struct run *r)
{
	r->ring_polls = 0;
	poll_after(r, POLL);
}

/* Other nodes' reloads change our node list without a word; so while it is not what was written, it is asked for. */
static void host_active_got(struct run *r, int err, const struct corosync_active *active)
{
	bool same = active->n_nodes == r->n_ring_nodes &&
	            memcmp(active->nodeids, r->ring_nodes, active->n_nodes * sizeof(active->nodeids[0])) == 0;

	if (!err && !same) {
		memcpy(r->ring_nodes, active->nodeids, active->n_nodes * sizeof(active->nodeids[0]));
		r->n_ring_nodes = active->n_nodes;
		log_info(r->log, "ring: the host's Corosync lists %u nodes, this one is %u", r->n_ring_nodes, r->ring_self);
		ring_tell(r, 0, NULL);
	}
	/* The administrator changes the list without a word to us. */
	if (r->ring_running)
		poll_after(r, err ? POLL : POLL_SLOW);
}

static void active_got(void *arg, int err, const struct corosync_active *active)
{
	struct run *r = arg;
	uint64_t version = err || !r->ring_running ? 0 : active->version;

	r->ring_asked = false;
	if (host(r)) {
		host_active_got(r, err, active);
		return;
	}
	if (!err && version != r->ring_active) {
		r->ring_active = version;
		ring_tell(r, 0, NULL);
	}
	if (r->ring_running && r->ring_active != r->ring_written)
		poll_after(r, ++r->ring_polls < POLLS_MAX ? POLL : POLL_SLOW);
}

static void poll_due(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct run *r = w->data;

	if (r->ring_asked || !r->corosync || !r->ring_running)
		return;
	r->ring_asked = corosync_active(r->corosync, active_got, r) == 0;
	if (!r->ring_asked)
		poll_after(r, POLL_SLOW);
}

/* ---- CPG ---- */

static void cpg_view_came(void *arg, const struct cpg_view *v)
{
	struct cluster_in in = { .kind = CLUSTER_IN_VIEW, .nodeids = v->nodes, .n_nodeids = v->n,
	                         .ringids = v->ring, .n_ringids = v->n_ring };
	struct run *r = arg;

	if (host(r)) {
		r->ring_running = true;
		r->ring_self = v->self;
		ring_tell(r, 0, NULL);
	}
	run_step(r, &in);
	poll_soon(r);
}

/* Asked for with the host's Corosync only: in our own the majority of the roster is all that counts. */
static void cpg_quorate_came(void *arg, bool quorate, uint32_t ring_node, uint64_t ring_seq, const uint32_t *nodes, unsigned n)
{
	struct run *r = arg;

	if (quorate != r->ring_quorate)
		log_info(r->log, "ring: the host's Corosync %s quorum", quorate ? "has" : "has no");
	r->ring_quorate = quorate;
	ring_tell(r, 0, NULL);
}

static void cpg_down_came(void *arg, const char *why)
{
	struct cluster_in in = { .kind = CLUSTER_IN_VIEW };
	struct run *r = arg;

	log_debug(r->log, "ring: no seat: %s", why);
	if (host(r)) {
		log_warn(r->log, "ring: the host's Corosync is gone: %s", why);
		r->ring_running = r->ring_quorate = false;
		ring_tell(r, 0, NULL);
	}
	run_step(r, &in);
}

static void cpg_message_came(void *arg, uint32_t from, const uint8_t *data, size_t len)
{
	struct cluster_in in = { .kind = CLUSTER_IN_CAST, .nodeid = from };
	struct run *r = arg;
	struct agree_msg msg;

	if (agree_msg_decode(data, len, &msg) < 0) {
		log_warn(r->log, "ring: a cast of nodeid %u does not decode", from);
		return;
	}
	in.agree = &msg;
	if (agree_msg_is_cast(msg.kind))
		run_step(r, &in);
	agree_msg_fini(&msg);
}

static void seat_take(struct run *r)
{
	struct cpg_options o = {
		.loop = r->loop, .log = r->log, .group = GROUP, .arg = r,
		.on = { .view = cpg_view_came, .down = cpg_down_came, .message = cpg_message_came },
	};

	if (host(r))
		o.on.quorate = cpg_quorate_came;
	if (!r->cpg)
		r->cpg = cpg_open(&o);
}

void run_ring_cast(struct run *r, const struct cluster_cast *c)
{
	int err = r->cpg ? cpg_cast(r->cpg, c->bytes.data, c->bytes.len) : ERR_AGAIN;

	if (err)
		log_debug(r->log, "ring: a cast is dropped: %s", err_text(err));
}

/* ---- acts ---- */

static void call_done(void *arg, int err, const char *why)
{
	struct owed o = *(struct owed *)arg;

	mem_autofree(&arg);
	if (o.write && !err)
		o.run->ring_written = o.epoch;
	poll_soon(o.run);
	run_done(o.run, o.act, err, why);
}

static void conf_of(struct run *r, const struct cluster_ring_conf *from, struct corosync_conf *to)
{
	*to = (struct corosync_conf){ .version = from->epoch, .port = (uint16_t)r->conf->ring_port };
	snprintf(to->cluster, sizeof(to->cluster), "%s", from->cluster);
	memcpy(to->key, from->key, sizeof(to->key));
	for (unsigned i = 0; i < from->roster.n && i < COROSYNC_NODES_MAX; i++) {
		const struct roster_node *n = &from->roster.node[i];
		struct corosync_node *c = &to->nodes[to->n_nodes++];

		c->nodeid = n->nodeid;
		snprintf(c->name, sizeof(c->name), "%s", from->names[i]);
		c->link[0] = n->addr[0];
		c->link[1] = n->addr[1];
	}
}

static void ring_write(struct run *r, const struct cluster_act *a)
{
	struct owed *o = mem_zalloc(sizeof(*o));
	auto_free char *why = NULL;
	struct corosync_conf conf;
	int err;

	*o = (struct owed){ r, a->id, a->conf->epoch, true };
	conf_of(r, a->conf, &conf);
	if (conf.n_nodes > 1)
		log_info(r->log, "ring: %s", corosync_conf_second(&conf, &why) ? "two links, both in use" : why);
	err = r->corosync ? corosync_write(r->corosync, &conf, call_done, o) : ERR_NOTSUP;
	memset(conf.key, 0, sizeof(conf.key));
	if (err) {
		mem_autofree(&o);
		run_done(r, a->id, err, r->corosync ? NULL : "Corosync is not to be had on this node");
	}
}

static void ring_reload(struct run *r, const struct cluster_act *a)
{
	struct owed *o = mem_zalloc(sizeof(*o));
	int err;

	*o = (struct owed){ .run = r, .act = a->id };
	err = r->corosync ? corosync_reload(r->corosync, call_done, o) : ERR_NOTSUP;
	if (err) {
		mem_autofree(&o);
		run_done(r, a->id, err, NULL);
	}
}

void run_ring_act(struct run *r, const struct cluster_act *a)
{
	int err;

	switch (a->kind) {
	case CLUSTER_ACT_RING_WRITE:
		ring_write(r, a);
		break;
	case CLUSTER_ACT_RING_RELOAD:
		ring_reload(r, a);
		break;
	case CLUSTER_ACT_RING_START:
		err = r->corosync ? corosync_start(r->corosync) : ERR_NOTSUP;
		if (err)
			ring_tell(r, err, err_text(err));
		else
			seat_take(r);
		break;
	default:
		if (r->corosync)
			corosync_stop(r->corosync, false);
	}
}

static void corosync_changed(void *arg, enum corosync_state state, const char *why)
{
	struct run *r = arg;

	r->ring_running = state == COROSYNC_RUNNING;
	if (!r->ring_running)
		r->ring_active = 0;
	if (state == COROSYNC_BROKEN)
		log_warn(r->log, "ring: Corosync died: %s", why ? why : "?");
	ring_tell(r, state == COROSYNC_BROKEN ? ERR_FAILED : 0, why);
	if (r->ring_running) {
		seat_take(r);
		poll_soon(r);
	}
}

void run_ring_open(struct run *r)
{
	auto_free char *dir = mem_printf("%s/corosync", r->conf->state);
	auto_free char *why = NULL;
	struct corosync_options o = {
		.dir = dir, .program = *r->conf->corosync_program ? r->conf->corosync_program : NULL,
		.host = host(r), .loop = r->loop, .log = r->log,
		.changed = corosync_changed, .arg = r,
	};
	uint8_t hash[16];
	int err;

	ev_timer_init(&r->ring_poll, poll_due, 0., 0.);
	r->ring_poll.data = r;
	if (r->conf->agreement == CONF_AGREEMENT_OFF)
		return;
	err = corosync_open(&r->corosync, &o, &why);
	if (err) {
		/* One node alone needs none. */
		log_warn(r->log, "ring: %s; this node can be no voter beside others", why ? why : err_text(err));
		return;
	}
	if (o.host) {
		seat_take(r);
		return;
	}
	r->ring_running = corosync_state(r->corosync) == COROSYNC_RUNNING;
	corosync_written(r->corosync, &r->ring_written, hash);
	if (r->ring_running)
		seat_take(r);
}

void run_ring_begin(struct run *r)
{
	if (!r->ring_running)
		return;
	ring_tell(r, 0, NULL);
	poll_soon(r);
}

void run_ring_close(struct run *r)
{
	ev_timer_stop(r->loop, &r->ring_poll);
	if (r->cpg)
		cpg_close(&r->cpg);
	if (r->corosync)
		corosync_close(&r->corosync);
}

void run_ring_reset(struct run *r)
{
	if (r->corosync && r->conf->agreement == CONF_AGREEMENT_COROSYNC)
		corosync_stop(r->corosync, true);
	if (r->cpg)
		cpg_close(&r->cpg);
	r->ring_running = r->ring_quorate = false;
	r->ring_active = r->ring_written = 0;
	if (r->corosync && host(r))
		seat_take(r);
}
