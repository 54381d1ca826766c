/* SPDX-License-Identifier: Apache-2.0 */
/* The plugins of this node: which there are, who may run, what they answered. Processes are plugin_run.c's. */
#include "config.h"

#include "directord/plugins.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ev.h>
#include <jansson.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "directord/plugin_answer.h"
#include "directord/plugin_run.h"

#define PLUGINS_MAX 256
#define STRIKES 3               /* misbehaviours in a row that quarantine */
#define QUARANTINE_S 30         /* the first time; doubled each time, up to an hour */

enum state { NEW, READY, QUARANTINED, BROKEN };

struct known {
	LIST_ENTRY(known) link;
	char *name, *file;
	struct timespec mtime;
	bool native, seen;
	enum state state;
	struct attrs attrs;             /* what it says of itself */
	char *reason;
	unsigned failures, quarantines;
	struct mono until;              /* of a quarantine */
};

/* A verb that runs, waits to run, or waits to tell why it does not. */
struct job {
	TAILQ_ENTRY(job) link;
	struct plugins *ps;
	char *name;                     /* of the plugin; NULL for a probe of a file */
	char *file, *verb, *in;
	bool native;
	struct plugin_run *run;         /* NULL: it waits */
	int err;                        /* known already */
	char *text;
	void (*done)(void *arg, const struct plugins_result *);
	void *arg;
};

struct plugins {
	struct ev_loop *loop;
	const struct log *log;
	char *path, *runner;
	uint32_t deadline_ms, output_max, parallel;
	LIST_HEAD(, known) known;
	TAILQ_HEAD(, job) jobs;
	unsigned running;
	struct ev_timer turn;           /* starts what waits, tells what is known; never from inside a call */
};

static void on_turn(struct ev_loop *loop, struct ev_timer *w, int revents);

struct plugins *plugins_new(const struct plugins_conf *conf)
{
	const char *env = getenv("DIRECTOR_PLUGIN_PATH"), *runner = getenv("DIRECTOR_PLUGIN_RUN");
	struct plugins *ps = mem_zalloc(sizeof(*ps));

	ps->loop = conf->loop;
	ps->log = conf->log;
	ps->path = conf->path && *conf->path ? mem_strdup(conf->path)
		: mem_printf("%s:%s", env ? env : "", PKGLIBDIR "/plugins");
	ps->runner = mem_strdup(conf->run ? conf->run : runner ? runner : PKGLIBEXECDIR "/director-plugin-run");
	ps->deadline_ms = conf->deadline_ms ? conf->deadline_ms : 10000;
	ps->output_max = conf->output_max ? conf->output_max : 1u << 20;
	ps->parallel = conf->parallel ? conf->parallel : 4;
	LIST_INIT(&ps->known);
	TAILQ_INIT(&ps->jobs);
	ev_timer_init(&ps->turn, on_turn, 0., 0.);
	ps->turn.data = ps;
	return ps;
}

static void known_free(struct known *k)
{
	attrs_fini(&k->attrs);
	free(k->name);
	free(k->file);
	free(k->reason);
	free(k);
}

static void job_end(struct job *j, const struct plugins_result *r)
{
	struct plugins *ps = j->ps;

	TAILQ_REMOVE(&ps->jobs, j, link);
	if (j->done)
		j->done(j->arg, r);
	free(j->name);
	free(j->file);
	free(j->verb);
	free(j->in);
	free(j->text);
	free(j);
}

void plugins_free(struct plugins **psp)
{
	struct plugins *ps = *psp;
	struct plugins_result canceled = { ERR_CANCELED, "the daemon ends", NULL };
	struct known *k;
	struct job *j;

	if (!ps)
		return;
	*psp = NULL;
	while ((j = TAILQ_FIRST(&ps->jobs)) != NULL) {
		plugin_run_cancel(&j->run);
		job_end(j, &canceled);
	}
	ev_timer_stop(ps->loop, &ps->turn);
	while ((k = LIST_FIRST(&ps->known)) != NULL) {
		LIST_REMOVE(k, link);
		known_free(k);
	}
	free(ps->path);
	free(ps->runner);
	free(ps);
}

static struct known *find(const struct plugins *ps, const char *name)
{
	struct known *k;

	LIST_FOREACH(k, &ps->known, link)
		if (strcmp(k->name, name) == 0)
			return k;
	return NULL;
}

