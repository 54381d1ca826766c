/* SPDX-License-Identifier: Apache-2.0 */
/* SendTargets, in a discovery session of its own (RFC 7143 4.3, appendix C). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "initiator/priv.h"

static void report(const struct buf *text, void (*found)(void *, const char *, const char *), void *arg)
{
	struct key_pair pair;
	const char *target = NULL;
	size_t at = 0;
	bool any = false;

	while (keys_next((const char *)text->data, text->len, &at, &pair) == 1) {
		if (key_is(&pair, "TargetName")) {
			if (target && !any)
				found(arg, target, "");
			target = pair.value;
			any = false;
		} else if (key_is(&pair, "TargetAddress") && target) {
			found(arg, target, pair.value);
			any = true;
		}
	}
	if (target && !any)
		found(arg, target, "");
}

int director_iscsi_discover(const struct director_iscsi_conf *conf, int timeout_ms,
	void (*found)(void *arg, const char *target, const char *address), void *arg, char *why, size_t size)
{
	static const char all[] = "SendTargets=All";
	struct director_iscsi_conf c = *conf;
	struct director_iscsi_loop *loop = director_iscsi_loop_new();
	struct mono end = mono_add_ms(clock_now(), timeout_ms < 0 ? 3600000u : (uint64_t)timeout_ms);
	struct director_iscsi *h = NULL;
	int r;

	if (why && size)
		why[0] = '\0';
	if (!loop)
		return -errno;
	c.target = NULL;
	c.connections = 1;
	r = director_iscsi_open(loop, &c, &h);
	if (r == 0)
		r = director_iscsi_wait(h, timeout_ms, why, size);
	if (r == 0)
		r = errno_of(ini_text(h->s, all, sizeof(all), end));
	if (r == 0) {
		loop_dirty(h);
		while (!h->s->text.done)
			director_iscsi_loop_run(loop, 20);
		r = errno_of(h->s->text.result);
		if (r == 0)
			report(&h->s->text.in, found, arg);
	}
	if (r < 0 && why && size && !why[0])
		snprintf(why, size, "%s", strerror(-r));
	director_iscsi_close(&h, 500);
	director_iscsi_loop_free(&loop);
	return r;
}
