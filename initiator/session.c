/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions: from a configuration to a login, and to the end. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "initiator/priv.h"

#define PORTAL_TEXT 80

void director_iscsi_conf_init(struct director_iscsi_conf *c)
{
	struct ini_conf d;

	memset(c, 0, sizeof(*c));
	c->struct_size = sizeof(*c);
	ini_conf_default(&d);
	for (unsigned i = 0; i < d.n_chap; i++)
		c->chap[i] = d.chap[i];
	c->connections = d.connections;
	c->queue_depth = d.depth;
	c->max_recv = d.offer.max_recv;
	c->max_burst = d.offer.max_burst;
	c->first_burst = d.offer.first_burst;
	c->max_r2t = d.offer.max_r2t;
	c->initial_r2t = d.offer.initial_r2t;
	c->immediate_data = d.offer.immediate_data;
	c->time2wait = d.offer.time2wait;
	c->time2retain = d.offer.time2retain;
	c->login_ms = d.login_ms;
	c->ping_ms = d.ping_ms;
	c->retry_min_ms = d.retry_min_ms;
	c->retry_max_ms = d.retry_max_ms;
	c->command_retry_ms = d.command_retry_ms;
	c->command_ms = 30000;
}

static bool in(uint32_t v, uint32_t lo, uint32_t hi)
{
	return v >= lo && v <= hi;
}

static int conf_check(const struct director_iscsi_conf *c)
{
	if (!c->portals || !c->portals[0] || (c->target && !iscsi_name_ok(c->target)) ||
		(c->initiator && !iscsi_name_ok(c->initiator)))
		return -EINVAL;
	if (!in(c->connections, 1, INI_CONN_MAX) || c->erl > 2 || !in(c->queue_depth, 1, INI_DEPTH_MAX) ||
		!in(c->max_recv, 512, PDU_DATA_MAX) || !in(c->max_burst, 512, PDU_DATA_MAX) ||
		!in(c->first_burst, 512, c->max_burst) || !in(c->max_r2t, 1, INI_R2T_MAX) || c->time2wait > 3600 ||
		c->time2retain > 3600 || c->header_digest > 2 || c->data_digest > 2 || !c->login_ms || !c->retry_min_ms)
		return -EINVAL;
	for (unsigned i = 0; i < 4 && c->chap[i]; i++)
		if (!chap_len(c->chap[i]))
			return -EINVAL;
	/* RFC 7143 12.1.3: both directions have secrets of their own. */
	if (c->target_secret && (!c->secret || strcmp(c->secret, c->target_secret) == 0))
		return -EINVAL;
	return 0;
}

static void conf_numbers(struct ini_conf *to, const struct director_iscsi_conf *c)
{
	ini_conf_default(to);
	to->header_digest = (enum ini_digest)c->header_digest;
	to->data_digest = (enum ini_digest)c->data_digest;
	to->offer.max_recv = c->max_recv;
	to->offer.max_burst = c->max_burst;
	to->offer.first_burst = c->first_burst;
	to->offer.max_r2t = c->max_r2t;
	to->offer.initial_r2t = c->initial_r2t;
	to->offer.immediate_data = c->immediate_data;
	to->offer.time2wait = c->time2wait;
	to->offer.time2retain = c->time2retain;
	to->offer.erl = c->erl;
	to->connections = c->connections;
	to->depth = c->queue_depth;
	to->login_ms = c->login_ms;
	to->ping_ms = c->ping_ms;
	to->retry_min_ms = c->retry_min_ms;
	to->retry_max_ms = c->retry_max_ms;
	to->command_retry_ms = c->command_retry_ms;
	to->attentions = c->flags & DIRECTOR_ISCSI_F_ATTENTIONS;
	to->last_word = c->flags & DIRECTOR_ISCSI_F_LAST_WORD;
	to->reassign_255 = c->flags & DIRECTOR_ISCSI_F_REASSIGN_255;
	to->n_chap = 0;
	for (unsigned i = 0; i < 4 && c->chap[i]; i++)
		to->chap[to->n_chap++] = c->chap[i];
}

