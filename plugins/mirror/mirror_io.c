/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's I/O: through the machine, to the legs, and back. What is for the machine goes into an inbox. Whoever finds
 * the machine's lock free takes all of it, lets go, and only then does what the machine wants: nobody waits for
 * the lock on this way, and one turn serves what came from several threads.
 */
#include "plugins/mirror/mirror.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define SHARDS 8

struct child_io {
	struct director_io io;
	struct mirror_obj *o;
	struct mirror_io *mio;
	struct mirror_msg msg;
	/* Of the machine's own only. */
	struct director_iov iov;
	void *buf;
	struct gate_write gate;
	bool gated;
};

struct request {
	struct mirror_op op;
	struct mirror_obj *o;
	struct director_io *io;         /* the host's */
	struct mirror_msg msg;
	struct gate_write gate;
	bool gated;
	struct request *next;
	struct child_io c[MIRROR_LEGS_MAX];
};

struct batch {
	struct mirror_ios todo;
	struct mirror_ops answers;
	bool wake;
};

/* ---- requests are used again, by the thread that freed them if it can be ---- */

struct request_pool {
	struct shard {
		pthread_mutex_t lock;
		struct request *free;
	} __attribute__((aligned(64))) shard[SHARDS];
};

static atomic_uint threads;
static __thread unsigned thread_shard;

static struct shard *shard_mine(struct mirror_obj *o)
{
	if (!thread_shard)
		thread_shard = 1 + atomic_fetch_add(&threads, 1) % SHARDS;
	return &o->pool->shard[thread_shard - 1];
}

/* All that one shard has. What one thread takes may always be given back by another, so who has none looks at the others. */
static struct request *shard_take(struct shard *s)
{
	struct request *r;

	pthread_mutex_lock(&s->lock);
	r = s->free;
	s->free = NULL;
	pthread_mutex_unlock(&s->lock);
	return r;
}

static struct request *request_others(struct mirror_obj *o, struct shard *mine)
{
	struct request *r = NULL, *last;

	for (unsigned i = 0; i < SHARDS && !r; i++)
		if (&o->pool->shard[i] != mine)
			r = shard_take(&o->pool->shard[i]);
	if (!r || !r->next)
		return r;
	for (last = r->next; last->next;)
		last = last->next;
	pthread_mutex_lock(&mine->lock);
	last->next = mine->free;
	mine->free = r->next;
	pthread_mutex_unlock(&mine->lock);
	return r;
}

static struct request *request_get(struct mirror_obj *o, struct director_io *io)
{
	struct shard *s = shard_mine(o);
	struct request *r;

	pthread_mutex_lock(&s->lock);
	r = s->free;
	if (r)
		s->free = r->next;
	pthread_mutex_unlock(&s->lock);
	if (!r)
		r = request_others(o, s);
	if (!r)
		r = malloc(sizeof(*r));
	if (r) {
		r->o = o;
		r->io = io;
		r->gated = false;
	}
	return r;
}

static void request_put(struct request *r)
{
	struct shard *s = shard_mine(r->o);

	pthread_mutex_lock(&s->lock);
	r->next = s->free;
	s->free = r;
	pthread_mutex_unlock(&s->lock);
}

int mirror_io_init(struct mirror_obj *o)
{
	void *p = NULL;
	unsigned i;

	if (posix_memalign(&p, 64, sizeof(*o->pool)) != 0)
		return -ENOMEM;
	o->pool = p;
	memset(o->pool, 0, sizeof(*o->pool));
	for (i = 0; i < SHARDS; i++)
		pthread_mutex_init(&o->pool->shard[i].lock, NULL);
	gate_init(&o->gate);
	return 0;
}

void mirror_io_fini(struct mirror_obj *o)
{
	unsigned i;

	if (!o->pool)
		return;
	for (i = 0; i < SHARDS; i++) {
		struct request *r;

		while ((r = o->pool->shard[i].free) != NULL) {
			o->pool->shard[i].free = r->next;
			free(r);
		}
		pthread_mutex_destroy(&o->pool->shard[i].lock);
	}
	free(o->pool);
	gate_fini(&o->gate);
}

/* ---- the machine's turn ---- */

static __thread struct mirror_obj *running;

