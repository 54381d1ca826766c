/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a commit costs, beside what it is made of: N commits through libdirector, one after the other; as
 * many CPG deliveries of 200 bytes to ourselves; as many fdatasyncs of 4 KiB in the state directory.
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

static void cpg(double *v, int n)
{
	cpg_callbacks_t cb = { .cpg_deliver_fn = on_deliver, .cpg_confchg_fn = on_confchg };
	struct cpg_name name = { .length = 5, .value = "bench" };
	char bytes[200] = "";
	struct iovec iov = { bytes, sizeof(bytes) };
	cpg_handle_t h;

	if (cpg_initialize(&h, &cb) != CS_OK || cpg_join(h, &name) != CS_OK)
		die("CPG cannot be joined (does Corosync run here?)", 0);
	for (int i = 0; i < n; i++) {
		double t = now_ms();

		delivered = 0;
		while (cpg_mcast_joined(h, CPG_TYPE_AGREED, &iov, 1) == CS_ERR_TRY_AGAIN)
			usleep(1000);
		while (!delivered)
			cpg_dispatch(h, CS_DISPATCH_ONE);
		v[i] = now_ms() - t;
		usleep(5000);
	}
	cpg_finalize(h);
}

static void sync_cost(double *v, int n)
{
	static char block[4096];
	int fd = open("/var/lib/director/bench.tmp", O_RDWR | O_CREAT | O_TRUNC, 0600);

	if (fd < 0)
		die("/var/lib/director cannot be written", 0);
	for (int i = 0; i < n; i++) {
		double t = now_ms();

		block[0] = (char)i;
		if (pwrite(fd, block, sizeof(block), (off_t)i * 4096) != sizeof(block) || fdatasync(fd) < 0)
			die("fdatasync", 0);
		v[i] = now_ms() - t;
		usleep(5000);
	}
	close(fd);
	unlink("/var/lib/director/bench.tmp");
}

static void commits(double *v, int n)
{
	struct director *d;
	char text[32];
	int err;

	director_new(&d, NULL);
	err = director_connect(d);
	if (err)
		die("connect", err);
	for (int i = 0; i < n; i++) {
		struct director_result *r = NULL;
		struct director_txn *t;
		double begin;

		director_txn_new(&t);
		director_txn_set(t, "/cluster");
		snprintf(text, sizeof(text), "bench %d", i);
		director_txn_attr(t, "comment", text);
		begin = now_ms();
		err = director_commit(d, t, 0, &r);
		if (err)
			die("commit", err);
		v[i] = now_ms() - begin;
		director_result_free(&r);
		director_txn_free(&t);
		usleep(20000);
	}
	director_free(&d);
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 200;
	double *v, c, s, m;

	if (n < 1 || n > 100000)
		die("usage: commit [N]", 0);
	v = calloc((size_t)n, sizeof(*v));
	if (!v)
		die("memory", 0);
	commits(v, n);
	m = print("commit (majority on disk)", v, n);
	cpg(v, n);
	c = print("one CPG delivery", v, n);
	sync_cost(v, n);
	s = print("one fdatasync of 4 KiB", v, n);
	printf("commit / (delivery + fdatasync) = %.2f\n", m / (c + s));
	free(v);
	return 0;
}
