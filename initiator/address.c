/* SPDX-License-Identifier: Apache-2.0 */
/* Portals: "10.0.0.1", "10.0.0.1:3260", "[fe80::1%eth0]:3260", "host:3260". */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "initiator/priv.h"

#define ISCSI_PORT "3260"

static int split(const char *text, char *host, size_t host_size, char *port, size_t port_size)
{
	const char *end = text + strcspn(text, ","), *colon = NULL;

	snprintf(port, port_size, "%s", ISCSI_PORT);
	if (*text == '[') {
		const char *close = memchr(text, ']', (size_t)(end - text));

		if (!close || (close[1] && close + 1 != end && close[1] != ':'))
			return -EINVAL;
		snprintf(host, host_size, "%.*s", (int)(close - text - 1), text + 1);
		colon = close + 1 < end && close[1] == ':' ? close + 1 : NULL;
	} else {
		colon = memchr(text, ':', (size_t)(end - text));
		/* More than one colon and no brackets: an IPv6 address alone. */
		if (colon && memchr(colon + 1, ':', (size_t)(end - colon - 1)))
			colon = NULL;
		snprintf(host, host_size, "%.*s", (int)((colon ? colon : end) - text), text);
	}
	if (colon)
		snprintf(port, port_size, "%.*s", (int)(end - colon - 1), colon + 1);
	return host[0] && port[0] ? 0 : -EINVAL;
}

int address_parse(const char *text, bool numeric, void *addr, unsigned *len)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV }, *ai = NULL;
	char host[256], port[16];
	int r = split(text, host, sizeof(host), port, sizeof(port));

	if (r < 0)
		return r;
	if (numeric)
		hints.ai_flags |= AI_NUMERICHOST;
	if (getaddrinfo(host, port, &hints, &ai) != 0 || !ai)
		return -EINVAL;
	memcpy(addr, ai->ai_addr, ai->ai_addrlen);
	*len = ai->ai_addrlen;
	freeaddrinfo(ai);
	return 0;
}

void address_print(const void *addr, unsigned len, char *text, size_t size)
{
	char host[256] = "", port[16] = "";

	getnameinfo(addr, len, host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(text, size, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}
