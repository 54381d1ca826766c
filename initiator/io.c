/* SPDX-License-Identifier: Apache-2.0 */
/* Commands: the caller's struct to the machine's and back. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "initiator/priv.h"
#include "target/task.h"

_Static_assert(sizeof(struct ini_iov) == sizeof(struct iovec), "vectors are passed on as they are");

int errno_of(int err)
{
	switch (err) {
	case 0:
		return 0;
	case ERR_TIMEOUT:
		return -ETIMEDOUT;
	case ERR_CANCELED:
		return -ECANCELED;
	case ERR_MALFORMED:
		return -EPROTO;
	case ERR_UNREACHABLE:
	case ERR_AGAIN:
		return -ENOTCONN;
	case ERR_BUSY:
		return -EBUSY;
	case ERR_INVAL:
		return -EINVAL;
	case ERR_LIMIT:
		return -EMSGSIZE;
	default:
		return -EIO;
	}
}

/* SAM-5 4.7: by number, peripheral device addressing up to 255 and flat space above; or eight bytes as they are. */
void lun_put(uint8_t out[8], uint64_t lun)
{
	memset(out, 0, 8);
	if (lun < 256) {
		out[1] = (uint8_t)lun;
	} else if (lun < 16384) {
		out[0] = (uint8_t)(0x40 | lun >> 8);
		out[1] = (uint8_t)lun;
	} else {
		put32(out, (uint32_t)(lun >> 32));
		put32(out + 4, (uint32_t)lun);
	}
}

/* Do the vectors hold what is to be moved? */
static bool holds(const struct iovec *iov, uint32_t n, uint32_t len)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < n && sum < len; i++)
		sum += iov[i].iov_len;
	return sum >= len;
}

static bool valid(const struct director_iscsi_io *io)
{
	return io->cdb_len >= 6 && io->cdb_len <= sizeof(io->cdb) && holds(io->in, io->n_in, io->in_len) &&
	       holds(io->out, io->n_out, io->out_len);
}

void io_begin(struct director_iscsi *h, struct director_iscsi_io *io)
{
	struct ini_cmd *cmd = &io_priv(io)->cmd;
	uint32_t ms = io->timeout_ms ? io->timeout_ms : h->conf.command_ms;

	lun_put(cmd->lun, io->lun);
	cmd->cdb = io->cdb;
	cmd->cdb_len = (uint16_t)io->cdb_len;
	cmd->attr = io->flags & DIRECTOR_ISCSI_ORDERED	     ? TASK_ORDERED
		    : io->flags & DIRECTOR_ISCSI_HEAD_OF_QUEUE ? TASK_HEAD_OF_QUEUE
								 : TASK_SIMPLE;
	cmd->read = io->in_len > 0;
	cmd->write = io->out_len > 0;
	cmd->repeat = io->flags & DIRECTOR_ISCSI_REPEAT;
	cmd->in = (const struct ini_iov *)io->in;
	cmd->out = (const struct ini_iov *)io->out;
	cmd->n_in = io->n_in;
	cmd->n_out = io->n_out;
	cmd->in_len = io->in_len;
	cmd->out_len = io->out_len;
	cmd->sense = io->sense;
	cmd->sense_max = sizeof(io->sense);
	cmd->deadline = ms ? mono_add_ms(h->loop->now, ms) : MONO_NEVER;
	cmd->user = io;
	if (valid(io)) {
		ini_submit(h->s, cmd);
	} else {
		/* It comes back as all others do. */
		cmd->result = ERR_INVAL;
		cmd->status = 0;
		cmd->sense_len = 0;
		cmd->wires = 0;
		cmd->sent = false;
		cmd->state = ICMD_OVER;
		ini_flush_done(h->s, cmd);
	}
	loop_dirty(h);
}

void director_iscsi_submit(struct director_iscsi *h, struct director_iscsi_io *io)
{
	struct director_iscsi_loop *loop = h->loop;
	struct director_iscsi_io *head;

	io_priv(io)->h = h;
	if (loop_here(loop)) {
		if (!loop->running && !loop->held)
			loop->now = clock_now();
		io_begin(h, io);
		/* Outside of the loop: the caller's poll has to see that there is something to do. */
		if (!loop->running && !loop->poked && !loop->held) {
			loop->poked = true;
			loop_poke(loop);
		}
		return;
	}
	head = atomic_load_explicit(&loop->inbox, memory_order_relaxed);
	do {
		io_priv(io)->next = head;
	} while (!atomic_compare_exchange_weak(&loop->inbox, &head, io));
	/* Only the first one into an empty inbox of a loop that sleeps has to wake it. */
	if (!head && atomic_load(&loop->sleeping))
		loop_poke(loop);
}

