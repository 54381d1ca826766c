/* SPDX-License-Identifier: Apache-2.0 */
/*
 * director-iscsi serve: a LUN as an NBD export. Each client has a thread that reads its requests; the answers are written by
 * another one, so that a client that does not read holds up nobody but itself.
 */
#include "config.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/be.h"
#include "base/unstable.h"
#include "initiator/nbd.h"
#include "initiator/tool.h"

#define CLIENTS_MAX 64
#define BYTES_MAX (64u << 20)           /* of one client's requests in work */
#define INPUT 65536
#define TRIES_MAX 1000                 /* of one piece that the target wants again */
#define PIECE_MAX (8u << 20)

struct serve {
	struct tool *t;
	struct director_iscsi_loop *loop;
	struct director_iscsi *h;
	struct director_iscsi_disk d;
	struct nbd_export export;
	uint32_t piece;
	uint8_t *zeroes;
	atomic_uint clients;
	bool trust;                     /* the target's cache outlives it */
	_Atomic uint64_t anew;          /* how often it may have started anew */
};

struct job {
	struct job *next;
	struct client *c;
	struct nbd_request req;
	struct director_iscsi_io io;
	struct iovec iov;
	uint64_t at;
	uint32_t left, piece;
	unsigned tries;
	uint64_t due_ns;                /* when it is sent again */
	bool settling;                  /* done, and is made stable */
	struct unstable_mark mark;
	uint8_t param[24];
	int error;
	uint8_t data[];
};

struct client {
	struct serve *s;
	int fd;
	struct nbd nbd;
	pthread_t writer;
	pthread_mutex_t lock;
	pthread_cond_t work, room;      /* an answer is there, or something to send again; one is gone */
	struct job *done, **done_tail;
	struct job *again;              /* the target wants them later */
	struct unstable unstable;       /* what it wrote */
	uint64_t anew;                  /* of serve.anew, that it has taken note of; of the loop's thread */
	uint64_t bytes;                 /* of jobs that are not answered */
	unsigned jobs;
	bool over;                      /* no request will come any more */
	bool broken;                    /* no answer can be sent any more */
	uint8_t in[INPUT];
	size_t have;
};

static atomic_bool stopping;

/* ---- the LUN's side ---- */

static void send_job(struct job *j)
{
	struct serve *s = j->c->s;
	struct director_iscsi_io *io = &j->io;
	uint32_t bs = s->d.block_size, limit = j->req.type == NBD_READ || j->req.type == NBD_WRITE ? s->piece : UINT32_MAX / bs * bs;
	uint64_t lba = j->at / bs;

	if (j->req.type == NBD_TRIM && s->d.max_unmap && (uint64_t)s->d.max_unmap * bs < limit)
		limit = s->d.max_unmap * bs;
	if (j->req.type == NBD_WRITE_ZEROES && s->d.max_write_same && s->d.max_write_same * bs < limit)
		limit = (uint32_t)s->d.max_write_same * bs;
	j->piece = j->left < limit ? j->left : limit;
	j->iov = (struct iovec){ j->data + (j->at - j->req.offset), j->piece };
	if (j->req.type == NBD_READ) {
		director_iscsi_prep_read(io, s->t->url.lun, lba, j->piece / bs, bs, &j->iov, 1);
	} else if (j->req.type == NBD_WRITE) {
		director_iscsi_prep_write(io, s->t->url.lun, lba, j->piece / bs, bs, &j->iov, 1);
		if (j->req.flags & NBD_FLAG_FUA)
			io->cdb[1] |= 0x08;
	} else {
		/* The CDB begins like a write's; then it becomes what it is. */
		director_iscsi_prep_write(io, s->t->url.lun, lba, j->piece / bs, bs, &j->iov, 1);
		io->out_len = 0;
		io->n_out = 0;
		if (j->req.type == NBD_FLUSH || j->settling) {
			memset(io->cdb, 0, sizeof(io->cdb));
			io->cdb[0] = 0x91;
		} else if (j->req.type == NBD_WRITE_ZEROES) {
			io->cdb[0] = 0x93;
			io->cdb[1] = !(j->req.flags & NBD_FLAG_NO_HOLE) && s->d.write_same && s->d.zeroes ? 0x08 : 0;
			j->iov = (struct iovec){ s->zeroes, bs };
			io->n_out = 1;
			io->out_len = bs;
		} else {
			memset(io->cdb, 0, sizeof(io->cdb));
			io->cdb[0] = 0x42;
			io->cdb[8] = sizeof(j->param);
			io->cdb_len = 10;
			memset(j->param, 0, sizeof(j->param));
			j->param[1] = 22;
			j->param[3] = 16;
			be_put(j->param + 8, lba, 8);
			be_put(j->param + 16, j->piece / bs, 4);
			j->iov = (struct iovec){ j->param, sizeof(j->param) };
			io->n_out = 1;
			io->out_len = sizeof(j->param);
		}
	}
	director_iscsi_submit(s->h, io);
}

