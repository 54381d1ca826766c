/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The claim of a LUN of a foreign target, made at each login anew: what hold.h decides, as commands. I/O goes there only between a claim
 * and the end of its session.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/be.h"
#include "plugins/iscsi/lun.h"

#define COMMAND_MS 1500
#define STEPS_MAX 64
#define TRIES 40                        /* of one command that is to be sent again: unit attentions, a busy target */
#define AGAIN_MS 1000
#define WIPE_END (1u << 20)             /* what the mirror keeps (plugins/mirror/meta.h) */
#define WIPE_STEP (64u << 10)
#define CONFLICT 0x18
#define CHECK_CONDITION 2
#define ILLEGAL_REQUEST 5
#define UNIT_ATTENTION 6
#define PR_IN 0x5e
#define PR_OUT 0x5f

enum { READ_KEYS, READ_RESERVATION };
enum { RESERVE = 1, PREEMPT = 4, PREEMPT_AND_ABORT = 5, REGISTER_IGNORE = 6 };

static int say(char *why, size_t n, int code, const char *text)
{
	snprintf(why, n, "%s", text);
	return code;
}

static bool closing(struct lun *l)
{
	bool yes;

	pthread_mutex_lock(&l->lock);
	yes = l->inner.closing;
	pthread_mutex_unlock(&l->lock);
	return yes;
}

/* 0: status says what the target made of it. */
static int command(struct lun *l, struct director_iscsi_io *c)
{
	int r = -ENOTCONN;

	c->lun = l->number;
	c->timeout_ms = COMMAND_MS;
	for (unsigned i = 0; i < TRIES && !closing(l); i++) {
		struct director_iscsi_verdict v;
		struct timespec t;

		if (!l->h)
			return -ENOTCONN;
		r = director_iscsi_do(l->h, c);
		if (r < 0 || c->status != CHECK_CONDITION)
			break;
		v = director_iscsi_judge(c);
		if (!v.retry)
			break;
		t = (struct timespec){ .tv_nsec = (long)(v.retry_ms < 100 ? v.retry_ms : 100) * 1000000 };
		nanosleep(&t, NULL);
	}
	return r;
}

static bool illegal(const struct director_iscsi_io *c)
{
	return c->status == CHECK_CONDITION && c->sense_key == ILLEGAL_REQUEST;
}

/* ---- PERSISTENT RESERVE IN and OUT ---- */

static int reserve_in(struct lun *l, unsigned action, uint8_t *buf, uint16_t len, uint32_t *got, char *why, size_t n)
{
	struct director_iscsi_io *c = calloc(1, sizeof(*c));
	struct iovec iov = { buf, len };
	int r;

	if (!c)
		return -ENOMEM;
	memset(buf, 0, len);
	c->cdb[0] = PR_IN;
	c->cdb[1] = (uint8_t)action;
	be_put(c->cdb + 7, len, 2);
	c->cdb_len = 10;
	c->in = &iov;
	c->n_in = 1;
	c->in_len = len;
	c->flags = DIRECTOR_ISCSI_REPEAT;
	r = command(l, c);
	if (r < 0)
		say(why, n, r, "the LUN does not answer");
	else if (illegal(c))
		r = say(why, n, -EOPNOTSUPP, "the LUN has no persistent reservations: a former owner could not be kept from it");
	else if (c->status)
		r = say(why, n, -EIO, "the LUN does not say by whom it is reserved");
	*got = c->got;
	free(c);
	return r;
}

static int look(struct lun *l, struct hold_seen *seen, char *why, size_t n)
{
	uint8_t keys[8 + 8 * HOLD_KEYS_MAX], reservation[24];
	uint32_t got;
	int r = reserve_in(l, READ_KEYS, keys, sizeof(keys), &got, why, n);

	if (r == 0 && !hold_keys_read(keys, got, seen))
		r = say(why, n, -EPROTO, "what the LUN says of its registrations makes no sense");
	if (r == 0)
		r = reserve_in(l, READ_RESERVATION, reservation, sizeof(reservation), &got, why, n);
	if (r == 0 && !hold_reservation_read(reservation, got, seen))
		r = say(why, n, -EPROTO, "what the LUN says of its reservation makes no sense");
	return r;
}

