/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A daemon that does nothing but Corosync: the adapters' test subject in the lab. It takes commands on standard
 * input, one a line, and prints what happens, one event a line.
 *
 *   conf VERSION ID@NAME@ADDRESS[,ADDRESS2]... [key=X] [token=MS]        write the file
 *   start | stop | kill | reload | active | written
 *   cast TEXT | flood COUNT SIZE | waiting | close | open | quit
 */
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "directord/corosync.h"
#include "directord/cpg.h"

struct ringer {
	struct ev_loop *loop;
	struct ev_io in;
	struct log log;
	const char *dir;
	struct corosync *corosync;
	struct cpg *cpg;
	char line[4096];
	size_t len;
	unsigned flood_left, flood_size, flooded;
	uint32_t self;
	struct ev_timer flood;
};

static struct mono began;

#define SAY(...) (printf("%6llu ", (unsigned long long)mono_ms_between(began, mono_now())), printf(__VA_ARGS__), putchar('\n'))

static void on_view(void *arg, const struct cpg_view *v)
{
	struct ringer *r = arg;

	r->self = v->self;
	printf("%6llu view %016llx ring %u.%llu self %u nodes", (unsigned long long)mono_ms_between(began, mono_now()),
	       (unsigned long long)v->id, v->ring_node, (unsigned long long)v->ring_seq, v->self);
	for (unsigned i = 0; i < v->n; i++)
		printf(" %u", v->nodes[i]);
	putchar('\n');
}

static void on_down(void *arg, const char *why)
{
	SAY("down %s", why);
}

static void on_message(void *arg, uint32_t from, const uint8_t *data, size_t len)
{
	struct ringer *r = arg;

	if (len && data[0] == 'F') {
		r->flooded++;
		if (from == r->self && r->flood_left == 0 && cpg_waiting_ms(r->cpg) == 0)
			SAY("flooded %u", r->flooded);
		return;
	}
	SAY("message %u %.*s", from, (int)len, (const char *)data);
}

static void on_quorate(void *arg, bool quorate, uint32_t ring_node, uint64_t ring_seq, const uint32_t *nodes, unsigned n)
{
	SAY("%s ring %u.%llu of %u", quorate ? "quorate" : "inquorate", ring_node, (unsigned long long)ring_seq, n);
}

static void on_changed(void *arg, enum corosync_state state, const char *why)
{
	static const char *const names[] = { "stopped", "running", "broken" };
	struct ringer *r = arg;

	SAY("corosync %s %s", names[state], why ? why : "");
	if (state == COROSYNC_RUNNING && r->cpg)
		cpg_hurry(r->cpg);
}

static void on_done(void *arg, int err, const char *why)
{
	SAY("%s %s %s", (const char *)arg, err ? err_name(err) : "ok", why ? why : "");
}

static void on_active(void *arg, int err, const struct corosync_active *a)
{
	char hex[33];

	printf("%6llu active %s version %llu hash %.8s self %u nodes", (unsigned long long)mono_ms_between(began, mono_now()),
	       err ? err_name(err) : "ok", (unsigned long long)a->version, text_hex(a->hash, 16, hex), a->self);
	for (unsigned i = 0; i < a->n_nodes; i++)
		printf(" %u", a->nodeids[i]);
	putchar('\n');
}

/* Casts as fast as they are taken. */
static void on_flood(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	struct ringer *r = w->data;
	static uint8_t data[CPG_CAST_MAX];
	int err = 0;

	data[0] = 'F';
	while (r->flood_left && (err = cpg_cast(r->cpg, data, r->flood_size)) == 0)
		r->flood_left--;
	if (r->flood_left == 0 || err != ERR_LIMIT) {
		ev_timer_stop(loop, w);
		if (err)
			SAY("flood %s", err_name(err));
	}
}

static int parse_node(struct corosync_node *n, char *text)
{
	char *save = NULL;
	char *id = strtok_r(text, "@", &save), *name = strtok_r(NULL, "@", &save), *a = strtok_r(NULL, "@", &save);
	char *second;
	uint64_t v;

	if (!a || text_u64_parse(id, &v))
		return ERR_INVAL;
	n->nodeid = (uint32_t)v;
	snprintf(n->name, sizeof(n->name), "%s", name);
	second = strchr(a, ',');
	if (second)
		*second++ = '\0';
	if (addr_parse(a, 0, &n->link[0]) || (second && addr_parse(second, 0, &n->link[1])))
		return ERR_INVAL;
	return 0;
}

static void do_conf(struct ringer *r, char *args)
{
	struct corosync_conf conf = { .cluster = "ringer" };
	char *save = NULL, *w = strtok_r(args, " ", &save);
	char *why = NULL;
	int err;

	if (!w || text_u64_parse(w, &conf.version)) {
		SAY("conf wants a version");
		return;
	}
	while ((w = strtok_r(NULL, " ", &save))) {
		if (strncmp(w, "key=", 4) == 0)
			memset(conf.key, w[4], sizeof(conf.key));
		else if (strncmp(w, "token=", 6) == 0)
			conf.token_ms = conf.consensus_ms = (unsigned)atoi(w + 6);
		else if (conf.n_nodes == COROSYNC_NODES_MAX || parse_node(&conf.nodes[conf.n_nodes++], w))
			SAY("conf cannot read %s", w);
	}
	err = corosync_conf_check(&conf, &why);
	if (!err)
		err = corosync_write(r->corosync, &conf, on_done, (void *)(uintptr_t)"conf");
	if (err)
		SAY("conf %s %s", err_name(err), why ? why : "");
	free(why);
}

