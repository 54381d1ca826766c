/* SPDX-License-Identifier: Apache-2.0 */
/* The runner's disk: agreement's puts and what else must outlive the process, over the store; the key file. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "directord/record.h"
#include "directord/run_int.h"
#include "directord/store.h"
#include "proto/agree.h"

#define META_INCARNATION "incarnation"
#define META_MEMBERS "members"
#define META_RECORD "volume:"           /* and the uuid */
#define OWN_SEQ (1ull << 63)            /* numbers of our own puts, out of agreement's way */
#define INCARNATION_STEP 8              /* made durable ahead, so that few datagrams ever wait for the disk */
#define MEMBERS_SECONDS 5.

/* ---- reading ---- */

static int read_log(const struct store_image *image, struct run_disk *d)
{
	d->agree.promised = image->promised;
	d->agree.synced = image->synced;
	d->agree.commit = image->commit;
	if (image->has_snapshot) {
		if (agree_snap_decode(image->snapshot.data, image->snapshot.len, &d->snap) < 0)
			return ERR_MALFORMED;
		d->agree.snap = d->snap;
	}
	d->entry = mem_zalloc((image->n_entries + 1) * sizeof(*d->entry));
	d->entries = mem_zalloc((image->n_entries + 1) * sizeof(*d->entries));
	for (unsigned i = 0; i < image->n_entries; i++) {
		const struct store_entry *s = &image->entries[i];
		struct agree_entry *e = &d->entry[i];

		*e = (struct agree_entry){ .index = s->index, .epoch = s->epoch, .kind = (enum agree_kind)s->kind, .len = (uint32_t)s->len };
		memcpy(e->rid.b, s->request_id, 16);
		memcpy(e->chain.b, s->chain, 16);
		e->payload = (uint8_t *)(uintptr_t)s->data;     /* borrowed from the image; nobody writes it */
		d->entries[i] = e;
	}
	d->agree.entry = d->entries;
	d->agree.n_entry = image->n_entries;
	return 0;
}

static void read_records(struct run *r, const struct store_image *image, struct run_disk *d)
{
	const size_t n = strlen(META_RECORD);

	d->record = mem_zalloc((image->n_meta + 1) * sizeof(*d->record));
	for (unsigned i = 0; i < image->n_meta; i++) {
		const struct store_meta *m = &image->meta[i];

		if (strncmp(m->key, META_RECORD, n) != 0)
			continue;
		if (record_decode(m->value, m->len, &d->record[d->disk.n_record]) == 0)
			d->disk.n_record++;
		else
			log_warn(r->log, "store: what is known of volume %s is damaged and left out", m->key + n);
	}
	d->disk.record = d->record;
}

int run_disk_read(struct run *r, const struct store_image *image, struct run_disk *d, char **why)
{
	const struct store_meta *m = store_image_meta(image, META_MEMBERS);

	memset(d, 0, sizeof(*d));
	if (read_log(image, d) < 0) {
		if (why)
			*why = mem_printf("%s/state.db: the snapshot is damaged; remove the file to join the cluster anew", r->conf->state);
		return ERR_MALFORMED;
	}
	read_records(r, image, d);
	if (m)
		d->disk.n_addr = addrs_decode(m->value, m->len, d->addr, ARRAY_LEN(d->addr));
	d->disk.addr = d->addr;
	d->disk.agree = &d->agree;
	return 0;
}

void run_disk_fini(struct run_disk *d)
{
	if (d->snap)
		agree_snap_free(&d->snap);
	for (unsigned i = 0; i < d->disk.n_record; i++)
		record_fini(&d->record[i]);
	mem_autofree(&d->record);
	mem_autofree(&d->entry);
	mem_autofree(&d->entries);
}

/* ---- agreement's puts ---- */

static void stored(void *arg, uint64_t seq, int err)
{
	struct cluster_in in = { .kind = CLUSTER_IN_STORED, .number = seq, .err = err };

	run_step(arg, &in);
}

