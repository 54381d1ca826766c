/* SPDX-License-Identifier: Apache-2.0 */
/* One SCSI command through SG_IO, and what its end means. */
#include "config.h"

#include "plugins/pscsi/pscsi.h"

#include <errno.h>
#include <scsi/sg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <time.h>

#define SENSE_LEN 96
#define PAUSE_MS 50

/* SAM-5 5.3.1, of which SG_IO gives all eight bits */
enum { GOOD = 0x00, CHECK_CONDITION = 0x02, CONDITION_MET = 0x04, BUSY = 0x08, RESERVATION_CONFLICT = 0x18,
	TASK_SET_FULL = 0x28, ACA_ACTIVE = 0x30, TASK_ABORTED = 0x40 };
enum { KEY_RECOVERED = 1, KEY_NOT_READY = 2, KEY_ILLEGAL = 5, KEY_ATTENTION = 6, KEY_PROTECT = 7, KEY_ABORTED = 11,
	KEY_MISCOMPARE = 14 };
#define COMPARE_AND_WRITE 0x89

/* The kernel's host byte */
enum { HOST_OK = 0, HOST_NO_CONNECT = 1, HOST_BUS_BUSY = 2, HOST_TIME_OUT = 3, HOST_RESET = 8, HOST_SOFT_ERROR = 11,
	HOST_REQUEUE = 13, HOST_TRANSPORT_DISRUPTED = 14, HOST_TRANSPORT_FAILFAST = 15 };

_Static_assert(sizeof(struct director_iov) == sizeof(struct iovec) &&
	sizeof(struct director_iov) == sizeof(struct sg_iovec), "an iov is an iovec");

/* SPC-4 4.5: fixed or descriptor format. */
static void sense_parse(struct command *c, const uint8_t *s, unsigned n)
{
	unsigned format = n ? s[0] & 0x7f : 0;

	c->key = c->asc = c->ascq = 0;
	c->has_info = false;
	if (format == 0x70 || format == 0x71) {
		c->key = n > 2 ? s[2] & 15 : 0;
		c->asc = n > 12 ? s[12] : 0;
		c->ascq = n > 13 ? s[13] : 0;
		c->has_info = n > 6 && s[0] & 0x80;
		c->info = c->has_info ? get_be(s + 3, 4) : 0;
	} else if (format == 0x72 || format == 0x73) {
		c->key = n > 1 ? s[1] & 15 : 0;
		c->asc = n > 2 ? s[2] : 0;
		c->ascq = n > 3 ? s[3] : 0;
		for (unsigned at = 8; at + 12 <= n; at += 2u + s[at + 1])
			if (s[at] == 0 && s[at + 1] >= 10) {
				c->has_info = s[at + 2] & 0x80;
				c->info = get_be(s + at + 4, 8);
				break;
			}
	}
}

static void event(struct pscsi *p, uint32_t kind, uint64_t value)
{
	if (p->owner)
		p->host->event(p->host->arg, p->owner, kind, value, 0);
}

static void attention(struct pscsi *p, const struct command *c)
{
	uint64_t before = p->size;

	/* 2Ah/09h: CAPACITY DATA HAS CHANGED */
	if (c->asc == 0x2a && c->ascq == 0x09 && p->owner && learn_size(p) == 0 && p->size != before)
		event(p, DIRECTOR_EV_RESIZED, p->size);
}

/* A check condition: 0, an errno, or -EAGAIN to try again. */
static int judge_sense(struct pscsi *p, struct command *c)
{
	switch (c->key) {
	case 0:
	case KEY_RECOVERED:
		return 0;
	case KEY_ATTENTION:
		attention(p, c);
		return -EAGAIN;
	case KEY_NOT_READY:
		/* 04h/01h, 04h/0Ah: becoming ready, in transition */
		return c->asc == 0x04 && (c->ascq == 0x01 || c->ascq == 0x0a) ? -EAGAIN : -EIO;
	case KEY_ABORTED:
		c->unsure = true;
		/* Once more is right for a transport that hiccuped; 4Bh and the like come back at once otherwise. */
		return c->asc == 0x08 || c->asc == 0x47 || c->asc == 0x4b ? -EAGAIN : -EIO;
	case KEY_PROTECT:
		return c->asc == 0x27 && c->ascq == 0x07 ? -ENOSPC : -EROFS;
	case KEY_MISCOMPARE:
		return -EILSEQ;
	case KEY_ILLEGAL:
		return c->asc == 0x20 ? -EOPNOTSUPP : c->asc == 0x21 ? -ERANGE : -EIO;
	default:
		return -EIO;
	}
}

