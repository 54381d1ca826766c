/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store keeps what it acknowledged, whole: through kill -9, loss of power at any write, I/O errors, a full
 * disk and failing allocations.
 */
#include "config.h"

#include "directord/store.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "directord/storedb.h"
#include "tests/unit/check.h"
#include "tests/unit/crashvfs.h"

#define STEPS 24

static char top[] = "/var/tmp/director-store-XXXXXX";

static char *fresh_dir(void)
{
	static unsigned n;
	char *dir = mem_printf("%s/%u", top, n++);

	CHECK(mkdir(dir, 0700) == 0);
	return dir;
}

/* A workload: step k is one batch; after it the store holds what dump() says of a model that did the same. */
struct work {
	struct store_batch b;
	struct store_entry e[3];
	struct store_snapshot snap;
	struct store_meta meta[2];
	uint8_t data[3][3000], snap_data[5000], value[40];
};

static void work_step(struct work *w, unsigned k, uint64_t *last, uint64_t *snap)
{
	struct rng rng = { k };
	uint64_t cut = 0;

	memset(w, 0, sizeof(*w));
	if (k % 11 == 10) {
		/* A snapshot from a peer: the log is gone. */
		w->snap = (struct store_snapshot){ *last + 5, k, w->snap_data, sizeof(w->snap_data) };
		w->b.install = &w->snap;
		*snap = *last = w->snap.index;
	} else if (k % 7 == 6) {
		w->snap = (struct store_snapshot){ *last, k, w->snap_data, 100 };
		w->b.compact = &w->snap;
		*snap = *last;
		w->b.drop_below = *last > 2 ? *last - 1 : 0;
	} else if (k % 5 == 4 && *last > *snap + 1) {
		cut = *last;
		w->b.cut_from = cut;
		*last = cut - 1;
	}
	memset(w->snap_data, (int)k, sizeof(w->snap_data));
	w->b.n_entries = (unsigned)rng_below(&rng, 4);
	for (unsigned i = 0; i < w->b.n_entries; i++) {
		memset(w->data[i], (int)(k * 3 + i), sizeof(w->data[i]));
		w->e[i] = (struct store_entry){ .index = ++*last, .epoch = k, .kind = (uint8_t)(1 + i), .data = w->data[i],
						.len = (size_t)rng_below(&rng, sizeof(w->data[i])) };
		w->e[i].request_id[0] = (uint8_t)k;
		w->e[i].chain[15] = (uint8_t)i;
	}
	w->b.entries = w->e;
	w->b.has_marks = true;
	w->b.promised = k;
	w->b.synced = k + 1;
	w->b.commit = *last;
	snprintf((char *)w->value, sizeof(w->value), "value %u", k);
	w->meta[0] = (struct store_meta){ "step", w->value, strlen((char *)w->value) };
	w->meta[1] = (struct store_meta){ "odd", k % 2 ? "yes" : NULL, k % 2 ? 3 : 0 };
	w->b.meta = w->meta;
	w->b.n_meta = 2;
}

/* An image as text, so that two can be compared and told. */
static char *dump(const struct store_image *im)
{
	struct buf b = { 0 };
	size_t sum = 0;

	buf_printf(&b, "marks %llu %llu %llu\n", (unsigned long long)im->promised, (unsigned long long)im->synced,
		   (unsigned long long)im->commit);
	for (size_t i = 0; im->has_snapshot && i < im->snapshot.len; i++)
		sum += im->snapshot.data[i];
	if (im->has_snapshot)
		buf_printf(&b, "snapshot %llu %llu %zu %zu\n", (unsigned long long)im->snapshot.index,
			   (unsigned long long)im->snapshot.epoch, im->snapshot.len, sum);
	for (unsigned i = 0; i < im->n_entries; i++) {
		const struct store_entry *e = &im->entries[i];

		buf_printf(&b, "entry %llu %llu %u %u %u %zu %u\n", (unsigned long long)e->index, (unsigned long long)e->epoch,
			   e->kind, e->request_id[0], e->chain[15], e->len, e->len ? e->data[e->len - 1] : 0);
	}
	for (unsigned i = 0; i < im->n_meta; i++)
		buf_printf(&b, "meta %s %.*s\n", im->meta[i].key, (int)im->meta[i].len, (const char *)im->meta[i].value);
	return buf_take(&b);
}

