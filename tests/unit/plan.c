/* SPDX-License-Identifier: Apache-2.0 */
/* From what is agreed to what a node does: order, repetition, failures, and what must never be done. */
#include "cluster/plan.h"

#include "cluster/plan_int.h"
#include "cluster/volume.h"
#include "tests/unit/txns.h"

/* The plan of node n1; what is remembered of all plans of this test must not change any. */
static void plan(const struct catalog *c, const struct plan_nodes *nodes, const struct plan_have *h, const struct plan_retry *r,
                 struct mono now, struct plan *p)
{
	static struct plan_memo *memo, *checked;
	struct plan by, too;

	if (!memo) {
		memo = plan_memo_new();
		checked = plan_memo_new();
		plan_memo_check(checked);
	}
	plan_make(c, "n1", nodes, h, r, now, p);
	plan_make_by(memo, c, "n1", nodes, h, r, now, &by);
	plan_make_by(checked, c, "n1", nodes, h, r, now, &too);
	CHECK(!plan_memo_check(checked));
	CHECK_EQ(by.n, p->n);
	CHECK_EQ(by.n_waiting, p->n_waiting);
	CHECK_EQ(by.wake.ns, p->wake.ns);
	for (unsigned i = 0; i < by.n; i++) {
		CHECK_EQ(by.a[i].kind, p->a[i].kind);
		CHECK_EQ(by.a[i].generation, p->a[i].generation);
		CHECK_EQ(by.a[i].size, p->a[i].size);
		CHECK_STR(by.a[i].path, p->a[i].path);
		CHECK(memcmp(by.a[i].hash, p->a[i].hash, 16) == 0);
	}
	plan_fini(&by);
	plan_fini(&too);
}

/* The plan of node n1 as text, one action per line. */
static void plan_text(const struct catalog *c, const struct plan_have *h, const struct plan_retry *r, struct mono now,
                      struct buf *out)
{
	struct plan p;

	buf_reset(out);
	plan(c, NULL, h, r, now, &p);
	for (unsigned i = 0; i < p.n; i++) {
		plan_action_text(&p.a[i], out);
		buf_puts(out, "\n");
	}
	plan_fini(&p);
}

#define PLAN(c, h, r, now, want) do { \
		struct buf text_ = { 0 }; \
		plan_text(c, h, r, now, &text_); \
		CHECK_STR(buf_str(&text_), want); \
		buf_fini(&text_); \
	} while (0)

static const struct mono T0 = { 1000000000 };

/* Do an action in the model of what is there, as director-target and the store would. */
static void perform(struct plan_have *h, const struct plan_action *a)
{
	struct plan_have_volume *v;
	struct plan_have_target *t;

	switch (a->kind) {
	case PLAN_TARGET_DELETE:
		plan_have_target_remove(h, a->name);
		return;
	case PLAN_TARGET_TRIM:
	case PLAN_TARGET_SET:
		plan_have_target_remove(h, a->name);
		t = plan_have_target_add(h, a->name);
		t->generation = a->generation;
		memcpy(t->hash, a->hash, 16);
		for (unsigned i = 0; i < a->n_luns; i++) {
			v = plan_have_volume(h, a->luns[i].uuid);
			CHECK(v && v->open);
			plan_have_target_add_volume(t, a->luns[i].uuid);
		}
		return;
	case PLAN_VOLUME_CLOSE:
		for (unsigned i = 0; i < h->n_targets; i++)
			for (unsigned k = 0; k < h->targets[i].n_volumes; k++)
				CHECK(memcmp(h->targets[i].volumes[k], a->uuid, 16) != 0);
		plan_have_volume(h, a->uuid)->open = false;
		return;
	case PLAN_VOLUME_FORGET:
	case PLAN_VOLUME_DESTROY:
		CHECK(!plan_have_volume(h, a->uuid)->open);
		plan_have_volume_remove(h, a->uuid);
		return;
	case PLAN_VOLUME_CREATE:
		for (unsigned i = 0; i < h->n_volumes; i++)
			CHECK(strcmp(h->volumes[i].name, a->name) != 0);
		plan_have_volume_add(h, a->name, a->uuid)->created = true;
		plan_have_volume(h, a->uuid)->generation = a->generation;
		attrs_copy(&plan_have_volume(h, a->uuid)->params, &a->params);
		return;
	case PLAN_VOLUME_OPEN:
	case PLAN_VOLUME_CHANGE:
	case PLAN_VOLUME_RESIZE:
		v = plan_have_volume(h, a->uuid);
		CHECK(v && v->created);
		v->open = true;
		if (a->kind != PLAN_VOLUME_RESIZE)
			memcpy(v->hash, a->hash, 16);
		if (a->kind != PLAN_VOLUME_CHANGE)
			v->size = a->size;
		if (a->generation)
			v->generation = a->generation;
		return;
	case PLAN_SERVE:
	case PLAN_SERVE_CHANGE:
	case PLAN_FREEZE:
	case PLAN_HOLD:
		CHECK(false);           /* ownership's */
		return;
	case PLAN_REPORT:
		v = plan_have_volume(h, a->uuid);
		if (v)
			v->generation = a->generation;
		else
			plan_have_target(h, a->name)->generation = a->generation;
		return;
	}
}

