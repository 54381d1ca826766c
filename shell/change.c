/* SPDX-License-Identifier: Apache-2.0 */
/* Every change goes through here: into the open candidate, or as a transaction of its own that is waited for. */
#include <errno.h>
#include <fcntl.h>
#include <readpassphrase.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "shell/shell.h"

bool shell_in_tx(struct shell *s)
{
	size_t n;

	if (s->in_tx < 0)
		s->in_tx = director_candidate_count(s->d, &n) == 0;
	return s->in_tx > 0;
}

bool shell_no_trial(struct shell *s)
{
	if (s->dry_run)
		say_fail(s, ERR_INVAL, NULL, NULL, "there is nothing to try about this command; leave --dry-run out");
	return s->dry_run;
}

int change_message(struct shell *s, const struct call *c, struct director_txn *t)
{
	if (!c->message)
		return 0;
	if (!text_ok(c->message, 1000))
		return say_fail(s, ERR_INVAL, NULL, NULL, "the text of -m is one line of at most 1000 bytes");
	director_txn_message(t, c->message);
	return 0;
}

int change_nothing(struct shell *s, const struct call *c, const char *path)
{
	auto_free char *usage = cmd_usage(c->cmd);
	auto_free char *hint = mem_printf("director %s", usage);

	return say_fail(s, ERR_INVAL, path, hint, "nothing to set: KEY=VALUE is missing%s%s%s", c->cmd->type ? "; \"director help " : "",
	                c->cmd->type ? c->cmd->words : "", c->cmd->type ? "\" lists the parameters" : "");
}

int change_params(struct shell *s, const struct call *c, struct director_txn *t)
{
	for (unsigned i = 0; i < c->n_params; i++) {
		const struct pair *p = &c->params[i];
		const struct director_schema *schema = c->cmd->type ? shell_schema(s) : NULL;
		struct director_param_info info;

		for (size_t k = 0; schema && director_schema_param(schema, c->cmd->type, k, &info); k++)
			if (strcmp(info.name, p->key) == 0 && info.flags & DIRECTOR_SECRET && *p->value)
				return say_fail(s, ERR_INVAL, NULL, "--secret-file FILE, or - for standard input",
				                "%s is a secret; the command line is no place for it", p->key);
		if (strncmp(p->key, "p.", 2) == 0 && strstr(p->key, "secret") && *p->value)
			return say_fail(s, ERR_INVAL, NULL, "--secret-file FILE, or - for standard input",
			                "%s is a secret; the command line is no place for it", p->key);
		if (director_txn_attr(t, p->key, p->value) < 0)
			return say_fail(s, ERR_INVAL, NULL, NULL, "the value of %s is not one line of UTF-8 text", p->key);
	}
	return 0;
}

/* ---- waiting ---- */

/* A node that is down may be so for days; what was agreed waits for it, the command does not. */
#define CHANGE_WAIT_MS 60000

struct bar {
	bool shown;
};

static void show_bar(struct director *d, uint64_t done, uint64_t total, const char *text, void *arg)
{
	struct bar *b = arg;
	unsigned full = total ? (unsigned)(20 * (done > total ? total : done) / total) : 0;

	fprintf(stderr, "\r\033[K[%.*s%.*s] %llu of %llu  %.100s", (int)full, "####################", (int)(20 - full),
	        "....................", (unsigned long long)done, (unsigned long long)total, text);
	fflush(stderr);
	b->shown = true;
}

int change_wait(struct shell *s, const char *task, uint64_t timeout_ms)
{
	struct bar b = { 0 };
	bool show = !s->quiet && isatty(STDERR_FILENO);
	int err = director_task_wait(s->d, task, s->timeout_ms ? s->timeout_ms : timeout_ms, show ? show_bar : NULL, &b);

	if (b.shown)
		fprintf(stderr, "\r\033[K");
	return err;
}

