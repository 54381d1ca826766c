/* SPDX-License-Identifier: Apache-2.0 */
/* director-iscsi discover, inquiry, read, write. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "initiator/tool.h"

#define CHUNK (1u << 20)
#define KEPT_MAX 32               /* chunks that are written between two flushes */
#define ANEW_MAX 10               /* times that a target may start anew between them */

/* Options that all have, and none of its own. */
static int plain(struct tool *t, int argc, char **argv)
{
	static const struct option options[] = { TOOL_OPTIONS, { NULL, 0, NULL, 0 } };
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (!tool_option(t, c, optarg))
			return -1;
	return 0;
}

/* ---- discover ---- */

struct found {
	bool json, any;
};

static void json_string(const char *s)
{
	putchar('"');
	for (; *s; s++)
		if (*s == '"' || *s == '\\')
			printf("\\%c", *s);
		else if ((unsigned char)*s < 0x20)
			printf("\\u%04x", (unsigned char)*s);
		else
			putchar(*s);
	putchar('"');
}

static void found(void *arg, const char *target, const char *address)
{
	struct found *f = arg;

	if (f->json) {
		printf("%s{\"target\":", f->any ? "," : "");
		json_string(target);
		printf(",\"address\":");
		json_string(address);
		printf("}");
	} else {
		printf("%s %s\n", *address ? address : "-", target);
	}
	f->any = true;
}

int cmd_discover(struct tool *t, int argc, char **argv)
{
	struct found f = { 0 };
	char why[256];
	int r;

	if (plain(t, argc, argv) < 0)
		return 2;
	if (optind + 1 != argc || tool_url_parse(t, argv[optind], false) < 0) {
		tool_say("discover takes one PORTAL[,PORTAL...]");
		return 2;
	}
	f.json = t->json;
	if (f.json)
		printf("[");
	r = director_iscsi_discover(&t->conf, t->wait_ms, found, &f, why, sizeof(why));
	if (f.json)
		printf("]\n");
	if (r < 0)
		tool_say("%s: %s", t->url.portals[0], why);
	return r < 0;
}

/* ---- inquiry ---- */

static void disk_text(const struct director_iscsi_disk *d)
{
	printf("%s %s %s, serial %s, id %s\n", d->vendor, d->product, d->revision, *d->serial ? d->serial : "-", *d->id ? d->id : "-");
	if (d->type) {
		printf("device type %u\n", d->type);
		return;
	}
	printf("%llu blocks of %u bytes (physical %u)%s%s%s%s\n", (unsigned long long)d->blocks, d->block_size, d->physical_block,
		d->read_only ? ", read-only" : "", d->removable ? ", removable" : "", d->write_cache ? ", write cache" : "",
		d->fua ? ", FUA" : "");
	printf("%s%s%s%s", d->thin ? "thin" : "thick", d->unmap ? ", UNMAP" : "", d->write_same ? ", WRITE SAME with UNMAP" : "",
		d->zeroes ? ", unmapped reads zero" : "");
	if (d->caw_blocks)
		printf(", COMPARE AND WRITE up to %u blocks", d->caw_blocks);
	putchar('\n');
}

static void disk_json(const struct director_iscsi_disk *d)
{
	printf("{\"vendor\":");
	json_string(d->vendor);
	printf(",\"product\":");
	json_string(d->product);
	printf(",\"revision\":");
	json_string(d->revision);
	printf(",\"serial\":");
	json_string(d->serial);
	printf(",\"id\":");
	json_string(d->id);
	printf(",\"type\":%u,\"blocks\":%llu,\"block_size\":%u,\"physical_block\":%u,\"read_only\":%s,\"write_cache\":%s,\"fua\":%s,"
	       "\"thin\":%s,\"unmap\":%s,\"write_same_unmap\":%s,\"reads_zero\":%s,\"caw_blocks\":%u,\"max_blocks\":%u}\n", d->type,
		(unsigned long long)d->blocks, d->block_size, d->physical_block, d->read_only ? "true" : "false",
		d->write_cache ? "true" : "false", d->fua ? "true" : "false", d->thin ? "true" : "false", d->unmap ? "true" : "false",
		d->write_same ? "true" : "false", d->zeroes ? "true" : "false", d->caw_blocks, d->max_blocks);
}

static int list_luns(struct tool *t, struct director_iscsi *h)
{
	static uint64_t luns[512];
	int n = director_iscsi_get_luns(h, luns, 512);

	if (n < 0) {
		tool_say("REPORT LUNS: %s", strerror(-n));
		return 1;
	}
	if (t->json)
		printf("[");
	for (int i = 0; i < n && i < 512; i++)
		printf(t->json ? "%s%llu" : "%s%llu\n", t->json && i ? "," : "", (unsigned long long)luns[i]);
	if (t->json)
		printf("]\n");
	return 0;
}

