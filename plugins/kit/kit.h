/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conformance kit's own words. Each test is a function that runs in a process of its own, so that a
 * plugin that hangs, crashes or leaks spoils one test and is named by it.
 *
 *   main.c    arguments, processes, the report
 *   kit.c     the plugin under test: load, create, open, I/O that waits
 *   life.c    tables, parameters, life cycle, fence, resize
 *   data.c    what is written is what is read: against a model, from several threads
 *   crash.c   kill -9 and open again
 */
#ifndef PLUGINS_KIT_KIT_H
#define PLUGINS_KIT_KIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "target/serve/backstore.h"

#define KIT_PARAMS_MAX 32

/* What the command line says. */
struct kit_args {
	const char *file;
	struct plugin_pair params[KIT_PARAMS_MAX];
	unsigned n_params;
	struct backstore_spec below[4];         /* what a filter goes over: over[0] is next below it */
	struct plugin_pair below_params[4][KIT_PARAMS_MAX];
	unsigned n_below;
	uint64_t size, seed;
	unsigned rounds;                        /* I/Os of the random tests */
	bool verbose;
	unsigned forgets;                       /* losses (DIRECTOR_EV_FORGOT) that flushes have to tell of before rounds count */
};

extern struct kit_args kit_args;

/* The plugin under test, as kit_load and kit_open leave it. */
struct kit {
	struct backstore_host *host;
	struct backstore_queue *q;
	struct backstore *bs;
	const struct plugin *pl;                /* its tables; the host owns them */
	struct backstore_spec spec;
	struct director_caps caps;              /* the plugin's own */
	uint64_t epoch;
};

/* End this test: it failed, for this reason. */
_Noreturn void kit_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* End this test: it does not apply. */
_Noreturn void kit_skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
#define KIT(cond, ...) do { if (!(cond)) kit_fail(__VA_ARGS__); } while (0)

void kit_load(struct kit *);                    /* host, queue, plugin */
void kit_open(struct kit *);                    /* ... created and opened */
void kit_reopen(struct kit *);                  /* close, open, the same storage */
/* Close, look for what must not be left, destroy the storage, unload. */
void kit_end(struct kit *);

/* One I/O, waited for. */
int32_t kit_io(struct kit *, uint16_t op, uint16_t flags, uint64_t offset, void *data, uint64_t len);
/* Submit only; bio->user points to an int32_t that will be the result. */
void kit_start(struct kit *, struct backstore_queue *, struct backstore_io *bio);
/* The same on a given queue, and with a prepared io (for what else it returns). */
int32_t kit_submit(struct kit *, struct backstore_queue *, struct backstore_io *bio);
/* Wait a little, deliver what came. */
void kit_wait(struct backstore_queue *);

/* Memory for I/O: aligned to a page. Exits when there is none. */
void *kit_alloc(size_t n);
/* Block `block` in version `version`; 0 is all zeroes. Each block of each version differs from all others. */
void kit_fill(void *p, uint32_t block_size, uint64_t block, uint32_t version);
/* Is it exactly that? */
bool kit_is(const void *p, uint32_t block_size, uint64_t block, uint32_t version);

struct kit_test {
	const char *name;
	void (*run)(void);
	const char *what;                       /* for people, one line */
};

extern const struct kit_test kit_life[], kit_data[], kit_crash[];       /* end with a NULL name */

#endif
