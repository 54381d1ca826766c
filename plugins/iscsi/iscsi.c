/* SPDX-License-Identifier: Apache-2.0 */
/*
 * iscsi: a LUN elsewhere, through director's own initiator. One session for each object, run by who uses it most (loops.c). An I/O
 * outlives connections and sessions until its deadline; what the target asks to be done again is done again until then.
 * The way to another node of the cluster is inner.c's.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/be.h"
#include "plugins/common/err.h"
#include "plugins/iscsi/lun.h"

#define MAX_IO (4u << 20)
#define CLOSE_MS 500
#define SENSE_MEDIUM_ERROR 3
#define SENSE_UNIT_ATTENTION 6
#define SENSE_ABORTED_COMMAND 0x0b
/* Of another node, when nothing else is said. */
#define LEG_TIMEOUT_MS 5000
#define FORWARD_TIMEOUT_MS 60000
#define FORWARD_RETAIN_S 20             /* that a lost connection of a forward has to come back, with what it had under way */
#define INNER_OPEN_MS 1000
#define INNER_PING_MS 700
#define FORWARD_PING_MS 1000    /* a way that is silent is given up after twice this */
#define INNER_LOGIN_MS 3000             /* a claim is stored, and what is under way ends before it */
#define INNER_RETRY_MS 250
/* Of a leg on a foreign target, likewise. */
#define CLAIM_OPEN_MS 3000
#define CLAIM_PING_MS 1500
/* What director-target does: for a unit that is not asked. */
#define OUR_CAW_BLOCKS 255
#define OUR_SAME_BLOCKS 0xffff
#define OUR_UNMAP_BLOCKS 0x100000

static const struct director_param params[] = {
	{ .name = "portal", .type = DIRECTOR_P_STRING, .flags = DIRECTOR_PF_REQUIRED | DIRECTOR_PF_LIVE,
	  .help = "addresses of the target, ADDRESS[:PORT] with commas between them; they are tried in turn" },
	{ .name = "target", .type = DIRECTOR_P_STRING, .flags = DIRECTOR_PF_REQUIRED, .help = "iSCSI name of the target" },
	{ .name = "lun", .type = DIRECTOR_P_UINT, .value = "0", .max = 16383, .help = "number of the logical unit" },
	{ .name = "initiator", .type = DIRECTOR_P_STRING, .help = "iSCSI name of this side; one made of the host name if unset" },
	{ .name = "user", .type = DIRECTOR_P_STRING, .flags = DIRECTOR_PF_LIVE, .help = "CHAP name of this side" },
	{ .name = "secret", .type = DIRECTOR_P_STRING, .flags = DIRECTOR_PF_SECRET | DIRECTOR_PF_LIVE, .help = "CHAP secret of this side" },
	{ .name = "target-user", .type = DIRECTOR_P_STRING, .help = "CHAP name that the target must have; any if unset" },
	{ .name = "target-secret", .type = DIRECTOR_P_STRING, .flags = DIRECTOR_PF_SECRET,
	  .help = "CHAP secret that the target must prove" },
	{ .name = "header-digest", .type = DIRECTOR_P_ENUM, .value = "none", .choices = "none prefer require",
	  .help = "CRC32C over headers" },
	{ .name = "data-digest", .type = DIRECTOR_P_ENUM, .value = "none", .choices = "none prefer require",
	  .help = "CRC32C over data" },
	{ .name = "connections", .type = DIRECTOR_P_UINT, .value = "1", .min = 1, .max = 16, .help = "connections of the session" },
	{ .name = "erl", .type = DIRECTOR_P_UINT, .value = "2", .max = 2, .help = "ErrorRecoveryLevel that is offered" },
	{ .name = "queue-depth", .type = DIRECTOR_P_UINT, .value = "128", .min = 1, .max = 1024,
	  .help = "commands at the target at a time" },
	{ .name = "trust", .type = DIRECTOR_P_BOOL, .value = "no",
	  .help = "a target that may have started anew has what it had answered and not flushed" },
	{ .name = "timeout", .type = DIRECTOR_P_DURATION, .min = 100, .max = 3600000,
	  .help = "after so long an I/O that has not come about fails; 30s if unset, inner: 5s, lazy: 60s" },
	{ .name = "open-timeout", .type = DIRECTOR_P_DURATION, .min = 100, .max = 600000,
	  .help = "after so long opening fails when the target cannot be reached; 10s if unset, inner: 1s" },
	{ .name = "ping", .type = DIRECTOR_P_DURATION, .min = 100, .max = 600000,
	  .help = "after so long a silence the target is asked whether it lives, and has the same time to answer; 5s if unset, "
		  "of a leg 700ms" },
	{ .name = "inner", .type = DIRECTOR_P_BOOL, .value = "no",
	  .help = "the target is another node of the cluster, at its inner portal; portal, user and secret may change" },
	{ .name = "lazy", .type = DIRECTOR_P_BOOL, .value = "no",
	  .help = "with inner: opened without asking the target, which may be away; then size is needed" },
	{ .name = "size", .type = DIRECTOR_P_SIZE, .help = "of the unit, if lazy; what is used of it, with claim" },
	{ .name = "block-size", .type = DIRECTOR_P_UINT, .value = "512", .min = 512, .max = 4096, .unit = "bytes",
	  .help = "of the unit, if lazy" },
	{ .name = "thin", .type = DIRECTOR_P_BOOL, .value = "no", .help = "blocks of the unit can be unmapped, if lazy" },
	{ .name = "claim", .type = DIRECTOR_P_STRING,
	  .help = "it is a leg of a mirrored volume that others must be kept from: whose, as the cluster says it" },
	{ .name = "fresh", .type = DIRECTOR_P_ENUM, .flags = DIRECTOR_PF_LIVE, .value = "no", .choices = "no take blank",
	  .help = "with claim: what is claimed for a leg that is no more may be taken; blank: and what is there is no leg yet" },
	{ .name = "others", .type = DIRECTOR_P_STRING, .flags = DIRECTOR_PF_LIVE, .help = "with fresh: the claims of other legs" },
	{ .name = NULL },
};

