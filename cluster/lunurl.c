/* SPDX-License-Identifier: Apache-2.0 */
/* iscsi://PORTAL/TARGET/LUN. */
#include "cluster/lunurl.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"

#define SCHEME "iscsi://"
#define PORT "3260"
#define LUN_LAST 16383

static int bad(const char **why, const char *text)
{
	if (why)
		*why = text;
	return ERR_INVAL;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_name(char c)
{
	c = lower(c);
	return (c >= 'a' && c <= 'z') || is_digit(c) || c == '.' || c == '-' || c == ':';
}

/* Of "ADDRESS:PORT" with n bytes: how long ADDRESS is; 0: neither is one. */
static size_t host_len(const char *p, size_t n)
{
	size_t host = 0, i;

	if (n && *p == '[') {
		while (host < n && p[host] != ']')
			host++;
		host += host < n;
		if (host < 4 || p[host - 1] != ']')
			return 0;
		for (i = 1; i + 1 < host; i++)
			if (!is_name(p[i]) && p[i] != '%')
				return 0;
	} else {
		while (host < n && is_name(p[host]) && p[host] != ':')
			host++;
	}
	if (host == n)
		return host;
	if (p[host] != ':' || n - host < 2 || n - host > 6)
		return 0;
	for (i = host + 1; i < n; i++)
		if (!is_digit(p[i]))
			return 0;
	return host;
}

static bool portal_add(struct lunurl *u, const char *p, size_t n)
{
	size_t host = host_len(p, n), at = strlen(u->portal);
	char one[LUNURL_PORTAL_MAX];
	uint64_t port = 0;

	/* With the port, so that what is taken is taken in its one form too. */
	if (!host || n + (host == n ? sizeof(PORT) : 0) >= sizeof(one))
		return false;
	for (size_t i = 0; i < host; i++)
		one[i] = lower(p[i]);
	snprintf(one + host, sizeof(one) - host, "%.*s", (int)(n - host), p + host);
	if (host == n)
		snprintf(one + host, sizeof(one) - host, ":%s", PORT);
	if (text_u64_parse(one + host + 1, &port) < 0 || !port || port > UINT16_MAX)
		return false;
	return (size_t)snprintf(u->portal + at, sizeof(u->portal) - at, "%s%s", at ? "," : "", one) < sizeof(u->portal) - at;
}

static int portals(const char *p, size_t n, struct lunurl *u, const char **why)
{
	for (;;) {
		const char *comma = memchr(p, ',', n);
		size_t one = comma ? (size_t)(comma - p) : n;

		if (!portal_add(u, p, one))
			return bad(why, "a portal is ADDRESS, ADDRESS:PORT or [V6-ADDRESS]:PORT");
		if (!comma)
			return 0;
		p += one + 1;
		n -= one + 1;
	}
}

static int target(const char *p, size_t n, struct lunurl *u, const char **why)
{
	if (n < 5 || n > LUNURL_TARGET_MAX)
		return bad(why, "the target has no name of a sensible length");
	for (size_t i = 0; i < n; i++) {
		if (!is_name(p[i]))
			return bad(why, "the name of the target has letters that no iSCSI name has");
		u->target[i] = lower(p[i]);
	}
	u->target[n] = '\0';
	if (strncmp(u->target, "iqn.", 4) != 0 && strncmp(u->target, "eui.", 4) != 0 && strncmp(u->target, "naa.", 4) != 0)
		return bad(why, "the name of a target begins with iqn., eui. or naa.");
	return 0;
}

int lunurl_parse(const char *text, struct lunurl *u, const char **why)
{
	const char *p = text + sizeof(SCHEME) - 1, *slash, *end;
	uint64_t lun = 0;
	int err;

	memset(u, 0, sizeof(*u));
	if (strncmp(text, SCHEME, sizeof(SCHEME) - 1) != 0)
		return bad(why, "it begins with " SCHEME);
	slash = strchr(p, '/');
	if (!slash)
		return bad(why, "it is iscsi://PORTAL/TARGET/LUN");
	err = portals(p, (size_t)(slash - p), u, why);
	if (err < 0)
		return err;
	end = strchr(slash + 1, '/');
	err = target(slash + 1, end ? (size_t)(end - slash - 1) : strlen(slash + 1), u, why);
	if (err < 0)
		return err;
	if (end && (text_u64_parse(end + 1, &lun) < 0 || lun > LUN_LAST))
		return bad(why, "a LUN is a number up to 16383");
	u->lun = (unsigned)lun;
	return 0;
}

char *lunurl_text(const struct lunurl *u, char *out)
{
	snprintf(out, LUNURL_MAX, SCHEME "%s/%s/%u", u->portal, u->target, u->lun);
	return out;
}
