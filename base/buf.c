/* SPDX-License-Identifier: Apache-2.0 */
/* A byte string that grows. */
#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void buf_fini(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ 0 };
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	if (b->data)
		b->data[0] = 0;
}

uint8_t *buf_room(struct buf *b, size_t n)
{
	if (b->len + n + 1 > b->cap) {
		size_t cap = b->cap ? b->cap : 64;

		while (cap < b->len + n + 1)
			cap *= 2;
		b->data = mem_realloc(b->data, cap);
		b->cap = cap;
	}
	return b->data + b->len;
}

void buf_add(struct buf *b, size_t n)
{
	assert(b->len + n + 1 <= b->cap);
	b->len += n;
	b->data[b->len] = 0;
}

void buf_put(struct buf *b, const void *p, size_t n)
{
	uint8_t *room = buf_room(b, n);

	if (n)
		memcpy(room, p, n);
	buf_add(b, n);
}

void buf_puts(struct buf *b, const char *s)
{
	buf_put(b, s, strlen(s));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	assert(n >= 0);
	buf_room(b, (size_t)n);
	va_start(ap, fmt);
	vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	buf_add(b, (size_t)n);
}

void buf_drop(struct buf *b, size_t n)
{
	assert(n <= b->len);
	if (n == 0)
		return;
	memmove(b->data, b->data + n, b->len - n);
	b->len -= n;
	b->data[b->len] = 0;
}

char *buf_str(struct buf *b)
{
	buf_room(b, 0);
	b->data[b->len] = 0;
	return (char *)b->data;
}

char *buf_take(struct buf *b)
{
	char *s = buf_str(b);

	*b = (struct buf){ 0 };
	return s;
}