/* Plan and do until there is nothing left; says how many rounds that took. */
static unsigned converge(const struct catalog *c, struct plan_have *h)
{
	struct plan p = { .n = 1 };
	unsigned rounds = 0;

	while (p.n) {
		plan(c, NULL, h, NULL, T0, &p);
		for (unsigned i = 0; i < p.n; i++)
			perform(h, &p.a[i]);
		rounds += p.n > 0;
		CHECK(rounds < 5);
		if (p.n) {
			plan_fini(&p);
			p.n = 1;
		}
	}
	plan_fini(&p);
	return rounds;
}

static void test_only_what_is_ours(void)
{
	struct catalog *c = small_cluster();
	struct plan_have h = { 0 };

	PLAN(c, &h, NULL, T0, "create volume v1: file, 1G\nopen volume v1: file\nset target " IQN
	     ": 1 luns, 1 hosts, 1 portals\n");
	CHECK_EQ(converge(c, &h), 1);
	PLAN(c, &h, NULL, T0, "");
	plan_have_fini(&h);
	catalog_free(&c);
}

static void test_lun_leaves_before_its_volume(void)
{
	struct catalog *c = small_cluster();
	struct plan_have h = { 0 };

	APPLY_OK(c, "+ /volumes/w size=1G node=n1", "+ /targets/" IQN "/luns/1 volume=w");
	converge(c, &h);
	APPLY_OK(c, "- /targets/" IQN "/luns/0", "- /volumes/v1");
	PLAN(c, &h, NULL, T0, "take volumes out of target " IQN ": 1 luns stay\nclose volume v1\n"
	     "destroy the storage of volume v1\n");
	CHECK_EQ(converge(c, &h), 1);
	APPLY_OK(c, "- /targets/" IQN, "- /volumes/w");
	PLAN(c, &h, NULL, T0, "delete target " IQN "\nclose volume w\ndestroy the storage of volume w\n");
	converge(c, &h);
	CHECK_EQ(h.n_volumes + h.n_targets, 0);
	plan_have_fini(&h);
	catalog_free(&c);
}

static void test_volume_made_anew(void)
{
	struct catalog *c = small_cluster();
	struct plan_have h = { 0 };

	converge(c, &h);
	APPLY_OK(c, "- /targets/" IQN "/luns/0", "- /volumes/v1");
	APPLY_OK(c, "+ /volumes/v1 size=2G node=n1", "+ /targets/" IQN "/luns/0 volume=v1");
	PLAN(c, &h, NULL, T0, "take volumes out of target " IQN ": 0 luns stay\nclose volume v1\n"
	     "destroy the storage of volume v1\ncreate volume v1: file, 2G\nopen volume v1: file\n"
	     "set target " IQN ": 1 luns, 1 hosts, 1 portals\n");
	CHECK_EQ(converge(c, &h), 1);
	plan_have_fini(&h);
	catalog_free(&c);
}

static void test_changes(void)
{
	struct catalog *c = small_cluster();
	struct plan_have h = { 0 };

	converge(c, &h);
	APPLY_OK(c, "~ /volumes/v1 size=2G");
	PLAN(c, &h, NULL, T0, "resize volume v1 to 2G\n");
	converge(c, &h);
	APPLY_OK(c, "~ /volumes/v1 p.cache=1 size=3G");
	PLAN(c, &h, NULL, T0, "resize volume v1 to 3G\n");
	CHECK_EQ(converge(c, &h), 2);
	APPLY_OK(c, "~ /volumes/v1 comment=new");
	PLAN(c, &h, NULL, T0, "/volumes/v1 is as desired\n");
	converge(c, &h);
	APPLY_OK(c, "~ /targets/" IQN "/hosts/any chap-user=a chap-secret=secretsecret1");
	PLAN(c, &h, NULL, T0, "set target " IQN ": 1 luns, 1 hosts, 1 portals\n");
	converge(c, &h);
	/* A lun of another node's volume changes nothing here, but it is taken notice of. */
	APPLY_OK(c, "+ /targets/" IQN "/luns/5 volume=v2");
	PLAN(c, &h, NULL, T0, "/targets/" IQN " is as desired\n");
	converge(c, &h);
	CHECK_EQ(plan_have_target(&h, IQN)->generation, catalog_applied(c));
	plan_have_fini(&h);
	catalog_free(&c);
}

