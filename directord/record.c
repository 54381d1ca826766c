/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record is a version byte, the uuid, the size (8 bytes, big-endian), then strings, each with its length (2 bytes) before it:
 * the name, and key and value of every parameter.
 */
#include "directord/record.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"

#define RECORD_VERSION 1

static void put_str(struct buf *out, const char *s)
{
	size_t n = strlen(s);
	uint8_t len[2] = { (uint8_t)(n >> 8), (uint8_t)n };

	buf_put(out, len, 2);
	buf_put(out, s, n);
}

void record_encode(const struct cluster_record *rec, struct buf *out)
{
	uint8_t head[25] = { RECORD_VERSION };

	memcpy(head + 1, rec->uuid, 16);
	for (unsigned i = 0; i < 8; i++)
		head[17 + i] = (uint8_t)(rec->size >> (56 - 8 * i));
	buf_put(out, head, sizeof(head));
	put_str(out, rec->name);
	for (unsigned i = 0; i < rec->params.n; i++) {
		put_str(out, rec->params.a[i].key);
		put_str(out, rec->params.a[i].value);
	}
}

/* The next string, given; NULL at the end or when it is not well-formed. */
static char *get_str(const uint8_t **p, size_t *n, size_t max)
{
	size_t len;
	char *s;

	if (*n < 2)
		return NULL;
	len = (size_t)(*p)[0] << 8 | (*p)[1];
	if (len > *n - 2 || memchr(*p + 2, 0, len))
		return NULL;
	s = mem_strndup((const char *)*p + 2, len);
	*p += 2 + len;
	*n -= 2 + len;
	if (text_ok(s, max))
		return s;
	mem_autofree(&s);
	return NULL;
}

int record_decode(const void *bytes, size_t n, struct cluster_record *rec)
{
	const uint8_t *p = bytes;

	*rec = (struct cluster_record){ .size = 0 };
	if (n < 25 || p[0] != RECORD_VERSION)
		return ERR_MALFORMED;
	memcpy(rec->uuid, p + 1, 16);
	for (unsigned i = 0; i < 8; i++)
		rec->size = rec->size << 8 | p[17 + i];
	p += 25;
	n -= 25;
	rec->name = get_str(&p, &n, ATTR_VALUE_MAX);
	while (rec->name && n) {
		auto_free char *key = get_str(&p, &n, ATTR_KEY_MAX);
		auto_free char *value = key ? get_str(&p, &n, ATTR_VALUE_MAX) : NULL;

		if (!value || rec->params.n >= ATTRS_MAX) {
			record_fini(rec);
			break;
		}
		attrs_set(&rec->params, key, value);
	}
	return rec->name ? 0 : ERR_MALFORMED;
}

void record_fini(struct cluster_record *rec)
{
	mem_autofree(&rec->name);
	attrs_fini(&rec->params);
	*rec = (struct cluster_record){ .size = 0 };
}

void addrs_encode(const struct addr *a, unsigned n, struct buf *out)
{
	char text[64];

	for (unsigned i = 0; i < n; i++)
		buf_printf(out, "%s\n", addr_text(&a[i], text));
}

unsigned addrs_decode(const void *bytes, size_t len, struct addr *out, unsigned max)
{
	const char *p = bytes;
	unsigned n = 0;

	while (len && n < max) {
		const char *end = memchr(p, '\n', len);
		size_t line = end ? (size_t)(end - p) : len, used = line + (end != NULL);
		char text[64];

		if (line && line < sizeof(text) && !memchr(p, 0, line)) {
			memcpy(text, p, line);
			text[line] = 0;
			n += addr_parse(text, 0, &out[n]) == 0 && out[n].port;
		}
		p += used;
		len -= used;
	}
	return n;
}
