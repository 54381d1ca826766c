/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ceiling for tests/bench/target: the messages of a load without a protocol or a disk. The server answers 48 bytes
 * with 48 and the data, or 48 and the data with 48; the client keeps a window open on each connection.
 *
 *   tests/bench/echo [--write] [--size BYTES] [--depth N] [--connections N] [--seconds S] [--threads N] [--cpu N]
 *                    [--span BYTES]
 *
 * Prints: IOPS, MB/s, p50 and p99 in us, server and client CPU in us per message. --cpu keeps the client to one processor.
 * With --span the server's data is all over so much memory, as a disk's is (small messages by chance, large ones in order), and
 * not in the same few pages that never leave its cache.
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HEAD 48u
#define CHUNK (1u << 20)
#define SAMPLES (1u << 20)

static size_t size = 4096;
static unsigned depth = 32, connections = 1, seconds = 3, threads = 1;
static long cpu = -1;
static size_t span;
static int writing;

static void check(long r, const char *what)
{
	if (r < 0) {
		perror(what);
		exit(1);
	}
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* One side of a connection: how much of a message came, and what is to be sent still. */
struct end {
	int fd;
	size_t have, owed;              /* bytes in; bytes out */
};

static char junk[CHUNK];
static char *memory;                    /* span bytes and CHUNK more; NULL: junk */
static struct rusage *begun;            /* the server's, when it is ready */

static void *shared(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	check(p == MAP_FAILED ? -1 : 0, "mmap");
	return p;
}

/* Where the next message's data is. */
static char *place(void)
{
	static _Thread_local uint64_t seed = 88172645463325252u, at;

	if (!memory)
		return junk;
	if (size >= 65536) {
		at = (at + size) % span;
		return memory + at;
	}
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return memory + seed % (span / 4096) * 4096;
}

/* Take what is there: how many messages of `in` bytes became whole. -1: it is over. */
static long take(struct end *e, size_t in)
{
	ssize_t n = read(e->fd, writing ? place() : junk, CHUNK);
	size_t whole;

	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n <= 0)
		return -1;
	e->have += (size_t)n;
	whole = e->have / in;
	e->have -= whole * in;
	return (long)whole;
}

/* Send what is owed; how many bytes are left. */
static size_t give(struct end *e)
{
	while (e->owed) {
		ssize_t n = send(e->fd, junk, e->owed < CHUNK ? e->owed : CHUNK, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0)
			break;
		e->owed -= (size_t)n;
	}
	return e->owed;
}

/* The same, of messages of `message` bytes whose data is in many places. */
static size_t give_spread(struct end *e, size_t message)
{
	while (e->owed) {
		struct iovec v[128];
		struct msghdr m = { .msg_iov = v };
		size_t left = e->owed;
		ssize_t n;

		for (; left && m.msg_iovlen < 128; m.msg_iovlen++) {
			size_t part = left % message ? left % message : message;

			v[m.msg_iovlen] = (struct iovec){ place(), part };
			left -= part;
		}
		n = sendmsg(e->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0)
			break;
		e->owed -= (size_t)n;
	}
	return e->owed;
}

static void wait_for(int ep, struct end *e, int op)
{
	struct epoll_event ev = { .events = EPOLLIN | (e->owed ? (unsigned)EPOLLOUT : 0), .data.ptr = e };

	check(epoll_ctl(ep, op, e->fd, &ev), "epoll_ctl");
}

/* ---- the server: one thread per share of the connections ---- */

struct share {
	pthread_t thread;
	struct end *ends;
	unsigned n;
};

static void *serve(void *arg)
{
	size_t in = writing ? HEAD + size : HEAD, out = writing ? HEAD : HEAD + size;
	struct share *s = arg;
	struct epoll_event ev[64];
	int ep = epoll_create1(0);
	unsigned open = s->n;

	for (unsigned i = 0; i < s->n; i++)
		wait_for(ep, &s->ends[i], EPOLL_CTL_ADD);
	while (open) {
		int n = epoll_wait(ep, ev, 64, -1);

		for (int i = 0; i < n; i++) {
			struct end *e = ev[i].data.ptr;
			size_t before = e->owed;
			long got = ev[i].events & EPOLLIN ? take(e, in) : 0;

			if (got < 0) {
				epoll_ctl(ep, EPOLL_CTL_DEL, e->fd, NULL);
				open--;
				continue;
			}
			e->owed += (size_t)got * out;
			if (memory && !writing)
				give_spread(e, out);
			else
				give(e);
			if (!before != !e->owed)
				wait_for(ep, e, EPOLL_CTL_MOD);
		}
	}
	return NULL;
}

