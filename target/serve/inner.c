/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the cluster (doc/ownership.md 9): legs and volumes as other nodes reach them at the inner portals, and as other
 * stacks of this process do. A login names an epoch and proves that it knows its secret; at a leg that is a claim, which is
 * stored before the login is answered, on a thread of its own.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/le.h"
#include "base/mem.h"
#include "base/text.h"
#include "proto/inner.h"
#include "target/serve/plant.h"
#include "target/serve/serve.h"

#define CLAIM_THREADS 32                /* each may wait for the storage of one leg */
#define RECORD_LEN 16                   /* "DLEG" | crc32c:4 | epoch:8, little-endian */
#define RECORD_EVERY 4096               /* two of them, each in a block of its own: one is whole whatever is torn */

/* A login that waits for its claim. */
struct claim {
	struct worker_msg msg;
	struct claim *next;             /* of those that wait for a thread */
	struct claim *next_any, **prev_any;     /* of all */
	struct inner *inner;
	struct worker *worker;
	struct link *link;              /* of its worker; NULL: it is gone */
	uint8_t uuid[16];
	uint64_t epoch;
	int result;
};

struct inner {
	struct serve *serve;
	int dir;
	struct target_inner conf;       /* by registry.lock */
	pthread_mutex_t lock;           /* what follows */
	pthread_cond_t idle;
	struct claim *todo, **tail, *all;
	unsigned n_threads;
	bool stopping;
};

/* ---- portals and keys ---- */

void inner_set(struct serve *s, const struct target_inner *want, struct target_msg *reply)
{
	struct inner *in = s->inner;
	struct target_inner *c = &in->conf;
	struct addr a;

	for (unsigned i = 0; i < want->n_portals; i++)
		if (addr_parse(want->portals[i], INNER_PORT, &a) != 0) {
			reply->err = ERR_INVAL;
			reply->text = mem_strdup("an inner portal is not an address");
			return;
		}
	pthread_mutex_lock(&s->registry.lock);
	for (unsigned i = 0; i < c->n_portals; i++)
		free(c->portals[i]);
	free(c->portals);
	explicit_bzero(c->keys, sizeof(c->keys));
	c->n_portals = 0;
	c->portals = mem_zalloc((want->n_portals + 1) * sizeof(*c->portals));
	for (; c->n_portals < want->n_portals; c->n_portals++)
		c->portals[c->n_portals] = mem_strdup(want->portals[c->n_portals]);
	memcpy(c->keys, want->keys, sizeof(c->keys));
	c->n_keys = want->n_keys;
	pthread_mutex_unlock(&s->registry.lock);
	listen_refresh(s->listen);
}

bool inner_portal_locked(const struct serve *s, unsigned i, struct addr *a)
{
	const struct target_inner *c = &s->inner->conf;

	return i < c->n_portals && addr_parse(c->portals[i], INNER_PORT, a) == 0;
}

/* Did the connection come to an inner portal? */
static bool comes_inside(const struct serve *s, const struct addr *local)
{
	static const uint8_t zero[16];
	struct addr a;

	for (unsigned i = 0; inner_portal_locked(s, i, &a); i++)
		if (a.port == local->port && (memcmp(a.ip, zero, sizeof(zero)) == 0 ||
			(a.family == local->family && memcmp(a.ip, local->ip, sizeof(a.ip)) == 0)))
			return true;
	return false;
}

/* ---- a login ---- */

/* With registry.lock: the volume that the login means, if other nodes may reach it now. */
static struct volume *volume_meant(struct link *l)
{
	struct volume *v;
	uint8_t uuid[16];

	if (!inner_name_parse(l->conn->login->target, uuid))
		return NULL;
	v = volume_find_locked(&l->worker->serve->registry, uuid);
	return v && v->share && v->def.inner != TARGET_INNER_NONE ? v : NULL;
}