int cmd_inquiry(struct tool *t, int argc, char **argv)
{
	struct director_iscsi_loop *loop = NULL;
	struct director_iscsi *h = NULL;
	struct director_iscsi_disk d = { .struct_size = sizeof(d) };
	char why[256];
	int r = 0;

	if (plain(t, argc, argv) < 0 || optind + 1 != argc || tool_url_parse(t, argv[optind], false) < 0)
		return 2;
	if (!t->conf.target || !*t->conf.target) {
		tool_say("inquiry takes iscsi://PORTAL/TARGET[/LUN]");
		return 2;
	}
	if (tool_open(t, &loop, &h) < 0) {
		director_iscsi_loop_free(&loop);
		return 1;
	}
	if (!t->url.has_lun) {
		r = list_luns(t, h);
	} else if (director_iscsi_get_disk(h, t->url.lun, &d, why, sizeof(why)) < 0) {
		tool_say("%s LUN %llu: %s", t->url.target, (unsigned long long)t->url.lun, why);
		r = 1;
	} else if (t->json) {
		disk_json(&d);
	} else {
		disk_text(&d);
	}
	director_iscsi_close(&h, 500);
	director_iscsi_loop_free(&loop);
	return r;
}

/* ---- read, write ---- */

struct copy {
	struct tool *t;
	struct director_iscsi_loop *loop;
	struct director_iscsi *h;
	struct director_iscsi_disk d;
	struct director_iscsi_io io;
	uint64_t offset, length;
	uint8_t *memory, *buf;          /* all chunks; the one in hand */
	uint32_t chunk;
	/* What was written and is not flushed, each in its chunk of `memory`: a target that starts anew may lose it. */
	struct { uint64_t at; uint32_t n; } kept[KEPT_MAX];
	unsigned n_kept;
	bool anew;
};

static int copy_open(struct copy *c, struct tool *t, unsigned chunks, int argc, char **argv)
{
	enum { O_OFFSET = OPT_OWN, O_LENGTH };
	static const struct option options[] = { TOOL_OPTIONS, { "offset", required_argument, NULL, O_OFFSET },
		{ "length", required_argument, NULL, O_LENGTH }, { NULL, 0, NULL, 0 } };
	int o;

	c->t = t;
	c->length = UINT64_MAX;
	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (o == O_OFFSET)
			c->offset = tool_size(optarg);
		else if (o == O_LENGTH)
			c->length = tool_size(optarg);
		else if (!tool_option(t, o, optarg))
			return 2;
	if (optind + 1 != argc || tool_url_parse(t, argv[optind], true) < 0)
		return 2;
	if (tool_open(t, &c->loop, &c->h) < 0 || tool_disk(t, c->h, &c->d) < 0)
		return 1;
	if (c->offset % c->d.block_size || c->offset > c->d.blocks * c->d.block_size) {
		tool_say("the offset is beyond the disk, or not a multiple of its blocks of %u bytes", c->d.block_size);
		return 2;
	}
	if (c->length > c->d.blocks * c->d.block_size - c->offset)
		c->length = c->d.blocks * c->d.block_size - c->offset;
	c->chunk = CHUNK;
	if (c->d.max_blocks && (uint64_t)c->d.max_blocks * c->d.block_size < c->chunk)
		c->chunk = c->d.max_blocks * c->d.block_size;
	c->memory = c->buf = malloc((size_t)c->chunk * chunks);
	return c->buf ? 0 : 1;
}

static void copy_close(struct copy *c)
{
	director_iscsi_close(&c->h, 1000);
	director_iscsi_loop_free(&c->loop);
	free(c->memory);
}

/* `n` bytes, a multiple of the block size, between the buffer and the disk. */
static int copy_move(struct copy *c, bool write, uint64_t at, uint32_t n)
{
	struct iovec iov = { c->buf, n };
	char why[256];
	int r;

	if (write)
		director_iscsi_prep_write(&c->io, c->t->url.lun, at / c->d.block_size, n / c->d.block_size, c->d.block_size, &iov, 1);
	else
		director_iscsi_prep_read(&c->io, c->t->url.lun, at / c->d.block_size, n / c->d.block_size, c->d.block_size, &iov, 1);
	r = tool_io(c->h, &c->io, &c->anew, why, sizeof(why));
	if (r == 0 && !write && c->io.got != n) {
		snprintf(why, sizeof(why), "the target sent %u bytes instead of %u", c->io.got, n);
		r = -EIO;
	}
	if (r < 0)
		tool_say("%s at byte %llu: %s", write ? "write" : "read", (unsigned long long)at, why);
	return r;
}

