/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A loop that threads take turns at: two run it by turns, of a hundred commands each, with some of their own submitted in `done` and
 * between hold and flush; two others only submit, and ask how it goes. Each command comes back once, and the session ends well.
 *   iscsi-adopt [--ios N] TARGET LUN PORTAL
 */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "director/iscsi.h"

#define RUNNERS 2u
#define OTHERS 2u
#define EACH 16u
#define A_TURN 100u

struct one {
	struct director_iscsi_io io;
	struct iovec iov;
	unsigned char data[4096];
	atomic_int out;
	int again;                      /* submitted anew in `done` */
};

static struct director_iscsi_loop *loop;
static struct director_iscsi *_Atomic h;
static struct one ios[RUNNERS + OTHERS][EACH];
static uint64_t lun;
static uint32_t block_size = 512;
static atomic_uint left = 20000, completed;
static atomic_int ending;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static unsigned whose;                  /* turn it is */

static __attribute__((noreturn)) void die(const char *what, const char *why)
{
	fprintf(stderr, "iscsi-adopt: %s: %s\n", what, why);
	exit(1);
}

/* Is there one more to do? */
static int take(void)
{
	unsigned n = atomic_load(&left);

	while (n)
		if (atomic_compare_exchange_weak(&left, &n, n - 1))
			return 1;
	return 0;
}

static void submit(struct one *o)
{
	if (atomic_exchange(&o->out, 1))
		die("a command", "it is submitted twice");
	director_iscsi_submit(atomic_load(&h), &o->io);
}

static void on_done(struct director_iscsi_io *io)
{
	struct one *o = (struct one *)io;
	char text[200];

	if (!atomic_exchange(&o->out, 0))
		die("a command", "it came back twice");
	if (io->result || io->status)
		die("a command", director_iscsi_io_text(io, text, sizeof(text)));
	atomic_fetch_add(&completed, 1);
	if (o->again && take())
		submit(o);
}

static void prepare(unsigned who, int again)
{
	for (unsigned i = 0; i < EACH; i++) {
		struct one *o = &ios[who][i];

		o->iov = (struct iovec){ o->data, block_size };
		o->io.done = on_done;
		o->again = again;
		director_iscsi_prep_read(&o->io, lun, who * EACH + i, 1, block_size, &o->iov, 1);
	}
}

/* All that are free, while there is something to do. */
static unsigned submit_free(unsigned who)
{
	unsigned n = 0;

	for (unsigned i = 0; i < EACH; i++)
		if (!atomic_load(&ios[who][i].out) && take()) {
			submit(&ios[who][i]);
			n++;
		}
	return n;
}

static void a_turn(unsigned who, void *scratch)
{
	unsigned until = atomic_load(&completed) + A_TURN;
	struct pollfd p = { .events = POLLIN };

	director_iscsi_loop_adopt(loop, scratch, 65536);
	p.fd = director_iscsi_loop_fd(loop);
	director_iscsi_loop_hold(loop);
	if (atomic_load(&h))
		submit_free(who);
	director_iscsi_loop_flush(loop);
	while (!atomic_load(&ending) && (int)(atomic_load(&completed) - until) < 0) {
		int ms = director_iscsi_loop_timeout(loop);

		/* Nobody says so when it ends. */
		poll(&p, 1, ms < 0 || ms > 20 ? 20 : ms);
		director_iscsi_loop_run(loop, 0);
		if (!atomic_load(&left))
			break;
	}
	director_iscsi_loop_leave(loop);
}

static void *runner(void *arg)
{
	unsigned who = (unsigned)(uintptr_t)arg;
	void *scratch = malloc(65536);

	pthread_mutex_lock(&lock);
	while (!atomic_load(&ending)) {
		if (whose != who) {
			pthread_cond_wait(&cond, &lock);
			continue;
		}
		pthread_mutex_unlock(&lock);
		a_turn(who, scratch);
		pthread_mutex_lock(&lock);
		whose = (whose + 1) % RUNNERS;
		pthread_cond_broadcast(&cond);
	}
	pthread_mutex_unlock(&lock);
	free(scratch);
	return NULL;
}

static void *other(void *arg)
{
	unsigned who = (unsigned)(uintptr_t)arg;
	struct director_iscsi_status st = { .struct_size = sizeof(st) };
	unsigned n = 0;

	while (atomic_load(&left)) {
		if (!submit_free(who))
			nanosleep(&(struct timespec){ .tv_nsec = 50000 }, NULL);
		if (n++ % 64 == 0)
			director_iscsi_get_status(atomic_load(&h), &st);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct director_iscsi_disk disk = { .struct_size = sizeof(disk) };
	struct director_iscsi_conf conf;
	struct director_iscsi *session;
	pthread_t t[RUNNERS + OTHERS];
	const char *portals[2] = { NULL };
	unsigned total;
	char why[256] = "";

	if (argc > 2 && strcmp(argv[1], "--ios") == 0) {
		atomic_store(&left, (unsigned)atoi(argv[2]));
		argv += 2;
		argc -= 2;
	}
	if (argc != 4)
		die("usage", "iscsi-adopt [--ios N] TARGET LUN PORTAL");
	total = atomic_load(&left);
	lun = strtoull(argv[2], NULL, 0);
	portals[0] = argv[3];
	director_iscsi_conf_init(&conf);
	conf.target = argv[1];
	conf.portals = portals;
	loop = director_iscsi_loop_new();
	if (!loop)
		die("loop", "out of memory");
	director_iscsi_loop_adopt(loop, NULL, 0);
	director_iscsi_loop_leave(loop);
	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < RUNNERS; i++)
		if (pthread_create(&t[i], NULL, runner, (void *)(uintptr_t)i))
			die("thread", "it cannot be made");
	pthread_mutex_unlock(&lock);
	if (director_iscsi_open(loop, &conf, &session) < 0 || director_iscsi_wait(session, 60000, why, sizeof(why)) < 0)
		die("login", why);
	if (director_iscsi_get_disk(session, lun, &disk, why, sizeof(why)) < 0)
		die("disk", why);
	block_size = disk.block_size;
	for (unsigned i = 0; i < RUNNERS + OTHERS; i++)
		prepare(i, i < RUNNERS);
	atomic_store(&h, session);
	for (unsigned i = RUNNERS; i < RUNNERS + OTHERS; i++)
		if (pthread_create(&t[i], NULL, other, (void *)(uintptr_t)i))
			die("thread", "it cannot be made");
	for (unsigned i = RUNNERS; i < RUNNERS + OTHERS; i++)
		pthread_join(t[i], NULL);
	while (atomic_load(&completed) < total)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	/* They still run it, and this waits for them. */
	director_iscsi_close(&session, 1000);
	pthread_mutex_lock(&lock);
	atomic_store(&ending, 1);
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&lock);
	for (unsigned i = 0; i < RUNNERS; i++)
		pthread_join(t[i], NULL);
	director_iscsi_loop_free(&loop);
	if (atomic_load(&completed) != total)
		die("commands", "they are not as many as were asked for");
	return 0;
}
