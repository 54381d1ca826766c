/* SPDX-License-Identifier: Apache-2.0 */
/* nbd: a disk behind an NBD server, by libnbd; with nbdkit as the server, every nbdkit plugin. */
#include "config.h"

#include "plugins/nbd/nbd.h"

#include <errno.h>
#include <libnbd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_MS 10000
#define MAX_IO (32u << 20)      /* what every server takes, unless it says otherwise */

static const struct director_param params[] = {
	{ .name = "uri", .type = DIRECTOR_P_STRING, .flags = DIRECTOR_PF_REQUIRED,
	  .help = "the export: nbd://HOST[:PORT]/EXPORT, nbds://..., nbd+unix:///EXPORT?socket=PATH" },
	{ .name = "tls-certificates", .type = DIRECTOR_P_PATH, .help = "folder with ca-cert.pem and the client's certificate and key" },
	{ .name = "connections", .type = DIRECTOR_P_UINT, .value = "1", .min = 1, .max = WIRES_MAX,
	  .help = "connections to use; one, if the server does not say that several see the same disk" },
	{ .name = "trust", .type = DIRECTOR_P_BOOL, .value = "no",
	  .help = "a server that may have started anew has what it had answered and not flushed" },
	{ .name = "timeout", .type = DIRECTOR_P_DURATION, .value = "30s", .min = 1000, .max = 3600000,
	  .help = "how long an I/O may take, making a lost connection again included" },
	{ .name = "block-size", .type = DIRECTOR_P_ENUM, .value = "512", .choices = "512 4096", .unit = "bytes",
	  .help = "logical block size" },
	{ .name = NULL },
};

static int disk_init(const struct director_host *host, void **priv)
{
	*priv = (void *)host;
	return 0;
}

static int disk_check(void *priv, const struct director_conf *conf, struct director_err *err)
{
	static const char *const schemes[] = { "nbd://", "nbds://", "nbd+unix://", "nbds+unix://", "nbd+vsock://",
		"nbds+vsock://" };
	const char *uri = conf->get(conf, "uri");

	for (unsigned i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (strncmp(uri, schemes[i], strlen(schemes[i])) == 0)
			return 0;
	return fail(err, -EINVAL, "uri: \"%.100s\" is not nbd://, nbds://, nbd+unix:// or nbd+vsock://", uri);
}

/* ---- open ---- */

static uint32_t flags_of(struct nbd_handle *h)
{
	static const struct {
		int (*can)(struct nbd_handle *h);
		uint32_t flag;
	} table[] = {
		{ nbd_can_flush, DIRECTOR_CAP_FLUSH | DIRECTOR_CAP_WRITE_CACHE },
		{ nbd_can_fua, DIRECTOR_CAP_FUA },
		{ nbd_can_trim, DIRECTOR_CAP_DISCARD },
		{ nbd_can_zero, DIRECTOR_CAP_ZERO },
		{ nbd_can_multi_conn, DIRECTOR_CAP_MULTI_WRITER },
		{ nbd_is_rotational, DIRECTOR_CAP_ROTATIONAL },
		{ nbd_is_read_only, DIRECTOR_CAP_READ_ONLY },
	};
	uint32_t flags = nbd_can_meta_context(h, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1 ? DIRECTOR_CAP_EXTENTS : 0;

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].can(h) == 1)
			flags |= table[i].flag;
	return flags;
}

/* What the server says of the export. */
static int learn(struct nbd_disk *d, struct nbd_handle *h, struct director_err *err)
{
	int64_t size = nbd_get_size(h), least = nbd_get_block_size(h, LIBNBD_SIZE_MINIMUM),
		best = nbd_get_block_size(h, LIBNBD_SIZE_PREFERRED), most = nbd_get_block_size(h, LIBNBD_SIZE_MAXIMUM);

	if (size < (int64_t)d->block_size)
		return fail(err, -EINVAL, "%s: the export has no room", d->uri);
	if (least > d->block_size)
		return fail(err, -EINVAL, "%s: the server wants blocks of %lld bytes%s", d->uri, (long long)least,
			least == 4096 ? "; use block-size=4096" : "");
	d->size = (uint64_t)size / d->block_size * d->block_size;
	d->max_io = most > 0 && most < MAX_IO ? (uint32_t)most / d->block_size * d->block_size : MAX_IO;
	d->preferred = best > 0 && best <= MAX_IO ? (uint32_t)best : 0;
	d->flags = flags_of(h);
	return 0;
}

static void disk_close(void *obj)
{
	struct nbd_disk *d = obj;

	while (d->n_wires)
		wire_end(&d->wire[--d->n_wires]);
	free(d->uri);
	free(d->certificates);
	free(d);
}

static int disk_open(void *priv, const struct director_conf *conf, void *owner, uint64_t epoch, void **obj,
	struct director_err *err)
{
	const char *certificates = conf->get(conf, "tls-certificates");
	unsigned wires = (unsigned)conf->get_uint(conf, "connections", 1);
	struct nbd_disk *d = calloc(1, sizeof(*d));
	struct nbd_handle *h = NULL;
	int r = 0;

	if (!d)
		return -ENOMEM;
	d->host = priv;
	d->owner = owner;
	unstable_init(&d->unstable);
	d->trust = conf->get_uint(conf, "trust", 0);
	d->uri = strdup(conf->get(conf, "uri"));
	d->certificates = certificates ? strdup(certificates) : NULL;
	d->timeout_ns = conf->get_uint(conf, "timeout", 30000) * 1000000u;
	d->block_size = (uint32_t)conf->get_uint(conf, "block-size", 512);
	if (!d->uri || (certificates && !d->certificates))
		r = -ENOMEM;
	else
		h = nbd_connect_wait(d, CONNECT_MS, &r, err);
	if (h) {
		r = learn(d, h, err);
		if (r < 0)
			nbd_close(h);
	}
	if (r == 0 && !(d->flags & DIRECTOR_CAP_MULTI_WRITER))
		wires = 1;
	while (r == 0 && d->n_wires < wires) {
		r = wire_start(&d->wire[d->n_wires], d, d->n_wires ? NULL : h);
		if (r == 0)
			d->n_wires++;
	}
	if (r < 0) {
		disk_close(d);
		return r;
	}
	*obj = d;
	return 0;
}

static int disk_caps(void *obj, struct director_caps *c)
{
	const struct nbd_disk *d = obj;

	c->flags = d->flags;
	c->size = d->size;
	c->block_size = c->physical_block = d->block_size;
	c->align = 1;
	c->max_io = d->max_io;
	c->optimal_io = d->preferred;
	if (nbd_forgets(d) && c->struct_size >= offsetof(struct director_caps, life) + sizeof(c->life))
		c->life = unstable_life(&d->unstable);
	return 0;
}

static void disk_submit(void *obj, struct director_io *io)
{
	struct nbd_disk *d = obj;
	unsigned n = d->n_wires;

	wire_put(&d->wire[n > 1 ? atomic_fetch_add_explicit(&d->turn, 1, memory_order_relaxed) % n : 0], io);
}

static const struct director_backstore_ops ops = {
	.struct_size = sizeof(ops),
	.threads = DIRECTOR_THREADS_ASYNC,
	.check = disk_check,
	.open = disk_open,
	.caps = disk_caps,
	.submit = disk_submit,
	.close = disk_close,
};

DIRECTOR_PLUGIN(.kind = DIRECTOR_BACKSTORE, .name = "nbd", .version = "1", .license = "Apache-2.0",
	.summary = "a disk behind an NBD server", .params = params, .init = disk_init, .backstore = &ops);
