/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CHAP (RFC 1994) as iSCSI uses it: response = H(id, secret, challenge). RFC 7143 12.1.3; algorithms from
 * IANA's registry.
 */
#ifndef ISCSI_CHAP_H
#define ISCSI_CHAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHAP_HASH_MAX 32
#define CHAP_CHALLENGE_MAX 1024
#define CHAP_NAME_MAX 255
#define CHAP_SECRET_MAX 255

enum chap_algorithm {
	CHAP_MD5 = 5,
	CHAP_SHA1 = 6,
	CHAP_SHA256 = 7,
	CHAP_SHA3_256 = 8,
};

/* Bytes of a response; 0: we do not have this algorithm. */
size_t chap_len(unsigned algorithm);
/* The response; `out` holds CHAP_HASH_MAX bytes. Returns its length. */
size_t chap_response(unsigned algorithm, uint8_t id, const char *secret, const uint8_t *challenge, size_t n,
	uint8_t *out);
/* Equal, in a time that does not say where they differ? */
bool chap_equal(const uint8_t *a, const uint8_t *b, size_t n);

#endif
