/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a LUN of a foreign target is: iscsi://PORTAL[,PORTAL...]/TARGET[/LUN], as other initiators write it. A portal is
 * ADDRESS, ADDRESS:PORT or [V6]:PORT, or a host's name instead of an address.
 */
#ifndef CLUSTER_LUNURL_H
#define CLUSTER_LUNURL_H

#define LUNURL_MAX 600
#define LUNURL_PORTAL_MAX 256
#define LUNURL_TARGET_MAX 223           /* RFC 7143 4.2.7.1 */

struct lunurl {
	char portal[LUNURL_PORTAL_MAX + 1];     /* each with its port, with commas */
	char target[LUNURL_TARGET_MAX + 1];     /* in lower case */
	unsigned lun;
};

/* 0, or ERR_INVAL with a few words in *why (may be NULL). */
int lunurl_parse(const char *text, struct lunurl *u, const char **why);
/* The one way to write it; returns out, of LUNURL_MAX bytes. */
char *lunurl_text(const struct lunurl *u, char *out);

#endif