bool inner_policy_locked(struct link *l, struct login_policy *p)
{
	const struct login *login = l->conn->login;

	l->inner = comes_inside(l->worker->serve, &l->local);
	if (!l->inner)
		return false;
	p->by_user = true;
	p->ours.max_connections = 1;
	p->ours.erl = 2;        /* for what is forwarded (join below); of legs nothing is saved, and nothing offered */
	if (login->discovery)
		p->status = LOGIN_SESSION_TYPE;
	else if (!volume_meant(l))
		p->status = LOGIN_NOT_FOUND;
	return true;
}

void inner_proof(struct link *l)
{
	struct serve *s = l->worker->serve;
	char text[TARGET_KEYS_MAX][INNER_SECRET_LEN];
	const char *secrets[TARGET_KEYS_MAX];
	const struct target_inner *c = &s->inner->conf;
	unsigned n = 0;
	uint64_t epoch;
	uint8_t uuid[16];

	pthread_mutex_lock(&s->registry.lock);
	if (inner_user_parse(l->conn->login->user, &epoch) && inner_name_parse(l->conn->login->target, uuid))
		for (; n < c->n_keys; n++)
			secrets[n] = inner_secret(c->keys[n], uuid, epoch, text[n]);
	pthread_mutex_unlock(&s->registry.lock);
	conn_proof(l->conn, secrets, n);
	explicit_bzero(text, sizeof(text));
}

static void *claim_main(void *arg);

/* Given to a thread, which there is one of for each up to a bound. */
static void claim_post(struct inner *in, struct claim *cl)
{
	pthread_attr_t attr;
	pthread_t t;

	pthread_mutex_lock(&in->lock);
	cl->next_any = in->all;
	cl->prev_any = &in->all;
	if (in->all)
		in->all->prev_any = &cl->next_any;
	in->all = cl;
	*in->tail = cl;
	in->tail = &cl->next;
	if (in->n_threads < CLAIM_THREADS) {
		pthread_attr_init(&attr);
		pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
		pthread_attr_setstacksize(&attr, 256 << 10);
		if (pthread_create(&t, &attr, claim_main, in) == 0)
			in->n_threads++;
		pthread_attr_destroy(&attr);
	}
	pthread_mutex_unlock(&in->lock);
}

/* With in->lock. */
static void claim_forget(struct claim *cl)
{
	*cl->prev_any = cl->next_any;
	if (cl->next_any)
		cl->next_any->prev_any = cl->prev_any;
	free(cl);
}

static enum login_status claim_status(int result)
{
	switch (result) {
	case 0:
		return LOGIN_OK;
	case -ESTALE:
		return LOGIN_FORBIDDEN;
	case -ENOTCONN:
		return LOGIN_NOT_FOUND;
	default:
		return LOGIN_TARGET_ERROR;
	}
}

static void claimed_run(struct worker *w, struct worker_msg *m)
{
	struct claim *cl = (struct claim *)m;
	struct inner *in = cl->inner;
	struct link *l = cl->link;

	if (l) {
		l->claim = NULL;
		l->claimed = true;
		l->claim_status = claim_status(cl->result);
		l->waiting = false;
		worker_dirty(w, l);
	}
	pthread_mutex_lock(&in->lock);
	claim_forget(cl);
	pthread_mutex_unlock(&in->lock);
}

static void *claim_main(void *arg)
{
	struct inner *in = arg;
	struct claim *cl;

	pthread_mutex_lock(&in->lock);
	while ((cl = in->todo) != NULL && !in->stopping) {
		struct director_err err = { .struct_size = sizeof(err) };
		char uuid[37];

		in->todo = cl->next;
		if (!in->todo)
			in->tail = &in->todo;
		pthread_mutex_unlock(&in->lock);
		cl->result = backstore_claim(in->serve->host, cl->uuid, cl->epoch, &err);
		if (cl->result < 0)
			log_info(&in->serve->log, "inner: leg %s is not claimed under epoch %llu: %s", text_uuid(cl->uuid, uuid),
				(unsigned long long)cl->epoch, err.text);
		cl->msg.run = claimed_run;
		worker_post(cl->worker, &cl->msg);
		pthread_mutex_lock(&in->lock);
	}
	if (--in->n_threads == 0)
		pthread_cond_broadcast(&in->idle);
	pthread_mutex_unlock(&in->lock);
	return NULL;
}