static int judge(struct pscsi *p, struct command *c, const struct sg_io_hdr *h, const uint8_t *sense)
{
	c->key = 0;
	c->unsure = false;
	switch (h->host_status) {
	case HOST_OK:
		break;
	case HOST_NO_CONNECT:
	case HOST_TRANSPORT_FAILFAST:
		return -ENODEV;
	case HOST_TIME_OUT:
		return -ETIMEDOUT;
	case HOST_BUS_BUSY:
	case HOST_REQUEUE:
		return -EAGAIN;
	case HOST_RESET:
	case HOST_SOFT_ERROR:
	case HOST_TRANSPORT_DISRUPTED:
		c->unsure = true;
		return -EAGAIN;
	default:
		return -EIO;
	}
	switch (h->status & 0x7e) {
	case GOOD:
	case CONDITION_MET:
		return 0;
	case CHECK_CONDITION:
		sense_parse(c, sense, h->sb_len_wr);
		return judge_sense(p, c);
	case BUSY:
	case TASK_SET_FULL:
	case ACA_ACTIVE:
		return -EAGAIN;
	case TASK_ABORTED:
		c->unsure = true;
		return -EAGAIN;
	case RESERVATION_CONFLICT:
		return -EBADE;
	default:
		return -EIO;
	}
}

static int send_once(struct pscsi *p, struct command *c)
{
	static const int ways[] = { [DATA_NONE] = SG_DXFER_NONE, [DATA_IN] = SG_DXFER_FROM_DEV, [DATA_OUT] = SG_DXFER_TO_DEV };
	uint8_t sense[SENSE_LEN] = { 0 };
	struct sg_io_hdr h = { .interface_id = 'S', .dxfer_direction = ways[c->way], .cmd_len = c->cdb_len,
		.mx_sb_len = sizeof(sense), .dxfer_len = c->len, .cmdp = c->cdb, .sbp = sense, .timeout = p->timeout_ms };

	if (c->n_iov == 1) {
		h.dxferp = c->iov[0].base;
	} else if (c->n_iov) {
		h.iovec_count = (unsigned short)c->n_iov;
		h.dxferp = (void *)c->iov;
	}
	c->unsure = true;
	if (ioctl(p->fd, SG_IO, &h) < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	c->got = h.resid > 0 && (uint32_t)h.resid <= c->len ? c->len - (uint32_t)h.resid : c->len;
	return judge(p, c, &h, sense);
}

/* The path is gone, or back: say it once. */
static void path(struct pscsi *p, bool lost)
{
	if (p->owner && atomic_exchange(&p->lost, lost) != lost)
		event(p, lost ? DIRECTOR_EV_PATH_LOST : DIRECTOR_EV_PATH_BACK, 0);
}

int command_run(struct pscsi *p, struct command *c)
{
	uint64_t until = p->host->now_ns(p->host->arg) + p->timeout_ms * 1000000ull;
	unsigned tries = 0;
	int r;

	/* Several attentions may wait, and cost nothing to clear; after them there is a pause. */
	while ((r = send_once(p, c)) == -EAGAIN && !(c->unsure && c->cdb[0] == COMPARE_AND_WRITE) &&
		p->host->now_ns(p->host->arg) < until)
		if (++tries > 8 || c->key != KEY_ATTENTION)
			nanosleep(&(struct timespec){ .tv_nsec = PAUSE_MS * 1000000l }, NULL);
	if (r == -EAGAIN)
		r = -ETIMEDOUT;
	if (r == 0 || r == -ENODEV || r == -ENXIO)
		path(p, r != 0);
	return r;
}