static void sense_parse(struct director_iscsi_io *io)
{
	const uint8_t *s = io->sense;

	io->sense_key = io->asc = io->ascq = 0;
	if (io->sense_len >= 14 && (s[0] & 0x7e) == 0x70) {
		io->sense_key = s[2] & 0xf;
		io->asc = s[12];
		io->ascq = s[13];
	} else if (io->sense_len >= 4 && (s[0] & 0x7e) == 0x72) {
		io->sense_key = s[1] & 0xf;
		io->asc = s[2];
		io->ascq = s[3];
	}
}

void io_done(struct ini_cmd *cmd)
{
	struct director_iscsi_io *io = cmd->user;

	io->result = errno_of(cmd->result);
	io->status = cmd->status;
	io->got = cmd->got;
	io->residual = cmd->residual;
	io->residual_flags = (cmd->underflow ? DIRECTOR_ISCSI_UNDERFLOW : 0) | (cmd->overflow ? DIRECTOR_ISCSI_OVERFLOW : 0);
	io->sense_len = cmd->sense_len;
	io->sent = cmd->sent;
	if (cmd->status)
		sense_parse(io);
	else
		io->sense_key = io->asc = io->ascq = 0;
	io->done(io);
}

struct cancel {
	struct director_iscsi *h;
	struct director_iscsi_io *io;
};

static void cancel_here(void *arg)
{
	struct cancel *c = arg;

	ini_cancel(c->h->s, &io_priv(c->io)->cmd, ERR_CANCELED);
	loop_dirty(c->h);
}

void director_iscsi_cancel(struct director_iscsi *h, struct director_iscsi_io *io)
{
	struct cancel c = { h, io };

	loop_call(h->loop, cancel_here, &c);
}

/* ---- one command, waited for ---- */

struct waited {
	struct director_iscsi_loop *loop;
	atomic_bool over;
};

static void wake(struct director_iscsi_io *io)
{
	struct waited *w = io->user;
	struct director_iscsi_loop *loop = w->loop;

	pthread_mutex_lock(&loop->lock);
	atomic_store(&w->over, true);
	pthread_cond_broadcast(&loop->cond);
	pthread_mutex_unlock(&loop->lock);
}

int director_iscsi_do(struct director_iscsi *h, struct director_iscsi_io *io)
{
	struct waited w = { .loop = h->loop };
	void (*done)(struct director_iscsi_io *) = io->done;
	void *user = io->user;

	io->done = wake;
	io->user = &w;
	director_iscsi_submit(h, io);
	loop_wait(h->loop, &w.over);
	io->done = done;
	io->user = user;
	return io->result;
}

/* ---- the usual ones ---- */

static void rw16(struct director_iscsi_io *io, uint8_t op, uint64_t lun, uint64_t lba, uint32_t blocks)
{
	io->lun = lun;
	io->cdb_len = 16;
	memset(io->cdb, 0, 16);
	io->cdb[0] = op;
	put32(io->cdb + 2, (uint32_t)(lba >> 32));
	put32(io->cdb + 6, (uint32_t)lba);
	put32(io->cdb + 10, blocks);
	io->flags = DIRECTOR_ISCSI_REPEAT;
	io->in_len = io->out_len = 0;
	io->n_in = io->n_out = 0;
}

void director_iscsi_prep_read(struct director_iscsi_io *io, uint64_t lun, uint64_t lba, uint32_t blocks, uint32_t block_size,
	const struct iovec *iov, uint32_t n_iov)
{
	rw16(io, 0x88, lun, lba, blocks);
	io->in = iov;
	io->n_in = n_iov;
	io->in_len = blocks * block_size;
}

void director_iscsi_prep_write(struct director_iscsi_io *io, uint64_t lun, uint64_t lba, uint32_t blocks, uint32_t block_size,
	const struct iovec *iov, uint32_t n_iov)
{
	rw16(io, 0x8a, lun, lba, blocks);
	io->out = iov;
	io->n_out = n_iov;
	io->out_len = blocks * block_size;
}

char *director_iscsi_io_text(const struct director_iscsi_io *io, char *text, size_t size)
{
	static const char *const keys[16] = { "no sense", "recovered error", "not ready", "medium error", "hardware error",
		"illegal request", "unit attention", "data protect", "blank check", "vendor specific", "copy aborted",
		"aborted command", "reserved", "volume overflow", "miscompare", "completed" };

	if (io->result)
		snprintf(text, size, "%s", strerror(-io->result));
	else if (io->status == STATUS_CHECK_CONDITION)
		snprintf(text, size, "%s (asc %02xh, ascq %02xh)", keys[io->sense_key & 15], io->asc, io->ascq);
	else if (io->status == STATUS_RESERVATION_CONFLICT)
		snprintf(text, size, "reservation conflict");
	else if (io->status == STATUS_BUSY)
		snprintf(text, size, "busy");
	else if (io->status == STATUS_TASK_SET_FULL)
		snprintf(text, size, "task set full");
	else if (io->status)
		snprintf(text, size, "SCSI status %02xh", io->status);
	else
		snprintf(text, size, "done");
	return text;
}
