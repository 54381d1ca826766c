/* SPDX-License-Identifier: Apache-2.0 */
/* Floating addresses: each one's way from free to held and back. The rules are in float.h. */
#include "cluster/float.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#define TEXT_MAX 200
#define SETTLE_MS 3000          /* a former holder may be heard this long after we took over: no conflict to report */

enum phase {
	AWAY,           /* not here */
	PROBING,        /* soon here, if nobody answers */
	HELD,
	BLOCKED,        /* somebody foreign answered, or the host refused: until `due` */
};

struct one {
	char *path;
	struct addr ip;
	uint8_t prefix;
	char wish[FLOAT_INTERFACE_MAX];         /* the interface that was asked for */
	char on[FLOAT_INTERFACE_MAX];           /* where it is, or is asked about */
	bool route;
	enum phase phase;
	bool known;                             /* this cluster had it in this life: nobody need be asked */
	bool foreign;                           /* `text` tells of another machine */
	bool wanted;                            /* of this step */
	struct mono since;                      /* HELD: since then */
	struct mono due;                        /* the next probe or announcement; BLOCKED: the next try */
	unsigned n_said;                        /* probes or announcements */
	struct mono mine_since;                 /* MONO_NEVER: not mine */
	struct mono renewed, until;             /* HELD: when last, and for which lease */
	struct mono unready;                    /* HELD: director-target is away since then; MONO_NEVER: it is there */
	struct mono defended;                   /* when last; 0: never */
	struct mono clear;                      /* when a conflict is forgotten; MONO_NEVER: there is none */
	char text[TEXT_MAX];
};

struct floats {
	struct one *one;
	unsigned n, cap;
	struct float_host *host;
	unsigned n_host;
	bool told;                              /* the host was looked at */
	bool changed;
};

/* When an address was taken over it is said at once, and again in case that was lost. */
static const unsigned announce_ms[] = { 0, 200, 1000, 3000 };

/* ---- addresses ---- */

static struct addr bare(const struct addr *a)
{
	struct addr b = { .family = a->family };

	memcpy(b.ip, a->ip, a->family == 4 ? 4 : 16);
	return b;
}

static bool same_net(const struct addr *a, const struct addr *b, unsigned prefix)
{
	unsigned bytes = prefix / 8, bits = prefix % 8;

	if (a->family != b->family || memcmp(a->ip, b->ip, bytes) != 0)
		return false;
	return !bits || (a->ip[bytes] ^ b->ip[bytes]) >> (8 - bits) == 0;
}

/* Are all bits behind the prefix `bit`? */
static bool host_bits_are(const struct addr *a, unsigned prefix, unsigned bit)
{
	unsigned all = a->family == 4 ? 32 : 128;

	for (unsigned i = prefix; i < all; i++)
		if ((a->ip[i / 8] >> (7 - i % 8) & 1u) != bit)
			return false;
	return true;
}

static const char *bad4(const struct addr *ip, unsigned prefix)
{
	if (prefix < 1 || prefix > 32)
		return "has a prefix that is not 1 to 32";
	if (ip->ip[0] == 0)
		return "is no address of a host";
	if (ip->ip[0] == 127)
		return "is a loopback address";
	if (ip->ip[0] >= 224)
		return ip->ip[0] < 240 ? "is a multicast address" : "is no address of a host";
	if (prefix < 31 && host_bits_are(ip, prefix, 0))
		return "is the address of the network itself";
	if (prefix < 31 && host_bits_are(ip, prefix, 1))
		return "is the network's broadcast address";
	return NULL;
}

static const char *bad6(const struct addr *ip, unsigned prefix)
{
	static const uint8_t zero[16], mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (prefix < 1 || prefix > 128)
		return "has a prefix that is not 1 to 128";
	if (ip->ip[0] == 0xff)
		return "is a multicast address";
	if (memcmp(ip->ip, zero, 15) == 0 && ip->ip[15] <= 1)
		return ip->ip[15] ? "is the loopback address" : "is no address of a host";
	if (memcmp(ip->ip, mapped, sizeof(mapped)) == 0)
		return "is an IPv4 address written as IPv6; write it as IPv4";
	if (addr_is_linklocal(ip))
		return "is a link-local address, which means another host on every link";
	if (prefix < 127 && host_bits_are(ip, prefix, 0))
		return "is the anycast address of the network's routers";
	return NULL;
}

int float_addr_check(const struct addr *ip, unsigned prefix, const char **why)
{
	*why = ip->family == 4 ? bad4(ip, prefix) : ip->family == 6 ? bad6(ip, prefix) : "is no IP address";
	return *why ? ERR_INVAL : 0;
}

