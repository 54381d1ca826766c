/* SPDX-License-Identifier: Apache-2.0 */
/* Socket addresses. */
#include "directord/sock.h"

#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

socklen_t sock_of_addr(const struct addr *a, struct sockaddr_storage *ss)
{
	struct sockaddr_in *in = (void *)ss;
	struct sockaddr_in6 *in6 = (void *)ss;

	memset(ss, 0, sizeof(*ss));
	if (a->family == 4) {
		in->sin_family = AF_INET;
		in->sin_port = htons(a->port);
		memcpy(&in->sin_addr, a->ip, 4);
		return sizeof(*in);
	}
	if (a->family != 6)
		return 0;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(a->port);
	in6->sin6_scope_id = a->scope;
	memcpy(&in6->sin6_addr, a->ip, 16);
	return sizeof(*in6);
}

struct addr sock_addr(const void *sa)
{
	struct addr a = { 0 };
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	sa_family_t family;

	memcpy(&family, (const char *)sa + offsetof(struct sockaddr, sa_family), sizeof(family));
	if (family == AF_INET) {
		memcpy(&in, sa, sizeof(in));
		a.family = 4;
		a.port = ntohs(in.sin_port);
		memcpy(a.ip, &in.sin_addr, 4);
	} else if (family == AF_INET6) {
		memcpy(&in6, sa, sizeof(in6));
		a.port = ntohs(in6.sin6_port);
		if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
			a.family = 4;
			memcpy(a.ip, in6.sin6_addr.s6_addr + 12, 4);
		} else {
			a.family = 6;
			memcpy(a.ip, &in6.sin6_addr, 16);
			a.scope = addr_is_linklocal(&a) ? in6.sin6_scope_id : 0;
		}
	}
	return a;
}
