/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket of directord: frames in, replies and events out. What is quick is done here on the main
 * thread; what touches storage is a job (jobs.c). directord may come and go: nothing here ends with
 * its connection (I11).
 */
#include "config.h"

#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "target/serve/serve.h"

#define CLIENTS_MAX 16
#define OUT_MAX (64u << 20)             /* bytes waiting for a client that does not read */

struct client {
	struct client *next;
	struct control *control;
	int fd;
	ev_io in, out;
	struct buf rx, tx;
	uint64_t id;
	bool greeted;
};

/* Posted to the main thread by others: an event, or the reply of a job. */
struct note {
	struct note *next;
	uint64_t client;                /* 0: everyone */
	struct target_msg msg;
};

struct control {
	struct serve *serve;
	struct ev_loop *loop;
	int fd;
	ev_io accept;
	ev_timer retry;                 /* of accept, when there was no descriptor left */
	ev_async bell;
	struct client *clients;
	unsigned n_clients;
	uint64_t next_client, seq;
	pthread_mutex_t lock;           /* of the notes */
	struct note *notes, **notes_tail;
	struct jobs *jobs;
};

static void client_free(struct client *cl)
{
	struct control *c = cl->control;
	struct client **p = &c->clients;

	while (*p != cl)
		p = &(*p)->next;
	*p = cl->next;
	c->n_clients--;
	ev_io_stop(c->loop, &cl->in);
	ev_io_stop(c->loop, &cl->out);
	close(cl->fd);
	buf_fini(&cl->rx);
	buf_fini(&cl->tx);
	free(cl);
}

/* ---- sending ---- */

static void on_writable(struct ev_loop *loop, ev_io *io, int revents)
{
	struct client *cl = io->data;
	ssize_t n = send(cl->fd, cl->tx.data, cl->tx.len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n > 0)
		buf_drop(&cl->tx, (size_t)n);
	/* A broken socket is noticed by the reader. */
	if ((n < 0 && errno != EAGAIN && errno != EINTR) || !cl->tx.len)
		ev_io_stop(loop, io);
}

static void client_send(struct client *cl, const struct target_msg *m)
{
	if (cl->tx.len > OUT_MAX)
		return;
	target_msg_encode(m, &cl->tx);
	ev_io_start(cl->control->loop, &cl->out);
}

static void note_post(struct control *c, struct note *n)
{
	pthread_mutex_lock(&c->lock);
	n->next = NULL;
	*c->notes_tail = n;
	c->notes_tail = &n->next;
	pthread_mutex_unlock(&c->lock);
	ev_async_send(c->loop, &c->bell);
}

void control_event(struct serve *s, const struct target_event *ev)
{
	control_event_to(s, 0, ev);
}

void control_event_to(struct serve *s, uint64_t client, const struct target_event *ev)
{
	struct note *n;

	if (!s->control)
		return;
	n = mem_zalloc(sizeof(*n));
	n->client = client;
	n->msg.kind = TARGET_EVENT;
	n->msg.event = *ev;
	target_session_copy(&n->msg.event.session, &ev->session);
	n->msg.event.text = mem_strdup(ev->text);
	n->msg.event.blob = ev->n_blob ? mem_dup(ev->blob, ev->n_blob) : NULL;
	note_post(s->control, n);
}

static void on_bell(struct ev_loop *loop, ev_async *bell, int revents)
{
	struct control *c = bell->data;
	struct note *n, *next;

	pthread_mutex_lock(&c->lock);
	n = c->notes;
	c->notes = NULL;
	c->notes_tail = &c->notes;
	pthread_mutex_unlock(&c->lock);
	for (; n; n = next) {
		next = n->next;
		if (n->msg.kind == TARGET_EVENT)
			n->msg.event.seq = ++c->seq;
		for (struct client *cl = c->clients; cl; cl = cl->next)
			if (n->client ? n->client == cl->id : cl->greeted)
				client_send(cl, &n->msg);
		target_msg_fini(&n->msg);
		free(n);
	}
}

/* On a job's thread. `reply` is given. */
static void job_done(void *arg, uint64_t client, struct target_msg *reply)
{
	struct note *n = mem_zalloc(sizeof(*n));

	n->client = client;
	n->msg = *reply;
	note_post(arg, n);
}