/* ---- requests ---- */

static struct req *req_get(struct lun *l)
{
	struct req *r;

	pthread_mutex_lock(&l->lock);
	r = l->free;
	if (r)
		l->free = r->next;
	pthread_mutex_unlock(&l->lock);
	if (!r && (r = calloc(1, sizeof(*r))))
		r->lun = l;
	return r;
}

static int settled(struct req *r, int result);

void req_end(struct req *r, int result)
{
	struct lun *l = r->lun;
	struct director_io *io = r->io;

	result = settled(r, result);
	pthread_mutex_lock(&l->lock);
	r->next = l->free;
	l->free = r;
	pthread_mutex_unlock(&l->lock);
	l->host->io_done(l->host->arg, io, result);
}

void req_aborted(struct req *r)
{
	struct director_err *sense = r->io->sense;

	if (sense) {
		sense->code = -EIO;
		sense->key = SENSE_ABORTED_COMMAND;
		sense->asc = sense->ascq = 0;
	}
	req_end(r, -EIO);
}

bool req_begun(const struct req *r)
{
	return r->at != r->io->offset;
}

static void cdb(struct req *r, uint8_t op, uint8_t flags, uint64_t lba, uint32_t blocks)
{
	struct director_iscsi_io *c = &r->cmd;

	memset(c->cdb, 0, sizeof(c->cdb));
	c->cdb_len = 16;
	c->cdb[0] = op;
	c->cdb[1] = flags;
	be_put(c->cdb + 2, lba, 8);
	be_put(c->cdb + 10, blocks, 4);
	c->in_len = c->out_len = c->n_in = c->n_out = 0;
	c->flags = DIRECTOR_ISCSI_REPEAT;
	c->lun = r->lun->number;
}

static bool changes(const struct director_io *io)
{
	return io->op == DIRECTOR_WRITE || io->op == DIRECTOR_WRITE_ZEROES || io->op == DIRECTOR_DISCARD;
}

/*
 * What was written to a leg must be there for the next owner, also when the target loses its power: nobody could say that it did.
 * And neither UNMAP nor WRITE SAME has a bit for what is to be stable at once.
 */
static bool settles(const struct req *r)
{
	const struct lun *l = r->lun;
	const struct director_io *io = r->io;

	if (!l->disk.write_cache || r->settling || !changes(io) || (io->op == DIRECTOR_WRITE && l->disk.fua))
		return false;
	return l->claim.on || (io->op != DIRECTOR_WRITE && io->flags & DIRECTOR_IOF_FUA);
}

static uint8_t rw_flags(const struct director_io *io)
{
	return (io->flags & DIRECTOR_IOF_DPO ? 0x10 : 0) | (io->flags & DIRECTOR_IOF_FUA ? 0x08 : 0);
}

/* SBC-3 5.28: one descriptor. */
static void unmap(struct req *r, uint64_t lba, uint32_t blocks)
{
	struct director_iscsi_io *c = &r->cmd;

	cdb(r, 0x42, 0, 0, 0);
	c->cdb_len = 10;
	c->cdb[8] = sizeof(r->param);
	memset(r->param, 0, sizeof(r->param));
	r->param[1] = 22;
	r->param[3] = 16;
	be_put(r->param + 8, lba, 8);
	be_put(r->param + 16, blocks, 4);
	r->one = (struct iovec){ r->param, sizeof(r->param) };
	c->out = &r->one;
	c->n_out = 1;
	c->out_len = sizeof(r->param);
}

