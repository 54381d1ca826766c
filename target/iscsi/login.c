/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Login, target side. Stages move SecurityNegotiation -> LoginOperationalNegotiation -> FullFeaturePhase
 * (6.3); a request that is continued (C bit) is only collected. Every exit is a Login response: an error is
 * a status in it.
 */
#include "target/iscsi/login.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"
#include "target/iscsi/pdu.h"

#define PAIRS_MAX 256                   /* keys of one request */
#define ROUNDS_MAX 64                   /* requests of one login */
#define RESPONSE_MAX 8192 /* data of one Login response: the initiator's limit is not yet negotiated */

void login_init(struct login *l)
{
	memset(l, 0, sizeof(*l));
	iscsi_params_default(&l->params);
}

static void wipe(void *p, size_t n)
{
	memset(p, 0, n);
	__asm__ volatile("" : : "r"(p) : "memory");
}

void login_fini(struct login *l)
{
	if (l->in.data)
		wipe(l->in.data, l->in.len);
	buf_fini(&l->in);
	buf_fini(&l->out);
	wipe(l, sizeof(*l));
}

static enum login_stage csg(const struct login *l)
{
	return (enum login_stage)(l->flags >> 2 & 3);
}

static enum login_stage nsg(const struct login *l)
{
	return (enum login_stage)(l->flags & 3);
}

/* 11.13: the response in login->bhs. `transit`: the target agrees to the next stage. */
static enum login_next reply(struct login *l, bool transit)
{
	size_t left = l->out.len - l->out_at;
	uint8_t flags = (uint8_t)(csg(l) << 2);

	if (left > RESPONSE_MAX) {
		left = RESPONSE_MAX;
		flags |= LOGIN_CONTINUE;
	} else if (transit) {
		flags |= LOGIN_TRANSIT | (uint8_t)nsg(l);
		l->stage = nsg(l);
		l->done = l->stage == STAGE_FULL_FEATURE;
	}
	l->text = left ? l->out.data + l->out_at : NULL;
	l->text_len = (uint32_t)left;
	l->out_at += left;
	bhs_init(l->bhs, PDU_LOGIN_RESPONSE, flags, l->text_len, l->itt);
	memcpy(l->bhs + 8, l->isid, 6);
	put16(l->bhs + 14, l->tsih);
	return LOGIN_REPLY;
}

static enum login_next refuse(struct login *l, enum login_status status)
{
	l->status = status;
	if (status >> 8 != 1)
		buf_reset(&l->out);
	l->out_at = 0;
	reply(l, false);
	/* "T, C, CSG and NSG are not valid when the status is not 0" (11.13.5). */
	l->bhs[1] = 0;
	l->bhs[36] = (uint8_t)(status >> 8);
	l->bhs[37] = (uint8_t)status;
	return LOGIN_REPLY;
}

/* The pairs of the request, from the top; returns 0, or the status that ends the login. */
static enum login_status each_pair(struct login *l, enum login_status (*fn)(struct login *,
	const struct key_pair *))
{
	struct key_pair pair;
	size_t at = 0;
	unsigned n = 0;
	int r;

	while ((r = keys_next((const char *)l->in.data, l->in.len, &at, &pair)) == 1) {
		enum login_status s = ++n > PAIRS_MAX ? LOGIN_INITIATOR_ERROR : fn(l, &pair);

		if (s != LOGIN_OK)
			return s;
	}
	return r == 0 ? LOGIN_OK : LOGIN_INITIATOR_ERROR;
}

/* ---- who is it: the keys of the first request ---- */

static enum login_status name_copy(char *to, const char *value)
{
	if (!iscsi_name_ok(value))
		return LOGIN_INITIATOR_ERROR;
	memcpy(to, value, strlen(value) + 1);
	/* 4.2.7.1: names compare after case folding; ASCII is what iqn. and eui. names are made of in
	 * practice. */
	text_fold(to);
	return LOGIN_OK;
}