static void own_name(char *out, size_t size)
{
	char host[65] = "localhost";

	gethostname(host, sizeof(host) - 1);
	for (char *p = host; *p; p++) {
		if (*p >= 'A' && *p <= 'Z')
			*p |= 0x20;
		else if (!((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '-' || *p == '.'))
			*p = '-';
	}
	snprintf(out, size, "iqn.2026-11.org.director:%s", host);
}


static void join(void *arg)
{
	struct director_iscsi *h = arg;

	h->next = h->loop->sessions;
	h->loop->sessions = h;
	h->loop->now = clock_now();
	loop_dirty(h);
	if (!h->loop->running)
		loop_poke(h->loop);
}

int director_iscsi_open(struct director_iscsi_loop *loop, const struct director_iscsi_conf *given, struct director_iscsi **out)
{
	struct director_iscsi_conf whole, *conf = &whole;
	char portals[INI_PORTAL_MAX][PORTAL_TEXT], name[128];
	struct sockaddr_storage addr;
	struct ini_conf mc;
	struct director_iscsi *h;
	unsigned len;
	int r;

	*out = NULL;
	/* What an older caller does not know of has its default. */
	director_iscsi_conf_init(conf);
	memcpy(conf, given, given->struct_size < sizeof(whole) ? given->struct_size : sizeof(whole));
	r = given->struct_size ? conf_check(conf) : -EINVAL;
	if (r < 0)
		return r;
	conf_numbers(&mc, conf);
	for (; conf->portals[mc.n_portals]; mc.n_portals++) {
		if (mc.n_portals == INI_PORTAL_MAX || address_parse(conf->portals[mc.n_portals], false, &addr, &len) < 0)
			return -EINVAL;
		address_print(&addr, len, portals[mc.n_portals], PORTAL_TEXT);
		mc.portals[mc.n_portals] = portals[mc.n_portals];
	}
	own_name(name, sizeof(name));
	mc.initiator = conf->initiator ? conf->initiator : name;
	mc.alias = conf->alias;
	mc.target = conf->target;
	mc.user = conf->user;
	mc.secret = conf->secret;
	mc.target_user = conf->target_user;
	mc.target_secret = conf->target_secret;
	memcpy(mc.isid, conf->isid, 6);
	if (!memcmp(mc.isid, "\0\0\0\0\0\0", 6)) {
		/* 11.12.5: type 10b, random. */
		if (getrandom(mc.isid, 6, 0) != 6)
			return -EIO;
		mc.isid[0] = 0x80;
	}
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->loop = loop;
	h->conf = *conf;
	h->wake = MONO_NEVER;
	h->s = ini_session_new(&mc, clock_now());
	h->sock = calloc(conf->connections, sizeof(*h->sock));
	if (!h->sock) {
		ini_session_free(&h->s);
		free(h);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < conf->connections; i++)
		h->sock[i] = (struct sock){ .h = h, .index = i, .fd = -1 };
	*out = h;
	loop_call(loop, join, h);
	return 0;
}

/* ---- waiting ---- */

struct look {
	struct director_iscsi *h;
	int result;                             /* 1: not yet */
	char why[256];
};

static const char *refusal(uint16_t status)
{
	switch (status) {
	case LOGIN_AUTH_FAILED:
		return "authentication failed";
	case LOGIN_FORBIDDEN:
		return "the target does not let this initiator in";
	case LOGIN_NOT_FOUND:
		return "there is no such target";
	case LOGIN_REMOVED:
		return "the target was removed";
	case LOGIN_TOO_MANY:
		return "too many connections";
	case LOGIN_UNAVAILABLE:
		return "the target is not available now";
	case LOGIN_NO_RESOURCES:
		return "the target is out of resources";
	default:
		return "the target refuses the login";
	}
}

static void look(void *arg)
{
	struct look *l = arg;
	struct director_iscsi *h = l->h;
	bool once = h->conf.flags & DIRECTOR_ISCSI_F_ONCE;

	l->result = 1;
	if (h->s->n_up) {
		l->result = 0;
	} else if (h->refused && (once || h->refused_status >> 8 == 2)) {
		snprintf(l->why, sizeof(l->why), "%s (status %04xh)", refusal(h->refused_status), h->refused_status);
		l->result = h->refused_status == LOGIN_NOT_FOUND ? -ENOENT : h->refused_status >> 8 == 2 ? -EACCES : -EAGAIN;
	} else if (h->failed && once) {
		snprintf(l->why, sizeof(l->why), "%s", h->why);
		l->result = -ENOTCONN;
	} else {
		snprintf(l->why, sizeof(l->why), "%s%s", h->failed ? "not logged in in time; the last attempt: " : "not logged in in time",
			h->failed ? h->why : "");
	}
}

int director_iscsi_wait(struct director_iscsi *h, int timeout_ms, char *why, size_t size)
{
	struct mono end = timeout_ms < 0 ? MONO_NEVER : mono_add_ms(clock_now(), (uint64_t)timeout_ms);
	struct look l = { .h = h };

	for (;;) {
		loop_call(h->loop, look, &l);
		if (l.result <= 0 || mono_due(end, clock_now()))
			break;
		loop_pass(h->loop, loop_here(h->loop) ? 20 : 2);
	}
	if (why && size)
		snprintf(why, size, "%s", l.result ? l.why : "");
	return l.result == 1 ? -ETIMEDOUT : l.result;
}

/* ---- the end ---- */

static void cancel_all(void *arg)
{
	struct director_iscsi *h = arg;

	h->loop->now = clock_now();
	ini_cancel_all(h->s, ERR_CANCELED);
	loop_deliver(h);
	loop_dirty(h);
}

struct ending {
	struct director_iscsi *h;
	uint32_t ms;
	bool down;
};

static void log_out(void *arg)
{
	struct ending *e = arg;

	ini_logout(e->h->s, e->ms);
	loop_dirty(e->h);
}

static void see(void *arg)
{
	struct ending *e = arg;

	e->down = ini_is_down(e->h->s);
}

static void leave(void *arg)
{
	struct director_iscsi *h = arg, **p;

	ini_logout(h->s, 0);
	ini_cancel_all(h->s, ERR_CANCELED);
	loop_deliver(h);
	for (unsigned i = 0; i < h->s->n_conns; i++)
		sock_close(&h->sock[i]);
	for (p = &h->loop->sessions; *p != h; p = &(*p)->next)
		;
	*p = h->next;
	for (p = &h->loop->dirty; *p && *p != h; p = &(*p)->dirty_next)
		;
	if (*p)
		*p = h->dirty_next;
	ini_session_free(&h->s);
}

void director_iscsi_close(struct director_iscsi **pp, uint32_t logout_ms)
{
	struct director_iscsi *h = *pp;
	struct ending e = { .h = h, .ms = logout_ms };
	struct mono end = mono_add_ms(clock_now(), logout_ms);

	if (!h)
		return;
	loop_call(h->loop, cancel_all, h);
	loop_call(h->loop, log_out, &e);
	while (logout_ms && !e.down && !mono_due(end, clock_now())) {
		loop_pass(h->loop, loop_here(h->loop) ? 5 : 1);
		loop_call(h->loop, see, &e);
	}
	loop_call(h->loop, leave, h);
	free(h->sock);
	free(h);
	*pp = NULL;
}

/* ---- what is the case ---- */

struct asked {
	struct director_iscsi *h;
	struct director_iscsi_status *st;
};

static void tell(void *arg)
{
	const struct asked *a = arg;
	const struct ini_session *s = a->h->s;
	struct director_iscsi_status st = {
		.struct_size = sizeof(st), .up = s->n_up, .header_digest = s->params.header_digest == DIGEST_CRC32C,
		.data_digest = s->params.data_digest == DIGEST_CRC32C, .erl = s->params.erl,
		.connections = s->params.max_connections < s->n_conns ? s->params.max_connections : s->n_conns,
		.immediate_data = s->params.immediate_data, .initial_r2t = s->params.initial_r2t, .max_burst = s->params.max_burst,
		.first_burst = s->params.first_burst, .max_r2t = s->params.max_r2t, .max_send = s->params.max_send,
		.time2wait = s->params.time2wait, .time2retain = s->params.time2retain, .tsih = s->tsih, .at_target = s->n_busy,
		.commands = s->commands, .bytes_in = s->bytes_in, .bytes_out = s->bytes_out, .logins = s->logins,
		.losses = s->losses, .replayed = s->replayed, .reassigned = s->reassigned, .retried = s->retried,
		.snacks = s->snacks, .digest_errors = s->digest_errors, .reassigned_done = s->moved_done,
	};
	uint32_t size = a->st->struct_size < sizeof(st) ? a->st->struct_size : (uint32_t)sizeof(st);

	for (const struct ini_cmd *cmd = s->waiting; cmd; cmd = cmd->next)
		st.waiting++;
	st.struct_size = size;
	memcpy(a->st, &st, size);
}

void director_iscsi_get_status(struct director_iscsi *h, struct director_iscsi_status *st)
{
	struct asked a = { h, st };

	loop_call(h->loop, tell, &a);
}

/* ---- task management ---- */

struct manage {
	struct director_iscsi *h;
	struct ini_tmf tmf;
	bool over;
};

static void manage_begin(void *arg)
{
	struct manage *m = arg;

	m->tmf.deadline = mono_add_ms(clock_now(), m->tmf.deadline.ns);
	ini_tmf_submit(m->h->s, &m->tmf);
	loop_dirty(m->h);
}

static void manage_look(void *arg)
{
	struct manage *m = arg;
	struct ini_tmf *tmf;

	while ((tmf = ini_next_tmf(m->h->s)))
		*(bool *)tmf->user = true;
}

int director_iscsi_manage(struct director_iscsi *h, enum director_iscsi_tmf function, uint64_t lun, uint32_t timeout_ms)
{
	struct manage m = { .h = h, .tmf = { .function = (uint8_t)function, .deadline = { timeout_ms } } };

	m.tmf.user = &m.over;
	lun_put(m.tmf.lun, lun);
	loop_call(h->loop, manage_begin, &m);
	for (;;) {
		loop_call(h->loop, manage_look, &m);
		if (m.over)
			return m.tmf.result ? errno_of(m.tmf.result) : m.tmf.response;
		loop_pass(h->loop, loop_here(h->loop) ? 5 : 1);
	}
}