static void write_same(struct req *r, uint64_t lba, uint32_t blocks)
{
	struct lun *l = r->lun;
	struct director_iscsi_io *c = &r->cmd;

	cdb(r, 0x93, r->io->flags & DIRECTOR_IOF_MAY_UNMAP && l->disk.write_same && l->disk.zeroes ? 0x08 : 0, lba, blocks);
	r->one = (struct iovec){ l->zeroes, l->disk.block_size };
	c->out = &r->one;
	c->n_out = 1;
	c->out_len = l->disk.block_size;
}

static void compare_and_write(struct req *r, uint64_t lba, uint32_t blocks)
{
	struct director_iscsi_io *c = &r->cmd;
	struct director_io *io = r->io;

	cdb(r, 0x89, rw_flags(io), lba, 0);
	c->cdb[13] = (uint8_t)blocks;
	c->out = (const struct iovec *)io->iov;
	c->n_out = io->n_iov;
	c->out_len = (uint32_t)io->len * 2;
	/* Done twice, the second one would miscompare with what the first one wrote. */
	c->flags = 0;
}

static void get_lba_status(struct req *r, uint64_t lba)
{
	struct director_iscsi_io *c = &r->cmd;

	cdb(r, 0x9e, 0x12, lba, 0);
	c->cdb[13] = sizeof(r->data);
	r->one = (struct iovec){ r->data, sizeof(r->data) };
	c->in = &r->one;
	c->n_in = 1;
	c->in_len = sizeof(r->data);
}

/* How much of a discard or of zeroes the target takes at a time, in bytes. */
static uint64_t piece_of(const struct lun *l, uint16_t op)
{
	uint64_t blocks = op == DIRECTOR_DISCARD ? l->disk.max_unmap : l->disk.max_write_same, most = UINT32_MAX;

	if (!blocks || blocks > most)
		blocks = most;
	return blocks * l->disk.block_size;
}

static uint32_t sums_len(const struct director_io *io)
{
	return (uint32_t)((io->len + DIRECTOR_CHECKSUM_GROUP - 1) / DIRECTOR_CHECKSUM_GROUP * DIRECTOR_CHECKSUM_SIZE);
}

static void req_go(struct req *r, uint64_t now);

void req_send(struct req *r)
{
	struct lun *l = r->lun;
	struct director_io *io = r->io;
	uint32_t bs = l->disk.block_size;
	uint64_t now = l->host->now_ns(l->host->arg), lba = r->at / bs;

	if (now >= r->deadline_ns) {
		req_end(r, l->inner.lazy && !req_begun(r) ? -EAGAIN : -ETIMEDOUT);
		return;
	}
	r->settling = false;
	switch (io->op) {
	case DIRECTOR_READ:
		cdb(r, 0x88, rw_flags(io) & 0x10, lba, (uint32_t)(io->len / bs));
		r->cmd.in = (const struct iovec *)io->iov;
		r->cmd.n_in = io->n_iov;
		r->cmd.in_len = (uint32_t)io->len;
		break;
	case DIRECTOR_WRITE:
		cdb(r, 0x8a, rw_flags(io) | (l->claim.on && l->disk.write_cache && l->disk.fua ? 0x08 : 0), lba, (uint32_t)(io->len / bs));
		r->cmd.out = (const struct iovec *)io->iov;
		r->cmd.n_out = io->n_iov;
		r->cmd.out_len = (uint32_t)io->len;
		break;
	case DIRECTOR_FLUSH:
		cdb(r, 0x91, 0, 0, 0);
		break;
	case DIRECTOR_DISCARD:
	case DIRECTOR_WRITE_ZEROES:
		r->piece = r->left < piece_of(l, io->op) ? r->left : piece_of(l, io->op);
		if (io->op == DIRECTOR_DISCARD)
			unmap(r, lba, (uint32_t)(r->piece / bs));
		else
			write_same(r, lba, (uint32_t)(r->piece / bs));
		break;
	case DIRECTOR_COMPARE_AND_WRITE:
		compare_and_write(r, lba, (uint32_t)(io->len / bs));
		break;
	case DIRECTOR_CHECKSUM:
		cdb(r, 0xc1, 0, lba, (uint32_t)(io->len / bs));
		r->cmd.in = (const struct iovec *)io->iov;
		r->cmd.n_in = io->n_iov;
		r->cmd.in_len = sums_len(io);
		break;
	default:
		get_lba_status(r, lba);
	}
	req_go(r, now);
}

static void req_go(struct req *r, uint64_t now)
{
	struct lun *l = r->lun;

	r->cmd.timeout_ms = (uint32_t)((r->deadline_ns - now) / 1000000u + 1);
	if (!inner_repeats(r))
		r->cmd.flags &= ~DIRECTOR_ISCSI_REPEAT;
	if (l->inner.on)
		inner_send(r);
	else
		director_iscsi_submit(l->h, &r->cmd);
}

