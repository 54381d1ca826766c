/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation that cannot fail, for the control plane. */
#include "base/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void *mem_alloc(size_t n)
{
	void *p = malloc(n ? n : 1);

	if (!p)
		abort();
	return p;
}

void *mem_zalloc(size_t n)
{
	void *p = calloc(1, n ? n : 1);

	if (!p)
		abort();
	return p;
}

void *mem_realloc(void *p, size_t n)
{
	if (n == 0) {
		free(p);
		return NULL;
	}
	p = realloc(p, n);
	if (!p)
		abort();
	return p;
}

void *mem_dup(const void *p, size_t n)
{
	void *q = mem_alloc(n);

	if (n)
		memcpy(q, p, n);
	return q;
}

char *mem_strdup(const char *s)
{
	return s ? mem_dup(s, strlen(s) + 1) : NULL;
}

char *mem_strndup(const char *s, size_t n)
{
	size_t len = strnlen(s, n);
	char *q = mem_alloc(len + 1);

	memcpy(q, s, len);
	q[len] = '\0';
	return q;
}

char *mem_printf(const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	assert(n >= 0);
	s = mem_alloc((size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf(s, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return s;
}

void *mem_grow(void *p, unsigned *cap, unsigned n, size_t size)
{
	unsigned want = *cap ? *cap : 8;

	if (n < *cap)
		return p;
	while (want <= n)
		want *= 2;
	p = mem_realloc(p, want * size);
	*cap = want;
	return p;
}

void mem_autofree(void *pp)
{
	void *p;

	memcpy(&p, pp, sizeof(p));
	free(p);
}