static void answer(struct job *j, int error)
{
	struct client *c = j->c;

	j->error = error;
	j->next = NULL;
	pthread_mutex_lock(&c->lock);
	*c->done_tail = j;
	c->done_tail = &j->next;
	pthread_cond_signal(&c->work);
	pthread_mutex_unlock(&c->lock);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* The loop's thread does not wait: the client's does. */
static void later(struct job *j, uint32_t ms)
{
	struct client *c = j->c;

	if (!ms) {
		send_job(j);
		return;
	}
	j->due_ns = now_ns() + ms * 1000000ull;
	pthread_mutex_lock(&c->lock);
	j->next = c->again;
	c->again = j;
	pthread_cond_signal(&c->work);
	pthread_mutex_unlock(&c->lock);
}

static bool forgets(const struct serve *s)
{
	return s->d.write_cache && !s->trust;
}

static bool changes(const struct job *j)
{
	return j->req.type == NBD_WRITE || j->req.type == NBD_TRIM || j->req.type == NBD_WRITE_ZEROES;
}

/* What is known of the target's cache, with this answer. `stable`: what was changed is. */
static int settled(struct job *j, int error, bool stable)
{
	struct client *c = j->c;
	uint64_t anew = atomic_load(&c->s->anew);

	if (!forgets(c->s))
		return error;
	if (c->anew != anew && unstable_lost(&c->unstable))
		tool_say("the target may have started anew: what was written and not flushed may be lost");
	c->anew = anew;
	if (!error && (j->req.type == NBD_FLUSH || j->settling))
		return unstable_flushed(&c->unstable, &j->mark);
	if (changes(j) && (error || !stable))
		unstable_changed(&c->unstable);
	return error;
}

static void job_done(struct director_iscsi_io *io)
{
	struct job *j = io->user;
	struct serve *s = j->c->s;
	struct director_iscsi_verdict v = director_iscsi_judge(io);
	bool fua = j->req.flags & NBD_FLAG_FUA;

	if (tool_anew(io))
		atomic_fetch_add(&s->anew, 1);
	if (v.retry && j->tries++ < TRIES_MAX) {
		later(j, v.retry_ms);
		return;
	}
	if (v.retry)
		v.error = -EBUSY;
	if ((j->req.type == NBD_FLUSH || j->settling) && v.error == -EOPNOTSUPP && !s->d.write_cache)
		v.error = 0;
	if (!v.error && j->req.type == NBD_READ && io->got != j->piece)
		v.error = -EIO;
	j->at += j->piece;
	j->left -= j->piece;
	j->tries = 0;
	if (!v.error && j->left) {
		send_job(j);
		return;
	}
	/* WRITE SAME and UNMAP have no FUA. */
	if (!v.error && changes(j) && j->req.type != NBD_WRITE && fua && !j->settling && s->d.write_cache) {
		settled(j, 0, false);
		j->settling = true;
		j->mark = unstable_mark(&j->c->unstable);
		send_job(j);
		return;
	}
	answer(j, settled(j, v.error, fua));
}

/* ---- the client's side ---- */

static bool send_all(int fd, const void *p, size_t n)
{
	const uint8_t *b = p;

	while (n) {
		ssize_t k = send(fd, b, n, MSG_NOSIGNAL);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return false;
		b += k;
		n -= (size_t)k;
	}
	return true;
}

/* Those that are due are sent again; else it waits for the first of them, or for something to do. With the lock. */
static void wait_work(struct client *c)
{
	uint64_t now = now_ns(), first = UINT64_MAX;

	for (struct job **p = &c->again, *j; (j = *p); ) {
		if (j->due_ns <= now) {
			*p = j->next;
			pthread_mutex_unlock(&c->lock);
			send_job(j);
			pthread_mutex_lock(&c->lock);
			return;
		}
		first = j->due_ns < first ? j->due_ns : first;
		p = &j->next;
	}
	if (first == UINT64_MAX)
		pthread_cond_wait(&c->work, &c->lock);
	else
		pthread_cond_timedwait(&c->work, &c->lock,
			&(struct timespec){ .tv_sec = (time_t)(first / 1000000000u), .tv_nsec = (long)(first % 1000000000u) });
}

static void *writer_main(void *arg)
{
	struct client *c = arg;

	for (;;) {
		struct job *j;
		uint8_t head[16];

		pthread_mutex_lock(&c->lock);
		while (!c->done && !(c->over && !c->jobs))
			wait_work(c);
		j = c->done;
		if (j && !(c->done = j->next))
			c->done_tail = &c->done;
		pthread_mutex_unlock(&c->lock);
		if (!j)
			return NULL;
		nbd_reply(head, j->req.cookie, j->error < 0 ? nbd_error(j->error) : (uint32_t)j->error);
		if (!c->broken && (!send_all(c->fd, head, 16) ||
				(j->req.type == NBD_READ && !j->error && !send_all(c->fd, j->data, j->req.len)))) {
			c->broken = true;
			shutdown(c->fd, SHUT_RDWR);
		}
		pthread_mutex_lock(&c->lock);
		c->jobs--;
		c->bytes -= j->req.len < NBD_DATA_MAX ? j->req.len : 0;
		pthread_cond_signal(&c->room);
		pthread_mutex_unlock(&c->lock);
		free(j);
	}
}

/* Bytes from the buffer first, then from the socket. */
static bool receive(struct client *c, uint8_t *to, size_t n)
{
	size_t k = n < c->have ? n : c->have;

	memcpy(to, c->in, k);
	memmove(c->in, c->in + k, c->have - k);
	c->have -= k;
	for (to += k, n -= k; n;) {
		ssize_t r = recv(c->fd, to, n, 0);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return false;
		to += r;
		n -= (size_t)r;
	}
	return true;
}

static bool take_job(struct client *c, const struct nbd_request *req)
{
	bool moves = req->type == NBD_READ || req->type == NBD_WRITE;
	uint32_t weigh = req->len < NBD_DATA_MAX ? req->len : 0, size = moves && (!req->error || req->payload) ? req->len : 0;
	struct job *j;

	pthread_mutex_lock(&c->lock);
	while (c->jobs && (c->bytes + weigh > BYTES_MAX || c->jobs >= 1024))
		pthread_cond_wait(&c->room, &c->lock);
	c->jobs++;
	c->bytes += weigh;
	pthread_mutex_unlock(&c->lock);
	j = calloc(1, sizeof(*j) + size);
	if (!j) {
		tool_say("out of memory");
		exit(1);
	}
	j->c = c;
	j->req = *req;
	j->at = req->offset;
	j->left = req->type == NBD_FLUSH ? 0 : req->len;
	j->io.user = j;
	j->io.done = job_done;
	if (req->payload && !receive(c, j->data, req->payload)) {
		answer(j, -EIO);
		return false;
	}
	if (req->error)
		answer(j, (int)req->error);
	else
		send_job(j);
	return true;
}

static void converse(struct client *c)
{
	struct nbd_request req;

	for (;;) {
		size_t used;
		enum nbd_found f = nbd_take(&c->nbd, c->in, c->have, &used, &req);

		memmove(c->in, c->in + used, c->have - used);
		c->have -= used;
		if (c->nbd.out.len && !send_all(c->fd, c->nbd.out.data, c->nbd.out.len))
			return;
		buf_reset(&c->nbd.out);
		if (f == NBD_CLOSE)
			return;
		if (f == NBD_REQUEST) {
			if (!take_job(c, &req))
				return;
		} else if (!used) {
			ssize_t r = recv(c->fd, c->in + c->have, sizeof(c->in) - c->have, 0);

			if (r < 0 && errno == EINTR)
				continue;
			if (r <= 0)
				return;
			c->have += (size_t)r;
		}
	}
}

static void *client_main(void *arg)
{
	struct client *c = arg;

	nbd_init(&c->nbd, &c->s->export);
	if (pthread_create(&c->writer, NULL, writer_main, c) == 0) {
		converse(c);
		pthread_mutex_lock(&c->lock);
		c->over = true;
		pthread_cond_signal(&c->work);
		pthread_mutex_unlock(&c->lock);
		pthread_join(c->writer, NULL);
	}
	nbd_fini(&c->nbd);
	close(c->fd);
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->work);
	pthread_cond_destroy(&c->room);
	atomic_fetch_sub(&c->s->clients, 1);
	free(c);
	return NULL;
}