static enum login_status identity_key(struct login *l, const struct key_pair *pair)
{
	if (key_is(pair, "InitiatorName"))
		return name_copy(l->initiator, pair->value);
	if (key_is(pair, "TargetName"))
		return name_copy(l->target, pair->value);
	if (key_is(pair, "SessionType")) {
		if (strcmp(pair->value, "Discovery") == 0)
			l->discovery = true;
		else if (strcmp(pair->value, "Normal") != 0)
			return LOGIN_SESSION_TYPE;
	}
	if (key_is(pair, "InitiatorAlias") && text_ok(pair->value, sizeof(l->alias) - 1))
		snprintf(l->alias, sizeof(l->alias), "%s", pair->value);
	return LOGIN_OK;
}

static enum login_next identify(struct login *l)
{
	enum login_status s = each_pair(l, identity_key);

	if (s != LOGIN_OK)
		return refuse(l, s);
	if (!l->initiator[0] || (!l->discovery && !l->target[0]))
		return refuse(l, LOGIN_MISSING);
	l->named = true;
	return LOGIN_ASK_POLICY;
}

/* ---- security stage ---- */

static bool list_has(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *s = list; ; s++) {
		size_t k = strcspn(s, ",");

		if (k == n && memcmp(s, word, n) == 0)
			return true;
		s += k;
		if (!*s)
			return false;
	}
}

static enum login_status auth_method(struct login *l, const char *list)
{
	if (l->chap != CHAP_NOT_BEGUN)
		return LOGIN_INITIATOR_ERROR;
	if (l->auth_needed ? list_has(list, "CHAP") : list_has(list, "None")) {
		keys_put(&l->out, "AuthMethod", l->auth_needed ? "CHAP" : "None");
		l->chap = l->auth_needed ? CHAP_CHOSEN : CHAP_DONE;
		return LOGIN_OK;
	}
	return LOGIN_AUTH_FAILED;
}

static void put_binary(struct buf *out, const char *name, const uint8_t *p, size_t n)
{
	char hex[2 + 2 * CHAP_HASH_MAX + 1] = "0x";

	text_hex(p, n, hex + 2);
	keys_put(out, name, hex);
}

/* CHAP_A=<list>: the initiator's first algorithm that we have; then our challenge. */
static enum login_status chap_choose(struct login *l, const char *list)
{
	char t[16];

	if (l->chap != CHAP_CHOSEN)
		return LOGIN_INITIATOR_ERROR;
	for (const char *s = list; ; s++) {
		size_t n = strcspn(s, ",");
		uint64_t v;

		if (n > 0 && n < sizeof(t)) {
			memcpy(t, s, n);
			t[n] = '\0';
			if (keys_number(t, &v) == 0 && v < 256 && chap_len((unsigned)v)) {
				l->chap_algorithm = (unsigned)v;
				break;
			}
		}
		s += n;
		if (!*s)
			return LOGIN_AUTH_FAILED;
	}
	snprintf(t, sizeof(t), "%u", l->chap_algorithm);
	keys_put(&l->out, "CHAP_A", t);
	snprintf(t, sizeof(t), "%u", l->chap_id);
	keys_put(&l->out, "CHAP_I", t);
	put_binary(&l->out, "CHAP_C", l->challenge, chap_len(l->chap_algorithm));
	l->chap = CHAP_CHALLENGED;
	return LOGIN_OK;
}

/* The values of the CHAP keys in this request; a key given twice is an error. */
struct chap_keys {
	const char *a, *n, *r, *i, *c;
};

