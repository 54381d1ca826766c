/* SPDX-License-Identifier: Apache-2.0 */
/* Logical units, nexuses, LUN addresses. */
#include "target/scsi/lu.h"

#include <stdio.h>
#include <string.h>

void lu_init(struct scsi_lu *lu, const uint8_t uuid[16], const char *name, uint64_t size, uint32_t block_size)
{
	memset(lu, 0, sizeof(*lu));
	memcpy(lu->uuid, uuid, 16);
	snprintf(lu->product, sizeof(lu->product), "%s", name);
	/* INQUIRY's strings are ASCII graphics (SPC-4 4.3.1). */
	for (char *p = lu->product; *p; p++)
		if (*p < 0x20 || *p > 0x7e)
			*p = '_';
	lu->block_size = block_size;
	atomic_store(&lu->blocks, size / block_size);
	lu->max_transfer = (8u << 20) / block_size;
	lu->unmap_granularity = 1;
	lu->cache = true;
	atomic_store(&lu->wce, true);
}

void lu_fini(struct scsi_lu *lu)
{
	reserve_fini(&lu->reserve);
}

void lu_attach(struct scsi_lu *lu, struct scsi_nexus *n, const struct scsi_it *it, uint32_t lun,
	bool read_only)
{
	n->lu = lu;
	n->it = it;
	n->lun = lun;
	n->read_only = read_only;
	n->next = lu->nexuses;
	lu->nexuses = n;
	nexus_attention(n, UA_POWER_ON);
	reserve_apply(lu);
}

void lu_detach(struct scsi_nexus *n)
{
	struct scsi_lu *lu = n->lu;
	struct scsi_nexus **p = &lu->nexuses;

	while (*p != n)
		p = &(*p)->next;
	*p = n->next;
	/* SPC-2 5.5.1: the loss of the nexus releases its reservation. */
	if (lu->reserve.spc2 == n)
		lu->reserve.spc2 = NULL;
	reserve_apply(lu);
}

void lu_attention(struct scsi_lu *lu, enum scsi_ua ua, const struct scsi_nexus *but)
{
	for (struct scsi_nexus *n = lu->nexuses; n; n = n->next)
		if (n != but)
			nexus_attention(n, ua);
}

bool lu_resize(struct scsi_lu *lu, uint64_t size)
{
	uint64_t blocks = size / lu->block_size;

	if (atomic_exchange(&lu->blocks, blocks) == blocks)
		return false;
	lu_attention(lu, UA_CAPACITY_CHANGED, NULL);
	return true;
}

void lu_reset(struct scsi_lu *lu, const struct scsi_nexus *but)
{
	lu->reserve.spc2 = NULL;
	reserve_apply(lu);
	lu_attention(lu, UA_RESET, but);
}

int64_t lun_number(const uint8_t lun[8])
{
	static const uint8_t zero[6];

	if (memcmp(lun + 2, zero, 6) != 0)
		return -1;
	switch (lun[0] >> 6) {
	case 0:
		return lun[0] == 0 ? lun[1] : -1;       /* peripheral device addressing, bus 0 */
	case 1:
		return (int64_t)(lun[0] & 0x3f) << 8 | lun[1];
	default:
		return -1;
	}
}

void lun_bytes(uint32_t number, uint8_t lun[8])
{
	memset(lun, 0, 8);
	lun[0] = (uint8_t)(number < 256 ? 0 : 0x40 | number >> 8);
	lun[1] = (uint8_t)number;
}

struct scsi_nexus *it_nexus(const struct scsi_it *it, const uint8_t lun[8])
{
	int64_t number = lun_number(lun);
	unsigned lo = 0, hi = it->n_luns;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if (it->luns[mid]->lun == number)
			return it->luns[mid];
		if (it->luns[mid]->lun < number)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}