static const struct store_snapshot *snapshot_of(const struct agree_snap *s, struct buf *bytes, struct store_snapshot *out)
{
	if (!s)
		return NULL;
	agree_snap_encode(s, bytes);
	*out = (struct store_snapshot){ s->index, s->epoch, bytes->data, bytes->len };
	return out;
}

static void put_one(struct run *r, const struct agree_put *p)
{
	struct store_entry *e = mem_zalloc((p->n_entry + 1) * sizeof(*e));
	struct buf install = { 0 }, compact = { 0 };
	struct store_snapshot si, sc;
	struct store_batch b = {
		.install = snapshot_of(p->install, &install, &si), .compact = snapshot_of(p->compact, &compact, &sc),
		.drop_below = p->drop_below, .cut_from = p->cut_from, .entries = e, .n_entries = p->n_entry,
		.has_marks = true, .promised = p->promised, .synced = p->synced, .commit = p->commit,
	};

	for (unsigned i = 0; i < p->n_entry; i++) {
		const struct agree_entry *a = p->entry[i];

		e[i] = (struct store_entry){ .index = a->index, .epoch = a->epoch, .kind = (uint8_t)a->kind, .data = a->payload, .len = a->len };
		memcpy(e[i].request_id, a->rid.b, 16);
		memcpy(e[i].chain, a->chain.b, 16);
	}
	store_put(r->store, &b, p->seq, stored, r);
	mem_autofree(&e);
	buf_fini(&install);
	buf_fini(&compact);
}

void run_disk_put(struct run *r, struct agree_put **put, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		put_one(r, put[i]);
}

/* ---- our own values ---- */

static void put_meta(struct run *r, const char *key, const void *value, size_t len, uint64_t seq, store_done_fn *done)
{
	struct store_meta m = { key, value, len };
	struct store_batch b = { .meta = &m, .n_meta = 1 };

	store_put(r->store, &b, seq, done, r);
}

static void incarnation_stored(void *arg, uint64_t seq, int err)
{
	struct run *r = arg;

	if (err)
		log_warn(r->log, "store: the incarnation is not durable (%s); after a crash others may take this node for dead a while",
		         err_text(err));
	r->incarnation = r->incarnation_put;
	run_release(r);
}

void run_disk_incarnation(struct run *r, uint32_t incarnation)
{
	char text[16];
	int n;

	if (incarnation <= r->incarnation || (r->holding && incarnation <= r->incarnation_put))
		return;
	r->holding = true;
	r->incarnation_put = incarnation + INCARNATION_STEP;
	n = snprintf(text, sizeof(text), "%u", r->incarnation_put);
	put_meta(r, META_INCARNATION, text, (size_t)n, OWN_SEQ, incarnation_stored);
}

static void record_stored(void *arg, uint64_t seq, int err)
{
	run_done(arg, seq & ~OWN_SEQ, err, err ? err_text(err) : NULL);
}

void run_disk_record(struct run *r, const struct cluster_act *a)
{
	struct buf bytes = { 0 };
	char key[STORE_META_KEY_MAX], uuid[37];

	snprintf(key, sizeof(key), META_RECORD "%s", text_uuid(a->record->uuid, uuid));
	if (a->record->name)
		record_encode(a->record, &bytes);
	put_meta(r, key, a->record->name ? bytes.data : NULL, bytes.len, OWN_SEQ | a->id, record_stored);
	buf_fini(&bytes);
}

static void members_due(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct run *r = w->data;
	struct addr addr[256];
	struct gossip_member m;
	struct buf text = { 0 };
	unsigned n = 0;

	ev_timer_stop(loop, w);
	for (unsigned i = 0; r->cluster && gossip_at(cluster_gossip(r->cluster), i, &m) && n < ARRAY_LEN(addr); i++)
		if (!m.self && m.addr.family && m.state <= MEMBER_SUSPECT)
			addr[n++] = m.addr;
	/* A node that is alone now keeps the memory of its better days. */
	if (n && !store_err(r->store)) {
		addrs_encode(addr, n, &text);
		put_meta(r, META_MEMBERS, text.data, text.len, OWN_SEQ, NULL);
	}
	buf_fini(&text);
}

