/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plugins as files: find one, load it, judge its tables, describe it. Used by every program that loads
 * a native plugin (director-target, director-plugin-run, director-plugin-test); knows nothing of
 * targets. The plugin's own code runs first in plugin_start().
 */
#ifndef SERVE_LOADER_H
#define SERVE_LOADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "director/plugin.h"

struct json_t;

#define PLUGIN_NAME_MAX 32      /* bytes of a plugin's or parameter's name */
#define PLUGIN_PARAMS_MAX 64
#define PLUGIN_VALUE_MAX 4096   /* bytes of a parameter's value */

/* A loaded plugin. The tables are copies of full size: what the plugin's build did not know is NULL or 0. */
struct plugin {
	struct director_plugin p;
	struct director_backstore_ops backstore;        /* kind BACKSTORE */
	struct director_device_ops device;              /* kind DEVICE */
	unsigned n_params;
	char *file;
	void *dl;
	void *priv;                                     /* what init gave */
	bool started;
};

/* Copy `text` (cut to fit) and `code` into `err`, which may be NULL. Returns `code`. */
int plugin_err(struct director_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Load the shared object `file` and check its tables; err->text says what is wrong with it ("built for
 * ABI 2.0; this host offers 1.0"). -ENOENT: no such file; -ENOEXEC: not a plugin or a broken one;
 * -EPROTO: another ABI.
 */
int plugin_load(const char *file, struct plugin **out, struct director_err *err);
/* The same for tables that are linked in (unit tests). */
int plugin_wrap(const struct director_plugin *tables, struct plugin **out, struct director_err *err);
/* Call init, once. `host` must live until plugin_unload. */
int plugin_start(struct plugin *, const struct director_host *host, struct director_err *err);
/* fini, dlclose, free. NULL is fine. */
void plugin_unload(struct plugin **);

/*
 * Where plugins are: the folders of $DIRECTOR_PLUGIN_PATH (':' between), then PKGLIBDIR/plugins. In each
 * folder F: F/NAME.so, F/NAME/NAME.so, F/NAME/.libs/NAME.so (a build tree).
 * Each of the folders once, `fn` returns nonzero to stop; returns that.
 */
int plugin_dirs(int (*fn)(void *arg, const char *dir), void *arg);
/* The file of the plugin called `name`, given (free it); NULL if there is none. */
char *plugin_find(const char *name);
/* Every plugin file of the path, a name once (the first folder wins), sorted by name. */
int plugin_each(void (*fn)(void *arg, const char *name, const char *file), void *arg);

const char *plugin_kind_name(uint32_t kind);            /* "backstore"; "unknown" */
const char *plugin_param_type_name(uint32_t type);      /* "size"; "unknown" */

/* All there is to know without running it, for `plugin probe`: a new reference. */
struct json_t *plugin_json(const struct plugin *);

/* ---- parameters ---- */

struct plugin_pair {
	const char *name, *value;
};

/* The checked, normalised parameters of one object. `conf` is what verbs get. */
struct plugin_conf {
	struct director_conf conf;
	unsigned n;
	struct plugin_conf_value {
		const struct director_param *param;
		char *value;            /* NULL: unset */
		bool given;             /* by the user, not the default */
	} v[];
};

/*
 * Check `pairs` against the table: unknown (with the nearest name), twice, wrong type or range, missing
 * though required; then defaults. A `size` that the table has and nobody gave becomes `size` unless that
 * is 0. With err->text for the user. -EINVAL.
 */
int plugin_conf_new(const struct plugin *, const struct plugin_pair *pairs, unsigned n_pairs, uint64_t size,
	struct plugin_conf **out, struct director_err *err);
/* Would going from `have` to `want` need more than reconfigure()? The name of such a parameter, or NULL. */
const char *plugin_conf_fixed(const struct plugin_conf *have, const struct plugin_conf *want);
void plugin_conf_free(struct plugin_conf **);
/* One value as checked and normalised, into `out` (given). -EINVAL with text. */
int plugin_param_check(const struct director_param *, const char *value, char **out, struct director_err *err);

#endif
