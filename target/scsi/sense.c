/* SPDX-License-Identifier: Apache-2.0 */
/* Status and sense data (SPC-4 4.5). */
#include "target/scsi/sense.h"

#include "base/err.h"

int scsi_good(struct task *t)
{
	t->status = STATUS_GOOD;
	t->sense_len = 0;
	return SCSI_DONE;
}

int scsi_status(struct task *t, enum scsi_status status)
{
	t->status = (uint8_t)status;
	t->sense_len = 0;
	t->in_len = 0;
	t->out_want = t->expect_out;
	return SCSI_DONE;
}

unsigned sense_build(bool descriptor, enum sense_key key, uint16_t asc, const uint64_t *info, uint8_t *out)
{
	memset(out, 0, TASK_SENSE_MAX);
	if (descriptor) {
		out[0] = 0x72;
		out[1] = (uint8_t)key;
		set16(out + 2, asc);
		if (!info)
			return 8;
		out[7] = 12;
		out[8] = 0;             /* information descriptor, 4.5.2.2 */
		out[9] = 10;
		out[10] = 0x80;
		set64(out + 12, *info);
		return 20;
	}
	out[0] = 0x70;
	out[2] = (uint8_t)key;
	out[7] = 10;
	set16(out + 12, asc);
	if (info && *info <= UINT32_MAX) {
		out[0] |= 0x80;
		set32(out + 3, (uint32_t)*info);
	}
	return 18;
}

static bool descriptor_format(const struct task *t)
{
	return t->scsi.nexus && atomic_load_explicit(&task_lu(t)->d_sense, memory_order_relaxed);
}

static int check(struct task *t, enum sense_key key, uint16_t asc, const uint64_t *info)
{
	scsi_status(t, STATUS_CHECK_CONDITION);
	t->sense_len = (uint8_t)sense_build(descriptor_format(t), key, asc, info, t->sense);
	return SCSI_DONE;
}

int scsi_check(struct task *t, enum sense_key key, uint16_t asc)
{
	return check(t, key, asc, NULL);
}

int scsi_check_info(struct task *t, enum sense_key key, uint16_t asc, uint64_t info)
{
	return check(t, key, asc, &info);
}

unsigned sense_specific(uint8_t *sense, unsigned len, const uint8_t sks[3])
{
	uint8_t *d = sense + len;

	if (sense[0] != 0x72) {
		memcpy(sense + 15, sks, 3);
		return len;
	}
	memset(d, 0, 8);
	d[0] = 2;               /* sense-key specific descriptor, 4.5.2.4 */
	d[1] = 6;
	memcpy(d + 4, sks, 3);
	sense[7] = (uint8_t)(sense[7] + 8);
	return len + 8;
}

unsigned sense_command_info(uint8_t *sense, unsigned len, uint64_t info)
{
	uint8_t *d = sense + len;

	if (sense[0] != 0x72) {
		set32(sense + 8, (uint32_t)info);
		return len;
	}
	memset(d, 0, 12);
	d[0] = 1;               /* command specific information descriptor, 4.5.2.3 */
	d[1] = 10;
	set64(d + 4, info);
	sense[7] = (uint8_t)(sense[7] + 12);
	return len + 12;
}

void sense_good(const struct task *of, struct task *t, uint16_t asc, uint64_t info)
{
	scsi_good(t);
	t->sense_len = (uint8_t)sense_build(descriptor_format(of), SENSE_COMPLETED, asc, NULL, t->sense);
	t->sense_len = (uint8_t)sense_command_info(t->sense, t->sense_len, info);
}

int scsi_check_progress(struct task *t, uint16_t asc, uint16_t progress)
{
	uint8_t sks[3] = { 0x80, (uint8_t)(progress >> 8), (uint8_t)progress };

	check(t, SENSE_NOT_READY, asc, NULL);
	t->sense_len = (uint8_t)sense_specific(t->sense, t->sense_len, sks);
	return SCSI_DONE;
}

/* Sense-key specific: the field pointer. */
static int bad_field(struct task *t, uint16_t asc, bool cdb, unsigned byte, int bit)
{
	uint8_t sks[3] = { (uint8_t)(0x80 | (cdb ? 0x40 : 0) | (bit >= 0 ? 8 | bit : 0)),
		(uint8_t)(byte >> 8), (uint8_t)byte };

	check(t, SENSE_ILLEGAL_REQUEST, asc, NULL);
	t->sense_len = (uint8_t)sense_specific(t->sense, t->sense_len, sks);
	return SCSI_DONE;
}

int scsi_bad_cdb(struct task *t, unsigned byte, int bit)
{
	return bad_field(t, ASC_INVALID_FIELD_CDB, true, byte, bit);
}

int scsi_bad_parameter(struct task *t, unsigned byte, int bit)
{
	return bad_field(t, ASC_INVALID_FIELD_PARAMETERS, false, byte, bit);
}

uint8_t *scsi_room(struct task *t, uint32_t n)
{
	if (task_room(t, &t->in, n) != 0) {
		scsi_status(t, STATUS_BUSY);
		return NULL;
	}
	memset(t->in.p, 0, n);
	return t->in.p;
}

int scsi_data(struct task *t, uint32_t n, uint32_t allocation)
{
	t->in_len = n < allocation ? n : allocation;
	return scsi_good(t);
}

bool scsi_have(struct task *t, uint32_t n)
{
	t->out_want = n;
	if (t->out_len >= n)
		return true;
	scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH);
	return false;
}