const char *float_state_name(enum float_state s)
{
	static const char *const names[] = { "none", "waiting", "up", "conflict", "failed" };

	return names[s];
}

/* ---- the list ---- */

struct floats *floats_new(void)
{
	return mem_zalloc(sizeof(struct floats));
}

void floats_free(struct floats **fp)
{
	struct floats *f = *fp;

	if (!f)
		return;
	for (unsigned i = 0; i < f->n; i++)
		free(f->one[i].path);
	free(f->one);
	free(f->host);
	mem_autofree(fp);
	*fp = NULL;
}

void float_out_fini(struct float_out *out)
{
	free(out->act);
	*out = (struct float_out){ .n = 0 };
}

static struct one *find(const struct floats *f, const char *path)
{
	for (unsigned i = 0; i < f->n; i++)
		if (strcmp(f->one[i].path, path) == 0)
			return &f->one[i];
	return NULL;
}

static struct one *find_ip(const struct floats *f, const struct addr *ip)
{
	struct addr b = bare(ip);

	for (unsigned i = 0; i < f->n; i++)
		if (addr_eq(&f->one[i].ip, &b))
			return &f->one[i];
	return NULL;
}

static struct one *add(struct floats *f, const struct float_want *w)
{
	struct one *o;

	f->one = mem_grow(f->one, &f->cap, f->n, sizeof(*f->one));
	o = &f->one[f->n++];
	*o = (struct one){ .path = mem_strdup(w->path), .ip = bare(&w->ip), .prefix = w->prefix, .mine_since = MONO_NEVER,
	                   .clear = MONO_NEVER };
	snprintf(o->wish, sizeof(o->wish), "%s", w->interface ? w->interface : "");
	return o;
}

/* ---- acting ---- */

static void act(struct float_out *out, enum float_act_kind kind, const struct one *o)
{
	struct float_act *a;

	out->act = mem_grow(out->act, &out->cap, out->n, sizeof(*out->act));
	a = &out->act[out->n++];
	*a = (struct float_act){ .kind = kind, .ip = o->ip, .prefix = o->prefix, .route = o->route };
	memcpy(a->interface, o->on, sizeof(a->interface));
}

static void say(struct floats *f, struct one *o, const char *text)
{
	o->foreign = false;
	if (strcmp(o->text, text) == 0)
		return;
	snprintf(o->text, sizeof(o->text), "%s", text);
	f->changed = true;
}

static void become(struct floats *f, struct one *o, enum phase phase)
{
	f->changed |= o->phase != phase;
	o->phase = phase;
	o->n_said = 0;
	o->clear = MONO_NEVER;
}

static void let_go(struct floats *f, struct one *o, struct float_out *out)
{
	if (o->phase == HELD)
		act(out, FLOAT_REMOVE, o);
	become(f, o, AWAY);
	say(f, o, "");
}

static void block(struct floats *f, struct one *o, const char *text, struct mono due)
{
	become(f, o, BLOCKED);
	say(f, o, text);
	o->due = due;
}

/* ---- the interface ---- */

/*
 * Where it belongs, into o->on. Else false, with the reason as o->text. A foreign configuration of the very address is in
 * the way: director never takes an address from a host.
 */
static bool place(struct floats *f, struct one *o)
{
	const struct float_host *by_name = NULL, *by_net = NULL;
	char text[TEXT_MAX];

	for (unsigned i = 0; i < f->n_host; i++) {
		const struct float_host *h = &f->host[i];

		if (h->ip.family && addr_eq(&h->ip, &o->ip) && !h->floating) {
			snprintf(text, sizeof(text), "this node has the address on %s already, and not from director", h->interface);
			say(f, o, text);
			return false;
		}
		if (strcmp(h->interface, o->wish) == 0)
			by_name = h;
		if (h->ip.family && !h->floating && same_net(&h->ip, &o->ip, o->prefix) &&
		    (!o->wish[0] || strcmp(h->interface, o->wish) == 0) && (!by_net || h->prefix > by_net->prefix))
			by_net = h;
	}
	if (o->wish[0] ? !by_name : !by_net) {
		if (o->wish[0])
			snprintf(text, sizeof(text), "this node has no interface %s", o->wish);
		else
			snprintf(text, sizeof(text), "this node has no address in the same network: name an interface");
		say(f, o, text);
		return false;
	}
	memcpy(o->on, o->wish[0] ? by_name->interface : by_net->interface, sizeof(o->on));
	o->route = !by_net;
	return true;
}

/* ---- one address, one step ---- */

