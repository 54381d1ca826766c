/* SPDX-License-Identifier: Apache-2.0 */
/* The world of iscsi_world.h: wires, the target's owner, virtual time. */
#include "tests/sim/iscsi_world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "target/iscsi/sn.h"
#include "tests/unit/check.h"

#define MS 1000000u

void sim_note(struct sim *s, const char *fmt, ...)
{
	char line[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	s->hash = (s->hash ^ s->now) * 0x100000001b3u;
	for (const char *p = line; *p; p++)
		s->hash = (s->hash ^ (uint8_t)*p) * 0x100000001b3u;
	if (s->trace)
		printf("%10.3f ms  %s\n", (double)s->now / MS, line);
}

static void due(struct sim *s, uint64_t at)
{
	if (at < s->wake)
		s->wake = at;
}

/* ---- wires ---- */

static void pipe_drop(struct sim_pipe *p)
{
	struct sim_chunk *c;

	while ((c = p->head)) {
		p->head = c->next;
		free(c);
	}
	p->tail = &p->head;
	buf_reset(&p->pdu);
}

static void wire_cut(struct sim *s, struct sim_wire *w, const char *how)
{
	if (w->dead)
		return;
	w->dead = true;
	sim_note(s, "wire %u %s", w->number, how);
	/* What is on its way may arrive or not; either side may take a while to notice. */
	if (rng_below(&s->fault_rng, 2))
		pipe_drop(&w->up);
	if (rng_below(&s->fault_rng, 2))
		pipe_drop(&w->down);
	w->ini_ends = s->now + rng_below(&s->fault_rng, 30 * MS);
	w->target_ends = s->now + rng_below(&s->fault_rng, rng_below(&s->fault_rng, 4) ? 30 * MS : 3000u * MS);
	if (w->ini_ends < w->down.last && w->down.head)
		w->ini_ends = w->down.last;
	if (w->target_ends < w->up.last && w->up.head)
		w->target_ends = w->up.last;
}

static void chunk_put(struct sim *s, struct sim_pipe *p, const uint8_t *data, size_t n, uint64_t extra)
{
	struct sim_chunk *c = mem_alloc(sizeof(*c) + n);
	uint64_t at = s->now + 10000 + rng_below(&s->rng, 100000) + extra;

	if (at < p->last)
		at = p->last;
	p->last = at;
	c->next = NULL;
	c->at = at;
	c->len = n;
	c->off = 0;
	memcpy(c->data, data, n);
	*p->tail = c;
	p->tail = &c->next;
}

static enum fault choose(struct sim *s)
{
	unsigned n = s->pdus++;

	if (s->one)
		return n == s->one_at ? s->one : FAULT_NONE;
	if (!s->left || rng_below(&s->fault_rng, 10000) >= s->per_10000)
		return FAULT_NONE;
	return (enum fault)(1 + rng_below(&s->fault_rng, FAULT_KINDS - 1));
}

/* The length of the PDU at p[0..n), or 0 while its header is not all there. */
static size_t pdu_len(const struct sim *s, const uint8_t *p, size_t n, bool *digests)
{
	size_t head = BHS_LEN, data;

	if (n < BHS_LEN)
		return 0;
	*digests = s->digests && bhs_op(p) != PDU_LOGIN && bhs_op(p) != PDU_LOGIN_RESPONSE;
	head += bhs_ahs_len(p) + (*digests ? DIGEST_LEN : 0);
	data = bhs_data_len(p);
	if (data)
		data += pdu_pad((uint32_t)data) + (*digests ? DIGEST_LEN : 0);
	return head + data;
}

/* A whole PDU leaves one side: this is where things go wrong. */
static void pdu_sent(struct sim *s, struct sim_wire *w, struct sim_pipe *p, uint8_t *b, size_t n, bool digests)
{
	enum fault f = choose(s);
	uint32_t len = bhs_data_len(b);
	uint64_t extra = 0;

	if ((f == FAULT_DATA && (!digests || !len)) || (f == FAULT_HEADER && !digests))
		f = FAULT_NONE;
	sim_note(s, "wire %u %s %02x.%02x.%02x itt %08x tag %08x sn %u %u/%u len %u%s", w->number, p == &w->up ? ">" : "<", b[0] & 0x3f, b[1], b[2],
		bhs_itt(b), bhs_ttt(b), get32(b + 24), get32(b + 36), get32(b + 40), len, f ? " FAULT" : "");
	if (f) {
		s->happened[f]++;
		if (s->left)
			s->left--;
	}
	switch (f) {
	case FAULT_CUT_BEFORE:
		wire_cut(s, w, "cut before");
		return;
	case FAULT_CUT_INSIDE:
		chunk_put(s, p, b, 1 + rng_below(&s->fault_rng, n - 1), 0);
		wire_cut(s, w, "cut inside");
		return;
	case FAULT_DATA:
		b[BHS_LEN + bhs_ahs_len(b) + DIGEST_LEN + rng_below(&s->fault_rng, len)] ^= (uint8_t)(1u << rng_below(&s->fault_rng, 8));
		break;
	case FAULT_HEADER:
		b[rng_below(&s->fault_rng, BHS_LEN)] ^= (uint8_t)(1u << rng_below(&s->fault_rng, 8));
		break;
	case FAULT_STALL:
		w->stalled = true;
		sim_note(s, "wire %u stalls", w->number);
		return;
	case FAULT_LOGOUT:
		w->ask_logout = true;
		break;
	case FAULT_DELAY:
		extra = rng_below(&s->fault_rng, 500u * MS);
		break;
	default:
		break;
	}
	chunk_put(s, p, b, n, extra);
	if (f == FAULT_CUT_AFTER)
		wire_cut(s, w, "cut after");
}

static void bytes_sent(struct sim *s, struct sim_wire *w, struct sim_pipe *p, const uint8_t *data, size_t n)
{
	bool digests;
	size_t len;

	buf_put(&p->pdu, data, n);
	while ((len = pdu_len(s, p->pdu.data, p->pdu.len, &digests)) && p->pdu.len >= len) {
		if (!w->dead && !w->stalled)
			pdu_sent(s, w, p, p->pdu.data, len, digests);
		if (p->pdu.len)
			buf_drop(&p->pdu, len);
	}
}

/* ---- the target's owner ---- */

static void block_op(struct sim *s, struct block_op *op)
{
	uint64_t at = op->offset;

	op->result = 0;
	op->key = 0;
	if (op->kind != BLOCK_READ && op->kind != BLOCK_WRITE)
		return;
	CHECK(op->offset <= SIM_DISK && op->len <= SIM_DISK - op->offset);
	if (op->kind == BLOCK_WRITE && op->n_iov) {
		/* The number of the write is in its first bytes. */
		uint32_t id = get32(op->iov[0].base);

		CHECK(id < SIM_COMMANDS);
		s->effects[id]++;
		sim_note(s, "write %u takes effect", id);
	}
	for (unsigned i = 0; i < op->n_iov; at += op->iov[i++].len)
		if (op->kind == BLOCK_READ)
			memcpy(op->iov[i].base, s->disk + at, op->iov[i].len);
		else
			memcpy(s->disk + at, op->iov[i].base, op->iov[i].len);
}

static void execute(struct sim *s, struct sim_held *h)
{
	struct task *t = h->task;
	enum scsi_turn turn = t->aborted && rng_below(&s->rng, 2) ? SCSI_DONE : scsi_start(&h->session->it, t);

	while (turn == SCSI_BLOCK) {
		block_op(s, &t->op);
		turn = scsi_done(t);
	}
	conn_task_done(t);
}

static struct sim_session *session_of(struct sim *s, const struct iscsi_session *is)
{
	struct sim_session *x = s->sessions;

	while (x && x->is != is)
		x = x->next;
	return x;
}

static struct sim_session *session_make(struct sim *s, struct iscsi_conn *c)
{
	struct sim_session *x = mem_zalloc(sizeof(*x));

	x->is = iscsi_session_new(c->login, ++s->tsih, 16);
	snprintf(x->it.initiator, sizeof(x->it.initiator), "%s", c->login->initiator);
	snprintf(x->it.target, sizeof(x->it.target), "%s", c->login->target);
	x->it.tag = 1;
	lu_attach(&s->lu, &x->nexus, &x->it, 0, false);
	x->luns[0] = &x->nexus;
	x->it.luns = x->luns;
	x->it.n_luns = 1;
	x->next = s->sessions;
	s->sessions = x;
	sim_note(s, "session %u begins", s->tsih);
	return x;
}

/* A login wants its session. False: not yet, an older one has to end first (RFC 7143 6.3.5). */
static bool admit(struct sim *s, struct iscsi_conn *c)
{
	enum login_status status = LOGIN_NO_SESSION;
	struct sim_session *x = s->sessions;

	if (c->login->tsih) {
		while (x && x->is->tsih != c->login->tsih)
			x = x->next;
		if (x)
			status = session_admits(x->is, c->login);
		conn_session(c, status, status == LOGIN_OK ? x->is : NULL);
		return true;
	}
	for (; x; x = x->next)
		if (memcmp(x->is->isid, c->login->isid, 6) == 0) {
			if (!x->is->closing)
				session_close(x->is, "reinstated");
			return false;
		}
	x = session_make(s, c);
	conn_session(c, LOGIN_OK, x->is);
	return true;
}

static bool answer(struct sim *s, struct iscsi_conn *c)
{
	switch (c->ask) {
	case ASK_POLICY:
		conn_policy(c, &s->policy);
		return true;
	case ASK_SESSION:
		return admit(s, c);
	case ASK_TARGETS:
		conn_targets(c, "", 1);
		return true;
	default:
		return false;
	}
}

/* SAM-5 8.6: nothing that came before it, and has not ended, stands in its way. */
static void check_order(const struct iscsi_session *is, const struct iscsi_task *t)
{
	for (unsigned i = 0; i < SESSION_HASH; i++)
		for (const struct iscsi_task *o = is->hash[i]; o; o = o->hash_next) {
			bool older = o != t && o->arrived && o->state < ITASK_ANSWERING && sn_lt(o->cmdsn, t->cmdsn);

			if (!older || t->task.attr == TASK_HEAD_OF_QUEUE)
				continue;
			CHECK(t->task.attr != TASK_ORDERED && o->task.attr != TASK_ORDERED && o->task.attr != TASK_HEAD_OF_QUEUE);
		}
}

static bool take_tasks(struct sim *s, struct iscsi_conn *c)
{
	struct sim_session *x = session_of(s, c->session);
	struct iscsi_tmf *tmf;
	struct task *t;
	bool any = false;

	if (!x)
		return false;
	while ((t = session_next_task(x->is))) {
		struct sim_held *h = mem_zalloc(sizeof(*h));

		check_order(x->is, (struct iscsi_task *)t);
		h->task = t;
		h->session = x;
		h->at = s->now + rng_below(&s->rng, rng_below(&s->rng, 8) ? 1 * MS : 300 * MS);
		h->next = s->held;
		s->held = h;
		any = true;
	}
	while ((tmf = conn_next_tmf(c))) {
		struct task_choice before = { .lun = tmf->lun, .itt = TAG_NONE, .before = true, .cmdsn = tmf->cmdsn };

		session_abort_choice(x->is, &before, tmf);
		conn_tmf_done(x->is, tmf, TMF_RSP_COMPLETE);
		any = true;
	}
	return any;
}

static bool target_output(struct sim *s, struct sim_wire *w)
{
	struct iscsi_iov iov[9];
	unsigned n = conn_output(w->target, iov, 9);
	size_t all = 0;

	for (unsigned i = 0; i < n; i++) {
		bytes_sent(s, w, &w->down, iov[i].base, iov[i].len);
		all += iov[i].len;
	}
	if (n)
		conn_sent(w->target, all);
	return n != 0;
}

static void target_gone(struct sim *s, struct sim_wire *w)
{
	sim_note(s, "wire %u: the target leaves", w->number);
	iscsi_conn_free(&w->target);
	if (!w->dead) {
		/* What it sent before still arrives. */
		w->dead = true;
		w->ini_ends = (w->down.last > s->now ? w->down.last : s->now) + rng_below(&s->rng, 5 * MS);
	}
}

static bool target_turn(struct sim *s, struct sim_wire *w)
{
	bool more = false;

	while (w->target->closing == CLOSING_NO && answer(s, w->target))
		more = true;
	if (w->ask_logout && w->target->state == CONN_S5_LOGGED_IN) {
		w->ask_logout = false;
		sim_note(s, "wire %u: the target asks for a logout", w->number);
		conn_request_logout(w->target, 1000 + (uint32_t)rng_below(&s->fault_rng, 5000));
	}
	if (w->target->session)
		more |= take_tasks(s, w->target);
	if (w->target->closing != CLOSING_NOW)
		more |= target_output(s, w);
	if (w->target->closing == CLOSING_NOW || (w->target->closing == CLOSING_FLUSH && !more && !w->target->n_wire)) {
		target_gone(s, w);
		return true;
	}
	return more;
}

static void sessions_end(struct sim *s)
{
	struct sim_session **p = &s->sessions, *x;

	while ((x = *p)) {
		bool held = false;

		for (struct sim_held *h = s->held; h; h = h->next)
			held |= h->session == x;
		if (held || !session_over(x->is) || x->is->n_running) {
			due(s, session_tick(x->is, (struct mono){ s->now }).ns);
			p = &x->next;
			continue;
		}
		sim_note(s, "session %u ends", x->is->tsih);
		*p = x->next;
		iscsi_session_free(&x->is);
		lu_detach(&x->nexus);
		free(x);
	}
}

/* ---- the initiator's owner ---- */

static struct sim_wire *wire_of(struct sim *s, const struct ini_conn *c)
{
	struct sim_wire *w = s->wires;

	while (w && w->ini != c)
		w = w->next;
	return w;
}

static void ini_hangs_up(struct sim *s, struct sim_wire *w)
{
	w->ini = NULL;
	if (w->dead)
		return;
	sim_note(s, "wire %u: the initiator hangs up", w->number);
	w->dead = true;
	w->target_ends = (w->up.last > s->now && !w->stalled ? w->up.last : s->now) + rng_below(&s->rng, 5 * MS);
}

static void wire_make(struct sim *s, struct ini_conn *c)
{
	struct sim_wire *w = mem_zalloc(sizeof(*w));

	ini_connecting(c);
	w->number = ++s->n_wires;
	w->ini = c;
	w->up.tail = &w->up.head;
	w->down.tail = &w->down.head;
	w->up_at = s->now + rng_below(&s->rng, 2 * MS);
	w->next = s->wires;
	s->wires = w;
	sim_note(s, "wire %u: connection %u", w->number, c->index);
}

static bool ini_turn(struct sim *s, struct ini_conn *c)
{
	struct sim_wire *w = wire_of(s, c);
	struct ini_iov iov[5];
	size_t all = 0, send;
	unsigned n;

	if (ini_conn_ask(c) == INI_ASK_CLOSE) {
		if (w)
			ini_hangs_up(s, w);
		ini_closed(c);
		return true;
	}
	if (ini_conn_ask(c) == INI_ASK_CONNECT) {
		wire_make(s, c);
		return true;
	}
	if (!w || !w->connected)
		return false;
	n = ini_output(c, iov, 5);
	for (unsigned i = 0; i < n; i++)
		all += iov[i].len;
	if (!n)
		return false;
	/* A socket takes as much as it likes. */
	send = rng_below(&s->rng, 4) ? all : 1 + rng_below(&s->rng, all);
	for (size_t left = send, i = 0; left; i++) {
		size_t k = iov[i].len < left ? iov[i].len : left;

		bytes_sent(s, w, &w->up, iov[i].base, k);
		left -= k;
	}
	ini_sent(c, send);
	return true;
}

/* ---- deliveries ---- */

static void to_target(struct sim *s, struct sim_wire *w, const uint8_t *p, size_t n)
{
	void *place;
	uint32_t want = conn_want(w->target, &place);

	if (want && rng_below(&s->rng, 2)) {
		if (want > n)
			want = (uint32_t)n;
		memcpy(place, p, want);
		conn_got(w->target, want);
		p += want;
		n -= want;
	}
	if (n)
		conn_feed(w->target, p, n);
}

static void to_ini(struct sim *s, struct sim_wire *w, const uint8_t *p, size_t n)
{
	void *place;
	uint32_t want = ini_want(w->ini, &place);

	if (want && rng_below(&s->rng, 2)) {
		if (want > n)
			want = (uint32_t)n;
		memcpy(place, p, want);
		ini_got(w->ini, want);
		p += want;
		n -= want;
	}
	if (n)
		ini_feed(w->ini, p, n);
}

static bool deliver(struct sim *s, struct sim_wire *w, struct sim_pipe *p)
{
	struct sim_chunk *c = p->head;
	bool up = p == &w->up;
	size_t n;

	if (!c)
		return false;
	if (up ? !w->target : !w->ini) {
		pipe_drop(p);
		return false;
	}
	if (c->at > s->now) {
		due(s, c->at);
		return false;
	}
	if (up && !conn_reading(w->target))
		return false;
	n = rng_below(&s->rng, 4) ? c->len - c->off : 1 + rng_below(&s->rng, c->len - c->off);
	if (up)
		to_target(s, w, c->data + c->off, n);
	else
		to_ini(s, w, c->data + c->off, n);
	/* Either side may have dropped the connection meanwhile, and the pipe with it. */
	if (p->head == c) {
		c->off += n;
		if (c->off == c->len) {
			p->head = c->next;
			if (!p->head)
				p->tail = &p->head;
			free(c);
		}
	}
	return true;
}

static bool wire_turn(struct sim *s, struct sim_wire *w)
{
	bool more = false;

	if (!w->connected && w->ini && !w->dead) {
		if (s->now < w->up_at) {
			due(s, w->up_at);
			return false;
		}
		uint8_t random[CHAP_HASH_MAX + 1];

		for (unsigned i = 0; i < sizeof(random); i++)
			random[i] = (uint8_t)rng_next(&s->rng);
		w->connected = true;
		w->target = iscsi_conn_new(&s->conf, (struct mono){ s->now });
		ini_connected(w->ini, random);
		more = true;
	}
	more |= deliver(s, w, &w->up);
	more |= deliver(s, w, &w->down);
	if (w->target)
		more |= target_turn(s, w);
	if (!w->dead)
		return more;
	if (w->ini && s->now >= w->ini_ends && !w->down.head) {
		struct ini_conn *c = w->ini;

		w->ini = NULL;
		ini_lost(c, "cut");
		more = true;
	}
	if (w->target && s->now >= w->target_ends && !w->up.head) {
		target_gone(s, w);
		more = true;
	}
	/* What is still on its way has its own time. */
	if (w->ini && !w->down.head)
		due(s, w->ini_ends);
	if (w->target && !w->up.head)
		due(s, w->target_ends);
	return more;
}

static void wires_reap(struct sim *s)
{
	struct sim_wire **p = &s->wires, *w;

	while ((w = *p)) {
		if (!w->dead || w->ini || w->target) {
			p = &w->next;
			continue;
		}
		*p = w->next;
		pipe_drop(&w->up);
		pipe_drop(&w->down);
		buf_fini(&w->up.pdu);
		buf_fini(&w->down.pdu);
		free(w);
	}
}

static bool run_held(struct sim *s)
{
	bool any = false;

	for (struct sim_held **p = &s->held, *h; (h = *p);) {
		if (h->at > s->now) {
			due(s, h->at);
			p = &h->next;
			continue;
		}
		*p = h->next;
		execute(s, h);
		free(h);
		any = true;
		p = &s->held;
	}
	return any;
}

void sim_run(struct sim *s)
{
	bool more = true;

	for (unsigned turns = 0; more; turns++) {
		struct mono at;

		CHECK(turns < 100000);
		more = false;
		s->wake = UINT64_MAX;
		at = ini_tick(s->ini, (struct mono){ s->now });
		due(s, at.ns);
		for (unsigned i = 0; i < s->ini->n_conns; i++)
			more |= ini_turn(s, ini_conn_of(s->ini, i));
		for (struct sim_wire *w = s->wires; w; w = w->next) {
			if (w->target)
				due(s, conn_tick(w->target, (struct mono){ s->now }).ns);
			more |= wire_turn(s, w);
		}
		wires_reap(s);
		more |= run_held(s);
		sessions_end(s);
		if (s->ini->done || s->wake <= s->now)
			return;
	}
}

/* ---- begin and end ---- */

void sim_init(struct sim *s, uint64_t seed, const struct ini_conf *conf, const struct iscsi_params *theirs)
{
	static const uint8_t uuid[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };

	s->rng.s = seed;
	s->fault_rng.s = seed ^ 0x5eed;
	s->now = 1000000000u;
	s->hash = 0xcbf29ce484222325u;
	task_pool_init(&s->pool, sizeof(struct iscsi_task), 64u << 20, 4096);
	s->conf = (struct iscsi_conn_conf){ .pool = &s->pool, .login_ms = 15000, .ping_ms = 4000 };
	lu_init(&s->lu, uuid, "sim", SIM_DISK, SIM_BLOCK);
	s->policy = (struct login_policy){ .tag = 1, .ours = *theirs };
	if (s->chap) {
		s->policy.user = conf->user;
		s->policy.secret = conf->secret;
		s->policy.mutual_user = "target";
		s->policy.mutual_secret = conf->target_secret;
	}
	s->ini = ini_session_new(conf, (struct mono){ s->now });
}

void sim_fini(struct sim *s)
{
	struct sim_held *h;

	ini_cancel_all(s->ini, -1);
	ini_logout(s->ini, 0);
	while (ini_next_done(s->ini))
		;
	ini_session_free(&s->ini);
	for (struct sim_wire *w = s->wires; w; w = w->next) {
		w->ini = NULL;
		w->dead = true;
		iscsi_conn_free(&w->target);
	}
	wires_reap(s);
	while ((h = s->held)) {
		s->held = h->next;
		execute(s, h);
		free(h);
	}
	for (struct sim_session *x; (x = s->sessions);) {
		s->sessions = x->next;
		session_close(x->is, "the end");
		iscsi_session_free(&x->is);
		lu_detach(&x->nexus);
		free(x);
	}
	lu_fini(&s->lu);
	task_pool_fini(&s->pool);
}
