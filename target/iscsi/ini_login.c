/* SPDX-License-Identifier: Apache-2.0 */
/* Login, initiator side: both stages, CHAP in both directions, and what the target made of our offers. */
#include "target/iscsi/ini_login.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"

#define ROUNDS_MAX 64
#define PAIRS_MAX 256
#define NO_PARAM SIZE_MAX

static void wipe(void *p, size_t n)
{
	memset(p, 0, n);
	__asm__ volatile("" : : "r"(p) : "memory");
}

static uint32_t param_get(const struct iscsi_params *p, const struct key_row *r)
{
	uint32_t v;

	memcpy(&v, (const char *)p + r->param, sizeof(v));
	return v;
}

static void param_set(struct iscsi_params *p, const struct key_row *r, uint32_t v)
{
	memcpy((char *)p + r->param, &v, sizeof(v));
}

static bool is_digest(const struct key_row *r)
{
	return strcmp(r->name, "HeaderDigest") == 0 || strcmp(r->name, "DataDigest") == 0;
}

static enum ini_digest digest_wanted(const struct ini_login *l, const struct key_row *r)
{
	return r->name[0] == 'H' ? l->conf->header_digest : l->conf->data_digest;
}

/* ---- what we send ---- */

static void put_identity(struct ini_login *l)
{
	keys_put(&l->text, "InitiatorName", l->conf->initiator);
	if (l->conf->alias)
		keys_put(&l->text, "InitiatorAlias", l->conf->alias);
	if (l->conf->target)
		keys_put(&l->text, "TargetName", l->conf->target);
	keys_put(&l->text, "SessionType", l->conf->target ? "Normal" : "Discovery");
}

/* 12.1: without a secret of the target's, a target that asks for nothing is let through. */
static void put_auth(struct ini_login *l)
{
	const char *list = !l->conf->secret ? "None" : l->conf->target_secret ? "CHAP" : "CHAP,None";

	keys_put(&l->text, "AuthMethod", list);
	l->proposed = true;
	l->transit = !l->conf->secret;
	l->next_stage = STAGE_OPERATIONAL;
}

static bool offers(const struct ini_login *l, const struct key_row *r)
{
	if (r->param == NO_PARAM || r->kind == KEY_TEXT || r->kind == KEY_OBSOLETE || r->kind == KEY_DECLARE)
		return false;
	if ((r->where & KEY_LEADING && !l->leading) || (r->where & KEY_NOT_DISCOVERY && !l->conf->target))
		return false;
	return is_digest(r) || r->kind != KEY_LIST || param_get(&l->conf->offer, r) != r->dflt;
}

static void put_offer(struct ini_login *l, const struct key_row *r)
{
	uint32_t v = param_get(&l->conf->offer, r);
	char t[64];

	if (is_digest(r)) {
		static const char *const lists[] = { "None", "CRC32C,None", "CRC32C" };

		keys_put(&l->text, r->name, lists[digest_wanted(l, r)]);
		return;
	}
	if (r->kind == KEY_LIST)
		snprintf(t, sizeof(t), "%s,%s", r->choices[v], r->choices[r->dflt]);
	else if (r->kind == KEY_AND || r->kind == KEY_OR)
		snprintf(t, sizeof(t), "%s", v ? "Yes" : "No");
	else
		snprintf(t, sizeof(t), "%u", v);
	keys_put(&l->text, r->name, t);
	/* 6.2.2: an offer of No to an AND, or of Yes to an OR, decides, and need not be answered. */
	if ((r->kind == KEY_AND && !v) || (r->kind == KEY_OR && v))
		param_set(&l->params, r, v);
}

static void put_offers(struct ini_login *l)
{
	char t[16];

	for (const struct key_row *r = key_rows(); r->name; r++)
		if (offers(l, r))
			put_offer(l, r);
	snprintf(t, sizeof(t), "%u", l->conf->offer.max_recv);
	keys_put(&l->text, "MaxRecvDataSegmentLength", t);
	l->params.max_recv = l->conf->offer.max_recv;
	l->offered = true;
	l->transit = true;
	l->next_stage = STAGE_FULL_FEATURE;
}

void ini_login_init(struct ini_login *l, const struct ini_conf *conf, bool leading, const struct iscsi_params *params,
	const uint8_t random[CHAP_HASH_MAX + 1])
{
	memset(l, 0, sizeof(*l));
	l->conf = conf;
	l->leading = leading;
	l->params = *params;
	l->params.header_digest = l->params.data_digest = DIGEST_NONE;
	l->params.max_send = 8192;
	l->id = random[CHAP_HASH_MAX];
	memcpy(l->challenge, random, CHAP_HASH_MAX);
	l->stage = STAGE_SECURITY;
	put_identity(l);
	put_auth(l);
}