/* ---- requests that are quick ---- */

static void hello_fill(const struct serve *s, struct target_hello *h)
{
	h->version = TARGET_PROTO_VERSION;
	h->pid = (uint32_t)getpid();
	memcpy(h->instance, s->instance, sizeof(h->instance));
	h->software = mem_strdup(PACKAGE_STRING);
}

/* The groups as they are now: initiators may have changed them. */
static void access_list(struct volume *v, struct target_volume *to)
{
	pthread_mutex_lock(&v->lu_lock);
	free(to->groups);
	to->n_groups = v->lu.alua.n;
	to->groups = mem_zalloc((to->n_groups + 1) * sizeof(*to->groups));
	for (unsigned i = 0; i < to->n_groups; i++) {
		const struct alua_group *g = &v->lu.alua.groups[i];

		to->groups[i] = (struct target_group){ g->id, g->state, g->preferred };
	}
	pthread_mutex_unlock(&v->lu_lock);
}

static void volume_list(struct volume *v, struct target_volume *to)
{
	struct backstore_stats now = { 0 };

	target_volume_copy(to, &v->def);
	to->lease_ms = v->lost ? 0 : atomic_load(&v->lease_ms);
	if (v->shaped)
		access_list(v, to);
	if (v->bs)
		backstore_stats(v->bs, &now);
	to->reads = v->past.ops[DIRECTOR_READ] + now.ops[DIRECTOR_READ];
	to->writes = v->past.ops[DIRECTOR_WRITE] + now.ops[DIRECTOR_WRITE];
	to->read_bytes = v->past.read_bytes + now.read_bytes;
	to->write_bytes = v->past.written_bytes + now.written_bytes;
	to->errors = v->past.errors + now.errors;
}

static void secrets_drop(struct target_def *t)
{
	for (unsigned i = 0; i < t->n_hosts; i++) {
		free(t->hosts[i].secret);
		free(t->hosts[i].mutual_secret);
		t->hosts[i].secret = t->hosts[i].mutual_secret = NULL;
	}
}

static void session_list(const struct session_entry *e, struct target_session *to)
{
	char isid[25], peer[64], local[64];
	struct target_session s = { .id = e->id,
		.initiator = (char *)e->initiator,
		.target = (char *)e->target,
		.alias = (char *)e->alias,
		.isid = isid,
		.tsih = e->tsih,
		.address = peer,
		.portal = local };

	for (unsigned i = 0; i < 6; i++)
		snprintf(isid + 2 * i, 3, "%02x", e->isid[i]);
	addr_text(&e->peer, peer);
	addr_text(&e->local, local);
	s.commands = atomic_load(&e->commands);
	s.read_bytes = atomic_load(&e->read_bytes);
	s.write_bytes = atomic_load(&e->write_bytes);
	s.errors = atomic_load(&e->errors);
	s.connections = atomic_load(&e->n_links);
	s.age_ms = mono_ms_between(e->since, mono_now());
	target_session_copy(to, &s);
}

static void list_fill(struct serve *s, struct target_list *l, bool whole)
{
	struct registry *r = &s->registry;
	unsigned nv = 0, nt = 0, ns = 0;

	pthread_mutex_lock(&r->lock);
	for (struct volume *v = r->volumes; v; v = v->next)
		nv++;
	for (struct target *t = r->targets; t && whole; t = t->next)
		nt++;
	for (struct session_entry *e = r->sessions; e; e = e->next)
		ns += !e->inner;
	l->volumes = mem_zalloc((nv + 1) * sizeof(*l->volumes));
	l->targets = mem_zalloc((nt + 1) * sizeof(*l->targets));
	l->sessions = mem_zalloc((ns + 1) * sizeof(*l->sessions));
	for (struct volume *v = r->volumes; v; v = v->next)
		volume_list(v, &l->volumes[l->n_volumes++]);
	for (struct target *t = r->targets; t && whole; t = t->next) {
		target_def_copy(&l->targets[l->n_targets], &t->def);
		l->targets[l->n_targets].error = listen_trouble(s->listen, &t->def);
		secrets_drop(&l->targets[l->n_targets++]);
	}
	/* Those of other nodes are not initiators'. */
	for (struct session_entry *e = r->sessions; e; e = e->next)
		if (!e->inner)
			session_list(e, &l->sessions[l->n_sessions++]);
	pthread_mutex_unlock(&r->lock);
	if (whole)
		listen_list(s->listen, l);
}

