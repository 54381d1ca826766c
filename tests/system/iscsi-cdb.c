/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any SCSI commands through libiscsi, from hexadecimal, in one session; an answer per line.
 *   iscsi-cdb [-i INITIATOR] [-q ISID] URL STEP…
 *     CDB          without data            CDB<N    with data-in, N bytes at most
 *     CDB>DATA     with data-out           CDB>N*XX with data-out, N times the byte XX
 *     @MS          wait so long           @/FILE     wait until that file is there
 *     !reset       LOGICAL UNIT RESET: done, or not
 *   good [DATA] | conflict | busy | check KEY ASC ASCQ | status XX        unit attentions are taken first
 *   iscsi-cdb … URL --random COUNT SEED    that many commands of chance; says only how many were good
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

#include "base/rng.h"

#define DATA_MAX (1u << 20)

static struct iscsi_context *ctx;
static struct iscsi_url *url;
static unsigned char data[DATA_MAX];

static __attribute__((noreturn)) void die(const char *what)
{
	fprintf(stderr, "iscsi-cdb: %s: %s\n", what, ctx ? iscsi_get_error(ctx) : "");
	exit(2);
}

/* Hexadecimal up to the end or one of `stop`; how many bytes. */
static size_t hex(const char **s, const char *stop, unsigned char *to, size_t max)
{
	size_t n = 0;

	while (**s && !strchr(stop, **s)) {
		unsigned byte = 0;

		if (n == max || sscanf(*s, "%2x", &byte) != 1 || !(*s)[1])
			die("a step is not hexadecimal");
		to[n++] = (unsigned char)byte;
		*s += 2;
	}
	return n;
}

static struct scsi_task *command(const unsigned char *cdb, size_t n, size_t out, size_t in)
{
	struct scsi_task *t = scsi_create_task((int)n, (unsigned char *)cdb,
		out ? SCSI_XFER_WRITE : in ? SCSI_XFER_READ : SCSI_XFER_NONE, (int)(out ? out : in));
	struct iscsi_data d = { .size = out, .data = data };

	if (!t || !iscsi_scsi_command_sync(ctx, url->lun, t, out ? &d : NULL))
		die("the session is gone");
	return t;
}

static void attentions_take(void)
{
	static const unsigned char ready[6];

	for (unsigned i = 0; i < 16; i++) {
		struct scsi_task *t = command(ready, 6, 0, 0);
		int more = t->status == SCSI_STATUS_CHECK_CONDITION && t->sense.key == SCSI_SENSE_UNIT_ATTENTION;

		scsi_free_scsi_task(t);
		if (!more)
			return;
	}
}

static void say(const struct scsi_task *t)
{
	switch (t->status) {
	case SCSI_STATUS_GOOD:
		printf("good%s", t->datain.size ? " " : "");
		for (int i = 0; i < t->datain.size; i++)
			printf("%02x", t->datain.data[i]);
		putchar('\n');
		break;
	case SCSI_STATUS_CHECK_CONDITION:
		printf("check %x %02x %02x\n", t->sense.key, t->sense.ascq >> 8 & 0xff, t->sense.ascq & 0xff);
		break;
	case SCSI_STATUS_RESERVATION_CONFLICT:
		puts("conflict");
		break;
	case SCSI_STATUS_BUSY:
		puts("busy");
		break;
	default:
		printf("status %02x\n", (unsigned)t->status);
	}
}

static void step(const char *s)
{
	unsigned char cdb[16];
	size_t n = hex(&s, "<>", cdb, sizeof(cdb)), out = 0, in = 0;
	struct scsi_task *t;
	unsigned byte;
	unsigned long times;

	if (*s == '<')
		in = strtoul(s + 1, NULL, 0);
	else if (*s == '>' && sscanf(s + 1, "%lu*%2x", &times, &byte) == 2 && times <= DATA_MAX)
		memset(data, (int)byte, out = times);
	else if (*s == '>' && s++)
		out = hex(&s, "", data, sizeof(data));
	t = command(cdb, n, out, in);
	say(t);
	scsi_free_scsi_task(t);
}