/* The status, or a negative errno; CHECK_CONDITION: it is no command for this target. */
static int reserve_out(struct lun *l, unsigned action, uint64_t key, uint64_t other, bool aptpl)
{
	struct director_iscsi_io *c = calloc(1, sizeof(*c));
	uint8_t param[24] = { 0 };
	struct iovec iov = { param, sizeof(param) };
	int r;

	if (!c)
		return -ENOMEM;
	be_put(param, key, 8);
	be_put(param + 8, other, 8);
	param[20] = aptpl;
	c->cdb[0] = PR_OUT;
	c->cdb[1] = (uint8_t)action;
	c->cdb[2] = HOLD_TYPE;
	be_put(c->cdb + 5, sizeof(param), 4);
	c->cdb_len = 10;
	c->out = &iov;
	c->n_out = 1;
	c->out_len = sizeof(param);
	r = command(l, c);
	if (r == 0)
		r = c->status == CHECK_CONDITION && !illegal(c) ? -EIO : c->status;
	free(c);
	return r;
}

/* Over a loss of the target's power, where it can. */
static int do_register(struct lun *l, uint64_t key)
{
	int r = reserve_out(l, REGISTER_IGNORE, 0, key, true);

	return r == CHECK_CONDITION ? reserve_out(l, REGISTER_IGNORE, 0, key, false) : r;
}

/* What another has under way must not come later: by the command itself, or by a reset of the unit after it. */
static int do_preempt(struct lun *l, uint64_t key, uint64_t other, char *why, size_t n)
{
	int r = reserve_out(l, PREEMPT_AND_ABORT, key, other, false);
	const char *how = "PREEMPT AND ABORT";
	char line[160];

	if (r == CHECK_CONDITION) {
		how = "PREEMPT, and a reset of the unit";
		r = reserve_out(l, PREEMPT, key, other, false);
		if (r == 0 && director_iscsi_manage(l->h, DIRECTOR_ISCSI_LUN_RESET, l->number, COMMAND_MS) != 0)
			r = say(why, n, -EOPNOTSUPP, "the target cannot end what a former owner has under way");
	}
	if (r == 0) {
		snprintf(line, sizeof(line), "LUN %llu: the claim of epoch %llu is over (%s); ours is of epoch %u", (unsigned long long)l->number,
			 (unsigned long long)(other >> 8 & HOLD_EPOCH_MAX), how, l->claim.id.epoch);
		l->host->log(l->host->arg, DIRECTOR_LOG_INFO, line);
	}
	return r;
}

/* ---- the record ---- */

static int transfer(struct lun *l, bool write, uint64_t offset, uint8_t *buf, uint32_t len, uint32_t block)
{
	struct director_iscsi_io *c = calloc(1, sizeof(*c));
	struct iovec iov = { buf, len };
	int r;

	if (!c)
		return -ENOMEM;
	if (write)
		director_iscsi_prep_write(c, l->number, offset / block, len / block, block, &iov, 1);
	else
		director_iscsi_prep_read(c, l->number, offset / block, len / block, block, &iov, 1);
	r = command(l, c);
	if (r == 0 && (c->status || (!write && c->got != len)))
		r = c->status == CONFLICT ? -EAGAIN : -EIO;
	free(c);
	return r;
}

static int flush(struct lun *l)
{
	struct director_iscsi_io *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->cdb[0] = 0x35;
	c->cdb_len = 10;
	c->flags = DIRECTOR_ISCSI_REPEAT;
	r = command(l, c);
	/* One without a cache need not know the command. */
	if (r == 0 && c->status && !illegal(c))
		r = -EIO;
	free(c);
	return r;
}

/* A block of the LUN, and its size; its reservation allows READ CAPACITY to all. */
static int capacity(struct lun *l, uint32_t *block, uint64_t *size)
{
	struct director_iscsi_io *c = calloc(1, sizeof(*c));
	uint8_t data[8] = { 0 };
	struct iovec iov = { data, sizeof(data) };
	int r;

	if (!c)
		return -ENOMEM;
	c->cdb[0] = 0x25;
	c->cdb_len = 10;
	c->in = &iov;
	c->n_in = 1;
	c->in_len = sizeof(data);
	c->flags = DIRECTOR_ISCSI_REPEAT;
	r = command(l, c);
	*block = (uint32_t)be_get(data + 4, 4);
	*size = (be_get(data, 4) + 1) * *block;
	if (r == 0 && (c->status || (*block != 512 && *block != 4096)))
		r = -EIO;
	free(c);
	return r;
}

/*
 * What a leg that is no more has left on a LUN would keep the mirror from using it. Once: then its record is ours. One that is too
 * small is not used.
 */
