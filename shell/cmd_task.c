/* SPDX-License-Identifier: Apache-2.0 */
/* director task …, director events */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "shell/cmds.h"

static const struct column columns[] = {
	{ "ID", "name", CELL_TEXT }, { "STATE", "state", CELL_TEXT }, { "DONE", "done", CELL_NUMBER },
	{ "OF", "total", CELL_NUMBER }, { "AUTHOR", "author", CELL_TEXT }, { "WHAT", "what", CELL_TEXT },
	{ "REASON", "reason", CELL_TEXT },
};

static int task_list(struct shell *s, struct call *c)
{
	return object_table(s, "/tasks", 1, "task", columns, ARRAY_LEN(columns));
}

static int task_path(struct shell *s, struct call *c, char *path)
{
	return path_make(s, path, "%s%s", *c->arg[0] == '/' ? "" : "/tasks/", c->arg[0]);
}

static int task_show(struct shell *s, struct call *c)
{
	char path[PATH_LEN_MAX];

	return task_path(s, c, path) < 0 ? ERR_INVAL : object_show(s, path);
}

/* How far this node is in the log; 0: it cannot be asked. */
static uint64_t index_here(struct shell *s)
{
	struct director_status *st;
	uint64_t index;

	if (director_status(s->d, &st) < 0)
		return 0;
	index = director_status_number(st, "index");
	director_status_free(&st);
	return index;
}

/*
 * Tasks bear the number of their commit, and one that is over is forgotten some day: what is not there counts as done only if
 * there was such a commit. It may have been agreed through another node, and arrive here in a moment.
 */
static int task_known(struct shell *s, const char *path)
{
	struct director_object *o = NULL;
	uint64_t number, index;
	int err = director_get(s->d, path, &o);

	director_object_free(&o);
	if (err != DIRECTOR_E_NOT_FOUND)
		return err ? say_error(s) : 0;
	if (text_u64_parse(path_name(path), &number) < 0 || number == 0)
		return say_fail(s, ERR_NOENT, path, "director task list", "there is no %s", path);
	for (unsigned i = 0; (index = index_here(s)) < number && index && i < 40; i++)
		poll(NULL, 0, 50);
	return index >= number ? 0 : say_fail(s, ERR_NOENT, path, "director task list", "there is no %s", path);
}

static int task_wait(struct shell *s, struct call *c)
{
	char path[PATH_LEN_MAX];
	int err;

	if (task_path(s, c, path) < 0)
		return ERR_INVAL;
	err = task_known(s, path);
	if (err)
		return err;
	if (change_wait(s, path, 0) < 0)
		return say_error(s);
	say(s, "%s is done", path);
	say_json(s, json_pack("{s:s, s:s}", "path", path, "state", "done"));
	return 0;
}

static int task_cancel_try(struct shell *s, const char *path)
{
	struct director_result *r;
	struct director_args *args;
	int err;

	director_args_new(&args);
	director_args_set(args, "dry-run", "yes");
	err = director_call(s->d, "task.cancel", path, args, NULL, NULL, &r);
	director_args_free(&args);
	return err ? say_error(s) : change_follow(s, &r, path, "canceled");
}

static int task_cancel(struct shell *s, struct call *c)
{
	char path[PATH_LEN_MAX];

	if (task_path(s, c, path) < 0)
		return ERR_INVAL;
	if (s->dry_run)
		return task_cancel_try(s, path);
	if (director_task_cancel(s->d, path) < 0)
		return say_error(s);
	say(s, "%s is canceled", path);
	say_json(s, json_pack("{s:s, s:s}", "path", path, "state", "canceled"));
	return 0;
}

/* ---- events ---- */

struct events {
	struct shell *s;
	json_t *all;                    /* -o json without --follow: one envelope at the end */
	bool follow, every;
};

static const char *const kinds[] = {
	[DIRECTOR_EVENT_CHANGED] = "changed", [DIRECTOR_EVENT_GONE] = "gone", [DIRECTOR_EVENT_NOTE] = "note",
	[DIRECTOR_EVENT_GAP] = "gap",
};

