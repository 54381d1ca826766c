/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Agreed state, big-endian:
 *
 *   id(24) length(4) kept state (see kept.c) n(2)
 *   n times: news(1) abort(1) tag(2) isid(6) length(1) initiator length(1) target
 */
#include "target/scsi/agreed.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "target/scsi/bytes.h"
#include "target/scsi/lu.h"
#include "target/scsi/reserve.h"

#define NOTICES_MAX (2 * PR_REGISTRANTS_MAX)

void agreed_fini(struct lu_agreed *a)
{
	kept_fini(&a->kept);
	free(a->notices);
	memset(a, 0, sizeof(*a));
}

/* ---- out ---- */

static void put_name(struct buf *to, const char *name)
{
	uint8_t len = (uint8_t)strlen(name);

	buf_put(to, &len, 1);
	buf_put(to, name, len);
}

void agreed_encode(const struct lu_agreed *a, struct buf *to)
{
	struct buf kept = { 0 };
	uint8_t b[10];

	kept_encode(&a->kept, &kept);
	buf_put(to, a->id, AGREED_ID_LEN);
	set32(b, (uint32_t)kept.len);
	buf_put(to, b, 4);
	buf_put(to, kept.data, kept.len);
	buf_fini(&kept);
	set16(b, a->n);
	buf_put(to, b, 2);
	for (unsigned i = 0; i < a->n; i++) {
		const struct pr_notice *n = &a->notices[i];

		b[0] = (uint8_t)n->news;
		b[1] = n->abort;
		set16(b + 2, n->port.tag);
		memcpy(b + 4, n->port.isid, 6);
		buf_put(to, b, 10);
		put_name(to, n->port.initiator);
		put_name(to, n->port.target);
	}
}

/* ---- in ---- */

static bool take_name(const uint8_t **p, size_t *n, char *to, size_t cap)
{
	size_t len = *n ? **p : 0;

	if (*n < 1 + len || len >= cap || memchr(*p + 1, 0, len))
		return false;
	memcpy(to, *p + 1, len);
	*p += 1 + len;
	*n -= 1 + len;
	return true;
}

static bool take_notice(const uint8_t **p, size_t *n, struct pr_notice *to)
{
	const uint8_t *b = *p;

	memset(to, 0, sizeof(*to));
	if (*n < 10 || b[0] > PR_REGISTRATION_PREEMPTED || b[1] > 1)
		return false;
	to->news = (enum pr_news)b[0];
	to->abort = b[1];
	to->port.tag = (uint16_t)be16(b + 2);
	memcpy(to->port.isid, b + 4, 6);
	*p += 10;
	*n -= 10;
	return take_name(p, n, to->port.initiator, sizeof(to->port.initiator)) &&
		take_name(p, n, to->port.target, sizeof(to->port.target));
}

static bool decode(const uint8_t *p, size_t n, struct lu_agreed *a)
{
	unsigned count;
	size_t len;

	if (n < AGREED_ID_LEN + 4)
		return false;
	memcpy(a->id, p, AGREED_ID_LEN);
	len = be32(p + AGREED_ID_LEN);
	p += AGREED_ID_LEN + 4;
	n -= AGREED_ID_LEN + 4;
	if (len > n || n - len < 2 || kept_decode(p, len, &a->kept) != 0 || !a->kept.all)
		return false;
	count = be16(p + len);
	p += len + 2;
	n -= len + 2;
	if (count > NOTICES_MAX || n / 12 < count)
		return false;
	a->notices = count ? mem_alloc(count * sizeof(*a->notices)) : NULL;
	a->cap = count;
	for (; a->n < count; a->n++)
		if (!take_notice(&p, &n, &a->notices[a->n]))
			return false;
	return n == 0;
}

int agreed_decode(const uint8_t *p, size_t n, struct lu_agreed *a)
{
	memset(a, 0, sizeof(*a));
	a->kept.all = true;
	if (n && !decode(p, n, a)) {
		agreed_fini(a);
		return ERR_MALFORMED;
	}
	return 0;
}

/* ---- what initiators here are told ---- */

static bool tell(struct scsi_lu *lu, const struct lu_agreed *a)
{
	bool aborts = false;

	for (struct scsi_nexus *n = lu->nexuses; n; n = n->next) {
		struct pr_port port;

		it_port(n->it, &port);
		for (unsigned i = 0; i < a->n; i++) {
			if (!pr_port_eq(&a->notices[i].port, &port))
				continue;
			nexus_attention(n, reserve_news_ua(a->notices[i].news));
			if (a->notices[i].abort)
				atomic_store(&n->abort, aborts = true);
		}
	}
	return aborts;
}

/*
 * Nobody knows what happened between. Whose registration is gone was preempted, or cleared if all are: only its own port
 * could have ended it otherwise, and that is here.
 */
static void tell_guess(struct scsi_lu *lu, const struct pr_state *was)
{
	const struct pr_state *is = &lu->kept.pr;
	bool ended = was->type != PR_NONE && was->type != is->type && pr_type_registrants(was->type);

	for (struct scsi_nexus *n = lu->nexuses; n; n = n->next) {
		struct pr_port port;

		it_port(n->it, &port);
		if (!pr_find(was, &port))
			continue;
		if (!pr_find(is, &port))
			nexus_attention(n, is->n ? UA_REGISTRATIONS_PREEMPTED : UA_RESERVATIONS_PREEMPTED);
		else if (ended)
			nexus_attention(n, UA_RESERVATIONS_RELEASED);
	}
}

bool lu_agree(struct scsi_lu *lu, struct lu_agreed *a, enum agreed_how how)
{
	struct lu_kept was = lu->kept;
	struct lu_mode before;
	bool aborts = false;

	lu->kept = a->kept;
	memset(&a->kept, 0, sizeof(a->kept));
	lu_mode_get(lu, &before);
	if (how != AGREED_OWN && lu->kept.has_saved && (!was.has_saved || memcmp(&was.saved, &lu->kept.saved, sizeof(was.saved)) != 0)) {
		lu_mode_set(lu, &lu->kept.saved);
		if (how != AGREED_FIRST && memcmp(&before, &lu->kept.saved, sizeof(before)) != 0)
			lu_attention(lu, UA_MODE_CHANGED, NULL);
	}
	lu_gates(lu);
	if (how == AGREED_NEXT)
		aborts = tell(lu, a);
	else if (how == AGREED_LATER)
		tell_guess(lu, &was.pr);
	kept_fini(&was);
	return aborts;
}
