/* SPDX-License-Identifier: Apache-2.0 */
/* The runner's host: director-target, plugins and the devices they find, the API, and what this machine has. */
#include <errno.h>
#include <inttypes.h>
#include <linux/netlink.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "director/plugin.h"
#include "directord/answer.h"
#include "directord/drive.h"
#include "directord/file.h"
#include "directord/floataddr.h"
#include "directord/mesh.h"
#include "directord/notify.h"
#include "directord/plugins.h"
#include "directord/run_int.h"
#include "directord/trim.h"

#define HOST_SECONDS 30.        /* between looks at memory, space and load */
#define SETTLED_LOOKS 2         /* after so many the start is over */
#define LOAD_STEP 50            /* percent of the processors: half as much again, or half, is news */
#define CROWD 9                 /* where more nodes than these are, */
#define CROWD_MS 10000          /* each tells of small moves at most once in this time for each of them, */
#define CROWD_STEPS 4           /* and before that of moves by so many steps only */
#define UEVENT_SETTLE 1.        /* a disk that appears is told about many times */
#define STATUS_SECONDS 1.
#define SCAN_SECONDS 1.         /* plugins are asked after the start: a process each, while the node has better to do */
#define SCAN_TRIES 5            /* and where a crowd comes together it waits until they have, but not for ever */

/* ---- facts ---- */

static void fact(struct run *r, const char *path, const struct attrs *attrs)
{
	struct cluster_in in = { .kind = CLUSTER_IN_FACT, .path = path, .attrs = attrs };

	run_step(r, &in);
}

/* One of several: each message to each node costs more than what is in it. facts_told ends them. */
static void fact_more(struct run *r, const char *path, const struct attrs *attrs)
{
	struct cluster_in in = { .kind = CLUSTER_IN_FACT, .path = path, .attrs = attrs, .more = true };

	run_step(r, &in);
}

static void facts_told(struct run *r)
{
	struct cluster_in in = { .kind = CLUSTER_IN_TIMER };

	run_step(r, &in);
}

static void set_uint(struct attrs *as, const char *key, uint64_t v)
{
	char n[24];

	snprintf(n, sizeof(n), "%" PRIu64, v);
	attrs_set(as, key, n);
}

static uint64_t meminfo(const char *key)
{
	uint64_t kib = 0;
	char line[128];
	FILE *f = fopen("/proc/meminfo", "re");
	size_t n = strlen(key);

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, key, n) == 0 && line[n] == ':')
			kib = strtoull(line + n + 1, NULL, 10);
	if (f)
		fclose(f);
	return kib << 10;
}

/*
 * Every change of a fact is told to every node, so a measurement is told again only when it has moved by more than
 * `step` from what was told last: noise around a boundary is not news.
 */
static uint64_t steady(uint64_t *told, uint64_t v, uint64_t step)
{
	uint64_t moved = v > *told ? v - *told : *told - v;

	if (moved > step)
		*told = v;
	return *told;
}

char *run_volumes_dir(const struct run *r)
{
	return *r->conf->volumes ? mem_strdup(r->conf->volumes) : mem_printf("%s/volumes", r->conf->state);
}

/*
 * N nodes that tell of themselves are heard N times by each, and each time cost every one of them a connection or two: in a
 * crowd they do so more seldom.
 */
static bool measured_due(const struct run *r)
{
	unsigned n = gossip_alive(cluster_gossip(r->cluster));

	return n <= CROWD || mono_ms_between(r->told.at, mono_now()) >= (uint64_t)n * CROWD_MS;
}

/* Who was turned away: also that is told only now and then, however many try. */
static void refusals(struct run *r, bool due, struct attrs *as)
{
	const struct gossip_counts *g = gossip_counts(cluster_gossip(r->cluster));
	struct mesh_counts m;
	char text[64];

	mesh_counts(r->mesh, &m);
	if (due) {
		/* Stale ones are not counted: they are of those who knew a former life of this node. */
		r->told.refused = g->refused_key + g->refused_forged + g->refused_malformed + g->refused_replay + g->refused_foreign +
		                  g->refused_version + g->refused_banned + g->refused_clone + g->refused_flood + m.refused;
		r->told.refused_last = g->refused_last;
	}
	if (r->told.refused)
		set_uint(as, "refused", r->told.refused);
	if (r->told.refused_last.family)
		attrs_set(as, "refused-last", addr_text(&r->told.refused_last, text));
}