/* It is done: now it is made stable. */
static void req_settle(struct req *r)
{
	uint64_t now = r->lun->host->now_ns(r->lun->host->arg);

	if (now >= r->deadline_ns) {
		req_end(r, -ETIMEDOUT);
		return;
	}
	r->settling = true;
	cdb(r, 0x91, 0, 0, 0);
	req_go(r, now);
}

static void again(void *arg)
{
	req_send(arg);
}

void req_again(struct req *r, uint32_t ms)
{
	struct lun *l = r->lun;

	if (!ms)
		req_send(r);
	else if (l->host->after_ms(l->host->arg, ms, again, r) < 0)
		req_end(r, -ENOMEM);
}

/* ---- answers ---- */

static void resized(struct lun *l)
{
	/* The size is asked for outside of the loop's thread when the host looks again; here only the fact is known. */
	l->host->log(l->host->arg, DIRECTOR_LOG_INFO, "the target says that the capacity has changed; reopen to use it");
}

/* A LUN of somebody else, with a cache that goes with its power. Ways inside of the cluster are looked after otherwise. */
static bool forgets(const struct lun *l)
{
	return !l->inner.on && l->disk.write_cache && !l->trust;
}

/*
 * 29h: power on, or a reset of the device by itself; also what most targets say first in any new session. Not those that keep the
 * cache: resets that were asked for, and a lost nexus.
 */
static bool started_anew(const struct director_iscsi_io *c)
{
	return c->sense_key == SENSE_UNIT_ATTENTION && c->asc == 0x29 && (c->ascq <= 1 || c->ascq == 4);
}

static void doubt(struct lun *l)
{
	const struct director_host *host = l->host;

	if (!forgets(l) || !unstable_lost(&l->unstable))
		return;
	host->log(host->arg, DIRECTOR_LOG_WARN, "the target may have started anew: what was written and not flushed may be lost");
	host->event(host->arg, l->owner, DIRECTOR_EV_FORGOT, unstable_life(&l->unstable), 0);
}

/* The target's answer: what is known of its cache now. */
static int settled(struct req *r, int result)
{
	struct lun *l = r->lun;
	struct director_io *io = r->io;

	if (!forgets(l))
		return result;
	if (result == 0 && (io->op == DIRECTOR_FLUSH || r->settling))
		return unstable_flushed(&l->unstable, &r->mark);
	/* One that failed may have been done in part. */
	if ((changes(io) || io->op == DIRECTOR_COMPARE_AND_WRITE) && (result || !(io->flags & DIRECTOR_IOF_FUA)))
		unstable_changed(&l->unstable);
	return result;
}

static void refused(struct req *r)
{
	struct director_iscsi_io *c = &r->cmd;
	struct director_io *io = r->io;
	struct lun *l = r->lun;
	struct director_iscsi_verdict o = director_iscsi_judge(c);

	if (started_anew(c))
		doubt(l);
	if (o.retry) {
		if (c->sense_key == SENSE_UNIT_ATTENTION && c->asc == 0x2a && c->ascq == 0x09)
			resized(l);
		req_again(r, o.retry_ms);
		return;
	}
	if (io->op == DIRECTOR_FLUSH && o.error == -EOPNOTSUPP && !l->disk.write_cache) {
		req_end(r, 0);
		return;
	}
	if (o.error == -EILSEQ)
		io->at = o.information;
	if (c->sense_key == SENSE_MEDIUM_ERROR)
		l->host->event(l->host->arg, l->owner, DIRECTOR_EV_MEDIA_ERROR, io->offset, 0);
	if (io->sense) {
		io->sense->code = o.error;
		io->sense->key = o.sense ? c->sense_key : 0;
		io->sense->asc = c->asc;
		io->sense->ascq = c->ascq;
		director_iscsi_io_text(c, io->sense->text, sizeof(io->sense->text));
	}
	req_end(r, o.error);
}

static void extents(struct req *r)
{
	struct director_io *io = r->io;
	uint32_t bs = r->lun->disk.block_size;
	uint64_t run;

	if (r->cmd.got < 24 || be_get(r->data + 8, 8) * bs != io->offset) {
		req_end(r, -EIO);
		return;
	}
	run = be_get(r->data + 16, 4) * bs;
	io->at = run && run < io->len ? run : io->len;
	io->flags_out = (r->data[20] & 15) == 1 ? DIRECTOR_EXT_HOLE : 0;
	req_end(r, 0);
}

static void req_done(struct director_iscsi_io *c)
{
	struct req *r = c->user;
	struct director_io *io = r->io;

	if (r->lun->inner.on && inner_done(r))
		return;
	if (c->result == 0 && c->status) {
		refused(r);
	} else if (c->result) {
		req_end(r, c->result);
	} else if ((io->op == DIRECTOR_READ && c->got != io->len) || (io->op == DIRECTOR_CHECKSUM && c->got != sums_len(io))) {
		req_end(r, -EIO);
	} else if (io->op == DIRECTOR_EXTENTS) {
		extents(r);
	} else if ((io->op == DIRECTOR_DISCARD || io->op == DIRECTOR_WRITE_ZEROES) && r->left > r->piece && !r->settling) {
		r->left -= r->piece;
		r->at += r->piece;
		req_send(r);
	} else if (settles(r)) {
		req_settle(r);
	} else {
		req_end(r, 0);
	}
}