void run_disk_members(struct run *r)
{
	if (ev_is_active(&r->members))
		return;
	ev_timer_set(&r->members, MEMBERS_SECONDS, 0.);
	ev_timer_start(r->loop, &r->members);
}

/* ---- the store ---- */

static void store_changed(void *arg, int err, const char *why)
{
	struct run *r = arg;
	struct store_image image = { 0 };
	struct run_disk d;
	struct cluster_in in = { .kind = CLUSTER_IN_STORE_BACK, .disk = &d.disk };

	if (err) {
		log_warn(r->log, "store: failed: %s; this node does not vote until it works again", why ? why : err_text(err));
		return;
	}
	log_info(r->log, "store: works again");
	if (store_load(r->store, &image) == 0 && run_disk_read(r, &image, &d, NULL) == 0) {
		run_step(r, &in);
		run_disk_fini(&d);
	} else {
		log_warn(r->log, "store: it could not be read");
	}
	store_image_fini(&image);
}

int run_disk_open(struct run *r, struct store_image *image, char **why)
{
	struct store_options o = { .dir = r->conf->state, .loop = r->loop, .log = r->log, .changed = store_changed, .arg = r };
	const struct store_meta *m;
	uint64_t v;
	int err;

	ev_timer_init(&r->members, members_due, 0., 0.);
	r->members.data = r;
	err = store_open(&r->store, &o, image, why);
	if (err)
		return err;
	m = store_image_meta(image, META_INCARNATION);
	if (m && m->len < 16) {
		char text[16] = "";

		memcpy(text, m->value, m->len);
		if (text_u64_parse(text, &v) == 0 && v < UINT32_MAX && v > r->incarnation)
			r->incarnation = (uint32_t)v;
	}
	return 0;
}

void run_disk_close(struct run *r)
{
	ev_timer_stop(r->loop, &r->members);
	store_close(&r->store);
}

int run_disk_wipe(struct run *r, char **why)
{
	static const char *const names[] = { "state.db", "state.db-wal", "state.db-shm" };

	run_disk_close(r);
	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		auto_free char *path = mem_printf("%s/%s", r->conf->state, names[i]);

		if (unlink(path) < 0 && errno != ENOENT) {
			if (why)
				*why = mem_printf("%s: %s", path, strerror(errno));
			return err_from_errno(errno);
		}
	}
	/* What is not agreed goes on: this process used these numbers. The first put makes the next ones durable. */
	r->holding = false;
	return 0;
}

/* ---- the cluster key ---- */

static char *spare_path(struct run *r)
{
	return mem_printf("%s/cluster.key", r->conf->state);
}

/* From the file of the configuration, and from the state directory, where they are kept when the former cannot be written. */
int run_keys_load(struct run *r, struct keys *ks, char **why)
{
	auto_free char *spare = spare_path(r);
	const char *const paths[] = { r->conf->cluster_key, spare };

	*ks = (struct keys){ 0 };
	for (unsigned i = 0; i < ARRAY_LEN(paths); i++) {
		auto_free char *text = NULL;
		struct keys got;
		int err = keyfile_load(&got, paths[i], &text);

		if (err == ERR_NOENT)
			continue;
		if (err) {
			if (why)
				*why = mem_strdup(text);
			return err;
		}
		for (unsigned k = 0; k < got.n; k++)
			keys_add(ks, &got.k[k]);
	}
	return 0;
}

int run_keys_store(struct run *r, const struct keys *ks, char **why)
{
	auto_free char *spare = spare_path(r);
	auto_free char *dir = mem_strdup(r->conf->cluster_key);
	char *slash = strrchr(dir, '/');
	int err;

	if (ks->n == 0) {
		unlink(r->conf->cluster_key);
		unlink(spare);
		return 0;
	}
	if (slash && slash != dir && access(r->conf->cluster_key, F_OK) < 0) {
		*slash = 0;
		if (access(dir, F_OK) < 0)
			return keyfile_store(ks, spare, why);
	}
	err = keyfile_store(ks, r->conf->cluster_key, NULL);
	if (err)
		return keyfile_store(ks, spare, why);
	unlink(spare);
	return 0;
}