/* ---- behaviour ---- */

static void strike(struct plugins *ps, struct known *k, const char *why)
{
	double s = QUARANTINE_S;
	unsigned i;

	free(k->reason);
	k->reason = mem_strdup(why);
	if (++k->failures < STRIKES)
		return;
	for (i = 0; i < k->quarantines && s < 3600; i++)
		s *= 2;
	k->quarantines++;
	k->failures = 0;
	k->state = QUARANTINED;
	k->until = mono_add_ms(mono_now(), (uint64_t)((s < 3600 ? s : 3600) * 1000));
	log_warn(ps->log, "plugins: %s is left alone for %.0f s: %s", k->name, s < 3600 ? s : 3600, why);
}

static void well_done(struct known *k)
{
	k->failures = 0;
	k->quarantines = 0;
	free(k->reason);
	k->reason = NULL;
}

/* Of its quarantine. */
static double left_s(const struct known *k)
{
	return (double)mono_ms_between(mono_now(), k->until) / 1000;
}

/* Its time is over, or it still lasts. */
static bool may_run(struct plugins *ps, struct known *k)
{
	if (k->state == QUARANTINED && mono_due(k->until, mono_now()))
		k->state = READY;
	return k->state != QUARANTINED;
}

int plugins_unquarantine(struct plugins *ps, const char *name)
{
	struct known *k = find(ps, name);

	if (!k)
		return ERR_NOENT;
	if (k->state == QUARANTINED)
		k->state = READY;
	well_done(k);
	return 0;
}

/* ---- jobs ---- */

/* The first line of `s` as far as it can be printed, for people. */
static const char *printable(char *s)
{
	s[strcspn(s, "\n")] = 0;
	return text_ok(s, 500) ? s : "(unprintable text)";
}

/* What a failed verb said about it: {"error": "..."}, or the first line of its standard error. */
static char *said(const struct plugin_run_result *r)
{
	json_t *o = json_loadb(r->out, r->n_out, 0, NULL);
	const char *e = json_string_value(json_object_get(o, "error"));
	char *copy = mem_strdup(e ? e : r->err), *text;

	json_decref(o);
	text = copy[0] ? mem_strdup(printable(copy)) : mem_printf("exit status %d without a reason", r->code);
	free(copy);
	return text;
}

/* How it ended as our error and a sentence. Sets *bad when it did what no plugin may. */
static int judge(const struct plugins *ps, const struct plugin_run_result *r, char **text, bool *bad)
{
	*bad = true;
	switch (r->end) {
	case RUN_LATE:
		*text = mem_printf("no answer within %u ms", ps->deadline_ms);
		return ERR_TIMEOUT;
	case RUN_CHATTY:
		*text = mem_printf("it answered more than %u bytes", ps->output_max);
		return ERR_MALFORMED;
	case RUN_SIGNAL:
		*text = mem_printf("it was ended by signal %d (%s)", r->code, strsignal(r->code));
		return ERR_FAILED;
	case RUN_NOT_STARTED:
		*text = mem_printf("it cannot be started: %s", strerror(r->code));
		return ERR_FAILED;
	case RUN_EXITED:
		break;
	}
	if (r->code == 0) {
		*bad = false;
		return 0;
	}
	*bad = r->code > 2;
	*text = r->code == 2 ? mem_strdup("it does not support that") : said(r);
	return r->code == 2 ? ERR_NOTSUP : ERR_FAILED;
}

static void job_ran(void *arg, const struct plugin_run_result *r)
{
	struct job *j = arg;
	struct plugins *ps = j->ps;
	struct plugins_result result = { .text = "" };
	struct known *k = j->name ? find(ps, j->name) : NULL;
	char *text = NULL;
	json_t *out = NULL;
	bool bad;

	ps->running--;
	j->run = NULL;
	result.err = judge(ps, r, &text, &bad);
	if (result.err == 0) {
		out = json_loadb(r->out, r->n_out, JSON_REJECT_DUPLICATES, NULL);
		if (!json_is_object(out)) {
			result.err = ERR_MALFORMED;
			text = mem_strdup("its answer is not a JSON object");
			bad = true;
		}
	}
	if (k && bad)
		strike(ps, k, text);
	else if (k)
		well_done(k);
	if (text)
		result.text = text;
	result.out = result.err == 0 ? out : NULL;
	ev_timer_stop(ps->loop, &ps->turn);
	ev_timer_set(&ps->turn, 0., 0.);
	ev_timer_start(ps->loop, &ps->turn);
	job_end(j, &result);
	json_decref(out);
	free(text);
}