static void iscsi_submit(void *obj, struct director_io *io)
{
	struct lun *l = obj;
	struct req *r;

	if ((io->op == DIRECTOR_DISCARD && !l->disk.unmap) || (io->op == DIRECTOR_EXTENTS && !l->extents) ||
		(io->op == DIRECTOR_CHECKSUM && io->len > CHECKSUM_MAX) ||
		(io->op == DIRECTOR_COMPARE_AND_WRITE && io->len / l->disk.block_size > l->disk.caw_blocks)) {
		l->host->io_done(l->host->arg, io, -EOPNOTSUPP);
		return;
	}
	loop_used(&l->seat, io->op == DIRECTOR_READ || io->op == DIRECTOR_WRITE ? io->len : 0);
	r = req_get(l);
	if (!r) {
		l->host->io_done(l->host->arg, io, -ENOMEM);
		return;
	}
	r->io = io;
	r->at = io->offset;
	r->left = r->piece = io->len;
	r->mark = unstable_mark(&l->unstable);
	r->cmd.user = r;
	r->cmd.done = req_done;
	r->deadline_ns = l->host->now_ns(l->host->arg) + l->timeout_ms * 1000000ull;
	req_send(r);
}

static void iscsi_plug(void *obj)
{
	struct lun *l = obj;

	loop_plug(&l->seat);
}

static void iscsi_unplug(void *obj)
{
	struct lun *l = obj;

	loop_unplug(&l->seat);
}

/* ---- the life of an object ---- */

void path_event(struct lun *l, bool up, const char *text)
{
	char line[256];

	if (up == !l->lost)
		return;
	l->lost = !up;
	snprintf(line, sizeof(line), up ? "path back: %s" : "path lost: %s", text);
	l->host->log(l->host->arg, up ? DIRECTOR_LOG_INFO : DIRECTOR_LOG_WARN, line);
	l->host->event(l->host->arg, l->owner, up ? DIRECTOR_EV_PATH_BACK : DIRECTOR_EV_PATH_LOST, 0, 0);
}

static void on_event(void *arg, struct director_iscsi *h, const struct director_iscsi_event *ev)
{
	struct lun *l = arg;

	if (l->inner.on)
		inner_event(l, h, ev);
	else if (ev->kind == DIRECTOR_ISCSI_DOWN)
		path_event(l, false, ev->text);
	else if (ev->kind == DIRECTOR_ISCSI_UP)
		path_event(l, true, ev->text);
}

static uint32_t digest(const char *s)
{
	return s[0] == 'n' ? DIRECTOR_ISCSI_DIGEST_NONE : s[0] == 'p' ? DIRECTOR_ISCSI_DIGEST_PREFER : DIRECTOR_ISCSI_DIGEST_REQUIRE;
}

int session_open(struct lun *l, const struct place *place)
{
	const char *portals[PORTALS_MAX + 1];
	struct director_iscsi_conf c = l->conf;
	unsigned n = 0;
	char *text = strdup(place->portal ? place->portal : ""), *p;
	int r;

	if (!text)
		return -ENOMEM;
	for (char *q = strtok_r(text, ", ", &p); q && n < PORTALS_MAX; q = strtok_r(NULL, ", ", &p))
		portals[n++] = q;
	portals[n] = NULL;
	c.portals = portals;
	c.user = place->user;
	c.secret = place->secret;
	r = n ? director_iscsi_open(l->seat.loop, &c, &l->h) : -EINVAL;
	free(text);
	return r;
}

/*
 * Another node: one connection, and digests. Of a leg whatever is lost is our business: the mirror is the only one that writes
 * it, in an order of its own. Others write what a forward writes, too, so its commands are saved with their session.
 */
static int inner_conf(struct lun *l, const struct director_conf *conf)
{
	struct director_iscsi_conf *c = &l->conf;
	bool lazy = conf->get_uint(conf, "lazy", 0);

	l->inner.lazy = lazy;
	c->header_digest = c->data_digest = DIRECTOR_ISCSI_DIGEST_REQUIRE;
	c->connections = 1;
	c->erl = lazy ? 2 : 0;
	c->flags |= lazy ? DIRECTOR_ISCSI_F_LAST_WORD : 0;
	c->time2retain = lazy ? FORWARD_RETAIN_S : 0;
	c->login_ms = INNER_LOGIN_MS;
	c->command_ms = INNER_LOGIN_MS;
	c->retry_max_ms = INNER_RETRY_MS;
	c->ping_ms = (uint32_t)conf->get_uint(conf, "ping", lazy ? FORWARD_PING_MS : INNER_PING_MS);
	l->timeout_ms = (uint32_t)conf->get_uint(conf, "timeout", lazy ? FORWARD_TIMEOUT_MS : LEG_TIMEOUT_MS);
	/* Always the same: whoever logs in again finds what the last session had under way ended. 11.12.5: random. */
	if (getrandom(c->isid, sizeof(c->isid), 0) != (ssize_t)sizeof(c->isid))
		return -EIO;
	c->isid[0] = 0x80;
	return 0;
}

