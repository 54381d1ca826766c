/* SPDX-License-Identifier: Apache-2.0 */
/* Network addresses as plain data. */
#include "base/addr.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"

int addr_cmp(const struct addr *a, const struct addr *b)
{
	int d = (int)a->family - (int)b->family;

	if (d == 0)
		d = memcmp(a->ip, b->ip, a->family == 4 ? 4 : 16);
	if (d == 0)
		d = (int)a->port - (int)b->port;
	if (d == 0)
		d = (a->scope > b->scope) - (a->scope < b->scope);
	return d;
}

bool addr_eq(const struct addr *a, const struct addr *b)
{
	return addr_cmp(a, b) == 0;
}

char *addr_text(const struct addr *a, char *out)
{
	char ip[INET6_ADDRSTRLEN] = "", scope[16] = "", text[96];

	if (a->family != 4 && a->family != 6) {
		snprintf(out, 64, "none");
		return out;
	}
	inet_ntop(a->family == 4 ? AF_INET : AF_INET6, a->ip, ip, sizeof(ip));
	if (a->scope)
		snprintf(scope, sizeof(scope), "%%%" PRIu32, a->scope);
	if (a->port == 0)
		snprintf(text, sizeof(text), "%s%s", ip, scope);
	else
		snprintf(text, sizeof(text), a->family == 4 ? "%s%s:%u" : "[%s%s]:%u", ip, scope, a->port);
	snprintf(out, 64, "%.63s", text);       /* the longest, with scope and port, has 63 */
	return out;
}

int addr_parse(const char *s, uint16_t port, struct addr *a)
{
	char host[80];
	const char *p = s, *tail = "";
	size_t n;
	uint64_t v;
	char *pct;

	memset(a, 0, sizeof(*a));
	if (*s == '[') {
		const char *close = strchr(s, ']');

		if (!close)
			return ERR_INVAL;
		p = s + 1;
		n = (size_t)(close - p);
		tail = close + 1;
	} else {
		const char *colon = strchr(s, ':');

		n = colon && !strchr(colon + 1, ':') ? (size_t)(colon - s) : strlen(s);
		tail = s + n;
	}
	if (n == 0 || n >= sizeof(host))
		return ERR_INVAL;
	memcpy(host, p, n);
	host[n] = '\0';
	pct = strchr(host, '%');
	if (pct) {
		*pct = '\0';
		if (text_u64_parse(pct + 1, &v) < 0 || v > UINT32_MAX)
			return ERR_INVAL;
		a->scope = (uint32_t)v;
	}
	if (*s != '[' && inet_pton(AF_INET, host, a->ip) == 1)
		a->family = 4;
	else if (inet_pton(AF_INET6, host, a->ip) == 1)
		a->family = 6;
	else
		return ERR_INVAL;
	a->port = port;
	if (*tail) {
		if (*tail != ':' || text_u64_parse(tail + 1, &v) < 0 || v == 0 || v > 65535)
			return ERR_INVAL;
		a->port = (uint16_t)v;
	}
	return 0;
}

bool addr_is_loopback(const struct addr *a)
{
	static const uint8_t six[16] = { [15] = 1 };

	return a->family == 4 ? a->ip[0] == 127 : a->family == 6 && memcmp(a->ip, six, 16) == 0;
}

bool addr_is_linklocal(const struct addr *a)
{
	return a->family == 4 ? a->ip[0] == 169 && a->ip[1] == 254
	                      : a->family == 6 && a->ip[0] == 0xfe && (a->ip[1] & 0xc0) == 0x80;
}