static int chap_collect(struct login *l, struct chap_keys *k)
{
	struct key_pair pair;
	size_t at = 0;

	memset(k, 0, sizeof(*k));
	while (keys_next((const char *)l->in.data, l->in.len, &at, &pair) == 1) {
		const char **slot;

		if (strncmp(pair.name, "CHAP_", 5) != 0 || pair.name[6] != '=')
			continue;
		switch (pair.name[5]) {
		case 'A': slot = &k->a; break;
		case 'N': slot = &k->n; break;
		case 'R': slot = &k->r; break;
		case 'I': slot = &k->i; break;
		case 'C': slot = &k->c; break;
		default: continue;
		}
		if (*slot)
			return ERR_INVAL;
		*slot = pair.value;
	}
	return 0;
}

static bool chap_proves(const struct login *l, const struct chap_keys *k)
{
	uint8_t want[CHAP_HASH_MAX], got[CHAP_HASH_MAX];
	size_t n = chap_response(l->chap_algorithm, l->chap_id, l->secret, l->challenge,
		chap_len(l->chap_algorithm), want);
	bool user = strlen(k->n) == strlen(l->user) &&
		    chap_equal((const uint8_t *)k->n, (const uint8_t *)l->user, strlen(l->user));

	return keys_binary(k->r, got, sizeof(got)) == (long)n && chap_equal(want, got, n) && user;
}

/* The initiator wants our proof. Its challenge must not be ours (reflection), nor may both sides share a
 * secret (12.1.3). */
static enum login_status chap_mutual(struct login *l, const struct chap_keys *k)
{
	uint8_t challenge[CHAP_CHALLENGE_MAX], rsp[CHAP_HASH_MAX];
	size_t len = chap_len(l->chap_algorithm);
	uint64_t id;
	long n = keys_binary(k->c, challenge, sizeof(challenge));

	if (!l->mutual_secret[0] || strcmp(l->mutual_secret, l->secret) == 0)
		return LOGIN_AUTH_FAILED;
	if (keys_number(k->i, &id) != 0 || id > 255 || n <= 0)
		return LOGIN_INITIATOR_ERROR;
	if ((size_t)n == len && chap_equal(challenge, l->challenge, len))
		return LOGIN_AUTH_FAILED;
	chap_response(l->chap_algorithm, (uint8_t)id, l->mutual_secret, challenge, (size_t)n, rsp);
	keys_put(&l->out, "CHAP_N", l->mutual_user);
	put_binary(&l->out, "CHAP_R", rsp, len);
	return LOGIN_OK;
}

static enum login_status chap_turn(struct login *l)
{
	struct chap_keys k;

	if (chap_collect(l, &k) != 0)
		return LOGIN_INITIATOR_ERROR;
	if (k.a)
		return k.n || k.r || k.i || k.c ? LOGIN_INITIATOR_ERROR : chap_choose(l, k.a);
	if (!k.n && !k.r && !k.i && !k.c)
		return LOGIN_OK;
	if (l->chap != CHAP_CHALLENGED || !k.n || !k.r || !k.i != !k.c)
		return LOGIN_INITIATOR_ERROR;
	/* A user whose name nobody can have, or that nobody knows. */
	if (!l->secret[0])
		return LOGIN_AUTH_FAILED;
	if (!chap_proves(l, &k))
		return LOGIN_AUTH_FAILED;
	l->chap = CHAP_DONE;
	return k.i ? chap_mutual(l, &k) : LOGIN_OK;
}

/* ---- both stages ---- */

static enum login_status any_key(struct login *l, const struct key_pair *pair)
{
	unsigned where = csg(l) == STAGE_SECURITY ? KEY_SECURITY : KEY_OPERATIONAL;
	const bool repeated_identity = l->identified &&
		(key_is(pair, "InitiatorName") || key_is(pair, "TargetName") || key_is(pair, "SessionType"));

	if (repeated_identity || keys_negotiate(&l->negotiation, where, pair, &l->out) != 0)
		return LOGIN_INITIATOR_ERROR;
	if (key_is(pair, "AuthMethod"))
		return auth_method(l, pair->value);
	return LOGIN_OK;
}