static void inbox_put(struct mirror_obj *o, struct mirror_msg *msg)
{
	struct mirror_msg *first = atomic_load_explicit(&o->inbox, memory_order_relaxed);

	do
		msg->next = first;
	while (!atomic_compare_exchange_weak(&o->inbox, &first, msg));
}

static struct mirror_msg *inbox_take(struct mirror_obj *o)
{
	struct mirror_msg *m = atomic_exchange(&o->inbox, NULL), *first = NULL, *next;

	for (; m; m = next) {           /* it is newest first */
		next = m->next;
		m->next = first;
		first = m;
	}
	return first;
}

static void own_free(struct child_io *c);

/* With the lock: what came in, and what follows from it. */
static void turn(struct mirror_obj *o, struct batch *b)
{
	struct mirror_msg *msg, *next;
	struct mirror_io *mio;
	uint64_t below;
	int leg;

	for (msg = inbox_take(o); msg; msg = next) {
		next = msg->next;
		if (msg->op)
			mirror_submit(o->m, msg->op);
		else
			mirror_done(o->m, msg->io, msg->result);
		if (msg->own)
			own_free(msg->own);
	}
	while ((mio = TAILQ_FIRST(mirror_todo(o->m))) != NULL) {
		TAILQ_REMOVE(mirror_todo(o->m), mio, entry);
		if (mio->op && mio->op->user) {
			TAILQ_INSERT_TAIL(&b->todo, mio, entry);
		} else {
			TAILQ_INSERT_TAIL(&o->mine, mio, entry);
			b->wake = true;
		}
	}
	TAILQ_CONCAT(&b->answers, mirror_answers(o->m), entry);
	b->wake |= o->watched;
	/* Before the answers are given: see gate_read_begin's caller. */
	leg = mirror_read_leg(o->m, &below);
	atomic_store(&o->read_below, below);
	atomic_store(&o->read_leg, leg);
}

static void leg_submit(struct mirror_obj *o, struct mirror_io *mio);

static void batch_do(struct mirror_obj *o, struct batch *b)
{
	struct mirror_io *mio;
	struct mirror_op *op;

	if (b->wake)
		mirror_rouse(o);
	while ((mio = TAILQ_FIRST(&b->todo)) != NULL) {
		TAILQ_REMOVE(&b->todo, mio, entry);
		leg_submit(o, mio);
	}
	while ((op = TAILQ_FIRST(&b->answers)) != NULL) {
		struct request *r = (struct request *)op;
		struct director_io *io = r->io;
		int result = op->result;

		TAILQ_REMOVE(&b->answers, op, entry);
		if (r->gated)
			gate_write_end(&o->gate, &r->gate);
		request_put(r);
		o->host->io_done(o->host->arg, io, result);
	}
}

/*
 * Turns until the inbox is empty. If another has the lock, that one looks into the inbox after it has let go of it.
 * I/O that completes while it is submitted gets its turn here too, below what it came from.
 */
static void run(struct mirror_obj *o)
{
	struct mirror_obj *outer = running;

	if (running == o)
		return;
	running = o;
	do {
		struct batch b = { .todo = TAILQ_HEAD_INITIALIZER(b.todo), .answers = TAILQ_HEAD_INITIALIZER(b.answers) };

		do {
			if (pthread_mutex_trylock(&o->lock) != 0)
				break;
			turn(o, &b);
			pthread_mutex_unlock(&o->lock);
			atomic_thread_fence(memory_order_seq_cst);
		} while (atomic_load(&o->inbox));
		batch_do(o, &b);
		atomic_thread_fence(memory_order_seq_cst);
		if (!atomic_load(&o->inbox))
			break;
	} while (pthread_mutex_trylock(&o->lock) == 0 && pthread_mutex_unlock(&o->lock) == 0);
	running = outer;
}

static void post(struct mirror_obj *o, struct mirror_msg *msg)
{
	atomic_fetch_add(&o->inside, 1);
	inbox_put(o, msg);
	atomic_thread_fence(memory_order_seq_cst);
	run(o);
	atomic_fetch_sub(&o->inside, 1);
}

void mirror_enter(struct mirror_obj *o)
{
	atomic_fetch_add(&o->inside, 1);
	pthread_mutex_lock(&o->lock);
}

