/* SPDX-License-Identifier: Apache-2.0 */
/* Serial number arithmetic over 32 bits (RFC 1982; RFC 7143 4.2.2.1 asks for it). */
#ifndef ISCSI_SN_H
#define ISCSI_SN_H

#include <stdbool.h>
#include <stdint.h>

static inline bool sn_lt(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static inline bool sn_le(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) <= 0;
}

#endif
