/* SPDX-License-Identifier: Apache-2.0 */
/* Keeping out of the ring: whom this node hears, what the others say, and the choice made from that. See aside.h. */
#include "cluster/aside.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "cluster/cluster_priv.h"

#define TROUBLE_MS 1000         /* agreement stood still for so long: look closer */
#define STILL_MAX_MS 2500       /* and this much is remembered; an eighth of the time that it works is forgotten */
#define DEAF_MS 3000            /* one from whom nothing came for so long, though it was asked, is not heard */
#define LOOK_MS 500             /* then all of the ring are asked so often */
#define OUT_MS 1500             /* the choice must be the same for so long before this node goes, */
#define IN_MS 5000              /* or comes back */

_Static_assert(ROSTER_RING_MAX <= 16, "a node's bit");

/* ---- the choice ---- */

static unsigned count(uint16_t set)
{
	return (unsigned)__builtin_popcount(set);
}

/* How many of `rest` the node has no link with, in both directions. */
static unsigned missing(const uint16_t hears[], unsigned i, uint16_t rest)
{
	unsigned n = 0;

	for (unsigned j = 0; j < ROSTER_RING_MAX; j++)
		if (j != i && (rest >> j & 1) && !((hears[i] >> j & 1) && (hears[j] >> i & 1)))
			n++;
	return n;
}

uint16_t aside_choose(const struct roster *r, uint16_t present, const uint16_t hears[ROSTER_RING_MAX])
{
	uint16_t rest = present, voters = 0;

	for (unsigned i = 0; i < r->n; i++)
		voters |= (uint16_t)((r->node[i].role == ROSTER_VOTER) << i);
	for (;;) {
		unsigned worst = 0, most = 0;

		/* Of equals one without a vote, then the one that came last. */
		for (unsigned i = 0; i < r->n; i++) {
			unsigned m = rest >> i & 1 ? missing(hears, i, rest) : 0;

			if (m > most || (m && m == most && (voters >> i & 1) <= (voters >> worst & 1))) {
				worst = i;
				most = m;
			}
		}
		if (!most)
			break;
		rest &= (uint16_t)~(1u << worst);
	}
	return count(rest & voters) >= roster_majority(r) ? present & (uint16_t)~rest : 0;
}

/* ---- what is known ---- */

static const char *said(const struct cluster *c, const struct node_id *id, const char *key)
{
	const struct fact *f = admit_said(c, id);

	return f ? attrs_get(&f->attrs, key) : NULL;
}

/* Nodeids separated by blanks, as bits of the roster. */
static uint16_t bits(const struct roster *r, const char *text)
{
	uint16_t set = 0;

	for (unsigned i = 0; text && i < r->n; i++) {
		char id[16], *first = id + sizeof(id);
		uint32_t n = r->node[i].nodeid;
		size_t len;

		do
			*--first = (char)('0' + n % 10);
		while (n /= 10);
		len = (size_t)(id + sizeof(id) - first);
		for (const char *p = text; *p; p += strcspn(p, " "), p += *p == ' ')
			if (strcspn(p, " ") == len && strncmp(p, first, len) == 0)
				set |= (uint16_t)(1u << i);
	}
	return set;
}

static bool answers(const struct gossip_member *m)
{
	return m->state == MEMBER_ALIVE || m->state == MEMBER_SUSPECT;
}

bool aside_link(const struct cluster *c, const struct gossip_member *m)
{
	const struct roster *r = &c->status->roster;
	uint16_t deaf = bits(r, said(c, &m->card->id, "deaf-to"));

	for (unsigned i = 0; i < r->n; i++)
		if ((deaf >> i & 1) && node_id_eq(&r->node[i].id, &c->self))
			return false;
	return mono_ms_between(m->heard, c->now) < DEAF_MS;
}

