/* SPDX-License-Identifier: Apache-2.0 */
/* director-iscsi: LUNs from the command line. */
#include "config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "initiator/tool.h"

static const struct command {
	const char *name, *args, *help;
	int (*run)(struct tool *t, int argc, char **argv);
} commands[] = {
	{ "discover", "PORTAL...", "list targets and their addresses (SendTargets)", cmd_discover },
	{ "inquiry", "URL", "say what a LUN is; without a LUN, list the target's", cmd_inquiry },
	{ "read", "URL [--offset N] [--length N]", "blocks to standard output", cmd_read },
	{ "write", "URL [--offset N]", "standard input to blocks", cmd_write },
	{ "bench", "URL [OPTIONS]", "load: IOPS, bandwidth, latency", cmd_bench },
	{ "verify", "URL [OPTIONS]", "write patterns, read them back, survive what happens meanwhile", cmd_verify },
	{ "serve", "URL --socket PATH | --listen ADDR", "offer a LUN as NBD [--trust]", cmd_serve },
	{ NULL, NULL, NULL, NULL },
};

void tool_say(const char *fmt, ...)
{
	va_list ap;

	fputs("director-iscsi: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static int usage(FILE *f)
{
	fputs("usage: director-iscsi COMMAND ARGUMENTS\n\n", f);
	for (const struct command *c = commands; c->name; c++)
		fprintf(f, "  %-9s %-37s %s\n", c->name, c->args, c->help);
	fputs("\nURL is iscsi://[USER[%SECRET]@]PORTAL[,PORTAL...]/TARGET/LUN.\n"
	      "Every command takes --initiator --user --secret-file --target-user --target-secret-file --chap\n"
	      "--header-digest --data-digest --connections --erl --wait --timeout --no-immediate-data --initial-r2t\n"
	      "--reassign-255 --json --verbose. director-iscsi(1) explains all of it.\n", f);
	return f == stdout ? 0 : 2;
}

/* ---- where to ---- */

int tool_url_parse(struct tool *t, const char *s, bool need_lun)
{
	struct tool_url *u = &t->url;
	char *p, *at, *slash, *lun;
	unsigned n = 0;

	if (strncmp(s, "iscsi://", 8) == 0)
		s += 8;
	if (strlen(s) >= sizeof(u->text)) {
		tool_say("the URL is too long");
		return -1;
	}
	memset(u, 0, sizeof(*u));
	snprintf(u->text, sizeof(u->text), "%s", s);
	p = u->text;
	slash = strchr(p, '/');
	at = strchr(p, '@');
	if (at && (!slash || at < slash)) {
		char *percent = strchr(p, '%');

		*at = '\0';
		if (percent && percent < at) {
			*percent = '\0';
			u->secret = percent + 1;
		}
		u->user = p;
		p = at + 1;
	}
	if (slash) {
		*slash = '\0';
		u->target = slash + 1;
		lun = strrchr(slash + 1, '/');
		if (lun) {
			char *end;

			*lun = '\0';
			u->lun = strtoull(lun + 1, &end, 0);
			u->has_lun = lun[1] && !*end;
		}
	}
	for (char *q = strtok_r(p, ",", &p); q && n < TOOL_PORTALS; q = strtok_r(NULL, ",", &p))
		u->portals[n++] = q;
	if (!n || (need_lun && (!u->target || !*u->target || !u->has_lun))) {
		tool_say("%s is not iscsi://PORTAL/TARGET/LUN", s);
		return -1;
	}
	t->conf.portals = u->portals;
	t->conf.target = u->target;
	if (u->user)
		t->conf.user = u->user;
	if (u->secret)
		t->conf.secret = u->secret;
	return 0;
}

/* A secret on the command line is seen by everyone: it comes from a file. */
static void secret_read(const char *path, char *out, size_t size)
{
	FILE *f = fopen(path, "re");

	if (!f || !fgets(out, (int)size, f)) {
		tool_say("cannot read a secret from %s", path);
		exit(1);
	}
	fclose(f);
	out[strcspn(out, "\r\n")] = '\0';
}

static uint32_t digest(const char *s)
{
	if (strcmp(s, "none") == 0)
		return DIRECTOR_ISCSI_DIGEST_NONE;
	if (strcmp(s, "prefer") == 0)
		return DIRECTOR_ISCSI_DIGEST_PREFER;
	if (strcmp(s, "require") == 0 || strcmp(s, "crc32c") == 0)
		return DIRECTOR_ISCSI_DIGEST_REQUIRE;
	tool_say("a digest is none, prefer or require, not %s", s);
	exit(2);
}

static void chap_list(struct director_iscsi_conf *c, const char *s)
{
	static const struct { const char *name; uint8_t number; } names[] = {
		{ "md5", DIRECTOR_ISCSI_CHAP_MD5 }, { "sha1", DIRECTOR_ISCSI_CHAP_SHA1 },
		{ "sha256", DIRECTOR_ISCSI_CHAP_SHA256 }, { "sha3-256", DIRECTOR_ISCSI_CHAP_SHA3_256 } };
	unsigned n = 0;

	memset(c->chap, 0, sizeof(c->chap));
	while (*s && n < 4) {
		size_t k = strcspn(s, ",");
		unsigned i = 0;

		while (i < 4 && (strlen(names[i].name) != k || memcmp(names[i].name, s, k) != 0))
			i++;
		if (i == 4) {
			tool_say("CHAP algorithms are md5, sha1, sha256, sha3-256");
			exit(2);
		}
		c->chap[n++] = names[i].number;
		s += k + (s[k] == ',');
	}
}

uint64_t tool_ms(const char *s)
{
	uint64_t ms;

	if (text_ms_parse(s, &ms) != 0 || ms > 86400000u) {
		tool_say("%s is not a time", s);
		exit(2);
	}
	return ms;
}

uint64_t tool_size(const char *s)
{
	uint64_t v;

	if (text_size_parse(s, &v) != 0) {
		tool_say("%s is not a size", s);
		exit(2);
	}
	return v;
}

uint64_t tool_number(const char *s, uint64_t lo, uint64_t hi)
{
	uint64_t v;

	if (text_u64_parse(s, &v) != 0 || v < lo || v > hi) {
		tool_say("%s is not a number from %llu to %llu", s, (unsigned long long)lo, (unsigned long long)hi);
		exit(2);
	}
	return v;
}

bool tool_option(struct tool *t, int c, const char *arg)
{
	switch (c) {
	case OPT_INITIATOR: t->conf.initiator = arg; break;
	case OPT_USER: snprintf(t->user, sizeof(t->user), "%s", arg); t->conf.user = t->user; break;
	case OPT_SECRET_FILE: secret_read(arg, t->secret, sizeof(t->secret)); t->conf.secret = t->secret; break;
	case OPT_TARGET_USER: t->conf.target_user = arg; break;
	case OPT_TARGET_SECRET_FILE:
		secret_read(arg, t->target_secret, sizeof(t->target_secret));
		t->conf.target_secret = t->target_secret;
		break;
	case OPT_CHAP: chap_list(&t->conf, arg); break;
	case OPT_HEADER_DIGEST: t->conf.header_digest = digest(arg); break;
	case OPT_DATA_DIGEST: t->conf.data_digest = digest(arg); break;
	case OPT_CONNECTIONS: t->conf.connections = (uint16_t)tool_number(arg, 1, 16); break;
	case OPT_ERL: t->conf.erl = (uint16_t)tool_number(arg, 0, 2); break;
	case OPT_WAIT: t->wait_ms = (int)tool_ms(arg); break;
	case OPT_TIMEOUT: t->conf.command_ms = (uint32_t)tool_ms(arg); break;
	case OPT_NO_IMMEDIATE: t->conf.immediate_data = 0; break;
	case OPT_INITIAL_R2T: t->conf.initial_r2t = 1; break;
	case OPT_REASSIGN_255: t->conf.flags |= DIRECTOR_ISCSI_F_REASSIGN_255; break;
	case OPT_JSON: t->json = true; break;
	case OPT_VERBOSE: t->verbose = true; break;
	case OPT_HELP: exit(usage(stdout));
	default: return false;
	}
	return true;
}

/* ---- a session ---- */

static void on_event(void *arg, struct director_iscsi *h, const struct director_iscsi_event *ev)
{
	static const char *const names[] = { "", "up", "down", "refused", "failed", "connection up", "connection lost", "recovered",
		"replayed", "asynchronous message", "redirected to" };

	if (((struct tool *)arg)->verbose)
		fprintf(stderr, "director-iscsi: %s %u %s (%04x)\n", ev->kind < 11 ? names[ev->kind] : "?", ev->value, ev->text, ev->status);
}

int tool_open(struct tool *t, struct director_iscsi_loop **loop, struct director_iscsi **h)
{
	char why[256];
	int r;

	t->conf.event = on_event;
	t->conf.arg = t;
	if (!*loop && !(*loop = director_iscsi_loop_new())) {
		tool_say("cannot make a loop");
		return -1;
	}
	if (t->conf.secret && t->conf.target_secret && strcmp(t->conf.secret, t->conf.target_secret) == 0) {
		tool_say("our secret and the target's must not be the same");
		return -EINVAL;
	}
	r = director_iscsi_open(*loop, &t->conf, h);
	if (r < 0) {
		tool_say("a value, a name or an address is not valid: %s", strerror(-r));
		return r;
	}
	r = director_iscsi_wait(*h, t->wait_ms, why, sizeof(why));
	if (r < 0) {
		tool_say("%s: %s", t->conf.target ? t->conf.target : t->url.portals[0], why);
		director_iscsi_close(h, 0);
	}
	return r;
}

int tool_disk(struct tool *t, struct director_iscsi *h, struct director_iscsi_disk *d)
{
	char why[256];
	int r;

	memset(d, 0, sizeof(*d));
	d->struct_size = sizeof(*d);
	r = director_iscsi_get_disk(h, t->url.lun, d, why, sizeof(why));
	if (r < 0)
		tool_say("%s LUN %llu: %s", t->url.target, (unsigned long long)t->url.lun, why);
	else if (d->type != 0 || !d->blocks) {
		tool_say("%s LUN %llu is not a disk (device type %u)", t->url.target, (unsigned long long)t->url.lun, d->type);
		r = -1;
	}
	return r;
}

bool tool_anew(const struct director_iscsi_io *io)
{
	return io->status == 2 && io->sense_key == 6 && io->asc == 0x29 && (io->ascq <= 1 || io->ascq == 4);
}

int tool_io(struct director_iscsi *h, struct director_iscsi_io *io, bool *anew, char *why, size_t size)
{
	struct director_iscsi_verdict v;

	for (unsigned i = 0; i < 1000; i++) {
		director_iscsi_do(h, io);
		*anew |= tool_anew(io);
		v = director_iscsi_judge(io);
		if (!v.retry)
			break;
		usleep(v.retry_ms * 1000);
	}
	director_iscsi_io_text(io, why, size);
	return v.retry ? -EBUSY : v.error;
}

int main(int argc, char **argv)
{
	struct tool t = { .wait_ms = 15000 };

	if (argc < 2)
		return usage(stderr);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)
		return usage(stdout);
	if (strcmp(argv[1], "--version") == 0) {
		puts("director-iscsi " PACKAGE_VERSION);
		return 0;
	}
	director_iscsi_conf_init(&t.conf);
	t.conf.flags = DIRECTOR_ISCSI_F_ONCE;
	for (const struct command *c = commands; c->name; c++)
		if (strcmp(c->name, argv[1]) == 0)
			return c->run(&t, argc - 1, argv + 1);
	tool_say("there is no command %s", argv[1]);
	return usage(stderr);
}