static void test_who_may_log_in(void)
{
	struct catalog *c = small_cluster();
	struct plan_have h = { 0 };

	converge(c, &h);
	APPLY_OK(c, "~ /targets/" IQN " auth=chap");
	PLAN(c, &h, NULL, T0, "set target " IQN ": 1 luns, 0 hosts, 1 portals\n");
	APPLY_OK(c, "~ /targets/" IQN "/hosts/any chap-user=a chap-secret=secretsecret1");
	PLAN(c, &h, NULL, T0, "set target " IQN ": 1 luns, 1 hosts, 1 portals\n");
	APPLY_OK(c, "~ /targets/" IQN " enabled=no");
	PLAN(c, &h, NULL, T0, "set target " IQN ": 1 luns, 0 hosts, 1 portals\n");
	plan_have_fini(&h);
	catalog_free(&c);
}

/* Its last portal at this node goes to another: it is not reached here any longer. */
static void test_a_portal_that_goes_elsewhere_is_closed_here(void)
{
	struct catalog *c = small_cluster();
	struct plan_node n1 = { .name = "n1", .addresses = "10.0.0.1" };
	struct plan_nodes nodes = { .node = &n1, .n = 1 };
	struct plan_have h = { 0 };
	struct buf text = { 0 };
	struct plan p;

	APPLY_OK(c, "~ /cluster level=3");
	APPLY_OK(c, "+ /volumes/m size=1G copies=1", "+ /volumes/m/legs/a node=n2");
	APPLY_OK(c, "+ /targets/iqn.2026-01.org.example:p", "+ /targets/iqn.2026-01.org.example:p/portals/10.0.0.1:3260",
	         "+ /targets/iqn.2026-01.org.example:p/luns/0 volume=m");
	plan(c, &nodes, &h, NULL, T0, &p);
	for (unsigned i = 0; i < p.n; i++)
		perform(&h, &p.a[i]);
	plan_fini(&p);
	CHECK(plan_have_target(&h, "iqn.2026-01.org.example:p"));
	APPLY_OK(c, "+ /targets/iqn.2026-01.org.example:p/portals/10.0.0.2:3260", "- /targets/iqn.2026-01.org.example:p/portals/10.0.0.1:3260");
	plan(c, &nodes, &h, NULL, T0, &p);
	CHECK_EQ(p.n, 1);
	plan_action_text(&p.a[0], &text);
	CHECK(strstr(buf_str(&text), "set target iqn.2026-01.org.example:p: 0 luns, 0 hosts, 0 portals"));
	buf_fini(&text);
	perform(&h, &p.a[0]);
	plan_fini(&p);
	plan(c, &nodes, &h, NULL, T0, &p);
	CHECK_EQ(p.n, 0);
	plan_fini(&p);
	plan_have_fini(&h);
	catalog_free(&c);
}

/* The states of its legs as the mirror at the node is told them. */
static void legs_are(const struct catalog *c, const char *volume, const char *self, const char *want)
{
	struct plan_node node[3] = { { .name = "n1" }, { .name = "n2" }, { .name = "n3" } };
	struct plan_nodes nodes = { .node = node, .n = 3 };
	const struct object *o = catalog_get(c, volume);
	struct plan_action a;
	struct own_row row;
	struct buf said = { 0 };

	for (unsigned i = 0; i < 3; i++)
		CHECK(volume_node_id(catalog_tree(c), node[i].name, &node[i].id));
	CHECK(volume_row(catalog_tree(c), o, &row));
	a = plan_serve(PLAN_SERVE, catalog_tree(c), o, &row, 0, self, &nodes);
	for (const char *p = attrs_get(&a.params, "p.legs"); p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
		const char *state = strchr(p, ':') + 1;

		buf_printf(&said, "%s%.*s", said.len ? " " : "", (int)strcspn(state, ":"), state);
	}
	CHECK_STR(buf_str(&said), want);
	CHECK_STR(attrs_get(&a.params, "p.rate") ? attrs_get(&a.params, "p.rate") : "", "");
	buf_fini(&said);
	plan_action_fini(&a);
}