static bool digests(const struct login *login)
{
	return login->params.header_digest == DIGEST_CRC32C && login->params.data_digest == DIGEST_CRC32C;
}

bool inner_admit(struct link *l, enum login_status *status)
{
	struct serve *s = l->worker->serve;
	const struct login *login = l->conn->login;
	struct claim *cl = NULL;
	struct volume *v;

	*status = LOGIN_OK;
	pthread_mutex_lock(&s->registry.lock);
	v = volume_meant(l);
	if (!v)
		*status = LOGIN_NOT_FOUND;
	else if (!digests(login) || !inner_user_parse(login->user, &l->epoch) || (login->tsih && v->def.inner != TARGET_INNER_SERVED))
		*status = LOGIN_INITIATOR_ERROR;
	else if (v->def.inner == TARGET_INNER_SERVED && l->epoch != v->def.epoch)
		*status = LOGIN_FORBIDDEN;
	else if (v->def.inner == TARGET_INNER_LEG && !l->claimed) {
		cl = mem_zalloc(sizeof(*cl));
		memcpy(cl->uuid, v->def.uuid, 16);
	} else if (v->def.inner == TARGET_INNER_LEG) {
		*status = l->claim_status;
	}
	pthread_mutex_unlock(&s->registry.lock);
	if (!cl)
		return true;
	cl->inner = s->inner;
	cl->worker = l->worker;
	cl->link = l;
	cl->epoch = l->epoch;
	l->claim = cl;
	l->waiting = true;
	claim_post(s->inner, cl);
	return false;
}

bool inner_enter_locked(struct link *l, struct session_entry *e)
{
	struct volume *v = volume_meant(l);

	/* Since it was let in a newer one may have come. */
	if (!v || (v->def.inner == TARGET_INNER_LEG ? backstore_share_claimed(v->share) > l->epoch && !planted("epoch") : v->def.epoch != l->epoch))
		return false;
	e->inner = true;
	e->leg = v->def.inner == TARGET_INNER_LEG;
	e->epoch = l->epoch;
	memcpy(e->volume, v->def.uuid, 16);
	return true;
}

bool inner_serves(const struct volume *v, uint64_t epoch)
{
	return atomic_load_explicit(&v->served, memory_order_acquire) && atomic_load_explicit(&v->epoch, memory_order_relaxed) == epoch;
}

void inner_link_gone(struct link *l)
{
	if (l->claim)
		l->claim->link = NULL;
	l->claim = NULL;
}

/* ---- sessions ---- */

void inner_refresh(struct session *ss)
{
	struct registry *r = &ss->worker->serve->registry;
	struct nexus *n = ss->nexuses;
	struct volume *v;

	pthread_mutex_lock(&r->lock);
	v = volume_find_locked(r, ss->entry->volume);
	/* One that was here and is served elsewhere says so to each command, until the other node goes (hold.c). */
	if (v && !n && (!v->share || v->def.inner == TARGET_INNER_NONE))
		v = NULL;
	if (v && !n) {
		n = mem_zalloc(sizeof(*n));
		n->volume = v;
		ss->nexuses = n;
		v->n_nexus++;
		pthread_mutex_lock(&v->lu_lock);
		lu_attach(&v->inner_lu, &n->scsi, &ss->it, 0, false);
		pthread_mutex_unlock(&v->lu_lock);
		free(ss->it.luns);
		ss->it.luns = mem_alloc(sizeof(*ss->it.luns));
		ss->it.luns[0] = &n->scsi;
		ss->it.n_luns = 1;
	}
	pthread_mutex_unlock(&r->lock);
	if (!v)
		session_end(ss, "the volume is not here any more", true);
}

struct end_msg {
	struct worker_msg msg;
	uint64_t id;
	bool at_once;
};

