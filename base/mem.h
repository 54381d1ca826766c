/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of the control plane: running out of it ends the process (a restart is safe, I11). */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>
#include <string.h>

void *mem_alloc(size_t n);                      /* never NULL; not zeroed */
void *mem_zalloc(size_t n);                     /* never NULL; zeroed */
void *mem_realloc(void *p, size_t n);           /* never NULL unless n is 0 */
void *mem_dup(const void *p, size_t n);         /* a copy; never NULL */
char *mem_strdup(const char *s);                /* a copy; NULL for NULL */
char *mem_strndup(const char *s, size_t n);
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Grow an array of `size`-byte items so that index `n` fits; *cap is its capacity in items. */
void *mem_grow(void *p, unsigned *cap, unsigned n, size_t size);

/* For cleanup attributes: auto_free char *p = ...; */
void mem_autofree(void *pp);
#define auto_free __attribute__((cleanup(mem_autofree)))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