static int void_old(struct lun *l, uint32_t block, uint64_t size)
{
	uint8_t *zeroes;
	int r;

	if (size < l->claim.limit)
		return 0;
	zeroes = calloc(1, HOLD_RECORD_AT);
	r = zeroes ? transfer(l, true, 0, zeroes, HOLD_RECORD_AT, block) : -ENOMEM;
	free(zeroes);
	return r == 0 ? flush(l) : r;
}

/* A target that lost its reservations may let an old owner in first: it finds here that it is one. */
static int record(struct lun *l, uint64_t key, char *why, size_t n)
{
	uint8_t *buf = malloc(HOLD_RECORD);
	uint32_t block = 512, epoch, seq = 0;
	struct claim *cl = &l->claim;
	uint64_t size = 0;
	int r = buf ? capacity(l, &block, &size) : -ENOMEM;

	if (r == 0)
		r = transfer(l, false, HOLD_RECORD_AT, buf, HOLD_RECORD, block);
	if (r == 0) {
		epoch = hold_record_read(&cl->id, buf, &seq);
		if (epoch > cl->id.epoch) {
			/* We stand in the way of the one that comes back. */
			reserve_out(l, REGISTER_IGNORE, key, 0, false);
			r = -ESTALE;
		} else {
			cl->changed = cl->had && (epoch != cl->id.epoch || seq != cl->seq);
			hold_record_write(&cl->id, seq + 1, buf);
			r = cl->id.take && !epoch && !cl->had ? void_old(l, block, size) : 0;
		}
	}
	if (r == 0)
		r = transfer(l, true, HOLD_RECORD_AT, buf, HOLD_RECORD, block);
	if (r == 0)
		r = flush(l);
	if (r == 0) {
		cl->had = true;
		cl->seq = seq + 1;
	}
	free(buf);
	if (r < 0 && r != -ESTALE && r != -EAGAIN)
		say(why, n, r, "what the LUN holds cannot be read and written");
	return r;
}

/* ---- the claim ---- */

static int step(struct lun *l, enum hold_step s, uint64_t mine, uint64_t key, char *why, size_t n)
{
	switch (s) {
	case HOLD_REGISTER:
		return do_register(l, mine);
	case HOLD_RESERVE:
		return reserve_out(l, RESERVE, mine, 0, false);
	case HOLD_PREEMPT:
		return do_preempt(l, mine, key, why, n);
	case HOLD_STALE:
		return say(why, n, -ESTALE, "the leg has a newer owner");
	case HOLD_FOREIGN:
		snprintf(why, n, "the LUN is in use by somebody else (key 0x%016llx): it is no leg while it is", (unsigned long long)key);
		return -EBUSY;
	default:
		return 0;
	}
}

int claim_make(struct lun *l, char *why, size_t n)
{
	struct hold_seen *seen = calloc(1, sizeof(*seen));
	uint64_t mine = 0, key;
	int r = seen ? 0 : -ENOMEM;

	/* It goes by what is seen, again after each step: others may be at it too. */
	for (unsigned i = 0; r == 0; i++) {
		enum hold_step s;

		r = i == STEPS_MAX ? say(why, n, -EAGAIN, "others change its reservation all the time") : look(l, seen, why, n);
		if (r < 0)
			break;
		if (!mine)
			mine = hold_key(&l->claim.id, seen);
		s = hold_next(&l->claim.id, mine, seen, &key);
		if (s == HOLD_DONE) {
			r = record(l, mine, why, n);
			if (r != -EAGAIN)
				break;
			r = 0;
			continue;
		}
		r = step(l, s, mine, key, why, n);
		if (r == CHECK_CONDITION)
			r = say(why, n, -EOPNOTSUPP, "the LUN cannot be reserved persistently: a former owner could not be kept from it");
		else if (r == CONFLICT)
			r = 0;
		else if (r > 0)
			r = say(why, n, -EIO, "the LUN does not take a reservation now");
	}
	free(seen);
	return r;
}

static int wipe(struct lun *l, uint64_t from, uint64_t to, uint8_t *zeroes)
{
	int r = 0;

	while (r == 0 && from < to) {
		uint32_t len = to - from < WIPE_STEP ? (uint32_t)(to - from) : WIPE_STEP;

		r = transfer(l, true, from, zeroes, len, l->disk.block_size);
		from += len;
	}
	return r;
}