/*
 * What a node that forwards has sent and what was not begun yet is answered first: as a rule that it was not done (hold.c), since the
 * volume is held, or served under another epoch. It knows of what came later that it was not taken (DIRECTOR_ISCSI_F_LAST_WORD).
 */
static void end_run(struct worker *w, struct worker_msg *m)
{
	struct end_msg *em = (struct end_msg *)m;
	struct session *ss = session_find_id(w, em->id);
	struct task *t;

	while (ss && !em->at_once && !ss->is->closing && (t = session_next_task(ss->is)))
		exec_task(ss, t);
	if (ss)
		session_end(ss, "succeeded by a newer epoch", em->at_once);
	free(em);
}

/* With registry.lock: those under another epoch than this, or under an older one only. */
static void sessions_end_locked(struct serve *s, const uint8_t uuid[16], uint64_t epoch, bool older)
{
	for (struct session_entry *e = s->registry.sessions; e; e = e->next) {
		struct end_msg *em;

		if (!e->inner || memcmp(e->volume, uuid, 16) != 0 || (older ? e->epoch >= epoch : e->epoch == epoch))
			continue;
		em = mem_zalloc(sizeof(*em));
		em->msg.run = end_run;
		em->id = e->id;
		em->at_once = e->leg;   /* else answers that are on their way still leave */
		worker_post(e->worker, &em->msg);
	}
}

/* ---- what a leg has stored ---- */

static void file_name(const uint8_t uuid[16], char name[64])
{
	char text[37];

	snprintf(name, 64, "%s.leg", text_uuid(uuid, text));
}

static void record_put(uint64_t epoch, uint8_t b[RECORD_LEN])
{
	memcpy(b, "DLEG", 4);
	le_put(b + 8, epoch, 8);
	le_put(b + 4, crc32c(0, b + 8, 8), 4);
}

/* 0: it is none. */
static uint64_t record_get(const uint8_t b[RECORD_LEN])
{
	uint64_t epoch = le_get(b + 8, 8);
	uint8_t again[RECORD_LEN];

	record_put(epoch, again);
	return memcmp(again, b, RECORD_LEN) == 0 ? epoch : 0;
}

/* The newest epoch that was stored, and where it is; *size: bytes of the file. */
static int leg_read(int fd, uint64_t *epoch, unsigned *slot, off_t *size)
{
	*epoch = 0;
	*slot = 1;
	*size = lseek(fd, 0, SEEK_END);
	for (unsigned i = 0; i < 2; i++) {
		uint8_t b[RECORD_LEN];
		ssize_t n = pread(fd, b, sizeof(b), (off_t)i * RECORD_EVERY);
		uint64_t e = n == RECORD_LEN ? record_get(b) : 0;

		if (n < 0)
			return -errno;
		if (e > *epoch) {
			*epoch = e;
			*slot = i;
		}
	}
	return 0;
}

