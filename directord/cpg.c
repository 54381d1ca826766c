/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that sits in Corosync's process group, and the loop's side of it. What Corosync reports goes through one
 * queue in its order; the loop drains it.
 *
 * Views: Corosync tells of a new ring (totem) and then, in several steps, who left the group and who came.
 * The steps that arrive together are one view here. Members may therefore see different intermediate views, but
 * the last one before a message is the same on all, and its id is made of nothing but the ring and the members.
 */
#include "config.h"

#include "directord/cpg.h"

#include <assert.h>
#include <corosync/cpg.h>
#include <corosync/quorum.h>
#include <errno.h>
#include <ev.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

#define RETRY_MS_MIN 50
#define RETRY_MS_MAX 1000
#define FULL_MS 5               /* Corosync's queue is full: try again after this */

enum item_kind { ITEM_CAST, ITEM_VIEW, ITEM_DOWN, ITEM_MESSAGE, ITEM_QUORATE };

/* A cast on its way in, or an event on its way out; one allocation with its bytes. */
struct item {
	STAILQ_ENTRY(item) entry;
	enum item_kind kind;
	uint64_t life;                  /* CAST: for which seat */
	struct cpg_view view;           /* VIEW; QUORATE: ring and nodes */
	bool quorate;
	uint32_t from;
	size_t len;
	uint8_t bytes[];
};

STAILQ_HEAD(items, item);

struct member {
	uint32_t nodeid, pid;
};

struct cpg {
	/* The loop's. */
	struct ev_loop *loop;
	struct ev_async wake;
	const struct log *log;
	struct cpg_events on;
	void *arg;
	bool up;
	uint64_t seat;                  /* counts views after a down: which seat casts belong to */
	uint32_t self;
	/* When our casts that were not delivered back were handed over; a ring of times, oldest first. */
	struct mono sent[CPG_QUEUE_MAX];
	unsigned sent_first, n_sent;

	/* The thread's. */
	struct cpg_name group;
	cpg_handle_t cpg;
	quorum_handle_t quorum;
	int cpg_fd, quorum_fd;          /* -1: not connected */
	uint64_t life;                  /* counts seats, as `seat` does */
	bool seated;                    /* a view was given in this life */
	struct member members[CPG_MEMBERS_MAX];
	unsigned n_members;
	struct cpg_ring_id ring;
	uint32_t ring_nodes[CPG_MEMBERS_MAX];
	unsigned n_ring_nodes;
	uint32_t my_nodeid;
	bool have_ring, dirty;
	struct items casting;           /* taken from `casts`, waiting for Corosync */
	unsigned retry_ms;

	/* Both sides'. */
	pthread_t thread;
	pthread_mutex_t lock;
	int kick;                       /* eventfd: there are casts, or stop */
	struct items casts, events;
	unsigned n_casts;
	size_t cast_bytes;
	bool stop, hurry;
};

static struct item *item_new(enum item_kind kind, const void *data, size_t len)
{
	struct item *it = mem_alloc(sizeof(*it) + len);

	memset(it, 0, sizeof(*it));
	it->kind = kind;
	it->len = len;
	if (len)
		memcpy(it->bytes, data, len);
	return it;
}

static void items_free(struct items *list)
{
	struct item *it;

	while ((it = STAILQ_FIRST(list))) {
		STAILQ_REMOVE_HEAD(list, entry);
		free(it);
	}
}

static void emit(struct cpg *c, struct item *it)
{
	pthread_mutex_lock(&c->lock);
	STAILQ_INSERT_TAIL(&c->events, it, entry);
	if (!c->stop)
		ev_async_send(c->loop, &c->wake);
	pthread_mutex_unlock(&c->lock);
}