int claim_opened(struct lun *l, char *why, size_t n)
{
	uint64_t size = l->disk.blocks * l->disk.block_size;
	uint8_t *zeroes;
	int r;

	if (size < l->claim.limit) {
		snprintf(why, n, "the LUN has %llu bytes, and %llu are needed", (unsigned long long)size, (unsigned long long)l->claim.limit);
		return -ENOSPC;
	}
	if (!l->claim.blank)
		return 0;
	zeroes = calloc(1, WIPE_STEP);
	r = zeroes ? wipe(l, 0, HOLD_RECORD_AT, zeroes) : -ENOMEM;
	if (r == 0)
		r = wipe(l, HOLD_RECORD_AT + HOLD_RECORD, WIPE_END, zeroes);
	if (r == 0)
		r = flush(l);
	free(zeroes);
	return r < 0 ? say(why, n, r, "the LUN cannot be written") : 0;
}

int claim_conf(struct lun *l, const struct director_conf *conf, uint64_t epoch)
{
	const char *tag = conf->get(conf, "claim"), *fresh = conf->get(conf, "fresh");
	struct claim *c = &l->claim;
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->cond, &attr);
	pthread_condattr_destroy(&attr);
	if (!tag)
		return 0;
	c->on = true;
	c->blank = fresh && strcmp(fresh, "blank") == 0;
	c->id.take = fresh && strcmp(fresh, "no") != 0;
	c->id.epoch = (uint32_t)epoch;
	c->limit = conf->get_uint(conf, "size", 0);
	return epoch <= HOLD_EPOCH_MAX && hold_parse(tag, conf->get(conf, "others"), &c->id) ? 0 : -EINVAL;
}

bool claim_doubt(const struct director_iscsi_io *c)
{
	if (c->result)
		return false;
	/* 29h: reset, perhaps without power for a while; 2Ah/03h to 05h: reservations or registrations are gone. */
	return c->status == CONFLICT || (c->status == CHECK_CONDITION && c->sense_key == UNIT_ATTENTION &&
		(c->asc == 0x29 || (c->asc == 0x2a && c->ascq >= 3 && c->ascq <= 5)));
}

/* ---- watching ---- */

void claim_look(struct lun *l)
{
	pthread_mutex_lock(&l->lock);
	l->claim.look = true;
	pthread_cond_signal(&l->claim.cond);
	pthread_mutex_unlock(&l->lock);
}

uint64_t claim_session(struct lun *l)
{
	uint64_t downs;

	pthread_mutex_lock(&l->lock);
	downs = l->claim.downs;
	l->claim.look = false;
	pthread_mutex_unlock(&l->lock);
	return downs;
}

/* False: it is over. */
static bool wait_look(struct lun *l, bool again)
{
	struct timespec t;
	bool more;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += AGAIN_MS / 1000;
	pthread_mutex_lock(&l->lock);
	while (!l->claim.look && !l->inner.closing) {
		if (!again)
			pthread_cond_wait(&l->claim.cond, &l->lock);
		else if (pthread_cond_timedwait(&l->claim.cond, &l->lock, &t) == ETIMEDOUT)
			break;
	}
	l->claim.look = false;
	more = !l->inner.closing;
	pthread_mutex_unlock(&l->lock);
	return more;
}

static void *watch(void *arg)
{
	struct lun *l = arg;
	char why[240], line[300];
	bool again = false;

	while (wait_look(l, again)) {
		uint64_t downs;
		int r;

		pthread_mutex_lock(&l->inner.control);
		downs = claim_session(l);
		r = claim_make(l, why, sizeof(why));
		pthread_mutex_unlock(&l->inner.control);
		if (r < 0 && r != -ESTALE && !l->claim.refused && !closing(l)) {
			snprintf(line, sizeof(line), "the LUN cannot be claimed again: %s", why);
			l->host->log(l->host->arg, DIRECTOR_LOG_WARN, line);
		}
		l->claim.refused = r < 0;
		inner_claimed(l, r, downs);
		again = r < 0 && r != -ESTALE;
	}
	return NULL;
}

int claim_watch(struct lun *l)
{
	int r = -pthread_create(&l->claim.thread, NULL, watch, l);

	l->claim.running = r == 0;
	return r;
}

void claim_end(struct lun *l)
{
	pthread_mutex_lock(&l->lock);
	pthread_cond_signal(&l->claim.cond);
	pthread_mutex_unlock(&l->lock);
	if (l->claim.running)
		pthread_join(l->claim.thread, NULL);
	l->claim.running = false;
}