static void job_start(struct job *j)
{
	struct plugins *ps = j->ps;
	const char *native[] = { ps->runner, j->file, j->verb, NULL }, *own[] = { j->file, j->verb, NULL };

	ps->running++;
	j->run = plugin_run_start(ps->loop, j->native ? native : own, j->in, ps->deadline_ms, ps->output_max, job_ran, j);
}

static void on_turn(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	struct plugins *ps = w->data;
	struct job *j, *next;

	/* done() may free `ps` only through plugins_free, which is not for a callback. */
	for (j = TAILQ_FIRST(&ps->jobs); j; j = next) {
		next = TAILQ_NEXT(j, link);
		if (j->err) {
			struct plugins_result r = { j->err, j->text, NULL };

			job_end(j, &r);
			next = TAILQ_FIRST(&ps->jobs);  /* done() may have added or removed */
		} else if (!j->run && ps->running < ps->parallel) {
			job_start(j);
		}
	}
}

static struct job *job_new(struct plugins *ps, const char *name, const char *file, bool native, const char *verb,
	const char *in, void (*done)(void *arg, const struct plugins_result *), void *arg)
{
	struct job *j = mem_zalloc(sizeof(*j));

	j->ps = ps;
	j->name = mem_strdup(name);
	j->file = mem_strdup(file);
	j->native = native;
	j->verb = mem_strdup(verb);
	j->in = mem_strdup(in);
	j->done = done;
	j->arg = arg;
	TAILQ_INSERT_TAIL(&ps->jobs, j, link);
	if (!ev_is_active(&ps->turn)) {
		ev_timer_set(&ps->turn, 0., 0.);
		ev_timer_start(ps->loop, &ps->turn);
	}
	return j;
}

void plugins_run(struct plugins *ps, const char *name, const char *verb, const char *in,
	void (*done)(void *arg, const struct plugins_result *), void *arg)
{
	struct known *k = find(ps, name);
	struct job *j = job_new(ps, name, k ? k->file : NULL, k && k->native, verb, in, done, arg);

	if (!k) {
		j->err = ERR_NOENT;
		j->text = mem_printf("there is no plugin %.60s", name);
	} else if (k->state == BROKEN) {
		j->err = ERR_FAILED;
		j->text = mem_printf("the plugin %s is broken: %s", name, k->reason);
	} else if (!may_run(ps, k)) {
		j->err = ERR_BUSY;
		j->text = mem_printf("the plugin %s is quarantined for %.0f s: %s", name, left_s(k),
			k->reason ? k->reason : "");
	}
}

static bool ends_in(const char *file, const char *end)
{
	size_t n = strlen(file), m = strlen(end);

	return n > m && strcmp(file + n - m, end) == 0;
}

static bool is_native(const char *file)
{
	return ends_in(file, ".so");
}

void plugins_probe(struct plugins *ps, const char *file, void (*done)(void *arg, const struct plugins_result *),
	void *arg)
{
	struct job *j = job_new(ps, NULL, file, is_native(file), "probe", NULL, done, arg);
	struct stat st;

	if (file[0] != '/' || !text_ok(file, 4000)) {
		j->err = ERR_INVAL;
		j->text = mem_strdup("an absolute path is wanted");
	} else if (stat(file, &st) < 0) {
		j->err = ERR_NOENT;
		j->text = mem_printf("%.200s: %s", file, strerror(errno));
	} else if (!S_ISREG(st.st_mode)) {
		j->err = ERR_INVAL;
		j->text = mem_printf("%.200s is not a file", file);
	}
}

/* ---- who is there ---- */

struct scan {
	unsigned left;
	bool canceled;
	void (*done)(void *arg);
	void *arg;
};

struct probe {
	struct plugins *ps;
	struct scan *scan;
	char *name;
};

static void scan_step(struct scan *s)
{
	if (--s->left)
		return;
	if (s->done && !s->canceled)
		s->done(s->arg);
	free(s);
}

