/* SPDX-License-Identifier: Apache-2.0 */
/* What a SCSI status means for one who reads and writes blocks: SPC-4 4.5.6 and the codes of its annex. */
#include <errno.h>

#include "director/iscsi.h"

#define SOON_MS 20
#define LATER_MS 200

enum { NO_SENSE, RECOVERED, NOT_READY, MEDIUM, HARDWARE, ILLEGAL, ATTENTION, PROTECT, BLANK, VENDOR, COPY, ABORTED, MISCOMPARE = 14 };

/* The INFORMATION field: fixed format in bytes 3 to 6, if VALID; descriptor format, descriptor type 0. */
static uint64_t information(const struct director_iscsi_io *c)
{
	const uint8_t *s = c->sense;

	if (c->sense_len >= 7 && s[0] == 0xf0)
		return (uint64_t)s[3] << 24 | (uint64_t)s[4] << 16 | (uint64_t)s[5] << 8 | s[6];
	if (c->sense_len >= 20 && (s[0] & 0x7f) == 0x72 && s[8] == 0) {
		uint64_t v = 0;

		for (unsigned i = 0; i < 8; i++)
			v = v << 8 | s[12 + i];
		return v;
	}
	return 0;
}

static struct director_iscsi_verdict again(uint32_t ms)
{
	return (struct director_iscsi_verdict){ .retry = 1, .retry_ms = ms };
}

static struct director_iscsi_verdict failed(int error, int pass)
{
	return (struct director_iscsi_verdict){ .error = error, .sense = (uint8_t)pass };
}

static struct director_iscsi_verdict check_condition(const struct director_iscsi_io *c)
{
	struct director_iscsi_verdict o;

	switch (c->sense_key) {
	case ATTENTION:
		return again(0);
	case ABORTED:
		return again(SOON_MS);
	case NOT_READY:
		/* 04h/01h, 04h/0Ah: it is becoming ready, or changes its ALUA state; others want a person. */
		return c->asc == 0x04 && (c->ascq == 0x01 || c->ascq == 0x0a) ? again(LATER_MS) : failed(-ENXIO, 1);
	case MEDIUM:
	case HARDWARE:
		return failed(-EIO, 1);
	case ILLEGAL:
		return c->asc == 0x20 || c->asc == 0x24 ? failed(-EOPNOTSUPP, 0)
		     : c->asc == 0x21			 ? failed(-ERANGE, 1)
		     : c->asc == 0x25			 ? failed(-ENXIO, 1)
							 : failed(-EINVAL, 1);
	case PROTECT:
		/* 27h/07h: SPACE ALLOCATION FAILED WRITE PROTECT. */
		return c->asc == 0x27 && c->ascq == 0x07 ? failed(-ENOSPC, 1) : failed(-EROFS, 1);
	case MISCOMPARE:
		o = failed(-EILSEQ, 1);
		o.information = information(c);
		return o;
	default:
		return failed(-EIO, 1);
	}
}

struct director_iscsi_verdict director_iscsi_judge(const struct director_iscsi_io *c)
{
	if (c->result)
		return failed(c->result, 0);
	switch (c->status) {
	case 0x00:
		return failed(0, 0);
	case 0x02:
		return check_condition(c);
	case 0x08:      /* BUSY */
	case 0x28:      /* TASK SET FULL */
	case 0x40:      /* TASK ABORTED, by another initiator */
		return again(SOON_MS);
	case 0x18:
		return failed(-EBADE, 0);
	default:
		return failed(-EIO, 0);
	}
}