void mirror_leave(struct mirror_obj *o)
{
	struct batch b = { .todo = TAILQ_HEAD_INITIALIZER(b.todo), .answers = TAILQ_HEAD_INITIALIZER(b.answers) };
	struct mirror_obj *outer = running;

	turn(o, &b);
	pthread_mutex_unlock(&o->lock);
	running = o;
	batch_do(o, &b);
	running = outer;
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load(&o->inbox))
		run(o);
	atomic_fetch_sub(&o->inside, 1);
}

void mirror_leave_unchanged(struct mirror_obj *o)
{
	pthread_mutex_unlock(&o->lock);
	/* What came meanwhile was left to us. */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load(&o->inbox))
		run(o);
	atomic_fetch_sub(&o->inside, 1);
}

void mirror_all_out(struct mirror_obj *o)
{
	while (atomic_load(&o->inside))
		sched_yield();
}

/* ---- I/O of legs ---- */

/* What says that the way is lost, and not that the medium is bad. */
static int leg_error(int32_t result)
{
	switch (result) {
	case 0:
	case -ESTALE:
		return result;
	case -ENOTCONN:
	case -ETIMEDOUT:
	case -ECONNRESET:
	case -ECONNREFUSED:
	case -EHOSTUNREACH:
	case -ENETUNREACH:
	case -ENODEV:
	case -EPIPE:
	case -ESHUTDOWN:
		return -ENOTCONN;
	default:
		return -EIO;
	}
}

static void io_is_done(struct mirror_obj *o, struct mirror_msg *msg, struct mirror_io *mio, int result)
{
	msg->op = NULL;
	msg->io = mio;
	msg->result = result;
	post(o, msg);
}

static void child_done(struct director_io *io, int32_t result)
{
	struct child_io *c = (struct child_io *)io;
	struct request *r = (struct request *)c->mio->op;

	if (result == 0 && io->op == DIRECTOR_EXTENTS) {
		r->io->at = io->at;
		r->io->flags_out = io->flags_out;
	}
	io_is_done(c->o, &c->msg, c->mio, leg_error(result));
}

/* Zeroes, not a discard: what that leaves is another thing on each leg. */
static void zeroes(struct director_io *io, bool unmap)
{
	io->op = DIRECTOR_WRITE_ZEROES;
	io->iov = NULL;
	io->n_iov = 0;
	io->flags = (uint16_t)((io->flags & ~DIRECTOR_IOF_MAY_UNMAP) | (unmap ? DIRECTOR_IOF_MAY_UNMAP : 0));
}

static void child_fill(struct child_io *c, const struct director_io *from)
{
	c->io = (struct director_io){ .struct_size = sizeof(c->io), .op = from->op, .flags = from->flags,
		.offset = from->op == DIRECTOR_FLUSH ? 0 : LEG_DATA + from->offset, .len = from->len, .iov = from->iov,
		.n_iov = from->n_iov, .epoch = c->o->epoch };
	if (from->op == DIRECTOR_DISCARD || from->op == DIRECTOR_WRITE_ZEROES)
		zeroes(&c->io, from->op == DIRECTOR_DISCARD || (from->flags & DIRECTOR_IOF_MAY_UNMAP));
}

static void leg_submit(struct mirror_obj *o, struct mirror_io *mio)
{
	struct director_bs *child = o->host->child(o->host->arg, o->owner, mio->leg);
	struct request *r = (struct request *)mio->op;
	struct child_io *c = &r->c[mio->leg];

	c->o = o;
	c->mio = mio;
	c->msg.own = NULL;
	if (!child) {
		io_is_done(o, &c->msg, mio, -ENOTCONN);
		return;
	}
	child_fill(c, r->io);
	c->io.done = child_done;
	o->host->child_submit(o->host->arg, child, &c->io);
}

/* ---- the machine's own I/O, by the object's thread ---- */

static void own_free(struct child_io *c)
{
	free(c->buf);
	free(c);
}

static void own_done(struct director_io *io, int32_t result)
{
	struct child_io *c = (struct child_io *)io;

	if (c->gated)
		gate_write_end(&c->o->gate, &c->gate);
	c->msg.own = c;
	/* No digest is not a bad medium. */
	if (io->op == DIRECTOR_CHECKSUM && (result == -EOPNOTSUPP || result == -ENOMEM))
		io_is_done(c->o, &c->msg, c->mio, -ENOSYS);
	else
		io_is_done(c->o, &c->msg, c->mio, leg_error(result));
}