static void known_break(struct plugins *ps, struct known *k, const char *why)
{
	k->state = BROKEN;
	free(k->reason);
	k->reason = mem_strdup(why);
	log_warn(ps->log, "plugins: %s: %s", k->file, why);
}

static void introduced(void *arg, const struct plugins_result *r)
{
	struct probe *p = arg;
	struct known *k = r->err == ERR_CANCELED ? NULL : find(p->ps, p->name);
	const char *why;

	if (k && r->err) {
		known_break(p->ps, k, r->text);
	} else if (k) {
		attrs_fini(&k->attrs);
		why = plugin_answer_probe(r->out, k->name, &k->attrs);
		if (why)
			known_break(p->ps, k, why);
		else
			k->state = READY;
	}
	p->scan->canceled |= r->err == ERR_CANCELED;
	scan_step(p->scan);
	free(p->name);
	free(p);
}

/* A plugin runs as us: nobody else may have written it. */
static const char *untrusted(const struct stat *st)
{
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return "its file belongs to somebody else";
	return st->st_mode & S_IWOTH ? "its file can be written by everyone" : NULL;
}

static void consider(struct plugins *ps, struct scan *s, const char *name, const char *file, bool native)
{
	struct known *k = find(ps, name);
	struct probe *p;
	struct stat st;

	if ((k && k->seen) || stat(file, &st) < 0)
		return;
	if (k && strcmp(k->file, file) == 0 && k->mtime.tv_sec == st.st_mtim.tv_sec &&
	    k->mtime.tv_nsec == st.st_mtim.tv_nsec && k->state != NEW) {
		k->seen = true;
		return;
	}
	if (k) {
		LIST_REMOVE(k, link);
		known_free(k);
	}
	k = mem_zalloc(sizeof(*k));
	k->name = mem_strdup(name);
	k->file = mem_strdup(file);
	k->native = native;
	k->mtime = st.st_mtim;
	k->seen = true;
	LIST_INSERT_HEAD(&ps->known, k, link);
	if (untrusted(&st)) {
		known_break(ps, k, untrusted(&st));
		return;
	}
	p = mem_zalloc(sizeof(*p));
	p->ps = ps;
	p->scan = s;
	p->name = mem_strdup(name);
	s->left++;
	job_new(ps, NULL, file, native, "probe", NULL, introduced, p);
}

/* Native ones where the loader looks: F/NAME.so, F/NAME/NAME.so, F/NAME/.libs/NAME.so; executables F/NAME, F/NAME/NAME. */
static void consider_entry(struct plugins *ps, struct scan *s, const char *dir, const char *entry)
{
	static const char *const forms[] = { "", ".so", "/", "/.so", "/.libs/.so" };
	size_t n = strlen(entry);
	char *name = mem_strndup(entry, is_native(entry) ? n - 3 : n);
	unsigned i;

	for (i = 0; i < ARRAY_LEN(forms) && path_name_ok(name) && name[0] != '.'; i++) {
		const char *so = i == 1 || i >= 3 ? ".so" : "";
		char *file = i < 2 ? mem_printf("%s/%s%s", dir, name, so)
			: mem_printf("%s/%s%s%s%s", dir, name, i == 4 ? "/.libs/" : "/", name, so);
		struct stat st;

		if (stat(file, &st) == 0 && S_ISREG(st.st_mode) && (*so || (st.st_mode & 0111)))
			consider(ps, s, name, file, *so != 0);
		free(file);
	}
	free(name);
}

static void scan_dir(struct plugins *ps, struct scan *s, const char *dir)
{
	struct dirent *de;
	DIR *d = opendir(dir);
	unsigned n = 0;

	if (!d)
		return;
	/* libtool installs NAME.la beside NAME.so, executable though it is text about the other. */
	while ((de = readdir(d)) != NULL && n < PLUGINS_MAX)
		if (de->d_name[0] != '.' && !ends_in(de->d_name, ".la")) {
			consider_entry(ps, s, dir, de->d_name);
			n++;
		}
	closedir(d);
}

static void nothing(void *arg, const struct plugins_result *r)
{
	struct scan *s = arg;

	s->canceled |= r->err == ERR_CANCELED;
	scan_step(s);
}

