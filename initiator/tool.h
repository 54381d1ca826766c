/* SPDX-License-Identifier: Apache-2.0 */
/* director-iscsi: what its subcommands share. They use the library by its public header only. */
#ifndef INITIATOR_TOOL_H
#define INITIATOR_TOOL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "director/iscsi.h"

#define TOOL_PORTALS 16

/* Where to: iscsi://[USER[%SECRET]@]PORTAL[,PORTAL…]/TARGET/LUN, as libiscsi and qemu write it. */
struct tool_url {
	char text[1024];
	const char *portals[TOOL_PORTALS + 1];
	const char *user, *secret, *target;
	uint64_t lun;
	bool has_lun;
};

struct tool {
	struct director_iscsi_conf conf;
	struct tool_url url;
	char user[256], secret[256], target_user[256], target_secret[256];
	bool json, verbose;
	int wait_ms;
};

/* 0, or a message is printed. `need_lun`: a target and a LUN must be named. */
int tool_url_parse(struct tool *t, const char *s, bool need_lun);
/* An option that all subcommands have: its value in `arg`. False: not one of them. */
bool tool_option(struct tool *t, int c, const char *arg);
/* Log in; prints why when it does not come about. */
int tool_open(struct tool *t, struct director_iscsi_loop **loop, struct director_iscsi **h);
int tool_disk(struct tool *t, struct director_iscsi *h, struct director_iscsi_disk *d);
/*
 * One command, again while the target asks for that and its time lasts; 0 or a negative errno, `why` explains. *anew is set if
 * the target may have started anew meanwhile (tool_anew).
 */
int tool_io(struct director_iscsi *h, struct director_iscsi_io *io, bool *anew, char *why, size_t size);
/*
 * Does the answer say that the target may have lost what it had in its cache? 29h: power on, or a reset of its own; also what most
 * say first in any new session. Of sessions with DIRECTOR_ISCSI_F_ATTENTIONS.
 */
bool tool_anew(const struct director_iscsi_io *io);
uint64_t tool_size(const char *s);
uint64_t tool_ms(const char *s);
/* A decimal number from `lo` to `hi`. As the two above: what is none ends the program with status 2. */
uint64_t tool_number(const char *s, uint64_t lo, uint64_t hi);
void tool_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#include <getopt.h>

enum {
	OPT_INITIATOR = 1000, OPT_USER, OPT_SECRET_FILE, OPT_TARGET_USER, OPT_TARGET_SECRET_FILE, OPT_HEADER_DIGEST, OPT_DATA_DIGEST,
	OPT_CONNECTIONS, OPT_ERL, OPT_WAIT, OPT_TIMEOUT, OPT_NO_IMMEDIATE, OPT_INITIAL_R2T, OPT_REASSIGN_255, OPT_CHAP,
	OPT_VERBOSE, OPT_JSON, OPT_HELP, OPT_OWN,
};

#define TOOL_OPTIONS \
	{ "initiator", required_argument, NULL, OPT_INITIATOR }, \
	{ "user", required_argument, NULL, OPT_USER }, \
	{ "secret-file", required_argument, NULL, OPT_SECRET_FILE }, \
	{ "target-user", required_argument, NULL, OPT_TARGET_USER }, \
	{ "target-secret-file", required_argument, NULL, OPT_TARGET_SECRET_FILE }, \
	{ "chap", required_argument, NULL, OPT_CHAP }, \
	{ "header-digest", required_argument, NULL, OPT_HEADER_DIGEST }, \
	{ "data-digest", required_argument, NULL, OPT_DATA_DIGEST }, \
	{ "connections", required_argument, NULL, OPT_CONNECTIONS }, \
	{ "erl", required_argument, NULL, OPT_ERL }, \
	{ "wait", required_argument, NULL, OPT_WAIT }, \
	{ "timeout", required_argument, NULL, OPT_TIMEOUT }, \
	{ "no-immediate-data", no_argument, NULL, OPT_NO_IMMEDIATE }, \
	{ "initial-r2t", no_argument, NULL, OPT_INITIAL_R2T }, \
	{ "reassign-255", no_argument, NULL, OPT_REASSIGN_255 }, \
	{ "json", no_argument, NULL, OPT_JSON }, \
	{ "verbose", no_argument, NULL, OPT_VERBOSE }, \
	{ "help", no_argument, NULL, OPT_HELP }

/* The subcommands: their arguments, from the command's own name on; an exit status. */
int cmd_bench(struct tool *t, int argc, char **argv);
int cmd_discover(struct tool *t, int argc, char **argv);
int cmd_inquiry(struct tool *t, int argc, char **argv);
int cmd_read(struct tool *t, int argc, char **argv);
int cmd_write(struct tool *t, int argc, char **argv);
int cmd_verify(struct tool *t, int argc, char **argv);
int cmd_serve(struct tool *t, int argc, char **argv);

#endif
