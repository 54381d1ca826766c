/* SPDX-License-Identifier: Apache-2.0 */
/* Logical units, nexuses, LUN addresses. */
#include "target/scsi/lu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "target/scsi/copy.h"
#include "target/scsi/limits.h"
#include "target/scsi/reserve.h"

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
	lu->caw_max = SCSI_CAW_BLOCKS_MAX;
	lu->cache = true;
	atomic_store(&lu->wce, true);
	lu->alua.explicit_ok = true;
}

void lu_fini(struct scsi_lu *lu)
{
	kept_fini(&lu->kept);
	free(lu->ports);
	free(lu->sanitize.pattern);
	lu->ports = NULL;
	lu->sanitize.pattern = NULL;
	lu->n_ports = 0;
}

/* ---- nexuses ---- */

/* What of the unit's state, and of the state of the nexus's target port group, stands in the way. */
static uint32_t states_of(const struct scsi_lu *lu, const struct scsi_nexus *n)
{
	uint32_t gate = 0;

	switch (alua_state_of(&lu->alua, n->it->tag)) {
	case ALUA_STANDBY: gate |= GATE_STANDBY; break;
	case ALUA_UNAVAILABLE: gate |= GATE_UNAVAILABLE; break;
	case ALUA_TRANSITIONING: gate |= GATE_TRANSITION; break;
	default: break;
	}
	if (lu->kept.sanitize == SANITIZE_RUNNING)
		gate |= GATE_SANITIZE;
	if (lu->kept.sanitize == SANITIZE_FAILED)
		gate |= GATE_SANITIZE_FAILED;
	if (lu->kept.pr.lost)
		gate |= GATE_PR_LOST;
	return gate | (lu->ejected ? GATE_NO_MEDIUM : 0);
}

static void gate_set(const struct scsi_lu *lu, struct scsi_nexus *n)
{
	atomic_store_explicit(&n->gate, reserve_denied(lu, n) | states_of(lu, n), memory_order_release);
}

void lu_gates(struct scsi_lu *lu)
{
	for (struct scsi_nexus *n = lu->nexuses; n; n = n->next)
		gate_set(lu, n);
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
	gate_set(lu, n);
}

void lu_detach(struct scsi_nexus *n)
{
	struct scsi_lu *lu = n->lu;
	struct scsi_nexus **p = &lu->nexuses;

	while (*p != n)
		p = &(*p)->next;
	*p = n->next;
	copies_free(n);
	/* SPC-2 5.5.1: the loss of the nexus releases its reservation. (Of an agreed one: see nexus_let_go.) */
	if (lu->spc2 == n) {
		lu->spc2 = NULL;
		lu_gates(lu);
	}
}

void it_port(const struct scsi_it *it, struct pr_port *p)
{
	memset(p, 0, sizeof(*p));
	snprintf(p->initiator, sizeof(p->initiator), "%s", it->initiator);
	snprintf(p->target, sizeof(p->target), "%s", it->target);
	memcpy(p->isid, it->isid, 6);
	p->tag = it->tag;
}

/* ---- events ---- */

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
	lu->spc2 = NULL;
	/* SPC-4 6.14: a reset allows removal again. */
	for (struct scsi_nexus *n = lu->nexuses; n; n = n->next)
		n->prevents = false;
	lu_gates(lu);
	lu_attention(lu, UA_RESET, but);
}

void lu_ports_set(struct scsi_lu *lu, const struct scsi_port *ports, unsigned n)
{
	free(lu->ports);
	lu->ports = n ? mem_dup(ports, n * sizeof(*ports)) : NULL;
	lu->n_ports = n;
	for (unsigned i = 0; i < n; i++)
		text_fold(lu->ports[i].target);
}

void lu_kept_set(struct scsi_lu *lu, struct lu_kept *kept)
{
	kept_fini(&lu->kept);
	lu->kept = *kept;
	memset(kept, 0, sizeof(*kept));
	/* SPC-4 5.13.6: power on resets the generation, whatever else persists. */
	lu->kept.pr.generation = 0;
	/* What went on when the power went did not end. */
	if (lu->kept.sanitize == SANITIZE_RUNNING)
		lu->kept.sanitize = SANITIZE_FAILED;
	if (lu->kept.has_saved)
		lu_mode_set(lu, &lu->kept.saved);
	lu_gates(lu);
}