void plugins_scan(struct plugins *ps, void (*done)(void *arg), void *arg)
{
	struct scan *s = mem_zalloc(sizeof(*s));
	char *list = mem_strdup(ps->path), *dir, *save;
	struct known *k, *next;
	struct job *j;

	s->done = done;
	s->arg = arg;
	LIST_FOREACH(k, &ps->known, link)
		k->seen = false;
	/* Keeps `s` until the loop turns, and done() out of this call, when there is nothing to ask. */
	s->left = 1;
	j = job_new(ps, NULL, NULL, false, "", NULL, nothing, s);
	j->err = ERR_NOENT;
	for (dir = strtok_r(list, ":", &save); dir; dir = strtok_r(NULL, ":", &save))
		scan_dir(ps, s, dir);
	free(list);
	for (k = LIST_FIRST(&ps->known); k; k = next) {
		next = LIST_NEXT(k, link);
		if (!k->seen) {
			LIST_REMOVE(k, link);
			known_free(k);
		}
	}
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(struct known *const *)a)->name, (*(struct known *const *)b)->name);
}

void plugins_each(const struct plugins *ps, void (*fn)(void *arg, const char *name, const struct attrs *), void *arg)
{
	static const char *const states[] = { "probing", "ready", "quarantined", "broken" };
	struct known *k, **list = NULL;
	unsigned n = 0, cap = 0, i;

	LIST_FOREACH(k, &ps->known, link) {
		list = mem_grow(list, &cap, n, sizeof(*list));
		list[n++] = k;
	}
	if (n)
		qsort(list, n, sizeof(*list), by_name);
	for (i = 0; i < n; i++) {
		struct attrs as;
		char text[32];

		k = list[i];
		attrs_copy(&as, &k->attrs);
		attrs_set(&as, "file", k->file);
		attrs_set(&as, "state", states[k->state]);
		if (k->reason)
			attrs_set(&as, "reason", k->reason);
		if (k->failures) {
			snprintf(text, sizeof(text), "%u", k->failures);
			attrs_set(&as, "failures", text);
		}
		if (k->state == QUARANTINED) {
			snprintf(text, sizeof(text), "%.0f", left_s(k));
			attrs_set(&as, "until", text);
		}
		fn(arg, k->name, &as);
		attrs_fini(&as);
	}
	free(list);
}

/* ---- devices ---- */

struct devices {
	struct plugins *ps;
	unsigned left;
	int err;
	char *text;
	void (*found)(void *arg, const char *name, const struct attrs *);
	void (*done)(void *arg, int err, const char *text);
	void *arg;
};

struct device_scan {
	struct devices *ds;
	char *plugin;
};

static void devices_step(struct devices *ds)
{
	if (--ds->left)
		return;
	ds->done(ds->arg, ds->err, ds->text ? ds->text : "");
	free(ds->text);
	free(ds);
}

static void scanned(void *arg, const struct plugins_result *r)
{
	struct device_scan *d = arg;

	if (r->err && !d->ds->err) {
		d->ds->err = r->err;
		d->ds->text = mem_printf("%s: %s", d->plugin, r->text);
	}
	plugin_answer_devices(r->out, d->plugin, d->ds->found, d->ds->arg);
	devices_step(d->ds);
	free(d->plugin);
	free(d);
}

static void no_more_devices(void *arg, const struct plugins_result *r)
{
	devices_step(arg);
}

void plugins_devices(struct plugins *ps, void (*found)(void *arg, const char *name, const struct attrs *),
	void (*done)(void *arg, int err, const char *text), void *arg)
{
	struct devices *ds = mem_zalloc(sizeof(*ds));
	struct known *k;
	struct job *j;

	*ds = (struct devices){ .ps = ps, .left = 1, .found = found, .done = done, .arg = arg };
	LIST_FOREACH(k, &ps->known, link) {
		const char *kind = attrs_get(&k->attrs, "kind");
		struct device_scan *d;

		if (!kind || strcmp(kind, "device") != 0 || k->state == BROKEN || k->state == NEW)
			continue;
		d = mem_zalloc(sizeof(*d));
		d->ds = ds;
		d->plugin = mem_strdup(k->name);
		ds->left++;
		plugins_run(ps, k->name, "scan", NULL, scanned, d);
	}
	j = job_new(ps, NULL, NULL, false, "", NULL, no_more_devices, ds);
	j->err = ERR_NOENT;
}