void ini_login_fini(struct ini_login *l)
{
	buf_fini(&l->text);
	buf_fini(&l->in);
	wipe(l, sizeof(*l));
}

/* ---- CHAP ---- */

struct chap_keys {
	const char *a, *i, *c, *n, *r;
};

static enum ini_login_next broken(struct ini_login *l, const char *why)
{
	l->why = why;
	return INI_LOGIN_BROKEN;
}

static void put_binary(struct buf *out, const char *name, const uint8_t *p, size_t n)
{
	char hex[2 + 2 * CHAP_HASH_MAX + 1] = "0x";

	text_hex(p, n, hex + 2);
	keys_put(out, name, hex);
}

static void put_algorithms(struct ini_login *l)
{
	char t[32];
	size_t n = 0;

	for (unsigned i = 0; i < l->conf->n_chap && n < sizeof(t) - 5; i++)
		n += (size_t)snprintf(t + n, sizeof(t) - n, "%s%u", i ? "," : "", l->conf->chap[i]);
	keys_put(&l->text, "CHAP_A", t);
	l->chap = true;
}

/* The target has chosen an algorithm and challenges us; we prove ourselves, and challenge it when we know its secret. */
static enum ini_login_next chap_prove(struct ini_login *l, const struct chap_keys *k)
{
	uint8_t challenge[CHAP_CHALLENGE_MAX], rsp[CHAP_HASH_MAX];
	uint64_t a, id;
	bool offered = false;
	size_t len;
	long n;

	if (!k->i || !k->c || keys_number(k->a, &a) != 0 || keys_number(k->i, &id) != 0 || id > 255)
		return broken(l, "the target's CHAP challenge is not valid");
	for (unsigned i = 0; i < l->conf->n_chap; i++)
		offered |= l->conf->chap[i] == a;
	n = keys_binary(k->c, challenge, sizeof(challenge));
	if (!offered || n <= 0)
		return broken(l, "the target's CHAP challenge is not valid");
	l->algorithm = (unsigned)a;
	len = chap_len(l->algorithm);
	/* 12.1.3: a challenge that is our own would have us answer it for the target (reflection). */
	if (l->conf->target_secret && (size_t)n == len && chap_equal(challenge, l->challenge, len))
		return broken(l, "the target sent our own CHAP challenge back");
	chap_response(l->algorithm, (uint8_t)id, l->conf->secret, challenge, (size_t)n, rsp);
	keys_put(&l->text, "CHAP_N", l->conf->user ? l->conf->user : l->conf->initiator);
	put_binary(&l->text, "CHAP_R", rsp, len);
	if (l->conf->target_secret) {
		char t[8];

		snprintf(t, sizeof(t), "%u", l->id);
		keys_put(&l->text, "CHAP_I", t);
		put_binary(&l->text, "CHAP_C", l->challenge, len);
	}
	wipe(rsp, sizeof(rsp));
	l->challenged = true;
	l->transit = true;
	l->next_stage = STAGE_OPERATIONAL;
	return INI_LOGIN_SEND;
}

static enum ini_login_next chap_check(struct ini_login *l, const struct chap_keys *k)
{
	uint8_t want[CHAP_HASH_MAX], got[CHAP_HASH_MAX];
	size_t len = chap_len(l->algorithm);

	if (!k->n || !k->r || !l->challenged || l->mutual_done || !l->conf->target_secret)
		return broken(l, "the target's CHAP answer is not valid");
	chap_response(l->algorithm, l->id, l->conf->target_secret, l->challenge, len, want);
	if (keys_binary(k->r, got, sizeof(got)) != (long)len || !chap_equal(want, got, len) ||
		(l->conf->target_user && strcmp(k->n, l->conf->target_user) != 0))
		return broken(l, "the target could not prove who it is");
	l->mutual_done = true;
	return INI_LOGIN_SEND;
}

/* ---- what the target says ---- */

/* The result of a negotiation must be one that our offer allows (6.2). */
static bool result_fits(const struct ini_login *l, const struct key_row *r, uint64_t v)
{
	uint32_t ours = param_get(&l->conf->offer, r);

	if (v < r->lo || v > r->hi)
		return false;
	switch (r->kind) {
	case KEY_MIN:
		return v <= ours;
	case KEY_MAX:
		return v >= ours;
	case KEY_AND:
		return !v || ours;
	case KEY_OR:
		return v || !ours;
	default:
		return true;
	}
}