static bool all_zero(const uint8_t *p, size_t len)
{
	return p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

static bool own_fill(struct child_io *c, const struct mirror_io *mio)
{
	struct mirror_obj *o = c->o;

	c->io.iov = &c->iov;
	c->io.n_iov = 1;
	c->io.flags = mio->fua ? DIRECTOR_IOF_FUA : 0;
	switch (mio->kind) {
	case MIRROR_IO_READ:
	case MIRROR_IO_WRITE:
		c->io.op = mio->kind == MIRROR_IO_READ ? DIRECTOR_READ : DIRECTOR_WRITE;
		c->io.offset = LEG_DATA + mio->offset;
		c->io.len = mio->len;
		c->iov = (struct director_iov){ o->slot[mio->slot], mio->len };
		/* What was never written stays so on a leg that is being made. */
		if (mio->kind == MIRROR_IO_WRITE && o->thin && all_zero(o->slot[mio->slot], mio->len))
			zeroes(&c->io, true);
		return true;
	case MIRROR_IO_SUM:
		c->io.op = DIRECTOR_CHECKSUM;
		c->io.offset = LEG_DATA + mio->offset;
		c->io.len = mio->len;
		c->iov = (struct director_iov){ mio->sum,
			(mio->len + DIRECTOR_CHECKSUM_GROUP - 1) / DIRECTOR_CHECKSUM_GROUP * DIRECTOR_CHECKSUM_SIZE };
		return true;
	case MIRROR_IO_FLUSH:
		c->io.op = DIRECTOR_FLUSH;
		c->io.iov = NULL;
		c->io.n_iov = 0;
		return true;
	default:
		if (posix_memalign(&c->buf, LEG_RECORD, LEG_RECORD))
			return false;
		if (mio->kind == MIRROR_IO_META) {
			meta_encode(mio->meta, c->buf);
			c->io.offset = mio->meta->seq % 2 * LEG_RECORD;
		} else {
			memcpy(c->buf, mio->p, MIRROR_PAGE_MAX);
			c->io.offset = LEG_BITS + (uint64_t)mio->page * MIRROR_PAGE_MAX;
		}
		c->iov = (struct director_iov){ c->buf, LEG_RECORD };
		c->io.len = LEG_RECORD;
		c->io.flags = DIRECTOR_IOF_FUA;
		c->io.op = DIRECTOR_WRITE;
		return true;
	}
}

/* Its turn has come, on whatever thread: I/O may complete on the thread that submitted it only, and that may end. */
static void own_go(struct gate_write *w)
{
	struct child_io *c = (struct child_io *)((char *)w - offsetof(struct child_io, gate));
	struct mirror_obj *o = c->o;

	pthread_mutex_lock(&o->wake_lock);
	STAILQ_INSERT_TAIL(&o->ready, &c->msg, entry);
	o->awake = true;
	pthread_cond_broadcast(&o->changed);
	pthread_mutex_unlock(&o->wake_lock);
}

static void own_submit(struct mirror_obj *o, struct child_io *c)
{
	struct director_bs *child = o->host->child(o->host->arg, o->owner, c->mio->leg);

	if (atomic_load(&o->lost))
		own_done(&c->io, -ESTALE);
	else if (child)
		o->host->child_submit(o->host->arg, child, &c->io);
	else
		own_done(&c->io, -ENOTCONN);
}

static void own_start(struct mirror_obj *o, struct mirror_io *mio)
{
	struct child_io *c = calloc(1, sizeof(*c));

	if (!c) {
		mirror_enter(o);
		mirror_done(o->m, mio, -EIO);
		mirror_leave(o);
		return;
	}
	c->o = o;
	c->mio = mio;
	c->io = (struct director_io){ .struct_size = sizeof(c->io), .epoch = o->epoch, .done = own_done };
	if (!own_fill(c, mio)) {
		own_done(&c->io, -EIO);
		return;
	}
	c->gated = mio->kind == MIRROR_IO_WRITE;
	if (c->gated) {
		c->gate = (struct gate_write){ .offset = mio->offset, .len = mio->len, .go = own_go };
		gate_write_begin(&o->gate, &c->gate);
	} else {
		own_submit(o, c);
	}
}

void mirror_mine_submit(struct mirror_obj *o)
{
	struct mirror_ios mine = TAILQ_HEAD_INITIALIZER(mine);
	STAILQ_HEAD(, mirror_msg) ready = STAILQ_HEAD_INITIALIZER(ready);
	struct mirror_io *mio;
	struct mirror_msg *msg;

	mirror_enter(o);
	TAILQ_CONCAT(&mine, &o->mine, entry);
	mirror_leave(o);
	while ((mio = TAILQ_FIRST(&mine)) != NULL) {
		TAILQ_REMOVE(&mine, mio, entry);
		own_start(o, mio);
	}
	pthread_mutex_lock(&o->wake_lock);
	STAILQ_CONCAT(&ready, &o->ready);
	pthread_mutex_unlock(&o->wake_lock);
	while ((msg = STAILQ_FIRST(&ready)) != NULL) {
		STAILQ_REMOVE_HEAD(&ready, entry);
		own_submit(o, (struct child_io *)((char *)msg - offsetof(struct child_io, msg)));
	}
}

/* ---- the host's ---- */

static void request_post(struct gate_write *w)
{
	struct request *r = (struct request *)((char *)w - offsetof(struct request, gate));

	post(r->o, &r->msg);
}

static void request_begin(struct request *r)
{
	struct director_io *io = r->io;

	r->op.user = r;
	r->op.offset = io->offset;
	r->op.len = io->len;
	r->op.fua = io->flags & DIRECTOR_IOF_FUA;
	r->msg.op = &r->op;
	r->msg.own = NULL;
	switch (io->op) {
	case DIRECTOR_WRITE:
	case DIRECTOR_DISCARD:
	case DIRECTOR_WRITE_ZEROES:
		r->op.kind = MIRROR_WRITE;
		r->gated = true;
		r->gate = (struct gate_write){ .offset = io->offset, .len = io->len, .go = request_post };
		gate_write_begin(&r->o->gate, &r->gate);
		return;
	case DIRECTOR_FLUSH:
		r->op.kind = MIRROR_FLUSH;
		break;
	default:
		r->op.kind = MIRROR_READ;
		break;
	}
	post(r->o, &r->msg);
}

static void past_done(struct director_io *io, int32_t result)
{
	struct child_io *c = (struct child_io *)io;
	struct request *r = (struct request *)((char *)c - offsetof(struct request, c));
	struct mirror_obj *o = r->o;
	struct director_io *host = r->io;

	gate_read_end(&o->gate, host->offset, host->len);
	if (result < 0) {               /* the machine knows others to ask, and what to do about it */
		request_begin(r);
		return;
	}
	host->at = io->at;
	host->flags_out = io->flags_out;
	request_put(r);
	o->host->io_done(o->host->arg, host, 0);
}

/*
 * Past the machine. The leg is asked for after the gate is passed: a write that was answered without a leg has made
 * read_leg another one before it left the gate.
 */
static bool read_past(struct mirror_obj *o, struct request *r)
{
	struct director_bs *child;
	int leg;

	if (atomic_load_explicit(&o->read_leg, memory_order_relaxed) < 0 || !gate_read_begin(&o->gate, r->io->offset, r->io->len))
		return false;
	leg = atomic_load(&o->read_leg);
	child = leg < 0 || r->io->offset + r->io->len > atomic_load(&o->read_below) ? NULL : o->host->child(o->host->arg, o->owner, (uint32_t)leg);
	if (!child) {
		gate_read_end(&o->gate, r->io->offset, r->io->len);
		return false;
	}
	r->c[0].o = o;
	child_fill(&r->c[0], r->io);
	r->c[0].io.done = past_done;
	o->host->child_submit(o->host->arg, child, &r->c[0].io);
	return true;
}

void mirror_io_submit(void *obj, struct director_io *io)
{
	struct mirror_obj *o = obj;
	struct request *r = request_get(o, io);

	if (!r) {
		o->host->io_done(o->host->arg, io, -ENOMEM);
		return;
	}
	if ((io->op == DIRECTOR_READ || io->op == DIRECTOR_EXTENTS || io->op == DIRECTOR_CHECKSUM) && read_past(o, r))
		return;
	atomic_fetch_add(&o->inside, 1);
	request_begin(r);
	atomic_fetch_sub(&o->inside, 1);
}