static void server(int listener)
{
	struct share *s = calloc(threads, sizeof(*s));
	struct end *ends = calloc(connections, sizeof(*ends));
	int one = 1;

	if (memory)
		check(madvise(memory, span + CHUNK, MADV_POPULATE_WRITE), "madvise");
	check(getrusage(RUSAGE_SELF, begun), "getrusage");

	for (unsigned i = 0; i < connections; i++) {
		ends[i].fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
		check(ends[i].fd, "accept");
		setsockopt(ends[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	}
	for (unsigned i = 0, at = 0; i < threads; i++) {
		s[i].ends = ends + at;
		s[i].n = connections * (i + 1) / threads - at;
		at += s[i].n;
		check(-pthread_create(&s[i].thread, NULL, serve, &s[i]), "thread");
	}
	for (unsigned i = 0; i < threads; i++)
		pthread_join(s[i].thread, NULL);
	_exit(0);
}

/* ---- the client ---- */

struct window {
	struct end end;
	uint64_t *sent;                 /* when, in a ring: answers come in order */
	unsigned first;
};

static uint64_t samples[SAMPLES], n_done;

static void answered(struct window *w, long n, uint64_t now)
{
	size_t out = writing ? HEAD + size : HEAD;

	for (; n > 0; n--) {
		samples[n_done++ % SAMPLES] = now - w->sent[w->first];
		w->sent[w->first] = now;
		w->first = (w->first + 1) % depth;
		w->end.owed += out;
	}
}

static void load(struct window *w, int ep)
{
	size_t in = writing ? HEAD : HEAD + size;
	uint64_t now = now_ns(), end = now + seconds * 1000000000ull;
	struct epoll_event ev[64];

	for (unsigned i = 0; i < connections; i++) {
		w[i].end.owed = depth * (writing ? HEAD + size : HEAD);
		for (unsigned k = 0; k < depth; k++)
			w[i].sent[k] = now;
		give(&w[i].end);
		wait_for(ep, &w[i].end, EPOLL_CTL_ADD);
	}
	while (now < end) {
		int n = epoll_wait(ep, ev, 64, 100);

		now = now_ns();
		for (int i = 0; i < n; i++) {
			struct window *x = ev[i].data.ptr;
			size_t before = x->end.owed;

			if (ev[i].events & EPOLLIN)
				answered(x, take(&x->end, in), now);
			give(&x->end);
			if (!before != !x->end.owed)
				wait_for(ep, &x->end, EPOLL_CTL_MOD);
		}
	}
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static double used_us(const struct rusage *ru)
{
	return (double)(ru->ru_utime.tv_sec + ru->ru_stime.tv_sec) * 1e6 + (double)(ru->ru_utime.tv_usec + ru->ru_stime.tv_usec);
}

static void report(double s, pid_t child, double own_us)
{
	size_t n = n_done < SAMPLES ? n_done : SAMPLES;
	struct rusage ru;
	double used;

	check(wait4(child, NULL, 0, &ru), "wait");
	used = used_us(&ru) - used_us(begun);
	qsort(samples, n, sizeof(samples[0]), by_size);
	printf("%.0f IOPS %.1f MB/s p50 %.1f p99 %.1f us server %.2f us client %.2f us\n", (double)n_done / s,
		(double)n_done * (double)size / s / 1e6, n ? (double)samples[n / 2] / 1e3 : 0,
		n ? (double)samples[n * 99 / 100] / 1e3 : 0, n_done ? used / (double)n_done : 0,
		n_done ? own_us / (double)n_done : 0);
}

static void run(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int l = socket(AF_INET, SOCK_STREAM, 0), ep = epoll_create1(0), one = 1;
	struct window *w = calloc(connections, sizeof(*w));
	struct rusage before, after;
	socklen_t len = sizeof(a);
	uint64_t from;
	pid_t child;

	begun = shared(sizeof(*begun));
	if (span) {
		memory = shared(span + CHUNK);
		memset(memory, 0x5a, span + CHUNK);
	}
	check(bind(l, (struct sockaddr *)&a, sizeof(a)), "bind");
	check(listen(l, 1024), "listen");
	getsockname(l, (struct sockaddr *)&a, &len);
	child = fork();
	if (child == 0)
		server(l);
	if (cpu >= 0) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET((size_t)cpu, &set);
		check(sched_setaffinity(0, sizeof(set), &set), "sched_setaffinity");
	}
	for (unsigned i = 0; i < connections; i++) {
		w[i].sent = calloc(depth, sizeof(w[i].sent[0]));
		w[i].end.fd = socket(AF_INET, SOCK_STREAM, 0);
		check(connect(w[i].end.fd, (struct sockaddr *)&a, sizeof(a)), "connect");
		setsockopt(w[i].end.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	}
	check(getrusage(RUSAGE_SELF, &before), "getrusage");
	from = now_ns();
	load(w, ep);
	from = now_ns() - from;
	check(getrusage(RUSAGE_SELF, &after), "getrusage");
	for (unsigned i = 0; i < connections; i++)
		close(w[i].end.fd);
	report((double)from / 1e9, child, used_us(&after) - used_us(&before));
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "write", 0, NULL, 'w' }, { "size", 1, NULL, 's' },
		{ "depth", 1, NULL, 'd' }, { "connections", 1, NULL, 'c' }, { "seconds", 1, NULL, 't' },
		{ "threads", 1, NULL, 'n' }, { "cpu", 1, NULL, 'p' }, { "span", 1, NULL, 'm' }, { NULL, 0, NULL, 0 } };
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		unsigned long v = optarg ? strtoul(optarg, NULL, 10) : 1;

		if (c == '?' || (v == 0 && c != 'p')) {
			fprintf(stderr, "usage: echo [--write] [--size BYTES] [--depth N] [--connections N] [--seconds S] "
				"[--threads N] [--cpu N] [--span BYTES]\n");
			return 2;
		}
		if (c == 'p')
			cpu = (long)v;
		else if (c == 'm')
			span = v;
		else if (c == 'w')
			writing = 1;
		else if (c == 's')
			size = v;
		else
			*(c == 'd' ? &depth : c == 'c' ? &connections : c == 't' ? &seconds : &threads) = (unsigned)v;
	}
	run();
	return 0;
}