static void refresh_run(struct worker *w, struct worker_msg *m)
{
	free(m);
	for (struct session *ss = w->sessions; ss; ss = ss->next)
		session_refresh(ss);
}

static int fail(struct target_msg *reply, int err, const char *text)
{
	reply->err = err;
	reply->text = mem_strdup(text);
	return err;
}

static int target_check(const struct target_def *t, struct target_msg *reply)
{
	struct addr a;

	if (!iscsi_name_ok(t->iqn))
		return fail(reply, ERR_INVAL, "the name is not an iSCSI name (iqn.YYYY-MM.domain:anything)");
	for (unsigned i = 0; i < t->n_portals; i++)
		if (addr_parse(t->portals[i], 3260, &a) != 0)
			return fail(reply, ERR_INVAL, "a portal is not an address");
	for (unsigned i = 0; i < t->n_hosts; i++)
		if (!t->hosts[i].user != !t->hosts[i].secret ||
			!t->hosts[i].mutual_user != !t->hosts[i].mutual_secret ||
			(t->hosts[i].mutual_secret && !t->hosts[i].secret))
			return fail(reply, ERR_INVAL,
				"CHAP needs a user with its secret, and one-way CHAP before mutual");
	for (unsigned i = 0; i < t->n_luns; i++)
		for (unsigned k = 0; k < i; k++)
			if (t->luns[i].lun == t->luns[k].lun)
				return fail(reply, ERR_INVAL, "a LUN number is used twice");
	return 0;
}

static void target_set(struct serve *s, const struct target_def *want, struct target_msg *reply)
{
	struct registry *r = &s->registry;
	struct target_def before = { 0 };
	struct target *t;

	if (target_check(want, reply) != 0)
		return;
	pthread_mutex_lock(&r->lock);
	t = target_find_locked(r, want->iqn);
	if (t) {
		before = t->def;
		target_def_copy(&t->def, want);
	} else {
		t = mem_zalloc(sizeof(*t));
		target_def_copy(&t->def, want);
		registry_target_add_locked(r, t);
	}
	target_ports_locked(r, before.luns, before.n_luns);
	target_ports_locked(r, want->luns, want->n_luns);
	target_def_fini(&before);
	pthread_mutex_unlock(&r->lock);
	listen_refresh(s->listen);
	workers_post_all(s, refresh_run);
	/* The target is set, and served where it can be; that it is not everywhere is said. */
	if ((reply->text = listen_trouble(s->listen, want)))
		reply->err = ERR_BUSY;
}

static void target_delete(struct serve *s, const char *iqn)
{
	struct registry *r = &s->registry;
	struct target *t;

	pthread_mutex_lock(&r->lock);
	t = target_find_locked(r, iqn);
	if (t) {
		registry_target_remove_locked(r, t);
		target_ports_locked(r, t->def.luns, t->def.n_luns);
		target_def_fini(&t->def);
		free(t);
	}
	pthread_mutex_unlock(&r->lock);
	listen_refresh(s->listen);
	workers_post_all(s, refresh_run);
}

/* The states of a volume's target port groups: quick, and beside the jobs, for storage may be slow just then. */
static void volume_access(struct serve *s, const struct target_volume *want, struct target_msg *reply)
{
	struct registry *r = &s->registry;
	struct volume *v;

	pthread_mutex_lock(&r->lock);
	v = volume_find_locked(r, want->uuid);
	if (v) {
		groups_take(v, want);
		if (v->shaped)
			access_set(v, want);
	}
	pthread_mutex_unlock(&r->lock);
	if (!v)
		fail(reply, ERR_NOENT, "there is no such volume here");
}

struct drop_msg {
	struct worker_msg msg;
	uint64_t id;
};

static void drop_run(struct worker *w, struct worker_msg *m)
{
	struct drop_msg *dm = (struct drop_msg *)m;
	struct session *ss = session_find_id(w, dm->id);

	if (ss)
		session_end(ss, "dropped by the administrator", false);
	free(dm);
}