/* What the store holds after each number of steps, taken from a run without faults. */
static char *expected[STEPS + 1];

static char *dump_db(struct storedb *db)
{
	struct store_image im;
	char *why = NULL, *text;

	if (storedb_load(db, &im, &why)) {
		fprintf(stderr, "%s\n", why);
		exit(1);
	}
	text = dump(&im);
	store_image_fini(&im);
	return text;
}

static int commit_step(struct storedb *db, const struct store_batch *b)
{
	int err = storedb_begin(db);

	if (!err)
		err = storedb_apply(db, b);
	if (!err)
		err = storedb_commit(db);
	if (err)
		storedb_rollback(db);
	else
		err = storedb_checkpoint(db, false);
	return err;
}

static struct storedb *open_crash(void)
{
	struct storedb *db;
	char *why = NULL;

	if (storedb_open(&db, "d", CRASHVFS_NAME, &why)) {
		fprintf(stderr, "%s\n", why);
		exit(1);
	}
	return db;
}

static void make_expected(void)
{
	uint64_t last = 0, snap = 0;
	struct storedb *db;
	struct work w;
	char *again;

	crashvfs_format();
	db = open_crash();
	expected[0] = dump_db(db);
	for (unsigned k = 0; k < STEPS; k++) {
		work_step(&w, k, &last, &snap);
		CHECK_EQ(commit_step(db, &w.b), 0);
		expected[k + 1] = dump_db(db);
		CHECK(strcmp(expected[k], expected[k + 1]) != 0);
	}
	storedb_close(&db);
	/* The same after a restart. */
	db = open_crash();
	again = dump_db(db);
	CHECK_STR(again, expected[STEPS]);
	free(again);
	storedb_close(&db);
}

/* `acked` batches were acknowledged: they are there, and of the next one all or nothing. */
static void check_prefix(struct storedb *db, unsigned acked, unsigned fault, uint64_t seed)
{
	auto_free char *have = dump_db(db);

	if (strcmp(have, expected[acked]) == 0 || (acked < STEPS && strcmp(have, expected[acked + 1]) == 0))
		return;
	fprintf(stderr, "fault at %u, seed %llu: after %u acknowledged batches the store holds\n%swanted\n%s", fault,
		(unsigned long long)seed, acked, have, expected[acked]);
	exit(1);
}

/* Run the workload until something fails; how many batches were acknowledged. */
static unsigned run_until_fault(struct storedb *db)
{
	uint64_t last = 0, snap = 0;
	struct work w;

	for (unsigned k = 0; k < STEPS; k++) {
		work_step(&w, k, &last, &snap);
		/* Small checkpoints often, so that faults strike inside them too. */
		if (commit_step(db, &w.b))
			return k;
		if (k % 4 == 3 && storedb_checkpoint(db, true))
			return k + 1;
		/* The log's room is behind its frames, whenever it is made. */
		if (k == 5)
			storedb_size(db);
	}
	return STEPS;
}

static void fault_loop(enum crash_fault fault)
{
	for (unsigned n = 1;; n++) {
		for (uint64_t seed = 0; seed < 6; seed++) {
			struct storedb *db;
			unsigned acked = 0;
			char *why = NULL;
			bool hit;

			crashvfs_format();
			crashvfs_fault(fault, n);
			if (storedb_open(&db, "d", CRASHVFS_NAME, &why) == 0)
				acked = run_until_fault(db);
			storedb_close(&db);
			free(why);
			hit = crashvfs_hit();
			if (fault == FAULT_POWER)
				crashvfs_reboot(n * 1000 + seed);
			else
				crashvfs_heal();
			db = open_crash();
			check_prefix(db, acked, n, seed);
			/* And it works: what was not done can be done now. */
			CHECK_EQ(storedb_probe(db), 0);
			storedb_close(&db);
			if (!hit) {
				CHECK(n > 100);
				return;
			}
			if (fault != FAULT_POWER)
				break;
		}
	}
}

