/* SPDX-License-Identifier: Apache-2.0 */
/*
 * directord's side of plugins: it only ever runs executables, with a verb as argument and JSON on
 * standard input and output. A native control-plane plugin (NAME.so) runs behind director-plugin-run,
 * so that nothing in a plugin can crash or block the daemon: a verb has a deadline and bounded output,
 * and a plugin that fails again and again is left alone for a while, with its reason kept.
 */
#ifndef DIRECTORD_PLUGINS_H
#define DIRECTORD_PLUGINS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "cluster/obj.h"

struct ev_loop;
struct json_t;
struct plugins;

struct plugins_conf {
	struct ev_loop *loop;           /* the default loop: it watches children */
	const struct log *log;
	const char *path;               /* folders, ':' between; NULL: $DIRECTOR_PLUGIN_PATH, then the installed one */
	const char *run;                /* director-plugin-run; NULL: $DIRECTOR_PLUGIN_RUN, else the installed one */
	uint32_t deadline_ms;           /* of a verb; 0: 10000 */
	uint32_t output_max;            /* bytes; 0: 1 MiB */
	uint32_t parallel;              /* verbs at once; 0: 4; further ones wait */
};

/* How a verb ended. */
struct plugins_result {
	int err;                        /* 0; ERR_FAILED, ERR_NOTSUP, ERR_TIMEOUT, ERR_MALFORMED, ERR_NOENT, ERR_BUSY (quarantined), ERR_CANCELED */
	const char *text;               /* why, for people; "" if all went well. Lent for the callback */
	const struct json_t *out;       /* what the plugin said; NULL unless err is 0. Lent for the callback */
};

struct plugins *plugins_new(const struct plugins_conf *);
/* Kills what runs; their callbacks get ERR_CANCELED. Not from inside of a callback. */
void plugins_free(struct plugins **);

/* Look at the folders again and ask new or changed files who they are. done (may be NULL) when all have answered; not if `plugins_free` comes first. */
void plugins_scan(struct plugins *, void (*done)(void *arg), void *arg);
/* Ask one file who it is, without adding it to the list (`plugin probe FILE`). */
void plugins_probe(struct plugins *, const char *file,
	void (*done)(void *arg, const struct plugins_result *), void *arg);
/* Run `verb` of the plugin `name` with `in` (JSON text, NULL: {}) as its input. done is called once, never from inside. */
void plugins_run(struct plugins *, const char *name, const char *verb, const char *in,
	void (*done)(void *arg, const struct plugins_result *), void *arg);

/*
 * Every known plugin as the attributes of /plugins/NAME: kind, version, license, summary, file, abi, state
 * (probing|ready|quarantined|broken), reason, until (seconds left of the quarantine), failures, params.
 */
void plugins_each(const struct plugins *, void (*fn)(void *arg, const char *name, const struct attrs *), void *arg);
/* Let a quarantined plugin run again at once. ERR_NOENT. */
int plugins_unquarantine(struct plugins *, const char *name);

/*
 * Scan with every device plugin. found is called for each device with the attributes of
 * /nodes/N/devices/NAME (path, kind, size, block-size, model, serial, wwn, used-by, rotational, read-only, removable,
 * plugin), then done once; err tells of the first plugin that failed, the others' devices are given all
 * the same.
 */
void plugins_devices(struct plugins *, void (*found)(void *arg, const char *name, const struct attrs *),
	void (*done)(void *arg, int err, const char *text), void *arg);

#endif