static void session_drop(struct serve *s, uint64_t id, struct target_msg *reply)
{
	struct registry *r = &s->registry;
	struct session_entry *e;
	struct drop_msg *dm;

	pthread_mutex_lock(&r->lock);
	for (e = r->sessions; e && e->id != id; e = e->next)
		;
	if (e) {
		dm = mem_zalloc(sizeof(*dm));
		dm->msg.run = drop_run;
		dm->id = id;
		worker_post(e->worker, &dm->msg);
	}
	pthread_mutex_unlock(&r->lock);
	if (!e)
		fail(reply, ERR_NOENT, "there is no such session");
}

struct kept {
	struct control *control;
	struct note *reply;
};

/* On any thread. */
static void kept_over(void *arg)
{
	struct kept *k = arg;

	note_post(k->control, k->reply);
	free(k);
}

static void volume_keep(struct client *cl, struct target_msg *m)
{
	struct kept *k = mem_zalloc(sizeof(*k));
	struct note *n = mem_zalloc(sizeof(*n));
	int err;

	n->client = cl->id;
	n->msg.kind = TARGET_REPLY;
	n->msg.id = m->id;
	k->control = cl->control;
	k->reply = n;
	err = agree_take(cl->control->serve, m, kept_over, k);
	if (err) {
		fail(&n->msg, err, err == ERR_NOENT ? "no such volume is open here, or nothing of it is agreed" :
			"this is not what a unit keeps");
		kept_over(k);
	}
}

/* `m` may be taken (zeroed) when it becomes a job. */
static void request(struct client *cl, struct target_msg *m)
{
	struct control *c = cl->control;
	struct serve *s = c->serve;
	struct target_msg reply = { .kind = TARGET_REPLY, .id = m->id };

	if (!cl->greeted && m->kind != TARGET_HELLO) {
		fail(&reply, ERR_DENIED, "a hello comes first");
		client_send(cl, &reply);
		target_msg_fini(&reply);
		return;
	}
	switch (m->kind) {
	case TARGET_HELLO:
		if (m->hello.version != TARGET_PROTO_VERSION)
			fail(&reply, ERR_VERSION, "director-target speaks another version of this protocol");
		else
			cl->greeted = true;
		if (cl->greeted)
			agree_propose_again(s, cl->id);
		hello_fill(s, &reply.hello);
		break;
	case TARGET_LIST:
	case TARGET_STATS:
		list_fill(s, &reply.list, m->kind == TARGET_LIST);
		break;
	case TARGET_VOLUME_CREATE:
	case TARGET_VOLUME_SET:
	case TARGET_VOLUME_RESIZE:
	case TARGET_VOLUME_CLOSE:
	case TARGET_VOLUME_DESTROY:
	case TARGET_VOLUME_FREEZE:
		jobs_post(c->jobs, cl->id, m);
		return;
	case TARGET_VOLUME_HOLD:
		/* Answers stop at once, whatever the volume's jobs are busy with. */
		lease_lose(s, m->volume.uuid, m->volume.epoch);
		jobs_post(c->jobs, cl->id, m);
		return;
	case TARGET_VOLUME_KEEP:
		volume_keep(cl, m);
		return;
	case TARGET_VOLUME_LEASE:
		leases_take(s, m->leases, m->n_leases);
		break;
	case TARGET_TARGET_SET:
		target_set(s, &m->target, &reply);
		break;
	case TARGET_TARGET_DELETE:
		target_delete(s, m->target.iqn);
		break;
	case TARGET_ACCESS_SET:
		volume_access(s, &m->volume, &reply);
		break;
	case TARGET_INNER:
		inner_set(s, &m->inner, &reply);
		break;
	case TARGET_SESSION_DROP:
		session_drop(s, m->number, &reply);
		break;
	case TARGET_SHUTDOWN:
		log_info(&s->log, "control: asked to shut down");
		ev_break(c->loop, EVBREAK_ALL);
		break;
	default:
		fail(&reply, ERR_NOTSUP, "this request is not known");
	}
	client_send(cl, &reply);
	target_msg_fini(&reply);
}

/* ---- connections ---- */