static void test_power_loss_at_every_write_keeps_what_was_acknowledged(void)
{
	fault_loop(FAULT_POWER);
}

static void test_one_io_error_anywhere_loses_nothing_acknowledged(void)
{
	fault_loop(FAULT_EIO_ONCE);
}

static void test_lasting_io_errors_lose_nothing_acknowledged(void)
{
	fault_loop(FAULT_EIO);
}

static void test_full_disk_anywhere_loses_nothing_acknowledged(void)
{
	fault_loop(FAULT_FULL);
}

static void test_power_loss_during_recovery(void)
{
	for (unsigned n = 1; n < 400; n += 7) {
		struct storedb *db;
		unsigned acked;
		char *why = NULL;

		crashvfs_format();
		db = open_crash();
		crashvfs_fault(FAULT_POWER, n);
		acked = run_until_fault(db);
		storedb_close(&db);
		crashvfs_reboot(n);
		for (unsigned m = 1; m < 20; m++) {
			crashvfs_fault(FAULT_POWER, m);
			storedb_open(&db, "d", CRASHVFS_NAME, &why);
			storedb_close(&db);
			free(why);
			why = NULL;
			crashvfs_reboot(n * 100 + m);
		}
		db = open_crash();
		check_prefix(db, acked, n, 0);
		storedb_close(&db);
	}
}

/* SQLite's memory, with a countdown. */
static sqlite3_mem_methods real_mem;
static unsigned mem_left, mem_count;
static bool mem_hit;

static bool mem_fails(void)
{
	if (++mem_count != mem_left)
		return false;
	mem_hit = true;
	return true;
}

static void *fault_malloc(int n)
{
	return mem_fails() ? NULL : real_mem.xMalloc(n);
}

static void *fault_realloc(void *p, int n)
{
	return mem_fails() ? NULL : real_mem.xRealloc(p, n);
}

static void install_faulty_memory(void)
{
	sqlite3_mem_methods m;

	sqlite3_shutdown();
	sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_mem);
	m = real_mem;
	m.xMalloc = fault_malloc;
	m.xRealloc = fault_realloc;
	CHECK_EQ(sqlite3_config(SQLITE_CONFIG_MALLOC, &m), SQLITE_OK);
	CHECK_EQ(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0), SQLITE_OK);
	sqlite3_initialize();
	crashvfs_register();
}

static void test_every_failing_allocation_is_survived(void)
{
	for (unsigned n = 1;; n += n < 600 ? 1 : 13) {
		struct storedb *db = NULL;
		unsigned acked = 0;
		char *why = NULL;
		bool hit;

		crashvfs_format();
		mem_count = 0;
		mem_left = n;
		mem_hit = false;
		if (storedb_open(&db, "d", CRASHVFS_NAME, &why) == 0)
			acked = run_until_fault(db);
		mem_left = 0;
		hit = mem_hit;
		storedb_close(&db);
		free(why);
		db = open_crash();
		check_prefix(db, acked, n, 0);
		storedb_close(&db);
		if (!hit)
			return;
	}
}

/* The thread and the loop. */
struct seen {
	uint64_t last_seq;
	unsigned n_ok, n_failed, n_invalid;
	int changed;            /* 1: nothing yet */
	bool in_order;
	unsigned want;          /* leave the loop after this many answers */
	bool want_recovery;
};

static void on_stored(void *arg, uint64_t seq, int err)
{
	struct seen *s = arg;

	if (seq <= s->last_seq)
		s->in_order = false;
	s->last_seq = seq;
	if (err == 0)
		s->n_ok++;
	else if (err == ERR_INVAL)
		s->n_invalid++;
	else
		s->n_failed++;
	if (s->want && s->n_ok + s->n_failed + s->n_invalid == s->want)
		ev_break(EV_DEFAULT, EVBREAK_ONE);
}

