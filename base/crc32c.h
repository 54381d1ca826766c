/* SPDX-License-Identifier: Apache-2.0 */
/* CRC32C (Castagnoli), by the processor's instruction where it has one. */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The CRC of `n` bytes going on from `crc` (0 to begin). Any split of the bytes gives the same result. */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);
/* The same without the instruction. */
uint32_t crc32c_table(uint32_t crc, const void *p, size_t n);

#endif