/* A leg on a foreign target: a lost session is our business too, and what was sent on it is not sent again by itself. */
static int leg_conf(struct lun *l, const struct director_conf *conf)
{
	/* What every target knows comes first: some take others for what they are not (tgt: 7 for SHA-1). */
	static const uint8_t chap[4] = { DIRECTOR_ISCSI_CHAP_MD5, DIRECTOR_ISCSI_CHAP_SHA3_256, DIRECTOR_ISCSI_CHAP_SHA256,
		DIRECTOR_ISCSI_CHAP_SHA1 };
	struct director_iscsi_conf *c = &l->conf;

	memcpy(c->chap, chap, sizeof(chap));
	c->connections = 1;
	c->erl = 0;
	c->time2retain = 0;
	c->login_ms = INNER_LOGIN_MS;
	c->command_ms = INNER_LOGIN_MS;
	c->retry_max_ms = INNER_RETRY_MS;
	c->ping_ms = (uint32_t)conf->get_uint(conf, "ping", CLAIM_PING_MS);
	l->timeout_ms = (uint32_t)conf->get_uint(conf, "timeout", LEG_TIMEOUT_MS);
	if (getrandom(c->isid, sizeof(c->isid), 0) != (ssize_t)sizeof(c->isid))
		return -EIO;
	c->isid[0] = 0x80;
	return 0;
}

static int session_conf(struct lun *l, const struct director_conf *conf)
{
	struct director_iscsi_conf *c = &l->conf;
	const char *target = conf->get(conf, "target"), *initiator = conf->get(conf, "initiator");

	director_iscsi_conf_init(c);
	c->target = target ? strdup(target) : NULL;
	c->initiator = initiator ? strdup(initiator) : NULL;
	c->target_user = conf->get(conf, "target-user");
	c->target_secret = conf->get(conf, "target-secret");
	c->header_digest = digest(conf->get(conf, "header-digest"));
	c->data_digest = digest(conf->get(conf, "data-digest"));
	c->connections = (uint16_t)conf->get_uint(conf, "connections", 1);
	c->erl = (uint16_t)conf->get_uint(conf, "erl", 2);
	c->queue_depth = (uint32_t)conf->get_uint(conf, "queue-depth", 128);
	c->ping_ms = (uint32_t)conf->get_uint(conf, "ping", 5000);
	c->event = on_event;
	c->arg = l;
	place_set(&l->inner.want, conf);
	l->number = conf->get_uint(conf, "lun", 0);
	l->timeout_ms = (uint32_t)conf->get_uint(conf, "timeout", 30000);
	if (l->claim.on)
		return leg_conf(l, conf);
	return l->inner.on ? inner_conf(l, conf) : 0;
}

void lun_free(struct lun *l)
{
	struct req *r;

	director_iscsi_close(&l->h, CLOSE_MS);
	loop_put(&l->seat);
	while ((r = l->free)) {
		l->free = r->next;
		free(r);
	}
	pthread_cond_destroy(&l->claim.cond);
	pthread_mutex_destroy(&l->inner.control);
	pthread_mutex_destroy(&l->lock);
	place_fini(&l->inner.want);
	free((char *)l->conf.target);
	free((char *)l->conf.initiator);
	free(l->zeroes);
	free(l);
}

/* Does GET LBA STATUS work? */
static bool has_extents(struct lun *l)
{
	struct req *r = calloc(1, sizeof(*r));
	bool yes;

	if (!r)
		return false;
	r->lun = l;
	get_lba_status(r, 0);
	yes = director_iscsi_do(l->h, &r->cmd) == 0 && r->cmd.status == 0;
	free(r);
	return yes;
}

/* What the unit is, by what we are told of it. */
static int disk_told(struct lun *l, const struct director_conf *conf)
{
	struct director_iscsi_disk *d = &l->disk;
	uint32_t bs = (uint32_t)conf->get_uint(conf, "block-size", 512);
	uint64_t size = conf->get_uint(conf, "size", 0);
	bool thin = conf->get_uint(conf, "thin", 0);

	*d = (struct director_iscsi_disk){ .struct_size = sizeof(*d), .block_size = bs, .physical_block = 4096, .blocks = size / bs,
		.write_cache = 1, .fua = 1, .thin = thin, .unmap = thin, .write_same = thin, .zeroes = 1,
		.caw_blocks = OUR_CAW_BLOCKS, .max_unmap = OUR_UNMAP_BLOCKS, .unmap_granularity = 4096 / bs,
		.max_write_same = OUR_SAME_BLOCKS };
	l->extents = thin;
	return size ? 0 : -EINVAL;
}