static void take(struct floats *f, struct one *o, const struct float_want *w, struct mono now, struct float_out *out)
{
	become(f, o, HELD);
	say(f, o, "");
	o->known = true;
	o->since = o->renewed = o->due = now;
	o->until = w->until;
	o->unready = MONO_NEVER;
	act(out, FLOAT_ADD, o);
}

static struct mono hold(struct floats *f, struct one *o, const struct float_want *w, struct mono now, struct float_out *out)
{
	struct mono wake;

	if (w->ready)
		o->unready = MONO_NEVER;
	else if (o->unready.ns == UINT64_MAX)
		o->unready = now;
	if (mono_due(mono_add_ms(o->unready, FLOAT_GRACE_MS), now)) {
		let_go(f, o, out);
		return MONO_NEVER;
	}
	if (w->until.ns == UINT64_MAX ? mono_due(mono_add_ms(o->renewed, FLOAT_RENEW_MS), now) :
	    w->until.ns > o->until.ns && mono_due(mono_add_ms(o->renewed, FLOAT_RENEW_MIN_MS), now)) {
		act(out, FLOAT_RENEW, o);
		o->renewed = now;
		o->until = w->until;
	}
	/* A lease that is renewed steps us. */
	wake = mono_min(w->until, w->until.ns == UINT64_MAX ? mono_add_ms(o->renewed, FLOAT_RENEW_MS) : MONO_NEVER);
	wake = mono_min(wake, mono_add_ms(o->unready, FLOAT_GRACE_MS));
	if (o->n_said < ARRAY_LEN(announce_ms) && mono_due(o->due, now)) {
		act(out, FLOAT_ANNOUNCE, o);
		if (++o->n_said < ARRAY_LEN(announce_ms))
			o->due = mono_add_ms(o->since, announce_ms[o->n_said]);
	}
	if (o->n_said < ARRAY_LEN(announce_ms))
		wake = mono_min(wake, o->due);
	if (mono_due(o->clear, now)) {
		o->clear = MONO_NEVER;
		say(f, o, "");
	}
	return mono_min(wake, o->clear);
}

/* A new right to it, or one that waits. */
static struct mono come(struct floats *f, struct one *o, const struct float_want *w, struct mono now, struct float_out *out)
{
	struct mono pass = mono_add_ms(o->mine_since, FLOAT_PASS_MS);

	if (o->phase == BLOCKED && !mono_due(o->due, now))
		return o->due;
	if (!w->ready) {
		let_go(f, o, out);
		return MONO_NEVER;
	}
	/* Under a lease of ours the one before it is over. Without, the other one gets time to see that it lost it. */
	if (w->elsewhere && w->until.ns == UINT64_MAX && !mono_due(pass, now))
		return pass;
	if (o->phase != PROBING) {
		bool ask = !o->known || o->phase == BLOCKED;

		if (!place(f, o)) {
			f->changed |= o->phase != AWAY;
			o->phase = AWAY;
			return MONO_NEVER;
		}
		if (!ask) {
			take(f, o, w, now, out);
			return hold(f, o, w, now, out);
		}
		become(f, o, PROBING);
		say(f, o, "");
		o->due = now;
	}
	if (!mono_due(o->due, now))
		return o->due;
	if (o->n_said < FLOAT_PROBES) {
		o->n_said++;
		act(out, FLOAT_PROBE, o);
		o->due = mono_add_ms(now, FLOAT_PROBE_MS);
		return o->due;
	}
	take(f, o, w, now, out);
	return hold(f, o, w, now, out);
}

static struct mono decide(struct floats *f, struct one *o, const struct float_want *w, struct mono now, struct float_out *out)
{
	bool right = w->mine && mono_before(now, w->until);

	o->known |= w->known;
	if (!right) {
		o->mine_since = MONO_NEVER;
		let_go(f, o, out);
		return MONO_NEVER;
	}
	if (o->mine_since.ns == UINT64_MAX)
		o->mine_since = now;
	return o->phase == HELD ? hold(f, o, w, now, out) : come(f, o, w, now, out);
}

/* Addresses of an earlier life that are not ours now. */
static void sweep(struct floats *f, struct float_out *out)
{
	for (unsigned i = 0; i < f->n_host; i++) {
		struct float_host *h = &f->host[i];
		const struct one *o;

		if (!h->ip.family || !h->floating)
			continue;
		o = find_ip(f, &h->ip);
		if (!o || o->phase != HELD || strcmp(o->on, h->interface) != 0) {
			struct one gone = { .ip = h->ip, .prefix = h->prefix };

			memcpy(gone.on, h->interface, sizeof(gone.on));
			act(out, FLOAT_REMOVE, &gone);
		}
		h->floating = false;
		h->ip.family = 0;       /* gone, or one of f->one: said once */
	}
}