/* What bounds its resync and its scrub goes to the mirror that serves it. */
static void test_limits_are_the_mirrors(void)
{
	struct catalog *c = small_cluster();
	const struct object *o;
	struct plan_action a;
	struct own_row row;

	APPLY_OK(c, "~ /cluster level=4");
	APPLY_OK(c, "+ /volumes/m size=1G copies=2", "+ /volumes/m/legs/a node=n1", "+ /volumes/m/legs/b node=n2");
	APPLY_OK(c, "~ /volumes/m resync-limit=1048576 scrub-limit=0");
	o = catalog_get(c, "/volumes/m");
	CHECK(volume_row(catalog_tree(c), o, &row));
	a = plan_serve(PLAN_SERVE, catalog_tree(c), o, &row, 0, "n1", &(struct plan_nodes){ 0 });
	CHECK_STR(attrs_get(&a.params, "p.rate"), "1048576");
	CHECK_STR(attrs_get(&a.params, "p.scrub-rate"), "0");
	plan_action_fini(&a);
	catalog_free(&c);
}

static void test_of_legs_that_may_hold_something_one_counts(void)
{
	struct catalog *c = small_cluster();

	APPLY_OK(c, "~ /cluster level=3");
	APPLY_OK(c, "+ /volumes/m size=1G copies=3", "+ /volumes/m/legs/a node=n1", "+ /volumes/m/legs/b node=n2", "+ /volumes/m/legs/c node=n3");
	legs_are(c, "/volumes/m", "n2", "first first first");
	APPLY_OK(c, "+ /volumes/d size=1G copies=2", "+ /volumes/d/legs/a node=n1 backstore=block path=/dev/sdb",
	         "+ /volumes/d/legs/b node=n2 backstore=block path=/dev/sdb");
	legs_are(c, "/volumes/d", "n1", "first in");
	legs_are(c, "/volumes/d", "n2", "in first");
	legs_are(c, "/volumes/d", "n3", "first in");
	APPLY_OK(c, "+ /volumes/x size=1G copies=3", "+ /volumes/x/legs/a node=n1 path=/srv/x", "+ /volumes/x/legs/b node=n2",
	         "+ /volumes/x/legs/c node=n3 backstore=ram");
	legs_are(c, "/volumes/x", "n1", "in first first");
	catalog_free(&c);
}

/* director-target starts again: all must be opened, nothing made. */
/* Its data begins where its storage does; what stood behind it, another's record say, was never a part of it. */
static void test_a_leg_that_was_a_volume_begins_without_a_record(void)
{
	struct catalog *c = small_cluster();

	APPLY_OK(c, "~ /cluster level=3");
	APPLY_OK(c, "+ /volumes/p size=1G node=n1 backstore=block path=/dev/sdb");
	APPLY_OK(c, "~ /volumes/p copies=2", "+ /volumes/p/legs/a node=n1 backstore=block path=/dev/sdb", "+ /volumes/p/legs/b node=n2");
	legs_are(c, "/volumes/p", "n1", "taken new");
	catalog_free(&c);
}

static void test_storage_is_made_once(void)
{
	struct catalog *c = small_cluster();
	struct plan_have h = { 0 };

	converge(c, &h);
	h.volumes[0].open = false;
	plan_have_target_remove(&h, IQN);
	PLAN(c, &h, NULL, T0, "open volume v1: file\nset target " IQN ": 1 luns, 1 hosts, 1 portals\n");
	plan_have_fini(&h);
	catalog_free(&c);
}

/* A node that starts has not read its log yet: nothing may be destroyed for that. */
static void test_a_catalog_that_lags_destroys_nothing(void)
{
	struct catalog *c = small_cluster(), *empty = catalog_new();
	struct plan_have h = { 0 };

	converge(c, &h);
	PLAN(empty, &h, NULL, T0, "");
	catalog_skip(empty, 1);
	PLAN(empty, &h, NULL, T0, "");
	plan_have_fini(&h);
	catalog_free(&c);
	catalog_free(&empty);
}

static void test_the_users_file_is_not_destroyed(void)
{
	struct catalog *c = small_cluster();
	struct plan_have h = { 0 };

	APPLY_OK(c, "+ /volumes/mine path=/srv/disk.img node=n1");
	converge(c, &h);
	APPLY_OK(c, "- /volumes/mine");
	PLAN(c, &h, NULL, T0, "close volume mine\nlet go of volume mine, keep /srv/disk.img\n");
	plan_have_fini(&h);
	catalog_free(&c);
}