static void open_all(struct ringer *r)
{
	struct corosync_options co = { .dir = r->dir, .loop = r->loop, .log = &r->log, .changed = on_changed, .arg = r };
	struct cpg_options go = { .loop = r->loop, .log = &r->log, .group = "ringer", .arg = r,
				  .on = { on_view, on_down, on_message, on_quorate } };
	char *why = NULL;
	int err = corosync_open(&r->corosync, &co, &why);

	if (err) {
		fprintf(stderr, "ringer: %s: %s\n", err_name(err), why ? why : "");
		exit(1);
	}
	SAY("opened %s", corosync_state(r->corosync) == COROSYNC_RUNNING ? "running" : "stopped");
	r->cpg = cpg_open(&go);
}

static void close_all(struct ringer *r)
{
	cpg_close(&r->cpg);
	corosync_close(&r->corosync);
	SAY("closed");
}

static void do_written(struct ringer *r)
{
	uint64_t version = 0;
	uint8_t hash[16] = { 0 };
	int err = corosync_written(r->corosync, &version, hash);
	char hex[33];

	SAY("written %s version %llu hash %.8s", err ? err_name(err) : "ok", (unsigned long long)version,
	    text_hex(hash, 16, hex));
}

static void do_flood(struct ringer *r, const char *args)
{
	r->flooded = 0;
	if (sscanf(args, "%u %u", &r->flood_left, &r->flood_size) == 2 && r->flood_size && r->flood_size <= CPG_CAST_MAX)
		ev_timer_again(r->loop, &r->flood);
}

static void do_line(struct ringer *r, char *line)
{
	char *args = strchr(line, ' ');
	int err;

	if (args)
		*args++ = '\0';
	else
		args = line + strlen(line);
	if (strcmp(line, "conf") == 0)
		do_conf(r, args);
	else if (strcmp(line, "start") == 0)
		SAY("start %s", (err = corosync_start(r->corosync)) ? err_name(err) : "ok");
	else if (strcmp(line, "stop") == 0)
		corosync_stop(r->corosync, false);
	else if (strcmp(line, "kill") == 0)
		corosync_stop(r->corosync, true);
	else if (strcmp(line, "reload") == 0)
		corosync_reload(r->corosync, on_done, (void *)(uintptr_t)"reload");
	else if (strcmp(line, "active") == 0)
		corosync_active(r->corosync, on_active, NULL);
	else if (strcmp(line, "written") == 0)
		do_written(r);
	else if (strcmp(line, "cast") == 0)
		SAY("cast %s", (err = cpg_cast(r->cpg, args, strlen(args))) ? err_name(err) : "ok");
	else if (strcmp(line, "flood") == 0)
		do_flood(r, args);
	else if (strcmp(line, "waiting") == 0)
		SAY("waiting %llu", (unsigned long long)cpg_waiting_ms(r->cpg));
	else if (strcmp(line, "close") == 0)
		close_all(r);
	else if (strcmp(line, "open") == 0)
		open_all(r);
	else if (strcmp(line, "quit") == 0)
		ev_break(r->loop, EVBREAK_ALL);
	else
		SAY("what is %s?", line);
}

static void on_input(struct ev_loop *loop, struct ev_io *w, int revents)
{
	struct ringer *r = w->data;
	ssize_t n = read(0, r->line + r->len, sizeof(r->line) - 1 - r->len);
	char *nl;

	if (n <= 0) {
		ev_break(loop, EVBREAK_ALL);
		return;
	}
	r->len += (size_t)n;
	r->line[r->len] = '\0';
	while ((nl = strchr(r->line, '\n'))) {
		char *line = mem_strndup(r->line, (size_t)(nl - r->line));

		r->len -= (size_t)(nl + 1 - r->line);
		memmove(r->line, nl + 1, r->len + 1);
		do_line(r, line);
		free(line);
	}
	if (r->len == sizeof(r->line) - 1)
		r->len = 0;
}

static void print_line(void *arg, enum log_level level, const char *line)
{
	SAY("%s: %s", log_level_name(level), line);
}

int main(int argc, char **argv)
{
	struct ringer r = { .loop = ev_default_loop(0), .log = { print_line, NULL, LOG_LEVEL_INFO, NULL } };

	if (argc != 2) {
		fprintf(stderr, "usage: ringer DIRECTORY\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	began = mono_now();
	r.dir = argv[1];
	ev_io_init(&r.in, on_input, 0, EV_READ);
	r.in.data = &r;
	ev_io_start(r.loop, &r.in);
	ev_timer_init(&r.flood, on_flood, 0.002, 0.002);
	r.flood.data = &r;
	open_all(&r);
	ev_run(r.loop, 0);
	if (r.cpg)
		close_all(&r);
	return 0;
}