static void client_new(struct serve *s, int fd)
{
	struct client *c = atomic_load(&s->clients) < CLIENTS_MAX ? calloc(1, sizeof(*c)) : NULL;
	pthread_condattr_t monotonic;
	pthread_t thread;

	if (!c) {
		close(fd);
		return;
	}
	c->s = s;
	c->fd = fd;
	c->done_tail = &c->done;
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&c->work, &monotonic);
	pthread_condattr_destroy(&monotonic);
	pthread_cond_init(&c->room, NULL);
	unstable_init(&c->unstable);
	c->anew = atomic_load(&s->anew);
	atomic_fetch_add(&s->clients, 1);
	if (pthread_create(&thread, NULL, client_main, c) != 0) {
		atomic_fetch_sub(&s->clients, 1);
		close(fd);
		free(c);
		return;
	}
	pthread_detach(thread);
}

/* ---- listening ---- */

/* What a server that was killed left behind goes; nothing else does. */
static bool place_free(const char *path, const struct sockaddr_un *a)
{
	struct stat st;
	bool answers;
	int fd;

	if (lstat(path, &st) < 0)
		return true;
	if (!S_ISSOCK(st.st_mode)) {
		tool_say("%s is there already, and is not a socket", path);
		return false;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	answers = fd < 0 || connect(fd, (const struct sockaddr *)a, sizeof(*a)) == 0;
	if (fd >= 0)
		close(fd);
	if (answers) {
		tool_say("%s is in use", path);
		return false;
	}
	unlink(path);
	return true;
}

static int listen_unix(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(a.sun_path)) {
		tool_say("%s: the path is too long", path);
		return -1;
	}
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	if (!place_free(path, &a)) {
		close(fd);
		return -1;
	}
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 16) < 0) {
		tool_say("%s: %s", path, strerror(errno));
		return -1;
	}
	return fd;
}