static void test_failure_waits_and_doubles(void)
{
	struct catalog *c = small_cluster();
	struct plan_have h = { 0 };
	struct plan_retry *r = plan_retry_new();
	struct mono now = T0;
	uint64_t wait = PLAN_RETRY_FIRST_MS;
	struct plan p;

	for (unsigned i = 0; i < 10; i++) {
		plan(c, NULL, &h, r, now, &p);
		CHECK_EQ(p.a[0].kind, PLAN_VOLUME_CREATE);
		plan_failed(r, &p.a[0], now);
		plan_fini(&p);
		/* The target goes on without it, and does not claim to be done. */
		plan(c, NULL, &h, r, now, &p);
		CHECK_EQ(p.n, 1);
		CHECK_EQ(p.a[0].kind, PLAN_TARGET_SET);
		CHECK_EQ(p.a[0].n_luns, 0);
		CHECK_EQ(p.a[0].generation, 0);
		CHECK_EQ(p.n_waiting, 1);
		CHECK_EQ(mono_ms_between(now, p.wake), wait);
		now = p.wake;
		plan_fini(&p);
		wait = wait * 2 < PLAN_RETRY_LAST_MS ? wait * 2 : PLAN_RETRY_LAST_MS;
	}
	/* A changed wish is tried at once. */
	plan(c, NULL, &h, r, now, &p);
	plan_failed(r, &p.a[0], now);
	plan_fini(&p);
	APPLY_OK(c, "~ /volumes/v1 size=5G");
	plan(c, NULL, &h, r, now, &p);
	CHECK_EQ(p.a[0].kind, PLAN_VOLUME_CREATE);
	CHECK_EQ(p.n_waiting, 0);
	plan_done(r, &p.a[0]);
	plan_fini(&p);
	plan_retry_free(&r);
	plan_have_fini(&h);
	catalog_free(&c);
}

/* The target cannot be told to let go: its volume stays open. */
static void test_volume_in_use_is_not_closed(void)
{
	struct catalog *c = small_cluster();
	struct plan_have h = { 0 };
	struct plan_retry *r = plan_retry_new();
	struct plan p;

	converge(c, &h);
	APPLY_OK(c, "- /targets/" IQN, "- /volumes/v1");
	plan(c, NULL, &h, r, T0, &p);
	plan_failed(r, &p.a[0], T0);
	plan_fini(&p);
	PLAN(c, &h, r, T0, "");
	PLAN(c, &h, r, mono_add_ms(T0, PLAN_RETRY_FIRST_MS), "delete target " IQN "\nclose volume v1\n"
	     "destroy the storage of volume v1\n");
	plan_retry_free(&r);
	plan_have_fini(&h);
	catalog_free(&c);
}

static void test_no_secret_in_text(void)
{
	struct catalog *c = small_cluster();
	struct plan_have h = { 0 };
	struct buf b = { 0 };

	APPLY_OK(c, "~ /targets/" IQN "/hosts/any chap-user=a chap-secret=secretsecret1");
	plan_text(c, &h, NULL, T0, &b);
	CHECK(!strstr(buf_str(&b), "secretsecret1"));
	buf_fini(&b);
	plan_have_fini(&h);
	catalog_free(&c);
}

static void test_thousand(void)
{
	struct catalog *c = catalog_new();
	struct plan_have h = { 0 };
	char a[128], b[128], l[128];

	APPLY_OK(c, "+ /nodes/n1 id=00000000000000000000000000000001");
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(a, sizeof(a), "+ /volumes/v%u size=1G node=n1", i);
		snprintf(b, sizeof(b), "+ /targets/" IQN "%u", i);
		snprintf(l, sizeof(l), "+ /targets/" IQN "%u/luns/0 volume=v%u", i, i);
		APPLY_OK(c, a, b, l);
	}
	CHECK_EQ(converge(c, &h), 1);
	CHECK_EQ(h.n_volumes, 1000);
	APPLY_OK(c, "~ /volumes/v500 size=2G");
	PLAN(c, &h, NULL, T0, "resize volume v500 to 2G\n");
	plan_have_fini(&h);
	catalog_free(&c);
}