/* The work is done: is that what was asked for? The error, if it is not, names the commit. */
static int judged(struct shell *s, const char *path, uint64_t index, const char *task)
{
	int err;

	if (!s->judge)
		return 0;
	s->agreed = index;
	s->agreed_task = task;
	err = s->judge(s, path);
	s->agreed = 0;
	return err;
}

/* What the nodes say of the object now. */
static void say_observed(struct shell *s, const char *path, const char *done, uint64_t index)
{
	struct director_object *o;
	auto_free char *status = NULL;
	const char *state, *by;

	if (!index) {
		say(s, "%s: nothing to change", path);
		return;
	}
	if (strcmp(path, "/") == 0) {
		say(s, "all of it is as desired (commit %llu)", (unsigned long long)index);
		return;
	}

	if (director_get(s->d, path, &o) < 0) {
		say(s, "%s %s (commit %llu)", path, done, (unsigned long long)index);
		return;
	}
	status = object_status(o);
	state = director_object_value(o, "state");
	by = director_object_derived(o, "node");
	/* A striped volume is at all nodes. */
	if (!by && !director_object_desired(o, "stripe"))
		by = director_object_observer(o, 0, NULL);
	if (director_object_status(o) == DIRECTOR_CONVERGED && state && by && *by)
		say(s, "%s %s: %s on %s (commit %llu)", path, done, state, by, (unsigned long long)index);
	else
		say(s, "%s %s%s%s (commit %llu)", path, done, *status ? ": " : "", status, (unsigned long long)index);
	director_object_free(&o);
}

static json_t *result_json(struct shell *s, const char *path, uint64_t index, const char *task, const char *state)
{
	json_t *j = json_object();
	struct director_object *o;

	json_object_set_new(j, "path", json_string(path));
	json_object_set_new(j, "commit", json_integer((json_int_t)index));
	json_object_set_new(j, "task", *task ? json_string(task) : json_null());
	json_object_set_new(j, "state", json_string(state));
	if (s->json && director_get(s->d, path, &o) == 0) {
		json_object_set_new(j, "object", object_json(s, o));
		director_object_free(&o);
	} else {
		json_object_set_new(j, "object", json_null());
	}
	return j;
}

static void say_plan(struct shell *s, const struct director_result *r, const char *state)
{
	json_t *j = json_object(), *lines = json_array();
	const char *line;

	for (size_t i = 0; (line = director_result_line(r, i)) != NULL; i++) {
		json_array_append_new(lines, json_string(line));
		if (!s->json)
			puts(line);
	}
	json_object_set_new(j, "state", json_string(state));
	json_object_set_new(j, "plan", lines);
	say_json(s, j);
}

/* "/targets/T/luns/auto" is what was asked for; which number it became is in the history. */
static void resolve_auto(struct shell *s, uint64_t index, const char *path, char *out)
{
	char parent[PATH_LEN_MAX], up[PATH_LEN_MAX];
	struct director_history *h;
	const char *made;

	snprintf(out, PATH_LEN_MAX, "%s", path);
	if (!index || strcmp(path_name(path), "auto") != 0)
		return;
	path_parent(path, parent);
	if (director_history(s->d, parent, index + 1, 1, &h) < 0)
		return;
	if (director_history_n(h) && director_history_index(h, 0) == index)
		for (size_t i = 0; director_txn_at(director_history_txn(h, 0), i, &made); i++) {
			path_parent(made, up);
			if (strcmp(up, parent) == 0)
				snprintf(out, PATH_LEN_MAX, "%s", made);
		}
	director_history_free(&h);
}