static int disk_asked(struct lun *l, const struct director_conf *conf, char *why, size_t n)
{
	int wait = (int)conf->get_uint(conf, "open-timeout", l->claim.on ? CLAIM_OPEN_MS : l->inner.on ? INNER_OPEN_MS : 10000), r;
	uint64_t session = 0;

	r = director_iscsi_wait(l->h, wait, why, n);
	if (r == 0 && l->claim.on) {
		session = claim_session(l);
		r = claim_make(l, why, n);
	}
	if (r == 0) {
		l->disk.struct_size = sizeof(l->disk);
		r = director_iscsi_get_disk(l->h, l->number, &l->disk, why, n);
	}
	if (r == 0 && (l->disk.type != 0 || (l->disk.block_size != 512 && l->disk.block_size != 4096))) {
		snprintf(why, n, "the LUN is not a disk with blocks of 512 or 4096 bytes");
		r = -EINVAL;
	}
	if (r == 0)
		l->extents = l->disk.thin && has_extents(l);
	if (r == 0 && l->claim.on && (r = claim_opened(l, why, n)) == 0)
		inner_claimed(l, 0, session);
	if (r == 0 && l->inner.on && (r = inner_opened(l)) < 0)
		snprintf(why, n, "it does not say what an inner unit says");
	return l->inner.on && inner_is_stale(l) ? -ESTALE : r;
}

static int iscsi_open(void *priv, const struct director_conf *conf, void *owner, uint64_t epoch, void **obj,
	struct director_err *err)
{
	struct lun *l = calloc(1, sizeof(*l));
	struct place place = { NULL, NULL, NULL };
	char why[240] = "a name, an address or a secret is not valid";
	int r;

	if (!l)
		return -ENOMEM;
	l->host = priv;
	l->owner = owner;
	unstable_init(&l->unstable);
	l->trust = conf->get_uint(conf, "trust", 0);
	pthread_mutex_init(&l->lock, NULL);
	inner_init(l);
	r = claim_conf(l, conf, epoch);
	l->inner.on = l->claim.on || conf->get_uint(conf, "inner", 0);
	if (r == 0)
		r = session_conf(l, conf);
	if (r == 0)
		r = loop_get(&l->seat);
	if (r == 0 && l->inner.lazy)
		r = disk_told(l, conf);
	/* It may have lost what was written and not flushed: doubt(). */
	if (!l->inner.on && !l->trust)
		l->conf.flags |= DIRECTOR_ISCSI_F_ATTENTIONS;
	/* A node that is not there now is asked again by who wants it. */
	if (l->inner.on && !l->inner.lazy)
		l->conf.flags |= DIRECTOR_ISCSI_F_ONCE;
	place_set(&place, conf);
	if (r == 0)
		r = session_open(l, &place);
	place_fini(&place);
	if (r == 0 && !l->inner.lazy)
		r = disk_asked(l, conf, why, sizeof(why));
	if (r == 0 && !(l->zeroes = calloc(1, l->disk.block_size)))
		r = -ENOMEM;
	l->conf.target_user = l->conf.target_secret = NULL;
	if (r < 0) {
		if (l->inner.on)
			inner_end(l);
		else
			lun_free(l);
		return fail(err, r, "%s", why);
	}
	*obj = l;
	return 0;
}

static int iscsi_caps(void *obj, struct director_caps *c)
{
	struct lun *l = obj;
	const struct director_iscsi_disk *d = &l->disk;
	uint32_t max = d->max_blocks && (uint64_t)d->max_blocks * d->block_size < MAX_IO ? d->max_blocks * d->block_size : MAX_IO;

	c->flags = DIRECTOR_CAP_FLUSH | DIRECTOR_CAP_MULTI_WRITER | (d->max_write_same || d->write_same ? DIRECTOR_CAP_ZERO : 0) |
		(d->read_only ? DIRECTOR_CAP_READ_ONLY : 0);
	/* What nodes say of a volume must not depend on what a leg like this can: it is never thin, and has no cache (settles()). */
	if (!l->claim.on)
		c->flags |= (d->write_cache ? DIRECTOR_CAP_WRITE_CACHE : 0) | (d->fua ? DIRECTOR_CAP_FUA : 0) |
			(d->unmap ? DIRECTOR_CAP_DISCARD : 0) | (d->unmap && d->zeroes ? DIRECTOR_CAP_DISCARD_ZEROES : 0) |
			(d->caw_blocks ? DIRECTOR_CAP_CAW : 0) | (l->extents ? DIRECTOR_CAP_EXTENTS : 0) |
			(l->inner.on ? DIRECTOR_CAP_CHECKSUM : 0);
	c->size = l->claim.limit ? l->claim.limit / d->block_size * d->block_size : d->blocks * d->block_size;
	c->block_size = d->block_size;
	c->physical_block = d->physical_block < d->block_size ? d->block_size : d->physical_block;
	c->align = 1;
	c->max_io = max;
	c->discard_granularity = (d->unmap_granularity ? d->unmap_granularity : 1) * d->block_size;
	c->optimal_io = d->optimal_blocks && (uint64_t)d->optimal_blocks * d->block_size <= max ? d->optimal_blocks * d->block_size : 0;
	if (l->inner.on && c->struct_size >= offsetof(struct director_caps, life) + sizeof(c->life))
		c->life = l->claim.on ? (inner_life(l), CLAIM_LIFE) : inner_life(l);
	else if (forgets(l) && c->struct_size >= offsetof(struct director_caps, life) + sizeof(c->life))
		c->life = unstable_life(&l->unstable);
	return 0;
}