static void on_changed(void *arg, int err, const char *why)
{
	struct seen *s = arg;

	s->changed = err;
	if (s->want_recovery && err == 0)
		ev_break(EV_DEFAULT, EVBREAK_ONE);
}

static struct store *open_store(const char *dir, const char *vfs, struct seen *seen, struct store_image *im)
{
	struct store_options o = { .dir = dir, .vfs = vfs, .loop = EV_DEFAULT, .changed = on_changed, .arg = seen,
				   .probe_ms = 20 };
	struct store *s;
	char *why = NULL;

	*seen = (struct seen){ .in_order = true, .changed = 1 };
	if (store_open(&s, &o, im, &why)) {
		fprintf(stderr, "%s\n", why);
		exit(1);
	}
	return s;
}

static void test_batches_are_acknowledged_in_order_and_found_again(void)
{
	auto_free char *dir = fresh_dir();
	uint64_t last = 0, snap = 0;
	struct store_image im;
	struct seen seen;
	struct store *s = open_store(dir, NULL, &seen, &im);
	struct work w;
	char *text;

	CHECK_EQ(im.n_entries, 0);
	CHECK(!im.has_snapshot);
	store_image_fini(&im);
	seen.want = STEPS;
	for (unsigned k = 0; k < STEPS; k++) {
		work_step(&w, k, &last, &snap);
		store_put(s, &w.b, k + 1, on_stored, &seen);
	}
	memset(&w, 0xee, sizeof(w));    /* the store has its own copy */
	CHECK_EQ(store_pending(s), STEPS);
	ev_run(EV_DEFAULT, 0);
	CHECK_EQ(seen.n_ok, STEPS);
	CHECK_EQ(store_pending(s), 0);
	CHECK(seen.in_order);
	CHECK_EQ(store_load(s, &im), 0);
	text = dump(&im);
	CHECK_STR(text, expected[STEPS]);
	free(text);
	store_image_fini(&im);
	store_close(&s);

	s = open_store(dir, NULL, &seen, &im);
	text = dump(&im);
	CHECK_STR(text, expected[STEPS]);
	CHECK(store_image_meta(&im, "step"));
	CHECK(!store_image_meta(&im, "none"));
	free(text);
	store_image_fini(&im);
	store_close(&s);
}

static void put_entry(struct store *s, uint64_t index, uint64_t seq, struct seen *seen)
{
	struct store_entry e = { .index = index, .epoch = 1, .kind = 1, .data = (const uint8_t *)"x", .len = 1 };
	struct store_batch b = { .entries = &e, .n_entries = 1 };

	store_put(s, &b, seq, on_stored, seen);
}

static void test_a_batch_that_leaves_a_hole_is_refused_alone(void)
{
	auto_free char *dir = fresh_dir();
	struct store_snapshot snap = { 9, 1, (const uint8_t *)"s", 1 };
	struct store_batch compact = { .compact = &snap }, drop = { .drop_below = 2 }, own = { .n_meta = 1 };
	struct store_meta m = { "#marks", "x", 1 };
	struct store_image im;
	struct seen seen;
	struct store *s = open_store(dir, NULL, &seen, &im);

	own.meta = &m;
	seen.want = 8;
	put_entry(s, 2, 1, &seen);                              /* the log begins at 1 */
	put_entry(s, 1, 2, &seen);
	put_entry(s, 3, 3, &seen);                              /* 2 is missing */
	put_entry(s, 1, 4, &seen);                              /* there already */
	put_entry(s, 2, 5, &seen);
	store_put(s, &compact, 6, on_stored, &seen);            /* a snapshot beyond the log that keeps the log */
	store_put(s, &drop, 7, on_stored, &seen);               /* no snapshot covers it */
	store_put(s, &own, 8, on_stored, &seen);                /* a key that is the store's own */
	ev_run(EV_DEFAULT, 0);
	CHECK_EQ(seen.n_ok, 2);
	CHECK_EQ(seen.n_invalid, 6);
	CHECK_EQ(seen.changed, 1);
	store_image_fini(&im);
	CHECK_EQ(store_load(s, &im), 0);
	CHECK_EQ(im.n_entries, 2);
	store_image_fini(&im);
	store_close(&s);
}