static int read_all(struct copy *c)
{
	uint64_t end = c->offset + c->length, bs = c->d.block_size;

	for (uint64_t at = c->offset; at < end;) {
		uint32_t want = end - at < c->chunk ? (uint32_t)(end - at) : c->chunk, n = (uint32_t)((want + bs - 1) / bs * bs);

		if (copy_move(c, false, at, n) < 0)
			return 1;
		if (fwrite(c->buf, 1, want, stdout) != want) {
			tool_say("standard output: %s", strerror(errno));
			return 1;
		}
		at += want;
	}
	return fflush(stdout) != 0;
}

int cmd_read(struct tool *t, int argc, char **argv)
{
	struct copy c = { 0 };
	int r = copy_open(&c, t, 1, argc, argv);

	if (r == 0)
		r = read_all(&c);
	copy_close(&c);
	return r;
}

/* The rest of the last block stays as it is. */
static int fill_block(struct copy *c, uint64_t at, uint32_t have, uint32_t whole)
{
	uint8_t keep[65536];
	uint32_t bs = c->d.block_size, in_block = have % bs;

	memcpy(keep, c->buf + have - in_block, in_block);
	{
		struct copy last = *c;
		int r;

		last.buf = c->buf + whole - bs;
		r = copy_move(&last, false, at + whole - bs, bs);
		c->anew = last.anew;
		if (r < 0)
			return r;
	}
	memcpy(c->buf + have - in_block, keep, in_block);
	return 0;
}

static int flush(struct copy *c)
{
	char why[256];
	int r;

	memset(c->io.cdb, 0, sizeof(c->io.cdb));
	c->io.lun = c->t->url.lun;
	c->io.cdb[0] = 0x91;            /* SYNCHRONIZE CACHE(16) */
	c->io.cdb_len = 16;
	c->io.in_len = c->io.out_len = 0;
	c->io.flags = DIRECTOR_ISCSI_REPEAT;
	r = tool_io(c->h, &c->io, &c->anew, why, sizeof(why));
	if (r < 0 && !(r == -EOPNOTSUPP && !c->d.write_cache)) {
		tool_say("flush: %s", why);
		return 1;
	}
	return 0;
}

/* All that was kept is stable now; what the target may have lost with its cache is written again. 0, or it was said. */
static int settle(struct copy *c)
{
	if (!c->d.write_cache)
		c->anew = false;
	if (!c->anew && flush(c) != 0)
		return 1;
	for (unsigned tries = 0; c->anew; tries++) {
		if (tries == ANEW_MAX) {
			tool_say("the target starts anew again and again");
			return 1;
		}
		c->anew = false;
		for (unsigned i = 0; i < c->n_kept; i++) {
			c->buf = c->memory + (size_t)i * c->chunk;
			if (copy_move(c, true, c->kept[i].at, c->kept[i].n) < 0)
				return 1;
		}
		if (flush(c) != 0)
			return 1;
	}
	c->n_kept = 0;
	return 0;
}

static int write_all(struct copy *c)
{
	uint64_t at = c->offset, end = c->offset + c->length;

	while (at < end) {
		uint32_t want = end - at < c->chunk ? (uint32_t)(end - at) : c->chunk, bs = c->d.block_size, n, whole;

		if (!c->d.write_cache)
			c->n_kept = 0;
		if (c->n_kept == KEPT_MAX && settle(c) != 0)
			return 1;
		c->buf = c->memory + (size_t)c->n_kept * c->chunk;
		n = (uint32_t)fread(c->buf, 1, want, stdin);
		whole = (n + bs - 1) / bs * bs;
		if (!n)
			break;
		if ((n % bs && fill_block(c, at, n, whole) < 0) || copy_move(c, true, at, whole) < 0)
			return 1;
		c->kept[c->n_kept].at = at;
		c->kept[c->n_kept++].n = whole;
		at += n;
	}
	if (ferror(stdin)) {
		tool_say("standard input: %s", strerror(errno));
		return 1;
	}
	if (at == end && getchar() != EOF) {
		tool_say("there is more input than room; %llu bytes were written", (unsigned long long)(at - c->offset));
		settle(c);
		return 1;
	}
	return settle(c);
}

int cmd_write(struct tool *t, int argc, char **argv)
{
	struct copy c = { 0 };
	int r;

	t->conf.flags |= DIRECTOR_ISCSI_F_ATTENTIONS;
	r = copy_open(&c, t, KEPT_MAX, argc, argv);
	if (r == 0)
		r = write_all(&c);
	copy_close(&c);
	return r;
}