static void declare(struct login *l)
{
	char t[16];

	if (!l->answered_tag && !l->discovery) {
		/* 13.9: with the first response of a leading login that names a target. */
		snprintf(t, sizeof(t), "%u", l->tag);
		keys_put(&l->out, "TargetPortalGroupTag", t);
		if (l->target_alias[0])
			keys_put(&l->out, "TargetAlias", l->target_alias);
		l->answered_tag = true;
	}
	if (csg(l) == STAGE_OPERATIONAL && !l->declared) {
		snprintf(t, sizeof(t), "%u", l->ours.max_recv);
		keys_put(&l->out, "MaxRecvDataSegmentLength", t);
		l->params.max_recv = l->ours.max_recv;
		l->declared = true;
	}
}

static bool may_leave(const struct login *l)
{
	return csg(l) != STAGE_SECURITY || !l->auth_needed || l->chap == CHAP_DONE;
}

/*
 * What we would keep of a connection that is lost depends on the error recovery level, whichever key comes first:
 * below 2 there are no tasks to come back for.
 */
static void retain(struct login *l)
{
	struct key_pair pair;
	uint64_t erl = l->params.erl, v;
	size_t at = 0;

	while (keys_next((const char *)l->in.data, l->in.len, &at, &pair) == 1)
		if (key_is(&pair, "ErrorRecoveryLevel") && keys_number(pair.value, &v) == 0)
			erl = v < l->ours.erl ? v : l->ours.erl;
	if (erl < 2)
		l->ours.time2retain = 0;
}

/* Is this the answer to a challenge whose secret is not known before the user is? */
static bool proof_due(struct login *l)
{
	struct chap_keys k;

	if (!l->by_user || l->chap != CHAP_CHALLENGED || chap_collect(l, &k) != 0 || !k.n || !k.r || strlen(k.n) > CHAP_NAME_MAX)
		return false;
	snprintf(l->user, sizeof(l->user), "%s", k.n);
	return true;
}

static enum login_next negotiated(struct login *l, enum login_status s);

/* A whole request of the stage in work. */
static enum login_next negotiate(struct login *l)
{
	enum login_status s;

	buf_reset(&l->out);
	l->out_at = 0;
	if (csg(l) == STAGE_OPERATIONAL)
		retain(l);
	s = each_pair(l, any_key);
	if (s == LOGIN_OK && csg(l) == STAGE_SECURITY && proof_due(l))
		return LOGIN_ASK_PROOF;
	return negotiated(l, s);
}

static enum login_next negotiated(struct login *l, enum login_status s)
{
	if (s == LOGIN_OK && csg(l) == STAGE_SECURITY)
		s = chap_turn(l);
	buf_reset(&l->in);
	l->identified = true;
	if (s != LOGIN_OK)
		return refuse(l, s);
	declare(l);
	if (!(l->flags & LOGIN_TRANSIT))
		return reply(l, false);
	if (!may_leave(l)) {
		/* Asking for the next stage without having proved anything, nor being in the middle of it. */
		if (l->chap == CHAP_NOT_BEGUN)
			return refuse(l, LOGIN_AUTH_FAILED);
		return reply(l, false);
	}
	/* Text that needs further responses is sent first; the initiator asks for the transit again. */
	if (nsg(l) == STAGE_FULL_FEATURE && l->out.len <= RESPONSE_MAX)
		return LOGIN_ASK_SESSION;
	return reply(l, true);
}

