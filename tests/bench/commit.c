/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a commit costs, beside what it could be made of: N commits through libdirector, in turn with as many CPG
 * deliveries of 200 bytes to ourselves and as many fdatasyncs of 4 KiB in the state directory.
 * Run it on a node of a cluster of three:   commit [N]   (tests/bench/commit-cost does all of it)
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <corosync/cpg.h>

#include "director/client.h"

#define BLOCKS "/var/lib/director/bench.tmp"

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double print(const char *what, double *v, int n)
{
	qsort(v, (size_t)n, sizeof(*v), by_size);
	printf("%-28s p50 %7.2f ms   p99 %7.2f ms   max %7.2f ms\n", what, v[n / 2], v[n * 99 / 100], v[n - 1]);
	return v[n / 2];
}

static void die(const char *what, int err)
{
	fprintf(stderr, "commit: %s: %d\n", what, err);
	exit(1);
}

static int delivered;

static void on_deliver(cpg_handle_t h, const struct cpg_name *g, uint32_t nodeid, uint32_t pid, void *msg, size_t len)
{
	delivered += pid == (uint32_t)getpid();
}

static void on_confchg(cpg_handle_t h, const struct cpg_name *g, const struct cpg_address *m, size_t n,
                       const struct cpg_address *left, size_t n_left, const struct cpg_address *joined, size_t n_joined)
{
}

static cpg_handle_t cpg_seat(void)
{
	cpg_callbacks_t cb = { .cpg_deliver_fn = on_deliver, .cpg_confchg_fn = on_confchg };
	struct cpg_name name = { .length = 5, .value = "bench" };
	cpg_handle_t h;

	if (cpg_initialize(&h, &cb) != CS_OK || cpg_join(h, &name) != CS_OK)
		die("CPG cannot be joined (does Corosync run here?)", 0);
	return h;
}

static double delivery(cpg_handle_t h)
{
	char bytes[200] = "";
	struct iovec iov = { bytes, sizeof(bytes) };
	double begin = now_ms();

	delivered = 0;
	while (cpg_mcast_joined(h, CPG_TYPE_AGREED, &iov, 1) == CS_ERR_TRY_AGAIN)
		usleep(1000);
	while (!delivered)
		cpg_dispatch(h, CS_DISPATCH_ONE);
	return now_ms() - begin;
}

static double sync_block(int fd, int i)
{
	static char block[4096];
	double begin = now_ms();

	block[0] = (char)i;
	if (pwrite(fd, block, sizeof(block), (off_t)i * 4096) != sizeof(block) || fdatasync(fd) < 0)
		die("fdatasync", 0);
	return now_ms() - begin;
}

static double commit(struct director *d, int i)
{
	struct director_result *r = NULL;
	struct director_txn *t;
	char text[32];
	double begin;
	int err;

	director_txn_new(&t);
	director_txn_set(t, "/cluster");
	snprintf(text, sizeof(text), "bench %d", i);
	director_txn_attr(t, "comment", text);
	begin = now_ms();
	err = director_commit(d, t, 0, &r);
	begin = now_ms() - begin;
	if (err)
		die("commit", err);
	director_result_free(&r);
	director_txn_free(&t);
	return begin;
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 200, err, fd;
	double *v[3], m, c, s;
	struct director *d;
	cpg_handle_t h;

	if (n < 1 || n > 100000)
		die("usage: commit [N]", 0);
	for (int k = 0; k < 3; k++)
		if (!(v[k] = calloc((size_t)n, sizeof(double))))
			die("memory", 0);
	director_new(&d, NULL);
	err = director_connect(d);
	if (err)
		die("connect", err);
	h = cpg_seat();
	fd = open(BLOCKS, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0)
		die(BLOCKS " cannot be written", 0);
	/* In turn, so that what else this machine does falls on all three. */
	for (int i = 0; i < n; i++) {
		v[0][i] = commit(d, i);
		usleep(10000);
		v[1][i] = delivery(h);
		usleep(5000);
		v[2][i] = sync_block(fd, i);
		usleep(5000);
	}
	m = print("commit (majority on disk)", v[0], n);
	c = print("one CPG delivery", v[1], n);
	s = print("one fdatasync of 4 KiB", v[2], n);
	printf("commit / (delivery + fdatasync) = %.2f\n", m / (c + s));
	for (int k = 0; k < 3; k++)
		free(v[k]);
	close(fd);
	unlink(BLOCKS);
	cpg_finalize(h);
	director_free(&d);
	return 0;
}