static void test_a_failed_store_says_so_and_comes_back(void)
{
	uint64_t last = 0, snap = 0;
	struct store_image im;
	struct seen seen;
	struct store *s;
	struct work w;
	char *text;

	for (unsigned n = 1; n < 60; n += 3) {
		unsigned acked;

		last = snap = 0;
		crashvfs_format();
		s = open_store("d", CRASHVFS_NAME, &seen, &im);
		store_image_fini(&im);
		crashvfs_fault(n % 2 ? FAULT_EIO : FAULT_FULL, n);
		seen.want = STEPS;
		for (unsigned k = 0; k < STEPS; k++) {
			work_step(&w, k, &last, &snap);
			store_put(s, &w.b, k + 1, on_stored, &seen);
		}
		ev_run(EV_DEFAULT, 0);
		CHECK(seen.in_order);
		CHECK_EQ(seen.n_ok + seen.n_failed, STEPS);
		acked = seen.n_ok;
		if (seen.n_failed == 0) {
			store_close(&s);
			continue;
		}
		/* All that follow a failed one fail, and the loop knows the reason. */
		CHECK_EQ(seen.changed, n % 2 ? ERR_IO : ERR_NOSPC);
		CHECK_EQ(store_err(s), seen.changed);
		CHECK(store_load(s, &im) < 0);
		crashvfs_heal();
		seen.want = 0;
		seen.want_recovery = true;
		ev_run(EV_DEFAULT, 0);
		CHECK_EQ(store_err(s), 0);
		CHECK_EQ(store_load(s, &im), 0);
		text = dump(&im);
		CHECK(strcmp(text, expected[acked]) == 0 || strcmp(text, expected[acked + 1]) == 0);
		free(text);
		/* It takes batches again. */
		seen.n_ok = seen.n_failed = 0;
		seen.want = 1;
		seen.last_seq = 0;
		put_entry(s, im.n_entries ? im.entries[im.n_entries - 1].index + 1 : im.snapshot.index + 1, 1, &seen);
		store_image_fini(&im);
		ev_run(EV_DEFAULT, 0);
		CHECK_EQ(seen.n_ok, 1);
		store_close(&s);
	}
}

static void test_a_batch_put_before_the_failure_was_told_is_not_stored_after_it(void)
{
	struct store_image im;
	struct seen seen;
	struct store *s;

	crashvfs_format();
	s = open_store("d", CRASHVFS_NAME, &seen, &im);
	store_image_fini(&im);
	crashvfs_fault(FAULT_EIO, 1);
	put_entry(s, 1, 1, &seen);
	while (!crashvfs_hit())
		usleep(1000);
	/* The loop has not run: it knows neither of the failure nor, a little later, of the recovery. */
	crashvfs_heal();
	usleep(300000);
	put_entry(s, 1, 2, &seen);
	seen.want = 2;
	ev_run(EV_DEFAULT, 0);
	CHECK_EQ(seen.n_failed, 2);
	store_close(&s);
}