/* One change of volume w, which is another node's, is planned and carried out. */
static void forwards_anew(const struct catalog *c, const struct plan_nodes *nodes, struct plan_have *h)
{
	struct plan p;
	unsigned n = 0;

	plan(c, nodes, h, NULL, T0, &p);
	for (unsigned i = 0; i < p.n; i++) {
		n += p.a[i].kind == PLAN_VOLUME_CHANGE && strcmp(p.a[i].name, "w") == 0;
		perform(h, &p.a[i]);
	}
	CHECK_EQ(n, 1);
	plan_fini(&p);
	plan(c, nodes, h, NULL, T0, &p);
	CHECK_EQ(p.n, 0);
	plan_fini(&p);
}

/* What is remembered of a volume that is open holds no longer than all that it comes from. */
static void test_what_changed_is_not_remembered(void)
{
	struct catalog *c = small_cluster();
	struct plan_node node[2] = { { .name = "n1", .group = 1, .up = true }, { .name = "n2", .group = 2, .up = true, .inner = "10.0.0.2:1" } };
	struct plan_nodes nodes = { .node = node, .n = 2, .key = 1 };
	struct plan_have h = { 0 };
	struct plan p;

	APPLY_OK(c, "~ /cluster level=3");
	APPLY_OK(c, "+ /volumes/w size=1G node=n2", "+ /targets/" IQN "/luns/1 volume=w");
	plan(c, &nodes, &h, NULL, T0, &p);
	for (unsigned i = 0; i < p.n; i++) {
		if (p.a[i].kind == PLAN_VOLUME_OPEN && p.a[i].forwards)
			plan_have_volume_add(&h, p.a[i].name, p.a[i].uuid)->created = true;
		perform(&h, &p.a[i]);
	}
	plan_fini(&p);
	plan(c, &nodes, &h, NULL, T0, &p);
	CHECK_EQ(p.n, 0);
	plan_fini(&p);
	nodes.key = 2;
	forwards_anew(c, &nodes, &h);
	node[1].inner = "10.0.0.3:1";
	forwards_anew(c, &nodes, &h);
	node[1].group = 3;
	forwards_anew(c, &nodes, &h);
	nodes.alone = true;
	forwards_anew(c, &nodes, &h);
	APPLY_OK(c, "~ /volumes/w read-only=yes");
	forwards_anew(c, &nodes, &h);
	plan_have_fini(&h);
	catalog_free(&c);
}

/* Who serves it and this node are always among the groups; of the others first those that are up. */
static void test_of_too_many_nodes_the_nearest_are_told(void)
{
	struct plan_node node[50] = { { .name = NULL } };
	struct plan_nodes nodes = { .node = node, .n = 50 };
	struct plan_action a = { .path = NULL };
	unsigned seen = 0, up = 0;
	char name[50][8];

	for (unsigned i = 0; i < 50; i++) {
		snprintf(name[i], sizeof(name[i]), "n%u", i);
		node[i].name = name[i];
		node[i].group = (uint16_t)(i + 1);
		node[i].up = i >= 30 && i != 45;
	}
	plan_groups(&a, &nodes, &node[45], "n49");
	CHECK_EQ(a.n_group, 32);
	for (unsigned i = 0; i < a.n_group; i++) {
		seen += a.group[i].id == 46 || a.group[i].id == 50;
		up += node[a.group[i].id - 1].up;
		CHECK_EQ(a.group[i].preferred, a.group[i].id == 46);
		CHECK(i == 0 || a.group[i].id > a.group[i - 1].id);
	}
	CHECK_EQ(seen, 2);
	CHECK_EQ(up, 19);
	free(a.group);
}

int main(void)
{
	RUN(test_only_what_is_ours);
	RUN(test_lun_leaves_before_its_volume);
	RUN(test_volume_made_anew);
	RUN(test_limits_are_the_mirrors);
	RUN(test_changes);
	RUN(test_who_may_log_in);
	RUN(test_a_portal_that_goes_elsewhere_is_closed_here);
	RUN(test_of_legs_that_may_hold_something_one_counts);
	RUN(test_a_leg_that_was_a_volume_begins_without_a_record);
	RUN(test_storage_is_made_once);
	RUN(test_a_catalog_that_lags_destroys_nothing);
	RUN(test_the_users_file_is_not_destroyed);
	RUN(test_failure_waits_and_doubles);
	RUN(test_volume_in_use_is_not_closed);
	RUN(test_no_secret_in_text);
	RUN(test_thousand);
	RUN(test_what_changed_is_not_remembered);
	RUN(test_of_too_many_nodes_the_nearest_are_told);
	return 0;
}
