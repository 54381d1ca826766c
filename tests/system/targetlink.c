/* SPDX-License-Identifier: Apache-2.0 */
/*
 * directord/target.c against a real director-target: started, used, left alone, adopted, killed, restarted,
 * ended. Arguments: the program, a folder to work in. Each step is the callback of the one before.
 */
#include <ev.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "directord/target.h"
#include "tests/unit/check.h"

static struct target_link *link_;
static struct target_link_conf conf;
static struct ev_loop *loop;
static struct log log_;
static unsigned step, n_events, n_replies;
static uint32_t first_pid;
static uint8_t first_instance[16];
static ev_timer limit, later;

static void sink(void *arg, enum log_level level, const char *line)
{
	printf("  %s\n", line);
}

static void volume_fill(struct target_volume *v)
{
	static struct target_param param = { (char *)"block-size", (char *)"4096" };

	memset(v, 0, sizeof(*v));
	memset(v->uuid, 0x31, 16);
	v->name = (char *)"v1";
	v->size = 16u << 20;
	v->generation = 7;
	v->store.plugin = (char *)"ram";
	v->store.params = &param;
	v->store.n_params = 1;
}

static void up(void *arg, const struct target_hello *hello, const struct target_list *list, bool adopted);

static void down(void *arg, const char *why)
{
	printf("  down: %s\n", why);
	CHECK(step == 3 || step == 4 || step == 5);
}

static void event(void *arg, const struct target_event *ev)
{
	n_events++;
}

static const struct target_link_ops ops = { .up = up, .down = down, .event = event };

static void link_begin(void)
{
	link_ = target_link_new(loop, &conf, &ops, NULL, &log_);
}

static void unreachable(void *arg, const struct target_msg *reply)
{
	CHECK_EQ(reply->err, ERR_UNREACHABLE);
	n_replies++;
}

static void stopped(void *arg)
{
	ev_break(loop, EVBREAK_ALL);
}

/* Step 2: as if directord had died: nothing is said to director-target, its descriptor just closes. */
static void leave(struct ev_loop *l, ev_timer *t, int revents)
{
	target_link_free(&link_);
	step = 2;
	link_begin();
}

static void target_is_set(void *arg, const struct target_msg *reply)
{
	CHECK_EQ(reply->err, 0);
	n_replies++;
	ev_timer_init(&later, leave, 0.05, 0);
	ev_timer_start(loop, &later);
}

static void volume_is_open(void *arg, const struct target_msg *reply)
{
	struct target_msg req = { .kind = TARGET_TARGET_SET };
	struct target_lun lun = { .lun = 1 };
	char *portal = (char *)"127.0.0.1:13299";
	struct target_host host = { .initiator = (char *)"any" };

	CHECK_EQ(reply->err, 0);
	CHECK_EQ(reply->volume.state, TARGET_STATE_READY);
	CHECK_EQ(reply->volume.generation, 7);
	n_replies++;
	memset(lun.volume, 0x31, 16);
	req.target = (struct target_def){ .iqn = (char *)"iqn.2026-11.test:link",
		.luns = &lun,
		.n_luns = 1,
		.hosts = &host,
		.n_hosts = 1,
		.portals = &portal,
		.n_portals = 1,
		.generation = 8 };
	CHECK_EQ(target_link_send(link_, &req, target_is_set, NULL), 0);
}

static void bad_is_refused(void *arg, const struct target_msg *reply)
{
	CHECK(reply->err != 0 && reply->text && strstr(reply->text, "nosuch"));
	printf("  refused as it should be: %s\n", reply->text);
	n_replies++;
}

static void up(void *arg, const struct target_hello *hello, const struct target_list *list, bool adopted)
{
	struct target_msg req = { .kind = TARGET_VOLUME_CREATE };

	step++;
	printf("step %u: pid %u, %s\n", step, hello->pid, adopted ? "adopted" : "started");
	CHECK_EQ(hello->pid, target_link_pid(link_));
	switch (step) {
	case 1:
		CHECK(!adopted && list->n_volumes == 0 && list->n_targets == 0);
		first_pid = hello->pid;
		memcpy(first_instance, hello->instance, 16);
		volume_fill(&req.volume);
		req.volume.store.plugin = (char *)"nosuch";
		CHECK_EQ(target_link_send(link_, &req, bad_is_refused, NULL), 0);
		volume_fill(&req.volume);
		CHECK_EQ(target_link_send(link_, &req, volume_is_open, NULL), 0);
		return;
	case 3:
		CHECK(adopted && hello->pid == first_pid && memcmp(hello->instance, first_instance, 16) == 0);
		CHECK(list->n_volumes == 1 && list->volumes[0].generation == 7 &&
			list->volumes[0].state == TARGET_STATE_READY);
		CHECK(list->n_targets == 1 && list->targets[0].generation == 8 &&
			list->targets[0].n_luns == 1);
		CHECK(!list->targets[0].hosts[0].secret);
		kill((pid_t)hello->pid, SIGSTOP);
		req.kind = TARGET_LIST;
		CHECK_EQ(target_link_send(link_, &req, unreachable, NULL), 0);
		kill((pid_t)hello->pid, SIGKILL);
		return;
	case 4:
		CHECK(!adopted && hello->pid != first_pid && list->n_volumes == 0);
		CHECK(memcmp(hello->instance, first_instance, 16) != 0);
		CHECK_EQ(n_replies, 4);
		step = 5;
		target_link_stop(link_, 3000, stopped, NULL);
		return;
	default:
		CHECK(!"a step too many");
	}
}

static void too_long(struct ev_loop *l, ev_timer *t, int revents)
{
	fprintf(stderr, "stuck at step %u\n", step);
	exit(1);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	loop = ev_default_loop(0);
	log_ = (struct log){ .sink = sink, .level = LOG_LEVEL_INFO };
	conf = (struct target_link_conf){ .program = argv[1], .socket = mem_printf("%s/t.sock", argv[2]),
		.pid_file = mem_printf("%s/t.pid", argv[2]), .log_file = mem_printf("%s/t.log", argv[2]) };
	ev_timer_init(&limit, too_long, 60, 0);
	ev_timer_start(loop, &limit);
	link_begin();
	ev_run(loop, 0);
	target_link_free(&link_);
	free((char *)conf.socket);
	free((char *)conf.pid_file);
	free((char *)conf.log_file);
	ev_loop_destroy(loop);
	puts("ok targetlink");
	return 0;
}