static int listen_tcp(char *where)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *ai;
	char *colon = strrchr(where, ':'), *host = where;
	int fd, one = 1;

	if (!colon) {
		tool_say("--listen takes ADDRESS:PORT");
		return -1;
	}
	*colon = '\0';
	if (host[0] == '[' && colon > host && colon[-1] == ']') {
		colon[-1] = '\0';
		host++;
	}
	if (getaddrinfo(*host ? host : NULL, colon + 1, &hints, &ai) != 0) {
		tool_say("%s is not an address", host);
		return -1;
	}
	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, 16) < 0) {
		tool_say("%s: %s", host, strerror(errno));
		fd = -1;
	}
	freeaddrinfo(ai);
	return fd;
}

static void on_signal(int sig)
{
	atomic_store(&stopping, true);
}

static int export_of(struct serve *s)
{
	const struct director_iscsi_disk *d = &s->d;

	s->piece = d->max_blocks && (uint64_t)d->max_blocks * d->block_size < PIECE_MAX ? d->max_blocks * d->block_size : PIECE_MAX;
	s->export = (struct nbd_export){ .size = d->blocks * d->block_size, .min_block = d->block_size, .preferred_block = 65536,
		.max_block = NBD_DATA_MAX, .read_only = d->read_only, .fua = d->fua, .trim = d->unmap,
		.zeroes = d->write_same || d->max_write_same };
	s->zeroes = calloc(1, d->block_size);
	return s->zeroes ? 0 : -1;
}

static int accept_all(struct serve *s, int fd)
{
	struct sigaction sa = { .sa_handler = on_signal };

	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	while (!atomic_load(&stopping)) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int c;

		if (poll(&p, 1, 500) <= 0)
			continue;
		c = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		if (c >= 0)
			client_new(s, c);
	}
	return 0;
}

int cmd_serve(struct tool *t, int argc, char **argv)
{
	enum { O_SOCKET = OPT_OWN, O_LISTEN, O_TRUST };
	static const struct option options[] = { TOOL_OPTIONS, { "socket", required_argument, NULL, O_SOCKET },
		{ "listen", required_argument, NULL, O_LISTEN }, { "trust", no_argument, NULL, O_TRUST }, { NULL, 0, NULL, 0 } };
	struct serve s = { .t = t };
	const char *path = NULL;
	char *where = NULL;
	int c, fd = -1, r = 1;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (c == O_SOCKET)
			path = optarg;
		else if (c == O_LISTEN)
			where = optarg;
		else if (c == O_TRUST)
			s.trust = true;
		else if (!tool_option(t, c, optarg))
			return 2;
	if (optind + 1 != argc || tool_url_parse(t, argv[optind], true) < 0)
		return 2;
	if (!path == !where) {
		tool_say("serve takes --socket PATH or --listen ADDRESS:PORT");
		return 2;
	}
	if (!s.trust)
		t->conf.flags |= DIRECTOR_ISCSI_F_ATTENTIONS;
	s.loop = director_iscsi_loop_new();
	if (!s.loop || director_iscsi_loop_start(s.loop) < 0 || tool_open(t, &s.loop, &s.h) < 0 || tool_disk(t, s.h, &s.d) < 0)
		goto out;
	fd = path ? listen_unix(path) : listen_tcp(where);
	if (fd >= 0 && export_of(&s) == 0)
		r = accept_all(&s, fd);
	if (fd >= 0)
		close(fd);
	if (fd >= 0 && path)
		unlink(path);
	/* Clients that are still there are cut off with the process. */
out:
	if (atomic_load(&s.clients))
		_exit(r);
	director_iscsi_close(&s.h, 1000);
	director_iscsi_loop_free(&s.loop);
	free(s.zeroes);
	return r;
}