static bool list_result(const struct ini_login *l, const struct key_row *r, const char *value, uint64_t *v)
{
	for (uint32_t i = 0; r->choices[i]; i++)
		if (strcmp(r->choices[i], value) == 0) {
			*v = i;
			return is_digest(r) ? !(i == DIGEST_NONE && digest_wanted(l, r) == INI_DIGEST_REQUIRE) &&
						      !(i != DIGEST_NONE && digest_wanted(l, r) == INI_DIGEST_NONE)
					    : i == r->dflt || i == param_get(&l->conf->offer, r);
		}
	return false;
}

static bool refused_word(const char *value)
{
	return strcmp(value, "NotUnderstood") == 0 || strcmp(value, "Reject") == 0 || strcmp(value, "Irrelevant") == 0;
}

/* NULL, or what is wrong. */
static const char *operational_key(struct ini_login *l, const struct key_row *r, const char *value)
{
	uint64_t v;

	if (refused_word(value))
		/* The default stays in force. */
		return is_digest(r) && digest_wanted(l, r) == INI_DIGEST_REQUIRE ? "the target has no CRC32C" : NULL;
	if (r->kind == KEY_LIST) {
		if (!list_result(l, r, value, &v))
			return is_digest(r) ? "the target does not use the digest that is required" : "an answer that was not offered";
	} else if (r->kind == KEY_AND || r->kind == KEY_OR) {
		if (strcmp(value, "Yes") != 0 && strcmp(value, "No") != 0)
			return "an answer that is neither Yes nor No";
		v = value[0] == 'Y';
		if (!result_fits(l, r, v))
			return "an answer that does not follow from the offer";
	} else {
		if (keys_number(value, &v) != 0 || v < r->lo || v > r->hi)
			return "a number that is out of range";
		if (r->kind != KEY_DECLARE && !result_fits(l, r, v))
			return "an answer that does not follow from the offer";
	}
	param_set(&l->params, r, (uint32_t)v);
	return NULL;
}

static struct key_row const *row_of(const struct key_pair *pair)
{
	for (const struct key_row *r = key_rows(); r->name; r++)
		if (key_is(pair, r->name))
			return r;
	return NULL;
}

static const char **chap_slot(struct chap_keys *k, const struct key_pair *pair)
{
	if (strncmp(pair->name, "CHAP_", 5) != 0 || pair->name[6] != '=')
		return NULL;
	switch (pair->name[5]) {
	case 'A':
		return &k->a;
	case 'I':
		return &k->i;
	case 'C':
		return &k->c;
	case 'N':
		return &k->n;
	case 'R':
		return &k->r;
	}
	return NULL;
}

/* One pair; NULL, or what is wrong. */
static const char *take_pair(struct ini_login *l, const struct key_pair *pair, struct chap_keys *k, const char **auth)
{
	const struct key_row *r = row_of(pair);
	const char **slot = chap_slot(k, pair);
	uint64_t bit;

	if (slot) {
		if (*slot)
			return "a CHAP key given twice";
		*slot = pair->value;
		return NULL;
	}
	if (!r) {
		size_t n = strcspn(pair->name, "=");

		/* A key of the target's own that we do not know: 6.2 wants it answered; an answer of its own is none. */
		if (!refused_word(pair->value)) {
			buf_put(&l->text, pair->name, n);
			buf_put(&l->text, "=NotUnderstood", sizeof("=NotUnderstood"));
		}
		return NULL;
	}
	bit = 1ull << (r - key_rows());
	if (l->answered & bit)
		return "a key given twice";
	l->answered |= bit;
	if (key_is(pair, "AuthMethod"))
		*auth = pair->value;
	if (r->kind == KEY_TEXT || r->kind == KEY_OBSOLETE || r->param == NO_PARAM)
		return NULL;
	if (l->stage == STAGE_SECURITY)
		return "an operational key in the security stage";
	if (!offers(l, r) && r->kind != KEY_DECLARE)
		return NULL;
	return operational_key(l, r, pair->value);
}

static enum ini_login_next security_turn(struct ini_login *l, const struct chap_keys *k, const char *auth)
{
	enum ini_login_next r = INI_LOGIN_SEND;