static void test_full_tmpfs_is_no_space_and_room_heals_it(void)
{
	auto_free char *dir = fresh_dir();
	static uint8_t big[400000];
	struct store_entry e = { .index = 1, .epoch = 1, .kind = 1, .data = big, .len = sizeof(big) };
	struct store_batch b = { .entries = &e, .n_entries = 1 };
	auto_free char *ballast = mem_printf("%s/ballast", dir);
	struct store_image im;
	struct seen seen;
	struct store *s;
	int fd;

	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", dir, "tmpfs", 0, "size=1m") < 0) {
		printf("skipped: no right to mount a tmpfs\n");
		return;
	}
	fd = open(ballast, O_RDWR | O_CREAT, 0600);
	CHECK(fd >= 0 && ftruncate(fd, 0) == 0 && posix_fallocate(fd, 0, 700000) == 0);
	s = open_store(dir, NULL, &seen, &im);
	store_image_fini(&im);
	seen.want = 1;
	store_put(s, &b, 1, on_stored, &seen);
	ev_run(EV_DEFAULT, 0);
	CHECK_EQ(seen.n_failed, 1);
	CHECK_EQ(seen.changed, ERR_NOSPC);
	CHECK(ftruncate(fd, 0) == 0);
	close(fd);
	seen.want = 0;
	seen.want_recovery = true;
	ev_run(EV_DEFAULT, 0);
	seen.want = 2;
	store_put(s, &b, 2, on_stored, &seen);
	ev_run(EV_DEFAULT, 0);
	CHECK_EQ(seen.n_ok, 1);
	store_close(&s);
	umount2(dir, MNT_DETACH);
}

/* A child commits as fast as it can and says what was acknowledged; kill -9 at any time. */
static int child_pipe;

static void on_child_stored(void *arg, uint64_t seq, int err)
{
	if (err || write(child_pipe, &seq, sizeof(seq)) != sizeof(seq))
		_exit(3);
}

static void child_put(struct ev_loop *loop, struct ev_idle *w, int revents)
{
	static uint8_t data[2000];
	struct store *s = w->data;
	static uint64_t next;
	struct store_entry e[2];
	struct store_batch b = { .entries = e, .n_entries = 2, .has_marks = true };
	struct store_image im;

	if (next == 0) {
		CHECK_EQ(store_load(s, &im), 0);
		next = im.n_entries ? im.entries[im.n_entries - 1].index + 1 : 1;
		store_image_fini(&im);
	}
	if (store_pending(s) > 8)
		return;
	for (unsigned i = 0; i < 2; i++)
		e[i] = (struct store_entry){ .index = next + i, .epoch = 1, .kind = 1, .data = data, .len = sizeof(data) };
	next += 2;
	b.commit = next - 1;
	store_put(s, &b, next - 1, on_child_stored, NULL);
}

static void run_child(const char *dir, int fd)
{
	struct store_options o = { .dir = dir, .loop = ev_default_loop(EVFLAG_FORKCHECK) };
	struct store_image im;
	struct ev_idle idle;
	struct store *s;

	child_pipe = fd;
	ev_loop_fork(EV_DEFAULT);
	if (store_open(&s, &o, &im, NULL))
		_exit(2);
	store_image_fini(&im);
	ev_idle_init(&idle, child_put);
	idle.data = s;
	ev_idle_start(EV_DEFAULT, &idle);
	ev_run(EV_DEFAULT, 0);
	_exit(4);
}

static void test_kill_9_in_the_middle_of_commits_loses_nothing(void)
{
	auto_free char *dir = fresh_dir();
	struct rng rng = { 7 };

	for (unsigned round = 0; round < 25; round++) {
		uint64_t acked = 0, seq;
		struct store_image im;
		struct storedb *db;
		char *why = NULL;
		int fds[2], status;
		pid_t pid;

		CHECK(pipe(fds) == 0);
		pid = fork();
		if (pid == 0)
			run_child(dir, fds[1]);
		close(fds[1]);
		usleep((useconds_t)(20000 + rng_below(&rng, 60000)));
		kill(pid, SIGKILL);
		CHECK(waitpid(pid, &status, 0) == pid);
		CHECK(WIFSIGNALED(status));
		while (read(fds[0], &seq, sizeof(seq)) == sizeof(seq))
			acked = seq;
		close(fds[0]);
		CHECK_EQ(storedb_open(&db, dir, NULL, &why), 0);
		CHECK_EQ(storedb_load(db, &im, &why), 0);
		/* A batch is two entries and the commit mark: never one without the others. */
		CHECK(im.commit >= acked);
		CHECK_EQ(im.n_entries % 2, 0);
		CHECK_EQ(im.n_entries, im.commit);
		store_image_fini(&im);
		storedb_close(&db);
	}
}

