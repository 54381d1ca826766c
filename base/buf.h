/* SPDX-License-Identifier: Apache-2.0 */
/* A byte string that grows. A zeroed struct is an empty one; `data` is always followed by a NUL once something was put. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *data;
	size_t len, cap;
};

void buf_fini(struct buf *b);
void buf_reset(struct buf *b);                                  /* empty, memory kept */
uint8_t *buf_room(struct buf *b, size_t n);                     /* room for n more bytes; buf_add says how many were used */
void buf_add(struct buf *b, size_t n);
void buf_put(struct buf *b, const void *p, size_t n);
void buf_puts(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_drop(struct buf *b, size_t n);                         /* forget the first n bytes */
char *buf_str(struct buf *b);                                   /* lent, NUL-terminated, never NULL */
char *buf_take(struct buf *b);                                  /* given: heap string, buffer empty after */

#endif