enum login_next login_policy(struct login *l, const struct login_policy *p)
{
	assert(l->named);
	if (p->status != LOGIN_OK) {
		buf_reset(&l->out);
		if (p->status >> 8 == 1 && p->address && p->address[0])
			keys_put(&l->out, "TargetAddress", p->address);
		return refuse(l, p->status);
	}
	l->ours = p->ours;
	l->tag = p->tag;
	snprintf(l->target_alias, sizeof(l->target_alias), "%s", p->alias ? p->alias : "");
	snprintf(l->user, sizeof(l->user), "%s", p->user ? p->user : "");
	snprintf(l->secret, sizeof(l->secret), "%s", p->secret ? p->secret : "");
	snprintf(l->mutual_user, sizeof(l->mutual_user), "%s", p->mutual_user ? p->mutual_user : "");
	snprintf(l->mutual_secret, sizeof(l->mutual_secret), "%s", p->mutual_secret ? p->mutual_secret : "");
	l->by_user = p->by_user;
	l->auth_needed = l->by_user || l->secret[0] != '\0';
	l->chap_id = p->chap_id;
	memcpy(l->challenge, p->challenge, sizeof(l->challenge));
	l->negotiation = (struct keys_negotiation){ .ours = &l->ours, .result = &l->params,
		.discovery = l->discovery, .leading = l->tsih == 0 };
	if (l->auth_needed && csg(l) != STAGE_SECURITY)
		return refuse(l, LOGIN_AUTH_FAILED);
	return negotiate(l);
}

enum login_next login_proof(struct login *l, const char *const *secrets, unsigned n)
{
	struct chap_keys k;
	unsigned i;

	assert(l->by_user && l->chap == CHAP_CHALLENGED);
	if (n == 0 || chap_collect(l, &k) != 0)
		return negotiated(l, LOGIN_AUTH_FAILED);
	for (i = 0; i < n; i++) {
		snprintf(l->secret, sizeof(l->secret), "%s", secrets[i]);
		if (chap_proves(l, &k))
			break;
	}
	return negotiated(l, LOGIN_OK);
}

enum login_next login_session(struct login *l, enum login_status status, uint16_t tsih)
{
	if (status != LOGIN_OK)
		return refuse(l, status);
	l->tsih = tsih;
	return reply(l, true);
}

/* 11.12.1 to 11.12.8: the header, alone and against the requests before it. */
static enum login_status header_check(struct login *l, const uint8_t *bhs)
{
	l->flags = bhs[1];
	l->itt = bhs_itt(bhs);
	if (!l->begun) {
		memcpy(l->isid, bhs + 8, 6);
		l->tsih = get16(bhs + 14);
		l->cid = get16(bhs + 20);
		l->stage = csg(l);
		l->begun = true;
	}
	if (bhs[3] != 0)
		return LOGIN_VERSION;
	if (memcmp(l->isid, bhs + 8, 6) != 0 || l->tsih != get16(bhs + 14) || l->cid != get16(bhs + 20))
		return LOGIN_INVALID_REQUEST;
	if (csg(l) != l->stage || csg(l) > STAGE_OPERATIONAL || ++l->rounds > ROUNDS_MAX)
		return LOGIN_INITIATOR_ERROR;
	if (l->flags & LOGIN_TRANSIT &&
		(l->flags & LOGIN_CONTINUE || nsg(l) <= csg(l) ||
			(nsg(l) != STAGE_OPERATIONAL && nsg(l) != STAGE_FULL_FEATURE)))
		return LOGIN_INITIATOR_ERROR;
	return LOGIN_OK;
}

enum login_next login_request(struct login *l, const uint8_t *bhs, const uint8_t *text, uint32_t len)
{
	enum login_status s = header_check(l, bhs);

	if (s == LOGIN_OK && l->in.len + len > KEYS_TEXT_MAX)
		s = LOGIN_INITIATOR_ERROR;
	if (s != LOGIN_OK)
		return refuse(l, s);
	/* More of the last answer is due: the request must be empty (6.2). */
	if (l->out_at < l->out.len) {
		if (len)
			return refuse(l, LOGIN_INITIATOR_ERROR);
		return reply(l, false);
	}
	buf_put(&l->in, text, len);
	if (l->flags & LOGIN_CONTINUE) {
		buf_reset(&l->out);
		l->out_at = 0;
		return reply(l, false);
	}
	return l->named ? negotiate(l) : identify(l);
}
