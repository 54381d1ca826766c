/* SPDX-License-Identifier: Apache-2.0 */
/* Node identity. */
#include "cluster/id.h"

#include <sodium.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"

struct node_id node_id_of_key(const uint8_t public_key[32])
{
	struct node_id id;

	crypto_generichash(id.b, sizeof(id.b), public_key, 32, NULL, 0);
	return id;
}

int node_id_cmp(const struct node_id *a, const struct node_id *b)
{
	return memcmp(a->b, b->b, sizeof(a->b));
}

bool node_id_eq(const struct node_id *a, const struct node_id *b)
{
	return node_id_cmp(a, b) == 0;
}

bool node_id_none(const struct node_id *a)
{
	return node_id_eq(a, &NODE_ID_NONE);
}

char *node_id_text(const struct node_id *a, char *out)
{
	return text_hex(a->b, sizeof(a->b), out);
}

int node_id_parse(const char *s, struct node_id *a)
{
	return text_hex_parse(s, a->b, sizeof(a->b));
}

char *node_id_fingerprint(const struct node_id *a, char *out)
{
	char hex[33];
	unsigned n = 0;

	node_id_text(a, hex);
	for (unsigned i = 0; i < 32; i++) {
		if (i && i % 4 == 0)
			out[n++] = '-';
		out[n++] = hex[i];
	}
	out[n] = '\0';
	return out;
}