static void wait_for(const char *what)
{
	if (*what == '/')
		while (access(what, F_OK) != 0)
			usleep(20000);
	else
		usleep((useconds_t)strtoul(what, NULL, 10) * 1000);
}

/* Commands of any opcode, the common ones more often, of random bits and data. */
static void chance(unsigned long count, uint64_t seed)
{
	static const unsigned char common[] = { 0x12, 0x1a, 0x15, 0x28, 0x2a, 0x41, 0x42, 0x4d, 0x5e, 0x5f, 0x83, 0x84, 0x88,
		0x89, 0x8a, 0x8b, 0x8f, 0x93, 0x9c, 0x9e, 0xa0, 0xa3 };
	static const unsigned char lengths[] = { 6, 10, 10, 16, 16, 12, 16, 16 };
	struct rng r = { seed };
	unsigned long good = 0;

	for (unsigned long i = 0; i < count; i++) {
		unsigned char cdb[16];
		size_t n, out = 0, in = 0;
		struct scsi_task *t;

		for (unsigned k = 0; k < 16; k++)
			cdb[k] = (unsigned char)(rng_below(&r, 3) ? 0 : rng_below(&r, 4) ? rng_below(&r, 32) : rng_below(&r, 256));
		cdb[0] = rng_below(&r, 4) ? common[rng_below(&r, sizeof(common))] : (unsigned char)rng_below(&r, 256);
		n = lengths[cdb[0] >> 5];
		/* What would end the run, or make it wait: sanitize, stop, access states. */
		if (cdb[0] == 0x48 || cdb[0] == 0x1b || cdb[0] == 0xa4)
			continue;
		if (rng_below(&r, 2))
			out = rng_below(&r, 3) ? rng_below(&r, 600) : rng_below(&r, 65536);
		else
			in = rng_below(&r, 65536);
		for (size_t k = 0; k < out; k += 1 + rng_below(&r, 16))
			data[k] = (unsigned char)rng_below(&r, 4);
		t = command(cdb, n, out, in);
		good += t->status == SCSI_STATUS_GOOD;
		scsi_free_scsi_task(t);
	}
	printf("%lu of %lu good\n", good, count);
}

int main(int argc, char **argv)
{
	const char *initiator = "iqn.2026-11.test:cdb";
	unsigned isid = 0;
	int a = 1;

	for (; a + 1 < argc && argv[a][0] == '-'; a += 2) {
		if (argv[a][1] == 'i')
			initiator = argv[a + 1];
		else if (argv[a][1] == 'q')
			isid = (unsigned)strtoul(argv[a + 1], NULL, 0);
		else
			die(argv[a]);
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (a + 1 >= argc)
		die("[-i INITIATOR] [-q ISID] URL STEP…");
	ctx = iscsi_create_context(initiator);
	url = ctx ? iscsi_parse_full_url(ctx, argv[a]) : NULL;
	if (!url)
		die(argv[a]);
	iscsi_set_isid_en(ctx, 0x123456, isid);
	iscsi_set_targetname(ctx, url->target);
	iscsi_set_session_type(ctx, ISCSI_SESSION_NORMAL);
	iscsi_set_noautoreconnect(ctx, 1);
	if (iscsi_connect_sync(ctx, url->portal) != 0 || iscsi_login_sync(ctx) != 0)
		die("login");
	attentions_take();
	if (a + 3 < argc && strcmp(argv[a + 1], "--random") == 0)
		chance(strtoul(argv[a + 2], NULL, 0), strtoul(argv[a + 3], NULL, 0));
	else
		for (a++; a < argc; a++)
			if (argv[a][0] == '@')
				wait_for(argv[a] + 1);
			else if (strcmp(argv[a], "!reset") == 0)
				puts(iscsi_task_mgmt_lun_reset_sync(ctx, (uint32_t)url->lun) == 0 ? "done" : "not done");
			else
				step(argv[a]);
	iscsi_logout_sync(ctx);
	iscsi_destroy_url(url);
	iscsi_destroy_context(ctx);
	return 0;
}
