/* SPDX-License-Identifier: Apache-2.0 */
/* Who is logged in to what is about to be deleted: initiators lose their disks without a word, so that is asked for twice. */
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "shell/shell.h"

#define GONE_MS 3000            /* a session that has just ended is known as open for so long at most */
#define LOOK_MS 100

/* "/targets/T" and "/targets/T/luns/N" are what initiators of T use. Its name into `out`. */
static bool target_in(const char *path, char *out)
{
	char luns[PATH_LEN_MAX];
	unsigned depth = path_depth(path);
	size_t n;

	if (!path_below(path, "/targets") || (depth != 2 && depth != 4))
		return false;
	path_parent(path, luns);
	if (depth == 4 && strcmp(path_name(luns), "luns") != 0)
		return false;
	path += strlen("/targets/");
	n = strcspn(path, "/");
	memcpy(out, path, n);
	out[n] = '\0';
	return true;
}

/* What a node said that is not here any more is not so now. */
static bool node_lives(struct shell *s, const char *node)
{
	char path[PATH_LEN_MAX];
	struct director_object *o;
	const char *state;
	bool lives;

	if (path_make(s, path, "/nodes/%s", node) < 0 || director_get(s->d, path, &o) < 0)
		return false;
	state = director_object_derived(o, "state");
	lives = state && (strcmp(state, "alive") == 0 || strcmp(state, "suspect") == 0);
	director_object_free(&o);
	return lives;
}

/* How many sessions there are with the target, and with whom: "iqn… on n1", the first of them (given). */
static unsigned sessions_with(struct shell *s, const char *target, char **who)
{
	struct director_list *l = NULL;
	char last[64] = "";
	unsigned n = 0;

	*who = NULL;
	if (director_list(s->d, "/sessions", 1, NULL, 0, &l) < 0)
		return 0;
	for (size_t i = 0; i < director_list_n(l); i++) {
		const struct director_object *o = director_list_at(l, i);
		const char *of = director_object_value(o, "target"), *node = director_object_value(o, "node");
		const char *initiator = director_object_value(o, "initiator");

		/* Those of one node stand together: it is asked about once. */
		if (!of || strcasecmp(of, target) != 0 || !node || (strcmp(node, last) != 0 && !node_lives(s, node)))
			continue;
		snprintf(last, sizeof(last), "%s", node);
		if (n++ == 0)
			*who = mem_printf("%s on %s", initiator ? initiator : "an initiator", node);
	}
	director_list_free(&l);
	return n;
}

int sessions_refuse(struct shell *s, const struct call *c, const char *path)
{
	const struct timespec look = { .tv_nsec = LOOK_MS * 1000000L };
	struct mono until = mono_add_ms(mono_now(), GONE_MS);
	auto_free char *who = NULL, *hint = NULL;
	char target[PATH_LEN_MAX];
	bool lun;
	unsigned n;

	if (call_opt(c, "force") || !target_in(path, target))
		return 0;
	while ((n = sessions_with(s, target, &who)) && mono_before(mono_now(), until)) {
		mem_autofree(&who);
		nanosleep(&look, NULL);
	}
	if (!n)
		return 0;
	lun = path_depth(path) == 4;
	hint = mem_printf("director %s %s%s%s --force", c->cmd->words, c->arg[0], c->arg[1] ? " " : "", c->arg[1] ? c->arg[1] : "");
	return say_fail(s, ERR_BUSY, path, hint, "%u session%s from %s%s %s open; --force %s %s", n, n == 1 ? "" : "s", who,
	                n == 1 ? "" : " and others", n == 1 ? "is" : "are", lun ? "takes it from" : "ends", n == 1 ? "it" : "them");
}