/* What came in a burst leaves memory behind that is not needed again soon: buffers, holes, and after the start code. */
static void memory_trim(struct run *r)
{
	buf_fini(&r->opened);
	buf_fini(&r->plain);
	buf_fini(&r->wire);
	malloc_trim(0);
	if (r->looks < SETTLED_LOOKS && ++r->looks == SETTLED_LOOKS)
		trim_code();
}

static void host_look(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct run *r = w->data;
	auto_free char *volumes = run_volumes_dir(r);
	struct attrs as = { 0 };
	struct statvfs fs;
	double load[3] = { 0 };
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	bool due = measured_due(r);
	uint64_t total, steps = due ? 1 : CROWD_STEPS, told = facts_version(cluster_facts(r->cluster));

	if (statvfs(volumes, &fs) == 0 || statvfs(r->conf->state, &fs) == 0) {
		total = (uint64_t)fs.f_blocks * fs.f_frsize;
		set_uint(&as, "space-total", total);
		set_uint(&as, "space-free", steady(&r->told.space, (uint64_t)fs.f_bavail * fs.f_frsize, total / 16 * steps));
	}
	total = meminfo("MemTotal");
	set_uint(&as, "memory-total", total);
	set_uint(&as, "memory-free", steady(&r->told.memory, meminfo("MemAvailable"), total / 16 * steps));
	/* Of the last quarter of an hour: what comes and goes within a minute is no news for others. */
	if (getloadavg(load, 3) == 3 && cpus > 0)
		set_uint(&as, "load", steady(&r->told.load, (uint64_t)(load[2] * 100 / (double)cpus),
			(LOAD_STEP + r->told.load / 2) * steps));
	refusals(r, due, &as);
	fact(r, "/node", &as);
	if (facts_version(cluster_facts(r->cluster)) != told)
		r->told.at = mono_now();
	attrs_fini(&as);
	run_facts_save(r);
	if (revents)
		memory_trim(r);
}

/* ---- devices ---- */

static void list_free(char ***names, unsigned *n)
{
	for (unsigned i = 0; i < *n; i++)
		mem_autofree(&(*names)[i]);
	mem_autofree(names);
	*names = NULL;
	*n = 0;
}

