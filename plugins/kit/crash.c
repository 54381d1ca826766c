/* SPDX-License-Identifier: Apache-2.0 */
/* Killed in the middle: what was answered is there afterwards, and no block is half old and half new. */
#include "config.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugins/kit/kit.h"

#define BLOCKS 64

/* Round after round through all blocks; says each write that was answered. Until killed. */
static _Noreturn void writer(int out)
{
	uint32_t version, b, bs;
	struct kit k;
	char *buf;

	kit_open(&k);
	bs = k.caps.block_size;
	buf = kit_alloc(bs);
	for (version = 1;; version++) {
		for (b = 0; b < BLOCKS; b++) {
			uint32_t word[2] = { b, version };

			kit_fill(buf, bs, b, version);
			if (kit_io(&k, DIRECTOR_WRITE, b % 8 == 0 ? DIRECTOR_IOF_FUA : 0, (uint64_t)b * bs, buf, bs) != 0 ||
			    write(out, word, sizeof(word)) != sizeof(word))
				_exit(1);
		}
	}
}

/* Kill it after it has answered enough, then learn what it still said. */
static void run_and_kill(uint32_t answered[BLOCKS])
{
	uint32_t word[2], n = 0;
	int fds[2];
	pid_t pid;

	if (pipe(fds) < 0)
		kit_fail("no pipe");
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);       /* when the test itself runs out of time */
		close(fds[0]);
		writer(fds[1]);
	}
	close(fds[1]);
	while (read(fds[0], word, sizeof(word)) == sizeof(word)) {
		answered[word[0]] = word[1];
		if (++n == 3 * BLOCKS + 7)
			kill(pid, SIGKILL);
	}
	close(fds[0]);
	waitpid(pid, NULL, 0);
	KIT(n >= 3 * BLOCKS + 7, "the writer ended by itself after %u writes", n);
}

static void killed(void)
{
	struct director_err err = { .text = "" };
	uint32_t answered[BLOCKS] = { 0 }, b, bs;
	struct kit k;
	char *buf;
	int r;

	/* Volatile or not is known only once it is open: in a process of its own, as the writer is one. */
	run_and_kill(answered);
	kit_load(&k);
	r = backstore_create(k.host, &k.spec, kit_args.size, &err);
	KIT(r == 0, "create, asked again after the crash: %s", err.text);
	r = backstore_open(k.host, &k.spec, 0, NULL, &k.bs, &err);
	KIT(r == 0, "open after the crash: %s", err.text);
	backstore_caps_plugin(k.bs, &k.caps);
	if (k.caps.flags & DIRECTOR_CAP_VOLATILE) {
		kit_end(&k);
		kit_skip("volatile; it opens again");
	}
	bs = k.caps.block_size;
	buf = kit_alloc(bs);
	for (b = 0; b < BLOCKS; b++) {
		r = kit_io(&k, DIRECTOR_READ, 0, (uint64_t)b * bs, buf, bs);
		KIT(r == 0, "block %u cannot be read after the crash: %s", b, strerror(-r));
		KIT(kit_is(buf, bs, b, answered[b]) || kit_is(buf, bs, b, answered[b] + 1),
			"block %u is neither what was answered last (%u) nor what was under way", b, answered[b]);
	}
	free(buf);
	kit_end(&k);
}

const struct kit_test kit_crash[] = {
	{ "killed", killed, "killed in the middle of writing, and opened again" },
	{ NULL, NULL, NULL },
};
