/* SPDX-License-Identifier: Apache-2.0 */
/* Small text forms: sizes, durations, hex, UUIDs. All parsers refuse trailing bytes and overflow with ERR_INVAL. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "512", "4k", "1G", "1.5T" (powers of 1024; also KiB, GiB ...) to bytes. */
int text_size_parse(const char *s, uint64_t *bytes);
/* 1610612736 -> "1.5G"; exact multiples without fraction. `out` holds at least 24 bytes. Returns out. */
char *text_size(uint64_t bytes, char *out);
/* "250ms", "10s", "5m", "2h", "1d"; a bare number is seconds. */
int text_ms_parse(const char *s, uint64_t *ms);
/* 5400000 -> "1h30m"; `out` holds at least 32 bytes. Returns out. */
char *text_ms(uint64_t ms, char *out);
/* Unsigned decimal. */
int text_u64_parse(const char *s, uint64_t *v);
/* `out` holds 2*n+1 bytes. Returns out. */
char *text_hex(const void *p, size_t n, char *out);
/* Exactly 2*n hex digits. */
int text_hex_parse(const char *s, void *out, size_t n);
/* 16 bytes to the 36-character form, `out` holds 37 bytes; and back. */
char *text_uuid(const uint8_t uuid[16], char *out);
int text_uuid_parse(const char *s, uint8_t uuid[16]);
/* Is `s` well-formed UTF-8 without control characters, at most `max` bytes? Every string from outside is asked this. */
bool text_ok(const char *s, size_t max);
/* The letters of ASCII in lower case, in place: how iSCSI names compare (RFC 7143 4.2.7.1). Others stay as they are. */
void text_fold(char *s);

#endif
