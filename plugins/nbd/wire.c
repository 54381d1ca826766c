/* SPDX-License-Identifier: Apache-2.0 */
/* One connection to an NBD server, and the thread that runs it. */
#include "config.h"

#include "plugins/nbd/nbd.h"

#include <errno.h>
#include <libnbd.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SENT_MAX 128            /* commands handed to libnbd; the others wait here */
#define PIECE_MAX (1ull << 30)  /* of zeroing, discard and extents: NBD counts in 32 bits */
#define LOOK_MS 250             /* how often it is looked for I/Os whose time is over */
#define BACK_OFF_FIRST_MS 50
#define BACK_OFF_LAST_MS 2000

static uint64_t now_ns(const struct wire *w)
{
	return w->disk->host->now_ns(w->disk->host->arg);
}

static void move(struct reqs *from, struct reqs *to, struct req *r)
{
	TAILQ_REMOVE(from, r, link);
	TAILQ_INSERT_TAIL(to, r, link);
}

/* ---- one I/O ---- */

static void scatter(const struct director_io *io, const char *from)
{
	for (uint32_t i = 0; i < io->n_iov; from += io->iov[i++].len)
		memcpy(io->iov[i].base, from, io->iov[i].len);
}

static void gather(const struct director_io *io, char *to)
{
	for (uint32_t i = 0; i < io->n_iov; to += io->iov[i++].len)
		memcpy(to, io->iov[i].base, io->iov[i].len);
}

static bool changes(const struct director_io *io)
{
	return io->op == DIRECTOR_WRITE || io->op == DIRECTOR_WRITE_ZEROES || io->op == DIRECTOR_DISCARD;
}

/* The server's answer: what is known of the cache now. */
static int32_t settled(struct req *r, int32_t result)
{
	struct nbd_disk *d = r->wire->disk;

	if (!nbd_forgets(d))
		return result;
	if (r->io->op == DIRECTOR_FLUSH)
		return result == 0 ? unstable_flushed(&d->unstable, &r->mark) : result;
	/* One that failed may have been done in part. */
	if (changes(r->io) && !(result == 0 && r->io->flags & DIRECTOR_IOF_FUA && d->flags & DIRECTOR_CAP_FUA))
		unstable_changed(&d->unstable);
	return result;
}

static void req_end(struct reqs *list, struct req *r, int32_t result)
{
	const struct director_host *host = r->wire->disk->host;
	struct director_io *io = r->io;

	result = settled(r, result);
	TAILQ_REMOVE(list, r, link);
	if (result == 0 && r->bounce && io->op == DIRECTOR_READ)
		scatter(io, r->bounce);
	if (result == -EIO && (io->op == DIRECTOR_READ || io->op == DIRECTOR_WRITE))
		host->event(host->arg, r->wire->disk->owner, DIRECTOR_EV_MEDIA_ERROR, io->offset, 0);
	else if (result == -ENOSPC)
		host->event(host->arg, r->wire->disk->owner, DIRECTOR_EV_SPACE_LOW, 0, 0);
	free(r->bounce);
	free(r);
	host->io_done(host->arg, io, result);
}

/* libnbd's callback. The handle is locked here, so it is only noted. */
static int on_done(void *user, int *error)
{
	struct req *r = user;

	r->over = true;
	/* What the protocol's "not permitted" means: the export is read only. */
	r->result = *error == EPERM ? -EROFS : -*error;
	return 1;
}

