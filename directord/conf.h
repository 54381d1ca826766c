/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration file: entirely optional, "key = value" a line, '#' begins a comment. One table
 * (conf.c) holds every key with its type, default and help; parsing, printing, the commented default file
 * and the list in director.conf(5) come from it.
 */
#ifndef DIRECTORD_CONF_H
#define DIRECTORD_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/log.h"

#define CONF_FILE_MAX (256u << 10)      /* bytes of a configuration file */
#define CONF_LIST_MAX 256               /* items of a list */

enum conf_discovery { CONF_DISCOVERY_AUTO, CONF_DISCOVERY_AVAHI, CONF_DISCOVERY_EMBEDDED, CONF_DISCOVERY_OFF };
enum conf_agreement { CONF_AGREEMENT_COROSYNC, CONF_AGREEMENT_HOST, CONF_AGREEMENT_OFF };

struct conf_list {
	char **item;
	unsigned n;
};

struct conf {
	char *name;                     /* "": the host's name up to the first dot */
	char *cluster_key;              /* file */
	char *state;                    /* directory */
	char *run;                      /* directory */
	struct conf_list listen;        /* literal addresses; n 0: all */
	unsigned port;                  /* UDP, gossip */
	unsigned inner_port;
	unsigned mesh_port;             /* TCP; 0: the same as `port` */
	struct conf_list interfaces;    /* for discovery; n 0: all */
	struct conf_list seeds;         /* address or name, with or without port */
	int discovery;                  /* enum conf_discovery */
	bool found;                     /* may begin a cluster of its own when it finds none */
	int agreement;                  /* enum conf_agreement */
	unsigned ring_port;
	struct conf_list ring_addresses;        /* at most two; n 0: as gossip */
	char *volumes;                  /* directory; "": STATE/volumes */
	unsigned iscsi_port;
	char *target_program;
	bool target_follow;
	char *corosync_program;         /* "": found in PATH */
	char *plugins;                  /* directory */
	int log_level;                  /* enum log_level */
	char *debug;                    /* "": none; "gossip,mesh" or "all" */
};

void conf_init(struct conf *c);         /* the defaults */
void conf_fini(struct conf *c);

/*
 * Set one key from text. Errors are appended to `errs`, a sentence without newline: ERR_NOENT for an
 * unknown key (the nearest known one is named), ERR_INVAL for a value that does not fit.
 */
int conf_set(struct conf *c, const char *key, const char *value, struct buf *errs);
/*
 * Read a whole text. Goes on after an error, so that all of them are told, one "NAME:LINE: ..." line
 * each in `errs`; the result is ERR_INVAL if there was any. A key may stand only once.
 */
int conf_parse(struct conf *c, const char *text, size_t len, const char *name, struct buf *errs);
/* The same from a file. A file that is not there is an error only when `must`. */
int conf_load(struct conf *c, const char *path, bool must, struct buf *errs);
/* Do the values fit together? Paths and devices are not touched. Errors as one line each. */
int conf_check(const struct conf *c, struct buf *errs);

/* Canonical text: every key that is not at its default, or all of them; conf_parse reads it back to the same. */
void conf_print(const struct conf *c, bool all, struct buf *out);
/* The commented default file, and the list of keys in mdoc for director.conf(5). */
void conf_example(struct buf *out);
void conf_mdoc(struct buf *out);

enum conf_diff {
	CONF_SAME,
	CONF_LIVE,                      /* all that differs can be changed at run time */
	CONF_RESTART,                   /* something needs a restart */
};
/* What differs, one line each ("log-level: info -> debug", "port: 7340 -> 7341 (needs a restart)"), into `out`. */
enum conf_diff conf_diff(const struct conf *have, const struct conf *want, struct buf *out);
/* Take over from `want` all that can be changed live. */
void conf_adopt(struct conf *have, const struct conf *want);

#endif