static void test_a_second_daemon_is_refused(void)
{
	auto_free char *dir = fresh_dir();
	struct store_image im;
	struct storedb *db;
	struct seen seen;
	struct store *s = open_store(dir, NULL, &seen, &im);
	char *why = NULL;
	pid_t pid = fork();
	int status;

	/* Another process: locks of one process do not exclude itself. */
	if (pid == 0)
		_exit(storedb_open(&db, dir, NULL, &why) == ERR_BUSY && strstr(why, "running") ? 0 : 1);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_EQ(status, 0);
	store_image_fini(&im);
	store_close(&s);
}

static void exec_sql(const char *dir, const char *text)
{
	auto_free char *path = mem_printf("%s/state.db", dir);
	sqlite3 *sql;

	CHECK_EQ(sqlite3_open(path, &sql), SQLITE_OK);
	CHECK_EQ(sqlite3_exec(sql, text, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(sql);
}

static int try_open(const char *dir, char **why)
{
	struct store_image im;
	struct storedb *db;
	int err = storedb_open(&db, dir, NULL, why);

	if (!err)
		err = storedb_load(db, &im, why);
	if (!err)
		store_image_fini(&im);
	storedb_close(&db);
	return err;
}

static void fill(const char *dir)
{
	uint64_t last = 0, snap = 0;
	struct storedb *db;
	struct work w;
	char *why = NULL;

	CHECK_EQ(storedb_open(&db, dir, NULL, &why), 0);
	for (unsigned k = 0; k < 9; k++) {
		work_step(&w, k, &last, &snap);
		CHECK_EQ(commit_step(db, &w.b), 0);
	}
	storedb_close(&db);
}

static void test_a_newer_or_foreign_or_damaged_file_is_refused_with_advice(void)
{
	static const char *const damage[] = {
		"UPDATE log SET data = zeroblob(5) WHERE idx = (SELECT max(idx) FROM log)",
		"UPDATE log SET epoch = epoch + 1 WHERE idx = (SELECT max(idx) FROM log)",
		"DELETE FROM log WHERE idx = (SELECT max(idx) - 1 FROM log)",
		"UPDATE snapshot SET data = zeroblob(9)",
		"DELETE FROM snapshot",
		"UPDATE meta SET value = 'other' WHERE key = 'step'",
		"PRAGMA application_id = 1",
	};
	char *why = NULL;

	for (unsigned i = 0; i < ARRAY_LEN(damage); i++) {
		auto_free char *dir = fresh_dir();

		fill(dir);
		exec_sql(dir, damage[i]);
		CHECK_EQ(try_open(dir, &why), ERR_MALFORMED);
		CHECK(strstr(why, "move"));
		free(why);
		why = NULL;
	}
	{
		auto_free char *dir = fresh_dir();

		fill(dir);
		exec_sql(dir, "PRAGMA user_version = 999");
		CHECK_EQ(try_open(dir, &why), ERR_VERSION);
		CHECK(strstr(why, "999"));
		free(why);
	}
}

static void test_random_bytes_in_the_file_are_refused_and_never_crash(void)
{
	struct rng rng = { 3 };

	for (unsigned round = 0; round < 60; round++) {
		auto_free char *dir = fresh_dir();
		auto_free char *path = mem_printf("%s/state.db", dir);
		char *why = NULL;
		struct stat st;
		int fd;

		fill(dir);
		fd = open(path, O_RDWR);
		CHECK(fd >= 0 && fstat(fd, &st) == 0);
		for (unsigned i = 0; i < 1 + round % 40; i++) {
			uint64_t v = rng_next(&rng);

			CHECK(pwrite(fd, &v, sizeof(v), (off_t)rng_below(&rng, (uint64_t)st.st_size)) > 0);
		}
		if (round % 10 == 9)
			CHECK(ftruncate(fd, (off_t)rng_below(&rng, (uint64_t)st.st_size)) == 0);
		close(fd);
		/* Unused space may have been hit: then it opens. Whatever it says, it says it. */
		if (try_open(dir, &why))
			CHECK(why && why[0]);
		free(why);
	}
}

struct facts {
	unsigned n;
	char last[64];
};

static void on_fact(void *arg, const void *key, size_t key_len, const void *value, size_t len)
{
	struct facts *f = arg;

	f->n++;
	snprintf(f->last, sizeof(f->last), "%.*s=%.*s", (int)key_len, (const char *)key, (int)len, (const char *)value);
}

static void test_facts_come_back_and_a_damaged_cache_is_forgotten(void)
{
	auto_free char *dir = fresh_dir();
	auto_free char *path = mem_printf("%s/facts.db", dir);
	struct store_image im;
	struct facts f = { 0 };
	struct seen seen;
	struct store *s = open_store(dir, NULL, &seen, &im);
	int fd;

	store_image_fini(&im);
	store_fact_put(s, "a", 1, "1", 1);
	store_fact_put(s, "b", 1, "2", 1);
	store_fact_put(s, "b", 1, "3", 1);
	store_fact_del(s, "a", 1);
	store_close(&s);
	s = open_store(dir, NULL, &seen, &im);
	store_image_fini(&im);
	store_facts_load(s, on_fact, &f);
	CHECK_EQ(f.n, 1);
	CHECK_STR(f.last, "b=3");
	store_close(&s);

	fd = open(path, O_RDWR);
	CHECK(fd >= 0 && pwrite(fd, "damaged", 7, 0) == 7 && pwrite(fd, "damaged", 7, 4096) == 7);
	close(fd);
	s = open_store(dir, NULL, &seen, &im);
	store_image_fini(&im);
	f.n = 0;
	store_facts_load(s, on_fact, &f);
	CHECK_EQ(f.n, 0);
	store_fact_put(s, "c", 1, "4", 1);
	store_close(&s);
	s = open_store(dir, NULL, &seen, &im);
	store_image_fini(&im);
	store_facts_load(s, on_fact, &f);
	CHECK_STR(f.last, "c=4");
	store_close(&s);
}

static void remove_top(void)
{
	auto_free char *command = mem_printf("rm -rf %s", top);

	if (system(command))
		fprintf(stderr, "cannot remove %s\n", top);
}

int main(void)
{
	CHECK(mkdtemp(top));
	install_faulty_memory();
	make_expected();
	RUN(test_kill_9_in_the_middle_of_commits_loses_nothing);
	RUN(test_batches_are_acknowledged_in_order_and_found_again);
	RUN(test_a_batch_that_leaves_a_hole_is_refused_alone);
	RUN(test_power_loss_at_every_write_keeps_what_was_acknowledged);
	RUN(test_power_loss_during_recovery);
	RUN(test_one_io_error_anywhere_loses_nothing_acknowledged);
	RUN(test_lasting_io_errors_lose_nothing_acknowledged);
	RUN(test_full_disk_anywhere_loses_nothing_acknowledged);
	RUN(test_every_failing_allocation_is_survived);
	RUN(test_a_failed_store_says_so_and_comes_back);
	RUN(test_a_batch_put_before_the_failure_was_told_is_not_stored_after_it);
	RUN(test_a_second_daemon_is_refused);
	RUN(test_a_newer_or_foreign_or_damaged_file_is_refused_with_advice);
	RUN(test_random_bytes_in_the_file_are_refused_and_never_crash);
	RUN(test_facts_come_back_and_a_damaged_cache_is_forgotten);
	RUN(test_full_tmpfs_is_no_space_and_room_heals_it);
	for (unsigned k = 0; k <= STEPS; k++)
		free(expected[k]);
	remove_top();
	return 0;
}