static int on_extents(void *user, const char *context, uint64_t offset, uint32_t *entries, size_t n, int *error)
{
	struct req *r = user;
	struct director_io *io = r->io;

	if (strcmp(context, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0 || offset != io->offset || n < 2)
		return 0;
	io->at = entries[0] < io->len ? entries[0] : io->len;
	io->flags_out = (entries[1] & (LIBNBD_STATE_HOLE | LIBNBD_STATE_ZERO)) ==
			(LIBNBD_STATE_HOLE | LIBNBD_STATE_ZERO) ? DIRECTOR_EXT_HOLE : 0;
	return 0;
}

static void *req_buffer(struct req *r)
{
	struct director_io *io = r->io;

	if (io->n_iov == 1)
		return io->iov[0].base;
	if (!r->bounce) {
		r->bounce = malloc(io->len);
		if (r->bounce && io->op == DIRECTOR_WRITE)
			gather(io, r->bounce);
	}
	return r->bounce;
}

/* Hand it to libnbd. A negative errno: it did not want it. */
static int req_send(struct req *r)
{
	struct nbd_handle *h = r->wire->h;
	struct director_io *io = r->io;
	nbd_completion_callback done = { .callback = on_done, .user_data = r };
	uint32_t fua = io->flags & DIRECTOR_IOF_FUA ? LIBNBD_CMD_FLAG_FUA : 0;
	uint64_t at = io->offset + r->done;
	bool data = io->op == DIRECTOR_READ || io->op == DIRECTOR_WRITE;
	void *buf = data ? req_buffer(r) : NULL;
	int64_t cookie = -1;

	if (data && !buf)
		return -ENOMEM;
	r->over = false;
	r->len = io->len - r->done;
	if (!data && r->len > PIECE_MAX)
		r->len = PIECE_MAX;
	switch (io->op) {
	case DIRECTOR_READ:
		cookie = nbd_aio_pread(h, buf, io->len, at, done, 0);
		break;
	case DIRECTOR_WRITE:
		cookie = nbd_aio_pwrite(h, buf, io->len, at, done, fua);
		break;
	case DIRECTOR_FLUSH:
		cookie = nbd_aio_flush(h, done, 0);
		break;
	case DIRECTOR_DISCARD:
		cookie = nbd_aio_trim(h, r->len, at, done, fua);
		break;
	case DIRECTOR_WRITE_ZEROES:
		cookie = nbd_aio_zero(h, r->len, at, done,
			fua | (io->flags & DIRECTOR_IOF_MAY_UNMAP ? 0 : LIBNBD_CMD_FLAG_NO_HOLE));
		break;
	case DIRECTOR_EXTENTS:
		io->at = 0;
		cookie = nbd_aio_block_status(h, r->len, at,
			(nbd_extent_callback){ .callback = on_extents, .user_data = r }, done, 0);
		break;
	default:
		return -EOPNOTSUPP;
	}
	return cookie < 0 ? -(nbd_get_errno() ? nbd_get_errno() : EIO) : 0;
}

/* ---- the connection ---- */

static bool alive(const struct wire *w)
{
	return w->h && nbd_aio_is_dead(w->h) != 1 && nbd_aio_is_closed(w->h) != 1;
}

static void event(struct wire *w, uint32_t kind)
{
	w->disk->host->event(w->disk->host->arg, w->disk->owner, kind, 0, 0);
}

/* The next connection may be to another process: nobody says whether it has what the last one had not flushed. */
static void doubt(struct nbd_disk *d)
{
	const struct director_host *host = d->host;

	if (!nbd_forgets(d) || !unstable_lost(&d->unstable))
		return;
	host->log(host->arg, DIRECTOR_LOG_WARN, "the connection is lost, and with it perhaps what was written and not flushed");
	host->event(host->arg, d->owner, DIRECTOR_EV_FORGOT, unstable_life(&d->unstable), 0);
}

/* All that was under way waits again, in its old order before what came later. */
static void drop(struct wire *w)
{
	struct req *r;

	nbd_close(w->h);
	w->h = NULL;
	w->connecting = false;
	while ((r = TAILQ_LAST(&w->sent, reqs)) != NULL) {
		TAILQ_REMOVE(&w->sent, r, link);
		TAILQ_INSERT_HEAD(&w->waiting, r, link);
	}
	w->n_sent = 0;
	doubt(w->disk);
	w->try_ns = now_ns(w) + w->back_off_ms * 1000000u;
	w->back_off_ms = w->back_off_ms * 2 < BACK_OFF_LAST_MS ? w->back_off_ms * 2 : BACK_OFF_LAST_MS;
	if (!w->lost && atomic_fetch_add(&w->disk->n_lost, 1) == 0)
		event(w, DIRECTOR_EV_PATH_LOST);
	w->lost = true;
}

/* The server may have been restarted with another size. */
static void look_again(struct wire *w)
{
	const struct director_host *host = w->disk->host;
	int64_t size = nbd_get_size(w->h);

	if (size > 0 && (uint64_t)size / w->disk->block_size * w->disk->block_size != w->disk->size) {
		w->disk->size = (uint64_t)size / w->disk->block_size * w->disk->block_size;
		host->event(host->arg, w->disk->owner, DIRECTOR_EV_RESIZED, w->disk->size, 0);
	}
	w->connecting = false;
	w->back_off_ms = BACK_OFF_FIRST_MS;
	if (w->lost && atomic_fetch_sub(&w->disk->n_lost, 1) == 1)
		event(w, DIRECTOR_EV_PATH_BACK);
	w->lost = false;
}

static struct nbd_handle *nbd_begin(const struct nbd_disk *d)
{
	struct nbd_handle *h = nbd_create();

	if (!h)
		return NULL;
	/* The host keeps to sizes and ranges already; read buffers need no clearing, an error is an error. */
	nbd_set_strict_mode(h, LIBNBD_STRICT_COMMANDS | LIBNBD_STRICT_FLAGS);
	nbd_set_pread_initialize(h, false);
	nbd_add_meta_context(h, LIBNBD_CONTEXT_BASE_ALLOCATION);
	if (d->certificates)
		nbd_set_tls_certificates(h, d->certificates);
	if (nbd_aio_connect_uri(h, d->uri) < 0) {
		nbd_close(h);
		return NULL;
	}
	return h;
}

static void connect_again(struct wire *w)
{
	w->h = nbd_begin(w->disk);
	w->connecting = w->h != NULL;
	if (!w->h) {
		w->try_ns = now_ns(w) + w->back_off_ms * 1000000u;
		w->back_off_ms = BACK_OFF_LAST_MS;
	}
}

struct nbd_handle *nbd_connect_wait(const struct nbd_disk *d, uint32_t ms, int *code, struct director_err *err)
{
	uint64_t until = d->host->now_ns(d->host->arg) + ms * 1000000ull, now = 0;
	struct nbd_handle *h = nbd_begin(d);
	int r = h ? 0 : -1;

	while (h && r >= 0 && nbd_aio_is_ready(h) == 0) {
		now = d->host->now_ns(d->host->arg);
		if (now >= until)
			break;
		r = nbd_poll(h, (int)((until - now) / 1000000u) + 1);
	}
	if (h && nbd_aio_is_ready(h) == 1)
		return h;
	if (r >= 0 && now >= until)
		*code = fail(err, -ETIMEDOUT, "%s: no answer within %u seconds", d->uri, ms / 1000);
	else
		*code = fail(err, nbd_get_errno() ? -nbd_get_errno() : -EIO, "%s: %s", d->uri,
			nbd_get_error() ? nbd_get_error() : "cannot be reached");
	nbd_close(h);
	return NULL;
}

/* ---- the thread ---- */

static bool take_fresh(struct wire *w)
{
	bool stop;

	pthread_mutex_lock(&w->lock);
	TAILQ_CONCAT(&w->waiting, &w->fresh, link);
	stop = w->stop;
	pthread_mutex_unlock(&w->lock);
	return !stop;
}

static void send_waiting(struct wire *w)
{
	struct req *r;
	int x;

	while (w->n_sent < SENT_MAX && (r = TAILQ_FIRST(&w->waiting)) != NULL && alive(w)) {
		x = req_send(r);
		if (x == 0) {
			move(&w->waiting, &w->sent, r);
			w->n_sent++;
		} else if (alive(w) && x != -ENOTCONN) {
			req_end(&w->waiting, r, x);
		} else {
			break;
		}
	}
}

/* Says whether the server still answers. */
static bool take_answers(struct wire *w)
{
	struct req *r, *next;

	for (r = TAILQ_FIRST(&w->sent); r; r = next) {
		next = TAILQ_NEXT(r, link);
		if (!r->over)
			continue;
		/* It says that it goes away: as if the connection had been cut. */
		if (r->result == -ESHUTDOWN || r->result == -ENOTCONN)
			return false;
		w->n_sent--;
		r->done += r->len;
		if (r->result == 0 && r->io->op == DIRECTOR_EXTENTS && r->io->at == 0)
			r->result = -EIO;
		if (r->result == 0 && r->io->op != DIRECTOR_EXTENTS && r->done < r->io->len)
			move(&w->sent, &w->waiting, r);
		else
			req_end(&w->sent, r, r->result);
	}
	return true;
}

/* The time of some is over: they fail. One that the server has costs the connection: NBD cannot take it back. */
static void expire(struct wire *w)
{
	uint64_t now = now_ns(w);
	struct req *r, *next;
	bool stuck = false;

	if (now < w->look_ns)
		return;
	w->look_ns = now + LOOK_MS * 1000000u;
	TAILQ_FOREACH(r, &w->sent, link)
		stuck = stuck || r->until_ns <= now;
	if (stuck)
		drop(w);
	for (r = TAILQ_FIRST(&w->waiting); r; r = next) {
		next = TAILQ_NEXT(r, link);
		if (r->until_ns <= now)
			req_end(&w->waiting, r, -ETIMEDOUT);
	}
}

static int wait_ms(const struct wire *w)
{
	uint64_t now = now_ns(w);
	int ms = TAILQ_EMPTY(&w->sent) && TAILQ_EMPTY(&w->waiting) ? -1 : LOOK_MS;

	if (!w->h) {
		int again = w->try_ns <= now ? 0 : (int)((w->try_ns - now) / 1000000u) + 1;

		if (ms < 0 || again < ms)
			ms = again;
	}
	return ms;
}

/* An error shows when the socket is used. */
static void notify(struct wire *w, short events)
{
	unsigned dir = nbd_aio_get_direction(w->h);

	if (events & POLLOUT && dir & LIBNBD_AIO_DIRECTION_WRITE && !(events & POLLIN))
		nbd_aio_notify_write(w->h);
	else if (dir & LIBNBD_AIO_DIRECTION_READ)
		nbd_aio_notify_read(w->h);
	else
		nbd_aio_notify_write(w->h);
}

static void wait_and_notify(struct wire *w)
{
	struct pollfd p[2] = { { .fd = w->bell, .events = POLLIN }, { .fd = -1 } };
	unsigned dir;
	uint64_t n;

	if (w->h) {
		dir = nbd_aio_get_direction(w->h);
		p[1].fd = nbd_aio_get_fd(w->h);
		p[1].events = (short)((dir & LIBNBD_AIO_DIRECTION_READ ? POLLIN : 0) |
			(dir & LIBNBD_AIO_DIRECTION_WRITE ? POLLOUT : 0));
	}
	if (poll(p, 2, wait_ms(w)) <= 0)
		return;
	if (p[0].revents && read(w->bell, &n, sizeof(n)) < 0)
		return;
	if (p[1].revents)
		notify(w, p[1].revents);
}

static void *wire_main(void *arg)
{
	struct wire *w = arg;

	while (take_fresh(w)) {
		if (!w->h && now_ns(w) >= w->try_ns)
			connect_again(w);
		if (w->connecting && nbd_aio_is_ready(w->h) == 1)
			look_again(w);
		if (w->h && !w->connecting)
			send_waiting(w);
		if (w->h && (!alive(w) || !take_answers(w)))
			drop(w);
		/* What the answers made room for. */
		if (w->h && !w->connecting)
			send_waiting(w);
		expire(w);
		wait_and_notify(w);
	}
	return NULL;
}

int wire_start(struct wire *w, struct nbd_disk *d, struct nbd_handle *h)
{
	int r;

	w->disk = d;
	w->h = h;
	w->back_off_ms = BACK_OFF_FIRST_MS;
	TAILQ_INIT(&w->fresh);
	TAILQ_INIT(&w->waiting);
	TAILQ_INIT(&w->sent);
	pthread_mutex_init(&w->lock, NULL);
	w->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = w->bell < 0 ? errno : pthread_create(&w->thread, NULL, wire_main, w);
	if (r) {
		if (w->bell >= 0)
			close(w->bell);
		nbd_close(h);
		pthread_mutex_destroy(&w->lock);
	}
	return -r;
}

static void ring(struct wire *w)
{
	ssize_t n = write(w->bell, &(uint64_t){ 1 }, 8);

	(void)n;                /* fails only when the counter is full: it rings all the same */
}

void wire_put(struct wire *w, struct director_io *io)
{
	const struct director_host *host = w->disk->host;
	struct req *r = calloc(1, sizeof(*r));
	bool first;

	if (!r) {
		host->io_done(host->arg, io, -ENOMEM);
		return;
	}
	r->io = io;
	r->wire = w;
	r->mark = unstable_mark(&w->disk->unstable);
	r->until_ns = host->now_ns(host->arg) + w->disk->timeout_ns;
	pthread_mutex_lock(&w->lock);
	first = TAILQ_EMPTY(&w->fresh);
	TAILQ_INSERT_TAIL(&w->fresh, r, link);
	pthread_mutex_unlock(&w->lock);
	if (first)
		ring(w);
}

void wire_end(struct wire *w)
{
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_mutex_unlock(&w->lock);
	ring(w);
	pthread_join(w->thread, NULL);
	if (alive(w) && !w->connecting)
		nbd_shutdown(w->h, 0);
	nbd_close(w->h);
	close(w->bell);
	pthread_mutex_destroy(&w->lock);
}