static bool same(const struct one *o, const struct float_want *w)
{
	struct addr b = bare(&w->ip);

	return addr_eq(&o->ip, &b) && o->prefix == w->prefix && strcmp(o->wish, w->interface ? w->interface : "") == 0;
}

void floats_step(struct floats *f, const struct float_want *want, unsigned n, struct mono now, struct float_out *out)
{
	out->wake = MONO_NEVER;
	if (!f->told)
		return;
	for (unsigned i = 0; i < f->n; i++)
		f->one[i].wanted = false;
	for (unsigned i = 0; i < n; i++) {
		struct one *o = find(f, want[i].path);

		if (o)
			o->wanted = same(o, &want[i]);
		else
			add(f, &want[i])->wanted = true;
	}
	for (unsigned i = f->n; i-- > 0; ) {
		if (f->one[i].wanted)
			continue;
		let_go(f, &f->one[i], out);
		free(f->one[i].path);
		f->one[i] = f->one[--f->n];
		f->changed = true;
	}
	for (unsigned i = 0; i < n; i++) {
		struct one *o = find(f, want[i].path);

		if (!o)         /* it was changed: the old one went in this step, so the new one is not delayed */
			o = add(f, &want[i]);
		out->wake = mono_min(out->wake, decide(f, o, &want[i], now, out));
	}
	sweep(f, out);
	out->changed |= f->changed;
	f->changed = false;
}

void floats_leave(struct floats *f, struct float_out *out)
{
	for (unsigned i = 0; i < f->n; i++)
		let_go(f, &f->one[i], out);
}

/* ---- what happens ---- */

static void host(struct floats *f, const struct float_host *h, unsigned n)
{
	free(f->host);
	f->host = mem_dup(h, n * sizeof(*h));
	f->n_host = n;
	f->told = true;
	for (unsigned i = 0; i < n; i++)
		f->host[i].ip = bare(&h[i].ip);
}

static void conflict(struct floats *f, struct one *o, const char *who, struct mono now)
{
	char text[TEXT_MAX];

	if (o->phase == PROBING) {
		snprintf(text, sizeof(text), "another machine has this address: %.100s", who);
		block(f, o, text, mono_add_ms(now, FLOAT_AGAIN_MS));
		o->foreign = true;
		return;
	}
	/* RFC 5227 2.4 (c): one announcement, and no further one within the interval, lest two holders shout for ever. */
	if (!o->defended.ns || mono_due(mono_add_ms(o->defended, FLOAT_DEFEND_MS), now)) {
		o->defended = now;
		if (o->n_said == ARRAY_LEN(announce_ms)) {
			o->n_said--;
			o->due = now;
		}
	}
	if (!mono_due(mono_add_ms(o->since, SETTLE_MS), now))
		return;
	snprintf(text, sizeof(text), "another machine claims this address: %.100s", who);
	say(f, o, text);
	o->foreign = true;
	o->clear = mono_add_ms(now, FLOAT_CONFLICT_MS);
}

void floats_news(struct floats *f, const struct float_news *news, struct mono now)
{
	struct one *o;

	if (news->kind == FLOAT_NEWS_HOST) {
		host(f, news->host, news->n_host);
		return;
	}
	o = find_ip(f, &news->ip);
	if (!o)
		return;
	if (news->kind == FLOAT_NEWS_CONFLICT && (o->phase == HELD || o->phase == PROBING))
		conflict(f, o, news->text, now);
	else if (news->kind == FLOAT_NEWS_GONE && o->phase == HELD)
		become(f, o, AWAY);
	else if (news->kind == FLOAT_NEWS_FAILED && o->phase == HELD)
		block(f, o, news->text, mono_add_ms(now, FLOAT_RETRY_MS));
}

/* ---- reading ---- */

struct float_report floats_report(const struct floats *f, const char *path)
{
	const struct one *o = find(f, path);
	struct float_report r = { .state = FLOAT_NONE };

	if (!o)
		return r;
	r.text = o->text[0] ? o->text : NULL;
	r.held = o->phase == HELD;
	r.interface = r.held ? o->on : NULL;
	if (r.text)
		r.state = o->foreign ? FLOAT_CONFLICT : FLOAT_FAILED;
	else if (o->phase == HELD || o->phase == PROBING)
		r.state = r.held ? FLOAT_UP : FLOAT_WAITING;
	return r;
}