	if (auth) {
		if (strcmp(auth, "CHAP") == 0 && l->conf->secret) {
			put_algorithms(l);
			return INI_LOGIN_SEND;
		}
		if (strcmp(auth, "None") != 0 || l->conf->target_secret)
			return broken(l, "there is no way of authentication that both sides have");
	}
	if (k->a)
		return l->chap && !l->challenged ? chap_prove(l, k) : broken(l, "a CHAP challenge out of turn");
	if (k->n || k->r)
		r = chap_check(l, k);
	if (r == INI_LOGIN_SEND) {
		l->transit = true;
		l->next_stage = STAGE_OPERATIONAL;
	}
	return r;
}

static bool may_leave_security(const struct ini_login *l)
{
	return (!l->conf->target_secret || l->mutual_done) && (!l->chap || l->challenged);
}

/* The whole text of a response is here. */
static enum ini_login_next take_text(struct ini_login *l, bool transit, enum login_stage nsg)
{
	struct chap_keys k = { 0 };
	const char *auth = NULL, *wrong;
	struct key_pair pair;
	enum ini_login_next next;
	size_t at = 0;
	unsigned n = 0;
	int r;

	while ((r = keys_next((const char *)l->in.data, l->in.len, &at, &pair)) == 1) {
		wrong = ++n > PAIRS_MAX ? "too many keys" : take_pair(l, &pair, &k, &auth);
		if (wrong)
			return broken(l, wrong);
	}
	if (r != 0)
		return broken(l, "text that is no list of keys");
	if (l->stage == STAGE_SECURITY) {
		next = security_turn(l, &k, auth);
		if (next != INI_LOGIN_SEND)
			return next;
	}
	if (!transit) {
		if (l->stage == STAGE_OPERATIONAL) {
			l->transit = true;
			l->next_stage = STAGE_FULL_FEATURE;
		}
		return INI_LOGIN_SEND;
	}
	if (l->stage == STAGE_SECURITY && !may_leave_security(l))
		return broken(l, "the target skipped its authentication");
	if (nsg == STAGE_FULL_FEATURE)
		return INI_LOGIN_DONE;
	l->stage = nsg;
	put_offers(l);
	return INI_LOGIN_SEND;
}

static enum ini_login_next refused(struct ini_login *l)
{
	struct key_pair pair;
	size_t at = 0;

	if (l->status >> 8 != 1)
		return INI_LOGIN_REFUSED;
	while (keys_next((const char *)l->in.data, l->in.len, &at, &pair) == 1)
		if (key_is(&pair, "TargetAddress")) {
			snprintf(l->address, sizeof(l->address), "%s", pair.value);
			/* The portal group tag is of no use to a connect. */
			l->address[strcspn(l->address, ",")] = '\0';
			return INI_LOGIN_MOVED;
		}
	return broken(l, "a redirection without an address");
}

enum ini_login_next ini_login_response(struct ini_login *l, const uint8_t *bhs, const uint8_t *text, uint32_t len)
{
	enum login_stage csg = (enum login_stage)(bhs[1] >> 2 & 3), nsg = (enum login_stage)(bhs[1] & 3);
	bool transit = bhs[1] & LOGIN_TRANSIT, more = bhs[1] & LOGIN_CONTINUE, asked = l->transit;
	enum ini_login_next next;

	if (++l->rounds > ROUNDS_MAX || l->in.len + len > KEYS_TEXT_MAX)
		return broken(l, "a login without end");
	if (len)
		buf_put(&l->in, text, len);
	/* Some targets leave the last NUL out. */
	if (!more && l->in.len && l->in.data[l->in.len - 1])
		buf_put(&l->in, "", 1);
	l->status = (enum login_status)get16(bhs + 36);
	if (l->status != LOGIN_OK)
		return refused(l);
	if (bhs[3] != 0)
		return broken(l, "a version of the protocol that is not ours");
	if (csg != l->stage || (transit && (more || !asked || nsg <= csg || nsg == 2)))
		return broken(l, "a login response for another stage");
	buf_reset(&l->text);
	l->transit = false;
	if (more)
		return INI_LOGIN_SEND;
	l->tsih = get16(bhs + 14);
	next = take_text(l, transit, nsg);
	/* Keys of the next stage are counted anew only for CHAP's rounds; everything else may come once. */
	buf_reset(&l->in);
	if (next == INI_LOGIN_DONE && l->leading && l->params.first_burst > l->params.max_burst)
		l->params.first_burst = l->params.max_burst;
	return next;
}