static int iscsi_reconfigure(void *obj, const struct director_conf *conf, struct director_err *err)
{
	struct lun *l = obj;

	if (l->inner.on)
		return inner_reconfigure(l, conf);
	return place_is(&l->inner.want, conf) ? 0 : fail(err, -EBUSY, "only the way to another node can change while it is open");
}

/* The size is the target's: how long is it by now? */
static int iscsi_resize(void *obj, uint64_t size, struct director_err *err)
{
	struct lun *l = obj;
	struct director_iscsi_disk now = { .struct_size = sizeof(now) };
	char why[240];
	int r;

	if (l->inner.lazy) {
		l->disk.blocks = size / l->disk.block_size;
		return 0;
	}
	pthread_mutex_lock(&l->inner.control);
	r = l->h ? director_iscsi_get_disk(l->h, l->number, &now, why, sizeof(why)) : -ENOTCONN;
	pthread_mutex_unlock(&l->inner.control);
	if (r < 0)
		return fail(err, r, "%s", why);
	l->disk.blocks = now.blocks;
	if (now.blocks * l->disk.block_size >= size) {
		if (l->claim.on)
			l->claim.limit = size;
		return 0;
	}
	/* A leg will have it; nobody else is told. */
	return fail(err, l->inner.on ? -EAGAIN : -EOPNOTSUPP, "the unit has another size");
}

static int iscsi_stop(void *obj, uint32_t how, struct director_err *err)
{
	struct lun *l = obj;

	(void)err;
	if (l->inner.on && how == DIRECTOR_STOP_LOST)
		inner_lose(l);
	return 0;
}

static void iscsi_close(void *obj)
{
	struct lun *l = obj;

	if (l->inner.on)
		inner_end(l);
	else
		lun_free(l);
}

static int iscsi_check(void *priv, const struct director_conf *conf, struct director_err *err)
{
	bool inner = conf->get_uint(conf, "inner", 0), lazy = conf->get_uint(conf, "lazy", 0);
	uint64_t bs = conf->get_uint(conf, "block-size", 512);

	(void)priv;
	if (conf->get(conf, "target-secret") && !conf->get(conf, "secret"))
		return fail(err, -EINVAL, "target-secret needs secret: mutual CHAP has both");
	if (conf->get(conf, "claim") && inner)
		return fail(err, -EINVAL, "another node sees to its claims itself");
	if (inner && !conf->get(conf, "secret"))
		return fail(err, -EINVAL, "inner needs user and secret");
	if (lazy && (!inner || !conf->get_uint(conf, "size", 0)))
		return fail(err, -EINVAL, "lazy needs inner and size");
	return bs == 512 || bs == 4096 ? 0 : fail(err, -EINVAL, "block-size is 512 or 4096");
}

static int iscsi_init(const struct director_host *host, void **priv)
{
	*priv = (void *)host;
	return 0;
}

static const struct director_backstore_ops ops = {
	.struct_size = sizeof(ops),
	.threads = DIRECTOR_THREADS_ASYNC,
	.threads_flags = DIRECTOR_THREADS_TURNS,
	.thread_fd = loop_thread_fd,
	.reap = loop_reap,
	.thread_exit = loop_thread_exit,
	.check = iscsi_check,
	.open = iscsi_open,
	.caps = iscsi_caps,
	.submit = iscsi_submit,
	.plug = iscsi_plug,
	.unplug = iscsi_unplug,
	.reconfigure = iscsi_reconfigure,
	.resize = iscsi_resize,
	.close = iscsi_close,
	.stop = iscsi_stop,
};

DIRECTOR_PLUGIN(.kind = DIRECTOR_BACKSTORE, .name = "iscsi", .version = "1", .license = "Apache-2.0",
	.summary = "a LUN of an iSCSI target", .params = params, .init = iscsi_init, .backstore = &ops);