static bool trouble(struct cluster *c, uint16_t present)
{
	const struct agree_status *s = c->status;

	uint64_t ms = mono_ms_between(c->still_at, c->now);

	/* A ring that breaks again and again works in between. */
	c->still_at = c->now;
	if (c->was_still)
		c->still_ms = c->still_ms + ms > STILL_MAX_MS ? STILL_MAX_MS : c->still_ms + ms;
	else
		c->still_ms = c->still_ms > ms / 8 ? c->still_ms - ms / 8 : 0;
	c->was_still = s->mode != AGREE_ACTIVE || s->stalled;
	/* Whom the others do not hear cannot see it; so all look when one has trouble. */
	c->in_trouble = c->aside || c->still_ms >= TROUBLE_MS;
	if (c->in_trouble)
		return true;
	for (unsigned i = 0; i < s->roster.n; i++)
		if ((present >> i & 1) && !node_id_eq(&s->roster.node[i].id, &c->self) &&
		    (said(c, &s->roster.node[i].id, "deaf-to") || said(c, &s->roster.node[i].id, "in-trouble")))
			return true;
	return false;
}

/* Ask all of the ring, and note whom this node does not hear. */
static void look(struct cluster *c, uint16_t present, unsigned self, struct cluster_out *out)
{
	const struct roster *r = &c->status->roster;
	bool ask = mono_due(c->look_next, c->now), known = mono_ms_between(c->look_since, c->now) >= DEAF_MS;
	char text[sizeof(c->deaf_to)] = "";

	for (unsigned i = 0; i < r->n; i++) {
		struct gossip_in hint = { .kind = GOSSIP_IN_HINT, .id = r->node[i].id };
		struct gossip_member m;

		if (i == self || !(present >> i & 1))
			continue;
		if (ask)
			cluster_gossip_step(c, &hint, out);
		if (known && gossip_find(c->gossip, &r->node[i].id, &m) && mono_ms_between(m.heard, c->now) >= DEAF_MS)
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%" PRIu32, *text ? " " : "", r->node[i].nodeid);
	}
	if (ask)
		c->look_next = mono_add_ms(c->now, LOOK_MS);
	if (strcmp(text, c->deaf_to) != 0)
		log_info(c->log, "ring: this node does not hear nodeid %s", *text ? text : "(it hears all again)");
	memcpy(c->deaf_to, text, sizeof(text));
}

static void decide(struct cluster *c, bool out_chosen)
{
	struct mono *since = out_chosen ? &c->out_since : &c->in_since;

	*(out_chosen ? &c->in_since : &c->out_since) = MONO_NEVER;
	if (since->ns == MONO_NEVER.ns)
		*since = c->now;
	if (out_chosen == c->aside || mono_ms_between(*since, c->now) < (out_chosen ? OUT_MS : IN_MS))
		return;
	c->aside = out_chosen;
	if (c->aside)
		log_warn(c->log, "ring: this node is the worst connected (it does not hear nodeid %s, or is not heard): it keeps out of the ring "
		         "until that is better", *c->deaf_to ? c->deaf_to : "-");
	else
		log_info(c->log, "ring: this node is well connected again");
}

void aside_tend(struct cluster *c, struct cluster_out *out)
{
	const struct roster *r = &c->status->roster;
	uint16_t hears[ROSTER_RING_MAX], present = 0;
	unsigned self = ROSTER_RING_MAX;

	for (unsigned i = 0; c->status->has_log && i < r->n; i++) {
		struct gossip_member m;

		if (gossip_find(c->gossip, &r->node[i].id, &m) && (m.self || answers(&m)))
			present |= (uint16_t)(1u << i);
		if (node_id_eq(&r->node[i].id, &c->self))
			self = i;
	}
	/* Of two nobody is the worse connected. */
	if (self == ROSTER_RING_MAX || count(present) < 3 || !trouble(c, present)) {
		c->look_since = c->out_since = MONO_NEVER;
		c->deaf_to[0] = '\0';
		c->in_trouble = false;
		if (c->aside && (self == ROSTER_RING_MAX || count(present) < 3))
			c->aside = false;
		return;
	}
	if (c->look_since.ns == MONO_NEVER.ns)
		c->look_since = c->look_next = c->now;
	look(c, present, self, out);
	for (unsigned i = 0; i < r->n; i++)
		hears[i] = (uint16_t)~bits(r, i == self ? c->deaf_to : said(c, &r->node[i].id, "deaf-to"));
	decide(c, aside_choose(r, present, hears) >> self & 1);
	c->wake = mono_min(c->wake, c->look_next);
}