void lu_mode_set(struct scsi_lu *lu, const struct lu_mode *m)
{
	atomic_store(&lu->wce, m->wce || !lu->cache);
	atomic_store(&lu->swp, m->swp);
	atomic_store(&lu->d_sense, m->d_sense);
	lu->lbpere = m->lbpere;
	memcpy(lu->thresholds, m->thresholds, sizeof(lu->thresholds));
	memset(lu->threshold_hit, 0, sizeof(lu->threshold_hit));
}

void lu_mode_get(const struct scsi_lu *lu, struct lu_mode *m)
{
	memset(m, 0, sizeof(*m));
	m->wce = lu->cache && atomic_load(&lu->wce);
	m->swp = atomic_load(&lu->swp);
	m->d_sense = atomic_load(&lu->d_sense);
	m->lbpere = lu->lbpere;
	memcpy(m->thresholds, lu->thresholds, sizeof(m->thresholds));
}

unsigned lu_threshold_exponent(const struct scsi_lu *lu)
{
	/* Sets of about 1 MiB, so that 32 bits count 4 PiB. */
	return lu->block_size == 512 ? 11 : 8;
}

/* SBC-3 4.7.3.7.6: the soft threshold attention once, when the resource reaches the count. */
void lu_space_set(struct scsi_lu *lu, uint64_t used, uint64_t available)
{
	uint64_t set = (uint64_t)lu->block_size << lu_threshold_exponent(lu);

	lu->space = (struct lu_space){ used, available, true };
	for (unsigned i = 0; i < LU_THRESHOLDS; i++) {
		const struct lu_threshold *t = &lu->thresholds[i];
		uint64_t now = (t->resource == 2 ? used : available) / set;
		bool hit = t->enabled && lu->lbpere && (t->arming == 1 ? now >= t->count : now <= t->count);

		if (hit && !lu->threshold_hit[i])
			lu_attention(lu, UA_SOFT_THRESHOLD, NULL);
		lu->threshold_hit[i] = hit;
	}
}

/* ---- identity ---- */

/*
 * NAA 6 (SPC-4 7.8.6.6.6): 24 bits of company id, 36 and 64 bits of ours, both from the volume's UUID: its first nine hex
 * digits and its last sixteen. Not NAA 3, locally assigned: Linux prefers even the T10 vendor id to it. We have no company
 * id; in this one the bit for local administration is set, so it is nobody's.
 */
void lu_naa(const struct scsi_lu *lu, uint8_t naa[NAA_LEN])
{
	static const uint8_t company[3] = { 0x02, 'D', 'I' };
	const uint8_t *u = lu->uuid;

	naa[0] = (uint8_t)(0x60 | company[0] >> 4);
	naa[1] = (uint8_t)(company[0] << 4 | company[1] >> 4);
	naa[2] = (uint8_t)(company[1] << 4 | company[2] >> 4);
	naa[3] = (uint8_t)(company[2] << 4 | u[0] >> 4);
	for (unsigned i = 0; i < 4; i++)
		naa[4 + i] = (uint8_t)(u[i] << 4 | u[i + 1] >> 4);
	memcpy(naa + 8, u + 8, 8);
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

bool lu_is(const struct scsi_lu *lu, unsigned type, const uint8_t *id, unsigned n)
{
	uint8_t naa[NAA_LEN];

	lu_naa(lu, naa);
	if (type == 3)
		return n == NAA_LEN && memcmp(id, naa, NAA_LEN) == 0;
	return type == 0xa && n == 18 && id[0] == 0x10 && memcmp(id + 2, lu->uuid, 16) == 0;
}

/* ---- LUNs ---- */

struct scsi_nexus *it_nexus(const struct scsi_it *it, const uint8_t lun[8])
{
	return it_lun(it, lun_number(lun));
}

struct scsi_nexus *it_lun(const struct scsi_it *it, int64_t number)
{
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