/* In the place of the older one. */
static int leg_write(const struct inner *in, const uint8_t uuid[16], uint64_t epoch)
{
	uint8_t b[RECORD_LEN];
	uint64_t stored;
	unsigned slot;
	char name[64];
	off_t size;
	int fd, r;

	if (in->dir < 0)
		return -ENOENT;
	file_name(uuid, name);
	fd = openat(in->dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	record_put(epoch, b);
	r = leg_read(fd, &stored, &slot, &size);
	if (r == 0 && pwrite(fd, b, sizeof(b), (off_t)!slot * RECORD_EVERY) != (ssize_t)sizeof(b))
		r = errno ? -errno : -EIO;
	if (r == 0 && fdatasync(fd) < 0)
		r = -errno;
	/* Also of a file that is not new: its name may have been refused the disk the last time. */
	if (r == 0 && fsync(in->dir) < 0)
		r = -errno;
	close(fd);
	return r;
}

static int leg_load(const struct inner *in, const struct volume *v, uint64_t *epoch, char **why)
{
	char name[64];
	unsigned slot;
	off_t size;
	int fd, r;

	*epoch = 0;
	file_name(v->def.uuid, name);
	fd = in->dir < 0 ? -1 : openat(in->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && in->dir >= 0 && errno == ENOENT)
		return 0;
	r = fd < 0 ? -errno : leg_read(fd, epoch, &slot, &size);
	if (fd >= 0)
		close(fd);
	/* One that was just made is empty; what was stored in it once is never gone. */
	if (r == 0 && (*epoch || size == 0))
		return 0;
	*why = r < 0 ? mem_printf("who claimed %s is not readable in %s: %s", v->def.name, in->serve->conf.state, strerror(-r))
		     : mem_printf("who claimed %s is damaged: %s/%s", v->def.name, in->serve->conf.state, name);
	return r < 0 ? ERR_IO : ERR_MALFORMED;
}

void inner_drop(struct serve *s, const uint8_t uuid[16])
{
	char name[64];

	file_name(uuid, name);
	if (s->inner->dir >= 0)
		unlinkat(s->inner->dir, name, 0);
}

/* See struct backstore_share_conf. */
static int leg_claim(void *arg, uint64_t epoch, struct director_err *err)
{
	struct volume *v = arg;
	struct serve *s = v->serve;
	int r = leg_write(s->inner, v->def.uuid, epoch);

	if (r < 0)
		return plugin_err(err, r, "the claim cannot be stored in %s: %s", s->conf.state, strerror(-r));
	pthread_mutex_lock(&s->registry.lock);
	log_info(&s->log, "inner: %s is claimed under epoch %llu", v->def.name, (unsigned long long)epoch);
	if (!planted("epoch"))
		sessions_end_locked(s, v->def.uuid, epoch, true);
	pthread_mutex_unlock(&s->registry.lock);
	return 0;
}

/* ---- volumes ---- */

/* The unit that other nodes see: the disk, and nothing of what initiators do to theirs. */
void inner_look(struct volume *v, struct backstore *bs)
{
	struct director_caps caps = { .struct_size = sizeof(caps) };
	struct scsi_lu *lu = &v->inner_lu;

	backstore_caps(bs, &caps);
	pthread_mutex_lock(&v->lu_lock);
	if (!lu->inner) {
		lu_init(lu, v->def.uuid, v->def.name, caps.size, v->lu.block_size);
		lu->inner = true;
		lu->alua.explicit_ok = false;
		lu->physical_exponent = v->lu.physical_exponent;
		lu->optimal_transfer = v->lu.optimal_transfer;
		lu->unmap_granularity = v->lu.unmap_granularity;
	}
	lu->thin = caps.flags & DIRECTOR_CAP_DISCARD;
	lu->rotational = caps.flags & DIRECTOR_CAP_ROTATIONAL;
	lu->cache = caps.flags & DIRECTOR_CAP_WRITE_CACHE;
	lu->read_only = caps.flags & DIRECTOR_CAP_READ_ONLY;
	lu->life = caps.life;
	lu->other = v->other;
	lu_resize(lu, caps.size);
	pthread_mutex_unlock(&v->lu_lock);
}

static bool may_answer(void *arg, uint64_t epoch)
{
	return lease_holds(arg, epoch);
}

static bool tries_again(void *arg, int32_t result)
{
	return hold_tries_again(arg, result);
}

static int share_make(struct volume *v, char **why)
{
	struct inner *in = v->serve->inner;
	struct backstore_share_conf conf = { .leg = v->def.inner == TARGET_INNER_LEG, .claim = leg_claim, .may_answer = may_answer,
		.tries_again = tries_again, .arg = v };
	struct backstore_share *share = NULL;
	int err = 0;

	memcpy(conf.uuid, v->def.uuid, 16);
	if (conf.leg)
		err = leg_load(in, v, &conf.claimed, why);
	if (!err && backstore_share_new(v->serve->host, &conf, &share) < 0) {
		*why = mem_printf("%s is there twice", v->def.name);
		err = ERR_EXIST;
	}
	pthread_mutex_lock(&v->serve->registry.lock);
	v->share = share;
	pthread_mutex_unlock(&v->serve->registry.lock);
	return err;
}

/* A mirror that has it open, at another node, learns with the way back that it is another disk, and judges it anew before anything goes there. */
int inner_judge(struct volume *v, struct backstore **bs, char **why)
{
	uint64_t claimed;
	bool same;
	int err;

	if (v->def.inner != TARGET_INNER_LEG || v->share)
		return 0;
	err = leg_load(v->serve->inner, v, &claimed, why);
	if (err || !claimed)
		return err;
	err = judge_leg(v, claimed, bs, &same, why);
	if (err || same)
		return err;
	v->other = mono_now().ns | 1;
	log_warn(&v->serve->log, "inner: %s was claimed under epoch %llu, and what lies there now does not say so: it is judged anew",
		v->def.name, (unsigned long long)claimed);
	return 0;
}

int inner_open(struct volume *v, struct backstore *bs, char **why)
{
	struct serve *s = v->serve;
	struct director_err derr = { .struct_size = sizeof(derr) };
	int err = 0, r;

	inner_look(v, bs);
	if (!v->share)
		err = share_make(v, why);
	if (err)
		return err;
	r = backstore_share_open(v->share, bs, v->def.epoch, &derr);
	if (r < 0) {
		*why = mem_strdup(derr.text[0] ? derr.text : strerror(-r));
		inner_close(v);
		return err_from_errno(-r);
	}
	if (v->def.inner == TARGET_INNER_SERVED) {
		pthread_mutex_lock(&s->registry.lock);
		sessions_end_locked(s, v->def.uuid, v->def.epoch, false);
		pthread_mutex_unlock(&s->registry.lock);
	}
	return 0;
}

void inner_forgot(struct volume *v, uint64_t life)
{
	struct serve *s = v->serve;

	pthread_mutex_lock(&s->registry.lock);
	if (v->def.inner == TARGET_INNER_LEG) {
		pthread_mutex_lock(&v->lu_lock);
		v->inner_lu.life = life;
		pthread_mutex_unlock(&v->lu_lock);
		sessions_end_locked(s, v->def.uuid, UINT64_MAX, true);
	}
	pthread_mutex_unlock(&s->registry.lock);
}

void inner_hold(struct volume *v)
{
	if (v->share)
		backstore_share_hold(v->share);
}

void inner_close(struct volume *v)
{
	struct serve *s = v->serve;
	struct backstore_share *share;

	pthread_mutex_lock(&s->registry.lock);
	share = v->share;
	v->share = NULL;
	sessions_end_locked(s, v->def.uuid, UINT64_MAX, true);
	pthread_mutex_unlock(&s->registry.lock);
	backstore_share_free(&share);
}

/* ---- begin and end ---- */

struct inner *inner_new(struct serve *s)
{
	struct inner *in = mem_zalloc(sizeof(*in));

	in->serve = s;
	in->tail = &in->todo;
	/* keep_new has made it. */
	in->dir = open(s->conf.state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pthread_mutex_init(&in->lock, NULL);
	pthread_cond_init(&in->idle, NULL);
	return in;
}

void inner_stop(struct inner *in)
{
	pthread_mutex_lock(&in->lock);
	in->stopping = true;
	while (in->n_threads)
		pthread_cond_wait(&in->idle, &in->lock);
	while (in->all)
		claim_forget(in->all);
	pthread_mutex_unlock(&in->lock);
}

void inner_free(struct inner **inner)
{
	struct inner *in = *inner;

	if (!in)
		return;
	*inner = NULL;
	for (unsigned i = 0; i < in->conf.n_portals; i++)
		free(in->conf.portals[i]);
	free(in->conf.portals);
	explicit_bzero(in->conf.keys, sizeof(in->conf.keys));
	if (in->dir >= 0)
		close(in->dir);
	pthread_cond_destroy(&in->idle);
	pthread_mutex_destroy(&in->lock);
	free(in);
}