static bool list_has(char *const *names, unsigned n, const char *name)
{
	for (unsigned i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static void device_found(void *arg, const char *name, const struct attrs *attrs)
{
	struct run *r = arg;
	char path[PATH_LEN_MAX];

	if (!path_name_ok(name) || list_has(r->scan, r->n_scan, name))
		return;
	r->scan = mem_realloc(r->scan, (r->n_scan + 1) * sizeof(*r->scan));
	r->scan[r->n_scan++] = mem_strdup(name);
	snprintf(path, sizeof(path), "/node/devices/%s", name);
	fact_more(r, path, attrs);
}

/* What the last scan had and this one has not is gone. */
static void devices_done(void *arg, int err, const char *text)
{
	struct run *r = arg;
	char path[PATH_LEN_MAX];

	if (err)
		log_warn(r->log, "devices: %s", text && *text ? text : err_text(err));
	for (unsigned i = 0; i < r->n_devices; i++) {
		if (err || list_has(r->scan, r->n_scan, r->device[i]))
			continue;
		snprintf(path, sizeof(path), "/node/devices/%s", r->device[i]);
		fact_more(r, path, NULL);
	}
	facts_told(r);
	if (!err || r->n_scan >= r->n_devices) {
		list_free(&r->device, &r->n_devices);
		r->device = r->scan;
		r->n_devices = r->n_scan;
		r->scan = NULL;
		r->n_scan = 0;
	} else {
		list_free(&r->scan, &r->n_scan);
	}
	r->scanning = false;
	if (r->scan_again)
		run_host_devices(r);
}

void run_host_devices(struct run *r)
{
	r->scan_again = r->scanning;
	if (r->scanning || !r->plugins)
		return;
	r->scanning = true;
	plugins_devices(r->plugins, device_found, devices_done, r);
}

static ev_timer uevent_settle;

static void uevent_settled(struct ev_loop *loop, ev_timer *w, int revents)
{
	ev_timer_stop(loop, w);
	run_host_devices(w->data);
}

/* The kernel tells of every device; block devices are ours. */
static void uevent(struct ev_loop *loop, ev_io *w, int revents)
{
	char text[8192];
	ssize_t n;
	bool block = false;

	while ((n = recv(w->fd, text, sizeof(text) - 1, MSG_DONTWAIT)) > 0 || (n < 0 && errno == ENOBUFS)) {
		block |= n < 0;
		for (ssize_t i = 0; i < n; i += (ssize_t)strnlen(text + i, (size_t)(n - i)) + 1)
			block |= n - i >= 16 && memcmp(text + i, "SUBSYSTEM=block", 16) == 0;
	}
	if (block && !ev_is_active(&uevent_settle)) {
		ev_timer_set(&uevent_settle, UEVENT_SETTLE, 0.);
		ev_timer_start(loop, &uevent_settle);
	}
}

static void uevents_open(struct run *r)
{
	struct sockaddr_nl nl = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);

	ev_io_init(&r->uevents, uevent, fd, EV_READ);
	r->uevents.data = r;
	if (fd >= 0 && bind(fd, (void *)&nl, sizeof(nl)) == 0)
		ev_io_start(r->loop, &r->uevents);
}

/* ---- plugins ---- */

static void plugin_fact(void *arg, const char *name, const struct attrs *attrs)
{
	struct run *r = arg;
	char path[PATH_LEN_MAX];

	if (!path_name_ok(name))
		return;
	snprintf(path, sizeof(path), "/plugins/%s", name);
	fact_more(r, path, attrs);
}

static void plugins_scanned(void *arg)
{
	struct run *r = arg;

	plugins_each(r->plugins, plugin_fact, r);
	facts_told(r);
	run_host_devices(r);
}

/* Twenty processes of each of many nodes that come to life on one host, or behind one switch, would hold their meeting up. */
static void scan_due(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct run *r = w->data;
	const struct gossip *g = cluster_gossip(r->cluster);
	uint64_t members = gossip_members_hash(g);

	if (gossip_alive(g) > CROWD && members != r->scan_members && ++r->scan_tries < SCAN_TRIES) {
		r->scan_members = members;
		return;
	}
	ev_timer_stop(loop, w);
	plugins_scan(r->plugins, plugins_scanned, r);
}

/* ---- director-target ---- */

static void target_have(void *arg, const struct plan_have *have)
{
	struct cluster_in in = { .kind = CLUSTER_IN_HAVE, .have = have };
	struct run *r = arg;

	r->target_heard = true;
	r->target_there = have != NULL;
	run_step(r, &in);
}

static void target_done(void *arg, uint64_t act, int err, const char *text)
{
	run_done(arg, act, err, text);
}

static void target_fact(void *arg, const char *path, const struct attrs *attrs)
{
	fact(arg, path, attrs);
}

static void target_facts_gone(void *arg, const char *path)
{
	struct cluster_in in = { .kind = CLUSTER_IN_FACTS_GONE, .path = path };

	run_step(arg, &in);
}

static const char *target_node_name(void *arg)
{
	struct run *r = arg;

	return cluster_self_name(r->cluster);
}

static unsigned target_portal_group(void *arg)
{
	struct run *r = arg;
	char path[PATH_LEN_MAX];
	const struct object *o;

	snprintf(path, sizeof(path), "/nodes/%.200s", cluster_self_name(r->cluster));
	o = catalog_get(cluster_catalog(r->cluster), path);
	return o ? (unsigned)schema_get_uint(o->type, &o->attrs, "portal-group") : 0;
}

static void target_volume(void *arg, const struct target_event *ev)
{
	struct cluster_in in = { .kind = CLUSTER_IN_VOLUME, .volume = ev->volume, .number = ev->value, .of = ev->of, .epoch = ev->epoch,
	                         .blob = ev->blob, .n_blob = ev->n_blob };

	if (ev->kind == TARGET_EV_KEEP)
		in.event = CLUSTER_EV_KEEP;
	else if (ev->what == DIRECTOR_EV_LEG_FAILED)
		in.event = CLUSTER_EV_LEG_FAILED;
	else if (ev->what == DIRECTOR_EV_LEG_READY)
		in.event = CLUSTER_EV_LEG_READY;
	else if (ev->what == DIRECTOR_EV_LEG_FOREIGN)
		in.event = CLUSTER_EV_LEG_FOREIGN;
	else if (ev->what == DIRECTOR_EV_LOST)
		in.event = CLUSTER_EV_LOST;
	else if (ev->what == DIRECTOR_EV_PROGRESS)
		in.event = CLUSTER_EV_PROGRESS;
	else if (ev->what == DIRECTOR_EV_SCRUBBED)
		in.event = CLUSTER_EV_SCRUBBED;
	else
		return;
	run_step(arg, &in);
}

void run_host_inner(struct run *r)
{
	if (r->drive)
		drive_inner(r->drive, cluster_inner(r->cluster), cluster_keys(r->cluster));
}

void run_host_lease(struct run *r, const struct cluster_act *a)
{
	if (r->drive)
		drive_lease(r->drive, a->volume, a->epoch, a->until);
}

void run_host_flush(struct run *r)
{
	if (r->drive)
		drive_flush(r->drive);
}

void run_host_keep(struct run *r, const struct cluster_act *a)
{
	if (r->drive)
		drive_keep(r->drive, a->id, a->keep);
	else
		run_done(r, a->id, ERR_NOTSUP, "this node has no director-target");
}

void run_host_plan(struct run *r, const struct cluster_act *a)
{
	if (r->drive)
		drive_act(r->drive, a->id, a->plan);
	else
		run_done(r, a->id, ERR_NOTSUP, "this node has no director-target");
}

/* ---- floating addresses ---- */

static void address_news(struct run *r, const struct float_news *news)
{
	struct cluster_in in = { .kind = CLUSTER_IN_ADDRESS, .address = news };

	run_step(r, &in);
}

static void address_host(void *arg, const struct float_host *h, unsigned n)
{
	address_news(arg, &(struct float_news){ .kind = FLOAT_NEWS_HOST, .host = h, .n_host = n });
}

static void address_gone(void *arg, const struct addr *ip)
{
	address_news(arg, &(struct float_news){ .kind = FLOAT_NEWS_GONE, .ip = *ip });
}

static void address_conflict(void *arg, const struct addr *ip, const char *who)
{
	address_news(arg, &(struct float_news){ .kind = FLOAT_NEWS_CONFLICT, .ip = *ip, .text = who });
}

static void address_failed(void *arg, const struct addr *ip, const char *why)
{
	address_news(arg, &(struct float_news){ .kind = FLOAT_NEWS_FAILED, .ip = *ip, .text = why });
}

static void addresses_open(struct run *r)
{
	static const struct floataddr_ops ops = {
		.host = address_host, .gone = address_gone, .conflict = address_conflict, .failed = address_failed,
	};

	r->floataddr = floataddr_new(r->loop, &ops, r, r->log);
	floataddr_tell(r->floataddr);
}

/* ---- the API ---- */

static void api_request(void *arg, const struct cluster_request *q)
{
	struct cluster_in in = { .kind = CLUSTER_IN_REQUEST, .request = q };

	run_step(arg, &in);
}

static void api_debug(void *arg, const char *subjects)
{
	struct run *r = arg;

	r->log->debug = NULL;
	mem_autofree(&r->debug);
	r->debug = mem_strdup(subjects);
	if (*r->debug)
		r->log->debug = r->debug;
	else if (*r->conf->debug)
		r->log->debug = r->conf->debug;
	log_info(r->log, "log: debug of %s", r->log->debug ? r->log->debug : "nothing");
}

void run_host_bind(struct run *r)
{
	if (r->answer)
		answer_cluster(r->answer, r->cluster);
}

void run_host_cluster(struct run *r)
{
	run_host_bind(r);
	host_look(r->loop, &r->host, 0);
	if (r->floataddr)
		floataddr_tell(r->floataddr);
	if (r->plugins)
		plugins_scanned(r);
}

/* One line for `systemctl status`. */
static void status_due(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct run *r = w->data;
	const struct agree_status *s = cluster_agree(r->cluster);

	ev_timer_stop(loop, w);
	notify_status("node %s, %u of %u nodes alive, %s", cluster_self_name(r->cluster), gossip_alive(cluster_gossip(r->cluster)),
	              gossip_count(cluster_gossip(r->cluster)), s->has_log ? agree_mode_name(s->mode) : "in no cluster yet");
}

void run_host_changed(struct run *r)
{
	if (r->answer)
		answer_changed(r->answer);
	if (!ev_is_active(&r->status)) {
		ev_timer_set(&r->status, STATUS_SECONDS, 0.);
		ev_timer_start(r->loop, &r->status);
	}
}

/* ---- open, close ---- */

static void drive_open(struct run *r)
{
	static const struct drive_ops ops = {
		.have = target_have, .done = target_done, .fact = target_fact, .facts_gone = target_facts_gone, .node_name = target_node_name,
		.portal_group = target_portal_group, .volume = target_volume,
	};
	auto_free char *volumes = run_volumes_dir(r);
	struct drive_conf c = {
		.loop = r->loop, .log = r->log, .run = r->conf->run, .state = r->conf->state, .volumes = volumes,
		.program = *r->conf->target_program ? r->conf->target_program : NULL,
		.stay = !r->conf->target_follow,
		.plugins = *r->conf->plugins ? r->conf->plugins : NULL,
	};

	if (strcmp(r->conf->target_program, "/") != 0) {
		r->drive = drive_new(&c, &ops, r);
		run_host_inner(r);
	}
}

void run_host_init(struct run *r)
{
	ev_timer_init(&r->status, status_due, 0., 0.);
	ev_timer_init(&r->host, host_look, HOST_SECONDS, HOST_SECONDS);
	ev_timer_init(&r->scan_later, scan_due, SCAN_SECONDS, SCAN_SECONDS);
	ev_timer_init(&uevent_settle, uevent_settled, 0., 0.);
	r->scan_later.data = r->status.data = r->host.data = uevent_settle.data = r;
}

int run_host_open(struct run *r, char **why)
{
	auto_free char *socket_path = mem_printf("%s/control.sock", r->conf->run);
	auto_free char *candidates = mem_printf("%s/candidates", r->conf->state);
	auto_free char *plugin_run = file_program("director-plugin-run", PKGLIBEXECDIR);
	struct plugins_conf pc = { .run = getenv("DIRECTOR_PLUGIN_RUN") ? NULL : plugin_run, .loop = r->loop, .log = r->log, .path = *r->conf->plugins ? r->conf->plugins : NULL };
	struct answer_conf ac = {
		.loop = r->loop, .log = r->log, .socket = socket_path, .state = candidates, .version = VERSION,
		.request = api_request, .debug = api_debug, .arg = r,
	};
	int err;

	file_mkdirs(candidates, 0700);
	r->plugins = plugins_new(&pc);
	identity_random(&ac.stream, sizeof(ac.stream));
	ac.plugins = r->plugins;
	err = answer_new(&r->answer, &ac, r->cluster);
	if (err) {
		if (why)
			*why = mem_printf("%s: %s", socket_path, err_text(err));
		return err;
	}
	addresses_open(r);
	drive_open(r);
	uevents_open(r);
	host_look(r->loop, &r->host, 0);
	ev_timer_start(r->loop, &r->host);
	ev_timer_start(r->loop, &r->scan_later);
	return 0;
}

void run_host_close(struct run *r)
{
	ev_timer_stop(r->loop, &r->host);
	ev_timer_stop(r->loop, &r->status);
	ev_timer_stop(r->loop, &r->scan_later);
	ev_timer_stop(r->loop, &uevent_settle);
	if (ev_is_active(&r->uevents)) {
		ev_io_stop(r->loop, &r->uevents);
		close(r->uevents.fd);
	}
	/* Before those whom it answers. */
	if (r->plugins)
		plugins_free(&r->plugins);
	if (r->answer)
		answer_free(&r->answer);
	if (r->drive)
		drive_free(&r->drive);
	if (r->floataddr)
		floataddr_free(&r->floataddr);
	list_free(&r->device, &r->n_devices);
	list_free(&r->scan, &r->n_scan);
	r->log->debug = NULL;
	mem_autofree(&r->debug);
}