static int member_cmp(const void *a, const void *b)
{
	const struct member *x = a, *y = b;

	if (x->nodeid != y->nodeid)
		return x->nodeid < y->nodeid ? -1 : 1;
	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

/* FNV-1a over numbers; it has to tell views apart, not to resist anyone (the ring is authenticated). */
static uint64_t mix(uint64_t h, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		h = (h ^ ((v >> (8 * i)) & 0xff)) * 0x100000001b3u;
	return h;
}

static uint64_t view_id(const struct cpg *c)
{
	uint64_t h = mix(mix(0xcbf29ce484222325u, c->ring.nodeid), c->ring.seq);

	for (unsigned i = 0; i < c->n_members; i++)
		h = mix(mix(h, c->members[i].nodeid), c->members[i].pid);
	return h ? h : 1;
}

static bool is_member(const struct cpg *c)
{
	for (unsigned i = 0; i < c->n_members; i++)
		if (c->members[i].nodeid == c->my_nodeid && c->members[i].pid == (uint32_t)getpid())
			return true;
	return false;
}

/* Give the view that has come together; called before a message, and when nothing more is there to read. */
static void emit_view(struct cpg *c)
{
	uint32_t nodes[2 * CPG_MEMBERS_MAX];
	unsigned n = 0;
	struct item *it;

	if (!c->dirty || !c->have_ring || !is_member(c))
		return;
	c->dirty = false;
	for (unsigned i = 0; i < c->n_members; i++)
		if (n == 0 || nodes[n - 1] != c->members[i].nodeid)
			nodes[n++] = c->members[i].nodeid;
	memcpy(nodes + n, c->ring_nodes, c->n_ring_nodes * sizeof(nodes[0]));
	it = item_new(ITEM_VIEW, nodes, (n + c->n_ring_nodes) * sizeof(nodes[0]));
	it->view = (struct cpg_view){ .id = view_id(c), .ring_node = c->ring.nodeid, .ring_seq = c->ring.seq,
				      .self = c->my_nodeid, .n = n, .n_ring = c->n_ring_nodes };
	c->seated = true;
	c->retry_ms = RETRY_MS_MIN;
	emit(c, it);
}

static struct cpg *of_handle(cpg_handle_t h)
{
	void *c = NULL;

	cpg_context_get(h, &c);
	return c;
}

static void on_deliver(cpg_handle_t h, const struct cpg_name *group, uint32_t nodeid, uint32_t pid, void *msg, size_t len)
{
	struct cpg *c = of_handle(h);
	struct item *it;

	emit_view(c);
	if (!c->seated)
		return;
	it = item_new(ITEM_MESSAGE, msg, len);
	it->from = nodeid;
	emit(c, it);
}

static void on_confchg(cpg_handle_t h, const struct cpg_name *group, const struct cpg_address *members, size_t n_members,
		       const struct cpg_address *left, size_t n_left, const struct cpg_address *joined, size_t n_joined)
{
	struct cpg *c = of_handle(h);

	c->n_members = 0;
	for (size_t i = 0; i < n_members && i < CPG_MEMBERS_MAX; i++)
		c->members[c->n_members++] = (struct member){ members[i].nodeid, members[i].pid };
	qsort(c->members, c->n_members, sizeof(c->members[0]), member_cmp);
	c->dirty = true;
}

static void on_ring(cpg_handle_t h, struct cpg_ring_id ring, uint32_t n, const uint32_t *nodes)
{
	struct cpg *c = of_handle(h);

	if (c->have_ring && c->ring.nodeid == ring.nodeid && c->ring.seq == ring.seq)
		return;
	c->ring = ring;
	c->n_ring_nodes = n < CPG_MEMBERS_MAX ? n : CPG_MEMBERS_MAX;
	memcpy(c->ring_nodes, nodes, c->n_ring_nodes * sizeof(nodes[0]));
	c->have_ring = true;
	c->dirty = true;
}

static void on_quorum(quorum_handle_t h, uint32_t quorate, struct quorum_ring_id ring, uint32_t n, const uint32_t *nodes)
{
	const void *context = NULL;
	struct item *it = item_new(ITEM_QUORATE, nodes, n * sizeof(*nodes));

	quorum_context_get(h, &context);
	it->quorate = quorate;
	it->view.ring_node = ring.nodeid;
	it->view.ring_seq = ring.seq;
	it->view.n = n;
	emit((struct cpg *)(uintptr_t)context, it);
}

static void on_nodelist(quorum_handle_t h, struct quorum_ring_id ring, uint32_t n, const uint32_t *nodes,
			uint32_t n_joined, const uint32_t *joined, uint32_t n_left, const uint32_t *left)
{
	/* The process group says the same; the library wants a function. */
}

static void leave_seat(struct cpg *c, const char *why)
{
	if (c->quorum_fd >= 0)
		quorum_finalize(c->quorum);
	if (c->cpg_fd >= 0)
		cpg_finalize(c->cpg);
	c->quorum_fd = c->cpg_fd = -1;
	c->n_members = 0;
	c->have_ring = c->dirty = false;
	if (c->seated) {
		c->seated = false;
		c->life++;
		emit(c, item_new(ITEM_DOWN, why, strlen(why) + 1));
	}
}

static bool take_quorum_seat(struct cpg *c)
{
	quorum_model_v1_data_t model = {
		.model = QUORUM_MODEL_V1,
		.quorum_notify_fn = on_quorum,
		.nodelist_notify_fn = on_nodelist,
	};
	uint32_t type;

	if (quorum_model_initialize(&c->quorum, QUORUM_MODEL_V1, (quorum_model_data_t *)&model, &type, c) != CS_OK)
		return false;
	if (quorum_fd_get(c->quorum, &c->quorum_fd) != CS_OK || quorum_trackstart(c->quorum, CS_TRACK_CHANGES) != CS_OK) {
		quorum_finalize(c->quorum);
		c->quorum_fd = -1;
		return false;
	}
	return true;
}

/* Connect and join. Joining is refused (TRY_AGAIN) while a ring forms: then all of it is done again later. */
static bool take_seat(struct cpg *c)
{
	cpg_model_v1_data_t model = {
		.model = CPG_MODEL_V1,
		.cpg_deliver_fn = on_deliver,
		.cpg_confchg_fn = on_confchg,
		.cpg_totem_confchg_fn = on_ring,
		.flags = CPG_MODEL_V1_DELIVER_INITIAL_TOTEM_CONF,
	};
	unsigned self;

	if (cpg_model_initialize(&c->cpg, CPG_MODEL_V1, (cpg_model_data_t *)&model, c) != CS_OK)
		return false;
	if (cpg_fd_get(c->cpg, &c->cpg_fd) != CS_OK || cpg_local_get(c->cpg, &self) != CS_OK ||
	    cpg_join(c->cpg, &c->group) != CS_OK) {
		cpg_finalize(c->cpg);
		c->cpg_fd = -1;
		return false;
	}
	c->my_nodeid = self;
	if (c->on.quorate && !take_quorum_seat(c)) {
		leave_seat(c, "no quorum service");
		return false;
	}
	return true;
}

/* Hand casts to Corosync until it is full. False: the seat is lost. */
static bool send_casts(struct cpg *c, bool *full)
{
	struct item *it;

	*full = false;
	pthread_mutex_lock(&c->lock);
	STAILQ_CONCAT(&c->casting, &c->casts);
	pthread_mutex_unlock(&c->lock);
	while ((it = STAILQ_FIRST(&c->casting))) {
		struct iovec iov = { it->bytes, it->len };
		cs_error_t rc = CS_OK;

		/* A cast for a seat that was lost since must not be heard from the next one. */
		if (it->life == c->life && c->seated)
			rc = cpg_mcast_joined(c->cpg, CPG_TYPE_AGREED, &iov, 1);
		if (rc == CS_ERR_TRY_AGAIN) {
			*full = true;
			return true;
		}
		if (rc != CS_OK)
			return false;
		STAILQ_REMOVE_HEAD(&c->casting, entry);
		pthread_mutex_lock(&c->lock);
		c->n_casts--;
		c->cast_bytes -= it->len;
		pthread_mutex_unlock(&c->lock);
		free(it);
	}
	return true;
}

static void drain_kick(struct cpg *c)
{
	uint64_t n;

	if (read(c->kick, &n, sizeof(n)) < 0)
		assert(errno == EAGAIN);
}

/* One turn of a thread that has a seat. False: the seat is lost. */
static bool serve_seat(struct cpg *c)
{
	struct pollfd p[3] = {
		{ .fd = c->kick, .events = POLLIN },
		{ .fd = c->cpg_fd, .events = POLLIN },
		{ .fd = c->quorum_fd, .events = POLLIN },
	};
	bool full;

	if (!send_casts(c, &full))
		return false;
	if (poll(p, 3, full ? FULL_MS : -1) < 0)
		return errno == EINTR;
	if (p[0].revents)
		drain_kick(c);
	if (p[1].revents) {
		/* Everything that is there: the steps of one change come together. */
		if (cpg_dispatch(c->cpg, CS_DISPATCH_ALL) != CS_OK)
			return false;
		emit_view(c);
	}
	if (p[2].revents && quorum_dispatch(c->quorum, CS_DISPATCH_ALL) != CS_OK)
		return false;
	return true;
}

/* Casts that nobody will send, because their seat is gone. */
static void drop_casts(struct cpg *c)
{
	pthread_mutex_lock(&c->lock);
	STAILQ_CONCAT(&c->casting, &c->casts);
	c->n_casts = 0;
	c->cast_bytes = 0;
	pthread_mutex_unlock(&c->lock);
	items_free(&c->casting);
}

static bool stopping(struct cpg *c)
{
	bool stop;

	pthread_mutex_lock(&c->lock);
	stop = c->stop;
	pthread_mutex_unlock(&c->lock);
	return stop;
}

static bool hurried(struct cpg *c)
{
	bool hurry;

	pthread_mutex_lock(&c->lock);
	hurry = c->hurry;
	c->hurry = false;
	pthread_mutex_unlock(&c->lock);
	return hurry;
}

static void *cpg_thread(void *arg)
{
	struct cpg *c = arg;

	while (!stopping(c)) {
		if (c->cpg_fd >= 0) {
			if (!serve_seat(c))
				leave_seat(c, "Corosync has gone");
			continue;
		}
		drop_casts(c);
		if (hurried(c))
			c->retry_ms = RETRY_MS_MIN;
		if (!take_seat(c)) {
			struct pollfd p = { .fd = c->kick, .events = POLLIN };

			if (poll(&p, 1, (int)c->retry_ms) > 0)
				drain_kick(c);
			c->retry_ms = c->retry_ms * 2 > RETRY_MS_MAX ? RETRY_MS_MAX : c->retry_ms * 2;
		}
	}
	leave_seat(c, "closed");
	return NULL;
}

static void on_view(struct cpg *c, struct item *it)
{
	it->view.nodes = (const uint32_t *)(const void *)it->bytes;
	it->view.ring = it->view.nodes + it->view.n;
	if (!c->up)
		log_info(c->log, "cpg: joined as %u, ring %u.%llu", it->view.self, it->view.ring_node,
			 (unsigned long long)it->view.ring_seq);
	c->up = true;
	c->self = it->view.self;
	log_debug(c->log, "cpg: view %016llx, ring %u.%llu, %u nodes", (unsigned long long)it->view.id,
		  it->view.ring_node, (unsigned long long)it->view.ring_seq, it->view.n);
	c->on.view(c->arg, &it->view);
}

static void on_down(struct cpg *c, struct item *it)
{
	c->up = false;
	c->seat++;
	c->n_sent = 0;
	log_info(c->log, "cpg: lost the seat: %s", (const char *)it->bytes);
	c->on.down(c->arg, (const char *)it->bytes);
}

static void on_message(struct cpg *c, struct item *it)
{
	if (it->from == c->self && c->n_sent) {
		c->sent_first = (c->sent_first + 1) % CPG_QUEUE_MAX;
		c->n_sent--;
	}
	c->on.message(c->arg, it->from, it->bytes, it->len);
}

static void on_wake(struct ev_loop *loop, struct ev_async *w, int revents)
{
	struct cpg *c = w->data;
	struct items list = STAILQ_HEAD_INITIALIZER(list);
	struct item *it;

	pthread_mutex_lock(&c->lock);
	STAILQ_CONCAT(&list, &c->events);
	pthread_mutex_unlock(&c->lock);
	while ((it = STAILQ_FIRST(&list))) {
		STAILQ_REMOVE_HEAD(&list, entry);
		switch (it->kind) {
		case ITEM_VIEW:
			on_view(c, it);
			break;
		case ITEM_DOWN:
			on_down(c, it);
			break;
		case ITEM_MESSAGE:
			on_message(c, it);
			break;
		case ITEM_QUORATE:
			c->on.quorate(c->arg, it->quorate, it->view.ring_node, it->view.ring_seq,
				      (const uint32_t *)(const void *)it->bytes, it->view.n);
			break;
		case ITEM_CAST:
			break;
		}
		free(it);
	}
}

static void kick(struct cpg *c)
{
	uint64_t one = 1;

	if (write(c->kick, &one, sizeof(one)) < 0)
		assert(errno == EAGAIN);
}

struct cpg *cpg_open(const struct cpg_options *o)
{
	struct cpg *c = mem_zalloc(sizeof(*c));
	size_t len = strlen(o->group);
	sigset_t all, old;

	assert(len > 0 && len < CPG_MAX_NAME_LENGTH);
	c->loop = o->loop;
	c->log = o->log;
	c->on = o->on;
	c->arg = o->arg;
	c->group.length = (uint32_t)len;
	memcpy(c->group.value, o->group, len);
	c->cpg_fd = c->quorum_fd = -1;
	c->retry_ms = RETRY_MS_MIN;
	STAILQ_INIT(&c->casting);
	STAILQ_INIT(&c->casts);
	STAILQ_INIT(&c->events);
	pthread_mutex_init(&c->lock, NULL);
	c->kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (c->kick < 0)
		abort();
	ev_async_init(&c->wake, on_wake);
	c->wake.data = c;
	ev_async_start(c->loop, &c->wake);
	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (pthread_create(&c->thread, NULL, cpg_thread, c))
		abort();
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return c;
}

void cpg_close(struct cpg **cp)
{
	struct cpg *c = *cp;
	struct timespec until;

	*cp = NULL;
	if (!c)
		return;
	ev_async_stop(c->loop, &c->wake);
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_mutex_unlock(&c->lock);
	kick(c);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec++;
	if (pthread_timedjoin_np(c->thread, NULL, &until)) {
		/* It waits for a Corosync that does not answer; what it holds stays its own. */
		log_warn(c->log, "cpg: Corosync hangs; left behind");
		pthread_detach(c->thread);
		return;
	}
	items_free(&c->casting);
	items_free(&c->casts);
	items_free(&c->events);
	pthread_mutex_destroy(&c->lock);
	close(c->kick);
	free(c);
}

void cpg_hurry(struct cpg *c)
{
	pthread_mutex_lock(&c->lock);
	c->hurry = true;
	pthread_mutex_unlock(&c->lock);
	kick(c);
}

int cpg_cast(struct cpg *c, const void *data, size_t len)
{
	struct item *it;
	bool taken;

	if (!c->up)
		return ERR_AGAIN;
	if (len > CPG_CAST_MAX || c->n_sent == CPG_QUEUE_MAX)
		return ERR_LIMIT;
	it = item_new(ITEM_CAST, data, len);
	it->life = c->seat;
	pthread_mutex_lock(&c->lock);
	taken = c->n_casts < CPG_QUEUE_MAX && c->cast_bytes + len <= CPG_QUEUE_BYTES_MAX;
	if (taken) {
		STAILQ_INSERT_TAIL(&c->casts, it, entry);
		c->n_casts++;
		c->cast_bytes += len;
	}
	pthread_mutex_unlock(&c->lock);
	if (!taken) {
		free(it);
		return ERR_LIMIT;
	}
	c->sent[(c->sent_first + c->n_sent++) % CPG_QUEUE_MAX] = mono_now();
	kick(c);
	return 0;
}

bool cpg_is_up(const struct cpg *c)
{
	return c->up;
}

uint64_t cpg_waiting_ms(const struct cpg *c)
{
	uint64_t ms;

	if (!c->n_sent)
		return 0;
	ms = mono_ms_between(c->sent[c->sent_first], mono_now());
	return ms ? ms : 1;
}