static void event_json(struct events *ev, const struct director_event *e)
{
	json_t *j = json_pack("{s:s, s:I, s:s, s:I, s:s, s:s}", "kind", kinds[e->kind], "seq", (json_int_t)e->seq, "stream", "",
		"time", (json_int_t)e->time_ms, "path", e->path, "text", e->text);
	auto_free char *stream = mem_printf("%llu", (unsigned long long)e->stream);

	/* As text: a program that reads numbers as doubles would lose its last digits. */
	json_object_set_new(j, "stream", json_string(stream));
	if (e->object)
		json_object_set_new(j, "object", object_json(ev->s, e->object));
	if (!ev->follow) {
		json_array_append_new(ev->all, j);
		return;
	}
	say_json(ev->s, j);
	fflush(stdout);
}

static void event_text(const struct director_event *e)
{
	time_t sec = (time_t)(e->time_ms / 1000);
	struct tm tm;
	char t[32] = "";

	localtime_r(&sec, &tm);
	strftime(t, sizeof(t), "%H:%M:%S", &tm);
	if (e->kind == DIRECTOR_EVENT_GAP)
		printf("(events up to %llu are no longer known)\n", (unsigned long long)e->seq);
	else
		printf("%llu %s.%03u %-7s %s%s%s\n", (unsigned long long)e->seq, t, (unsigned)(e->time_ms % 1000), kinds[e->kind],
		       e->path, *e->text ? "  " : "", e->text);
	fflush(stdout);
}

static bool on_event(struct director *d, const struct director_event *e, void *arg)
{
	struct events *ev = arg;

	if (e->kind == DIRECTOR_EVENT_END)
		return false;
	if (!ev->every && e->kind == DIRECTOR_EVENT_CHANGED && !*e->text)
		return true;
	if (ev->s->json)
		event_json(ev, e);
	else
		event_text(e);
	return !ferror(stdout);
}

/* SEQ, or STREAM:SEQ. */
static int since_of(struct shell *s, const char *text, uint64_t *stream, uint64_t *since)
{
	const char *colon = strchr(text, ':');
	auto_free char *left = colon ? mem_strndup(text, (size_t)(colon - text)) : NULL;

	if ((left && text_u64_parse(left, stream) < 0) || text_u64_parse(colon ? colon + 1 : text, since) < 0)
		return say_fail(s, ERR_INVAL, NULL, "director events --since SEQ", "\"%s\" is no event number", text);
	return 0;
}

static int cmd_events(struct shell *s, struct call *c)
{
	struct events ev = { .s = s, .follow = call_opt(c, "follow"), .every = call_opt(c, "all") };
	uint64_t stream = 0, since = 0;
	char path[PATH_LEN_MAX];
	int err;

	if (path_of(s, c->arg[0] ? c->arg[0] : "/", path) < 0)
		return ERR_INVAL;
	if (call_opt(c, "since")) {
		if (since_of(s, call_opt(c, "since"), &stream, &since) < 0)
			return ERR_INVAL;
	} else if (ev.follow) {
		since = DIRECTOR_NOW;
	}
	if (s->json) {
		ev.all = json_array();
		shell_schema(s);        /* now: on the way, the connection is busy with events */
	}
	err = director_events(s->d, path, stream, since, ev.follow, on_event, &ev);
	if (err == DIRECTOR_E_CANCELED)
		err = 0;
	if (err) {
		json_decref(ev.all);
		return say_error(s);
	}
	if (!ev.follow)
		say_json(s, ev.all ? ev.all : json_null());
	else
		json_decref(ev.all);
	return 0;
}

const struct cmd cmd_task[] = {
	{ .words = "task list", .run = task_list, .help = "List what is being done, and what was lately" },
	{ .words = "task show", .run = task_show, .args = { ARG("ID", WORD_TASK) }, .help = "Show a task" },
	{ .words = "task wait", .run = task_wait, .args = { ARG("ID", WORD_TASK) }, .help = "Wait until a task is over" },
	{ .words = "task cancel", .run = task_cancel, .args = { ARG("ID", WORD_TASK) }, .help = "Stop a task that is not done, and take back what it did" },
	{ .words = "events", .run = cmd_events, .args = { MAYBE("PATH", WORD_PATH) },
	  .opts = { { "follow", 'f', NULL, 0, NULL, "go on with what happens from now on" },
	            { "since", 0, "SEQ", WORD_NUMBER, NULL, "only events after this number" },
	            { "all", 'a', NULL, 0, NULL, "also changes of observed values that nobody remarked on" } },
	  .help = "Show what happened, as this node saw it" },
	{ .words = NULL },
};