int change_follow(struct shell *s, struct director_result **rp, const char *asked, const char *done)
{
	struct director_result *r = *rp;
	char path[PATH_LEN_MAX];
	const char *task = director_result_task(r);
	uint64_t index = director_result_index(r);
	int err = 0;

	resolve_auto(s, index, asked, path);
	if (s->dry_run) {
		say_plan(s, r, "dry-run");
	} else if (*task && !s->no_wait) {
		err = change_wait(s, task, s->patient ? 0 : CHANGE_WAIT_MS);
		if (err) {
			say_note(s, "%s %s: agreed as commit %llu, but:", path, done, (unsigned long long)index);
			s->agreed = index;
			s->agreed_task = task;
			err = say_error(s);
			s->agreed = 0;
			if (err == ERR_FAILED)
				say_note(s, "  it is tried again by itself; to give up: director undo %llu", (unsigned long long)index);
		} else {
			say_observed(s, path, done, index);
			err = judged(s, path, index, task);
			if (!err)
				say_json(s, result_json(s, path, index, task, "done"));
		}
	} else {
		if (*task)
			say(s, "%s: agreed as commit %llu; the work is %s", path, (unsigned long long)index, task);
		else
			say_observed(s, path, done, index);
		err = *task ? 0 : judged(s, path, index, task);
		if (!err)
			say_json(s, result_json(s, path, index, task, *task ? "running" : "done"));
	}
	director_result_free(rp);
	return err;
}

static int add_to_candidate(struct shell *s, struct director_txn **t, const char *path)
{
	size_t n;
	int err = director_candidate_add(s->d, *t);

	director_txn_free(t);
	if (err)
		return say_error(s);
	director_candidate_count(s->d, &n);
	say_note(s, "added to the open transaction (%zu change%s); nothing happens before `director commit`", n,
	         n == 1 ? "" : "s");
	if (s->json)
		say_json(s, json_pack("{s:s, s:s, s:i}", "path", path, "state", "candidate", "changes", (int)n));
	return 0;
}

int change_commit(struct shell *s, const struct call *c, struct director_txn **t, const char *path, const char *done)
{
	struct director_result *r;
	int err;

	if (change_message(s, c, *t) < 0) {
		director_txn_free(t);
		return ERR_INVAL;
	}
	if (c->key && director_txn_key(*t, c->key) < 0) {
		director_txn_free(t);
		return say_fail(s, ERR_INVAL, NULL, NULL, "\"%s\" cannot be a key", c->key);
	}
	err = sessions_refuse(s, c, *t, false);
	if (err) {
		director_txn_free(t);
		return err;
	}
	if (!s->dry_run && shell_in_tx(s))
		return add_to_candidate(s, t, path);
	err = director_commit(s->d, *t, s->dry_run ? DIRECTOR_DRY_RUN : 0, &r);
	director_txn_free(t);
	return err ? say_error(s) : change_follow(s, &r, path, done);
}

/* ---- secrets ---- */

#define SECRET_MAX 1024

int secret_read(struct shell *s, const char *file, const char *prompt, char **secret)
{
	char buf[SECRET_MAX + 1];
	ssize_t n = 0;
	int fd;

	*secret = NULL;
	if (!file) {
		if (!isatty(STDIN_FILENO) || !readpassphrase(prompt, buf, sizeof(buf), RPP_REQUIRE_TTY))
			return say_fail(s, ERR_INVAL, NULL, "--secret-file FILE, or - for standard input", "a secret is needed");
		*secret = mem_strdup(buf);
		explicit_bzero(buf, sizeof(buf));
		return 0;
	}
	fd = strcmp(file, "-") == 0 ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return say_fail(s, err_from_errno(errno), NULL, NULL, "%s: %s", file, strerror(errno));
	/* A byte at a time: with "-" what follows the line belongs to the script. */
	while (n < SECRET_MAX && read(fd, buf + n, 1) == 1 && buf[n] != '\n')
		n++;
	if (fd != STDIN_FILENO)
		close(fd);
	if (n && buf[n - 1] == '\r')
		n--;
	buf[n] = '\0';
	if (!n || strlen(buf) != (size_t)n)
		return say_fail(s, ERR_INVAL, NULL, NULL, "%s: no secret in its first line", file);
	*secret = mem_strdup(buf);
	explicit_bzero(buf, sizeof(buf));
	return 0;
}