static void on_readable(struct ev_loop *loop, ev_io *io, int revents)
{
	struct client *cl = io->data;
	ssize_t n = recv(cl->fd, buf_room(&cl->rx, 65536), 65536, MSG_DONTWAIT);
	long len = 0;
	size_t at = 0;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_free(cl);
		return;
	}
	buf_add(&cl->rx, (size_t)n);
	while ((len = target_frame_len(cl->rx.data + at, cl->rx.len - at)) > 0) {
		struct target_msg m;

		if (target_msg_decode(cl->rx.data + at, (size_t)len, &m) != 0) {
			len = ERR_MALFORMED;
			break;
		}
		at += (size_t)len;
		request(cl, &m);
		target_msg_fini(&m);
	}
	if (len < 0) {
		log_warn(&cl->control->serve->log, "control: a malformed message; the connection is closed");
		client_free(cl);
		return;
	}
	buf_drop(&cl->rx, at);
}

static void on_accept(struct ev_loop *loop, ev_io *io, int revents)
{
	struct control *c = io->data;
	struct client *cl;
	int fd = accept4(c->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0) {
		/* Out of descriptors or memory: the readiness stays, so look away for a while. */
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			ev_io_stop(loop, io);
			ev_timer_again(loop, &c->retry);
		}
		return;
	}
	if (c->n_clients >= CLIENTS_MAX) {
		close(fd);
		return;
	}
	cl = mem_zalloc(sizeof(*cl));
	cl->control = c;
	cl->fd = fd;
	cl->id = c->next_client++;
	ev_io_init(&cl->in, on_readable, fd, EV_READ);
	ev_io_init(&cl->out, on_writable, fd, EV_WRITE);
	cl->in.data = cl->out.data = cl;
	cl->next = c->clients;
	c->clients = cl;
	c->n_clients++;
	ev_io_start(loop, &cl->in);
}

/* A socket that somebody answers at is a running director-target; a dead one is removed. */
static int socket_open(const struct serve *s)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	mode_t mask;

	if (fd < 0 || strlen(s->conf.socket) >= sizeof(un.sun_path))
		goto fail;
	memcpy(un.sun_path, s->conf.socket, strlen(s->conf.socket) + 1);
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0) {
		log_warn(&s->log, "control: %s: another director-target runs here", s->conf.socket);
		errno = EADDRINUSE;
		goto fail;
	}
	unlink(s->conf.socket);
	mask = umask(0177);
	if (bind(fd, (struct sockaddr *)&un, sizeof(un)) < 0 || listen(fd, 16) < 0) {
		umask(mask);
		goto fail;
	}
	umask(mask);
	return fd;
fail:
	if (fd >= 0)
		close(fd);
	return -1;
}

static void accept_again(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct control *c = w->data;

	ev_timer_stop(loop, w);
	ev_io_start(loop, &c->accept);
}

struct control *control_new(struct serve *s, struct ev_loop *loop)
{
	struct control *c = mem_zalloc(sizeof(*c));

	c->serve = s;
	c->loop = loop;
	c->next_client = 1;
	c->fd = socket_open(s);
	if (c->fd < 0) {
		free(c);
		return NULL;
	}
	pthread_mutex_init(&c->lock, NULL);
	c->notes_tail = &c->notes;
	ev_init(&c->retry, accept_again);
	c->retry.repeat = .5;
	c->retry.data = c;
	ev_io_init(&c->accept, on_accept, c->fd, EV_READ);
	c->accept.data = c;
	ev_io_start(loop, &c->accept);
	ev_async_init(&c->bell, on_bell);
	c->bell.data = c;
	ev_async_start(loop, &c->bell);
	c->jobs = jobs_new(s, job_done, c);
	return c;
}

void control_stop_jobs(struct control *c)
{
	jobs_stop(&c->jobs);
}

/* The workers are gone: nobody posts any more. */
void control_free(struct control **control)
{
	struct control *c = *control;

	if (!c)
		return;
	on_bell(c->loop, &c->bell, 0);
	/* Last words, if the socket takes them at once. */
	for (struct client *cl = c->clients; cl; cl = cl->next)
		if (cl->tx.len)
			on_writable(c->loop, &cl->out, 0);
	while (c->clients)
		client_free(c->clients);
	ev_io_stop(c->loop, &c->accept);
	ev_timer_stop(c->loop, &c->retry);
	ev_async_stop(c->loop, &c->bell);
	close(c->fd);
	unlink(c->serve->conf.socket);
	pthread_mutex_destroy(&c->lock);
	free(c);
	*control = NULL;
}
