/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Speaks to a running director-target as directord does, one request per run: for the tests and benches of
 * the data plane.
 *
 *   targetctl SOCKET create|set UUID NAME SIZE [FILTER/]PLUGIN [removable=yes] [agreed=yes] [leased=yes] [fail-over=yes]
 *                    [epoch=N] [serve=leg|served] [child=PLUGIN[+key=value…]…] [[FILTER:]key=value…]
 *   targetctl SOCKET inner [portal=ADDR…] [key=64 HEX DIGITS…]
 *   targetctl proof KEY UUID EPOCH       (what proves the epoch at an inner portal, and the target's name)
 *   targetctl SOCKET freeze|hold UUID [EPOCH]
 *   targetctl SOCKET lease UUID EPOCH MS [EVERY-MS]        with EVERY-MS again and again, until it is killed
 *   targetctl SOCKET keep UUID VERSION PROPOSAL HEX|none [refused]
 *   targetctl SOCKET resize UUID SIZE | close UUID | destroy UUID
 *   targetctl SOCKET access UUID [implicit] [GROUP=STATE[:preferred]…]
 *   targetctl SOCKET target IQN [tag=N] [lun=N:UUID[:ro]…] [portal=ADDR…] [elsewhere=ADDR,TAG…] [host=INITIATOR[,USER,SECRET[,USER,SECRET]]…]
 *   targetctl SOCKET untarget IQN | list | stats | shutdown | events | drop SESSION
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "proto/inner.h"
#include "proto/target.h"

static int fd;
static struct buf rx;

static void die(const char *what)
{
	fprintf(stderr, "targetctl: %s\n", what);
	exit(1);
}

static void send_msg(const struct target_msg *m)
{
	struct buf b = { 0 };

	target_msg_encode(m, &b);
	if (send(fd, b.data, b.len, MSG_NOSIGNAL) != (ssize_t)b.len)
		die("cannot send");
	buf_fini(&b);
}

static void receive(struct target_msg *m)
{
	for (;;) {
		long len = target_frame_len(rx.data, rx.len);
		ssize_t n;

		if (len < 0)
			die("malformed frame");
		if (len > 0) {
			if (target_msg_decode(rx.data, (size_t)len, m) != 0)
				die("malformed message");
			buf_drop(&rx, (size_t)len);
			return;
		}
		n = recv(fd, buf_room(&rx, 65536), 65536, 0);
		if (n <= 0)
			die("the target closed the connection");
		buf_add(&rx, (size_t)n);
	}
}

static void show(const struct target_list *l)
{
	char u[37];

	for (unsigned i = 0; i < l->n_volumes; i++) {
		const struct target_volume *v = &l->volumes[i];

		printf("volume %s %s %s %llu %s r=%llu w=%llu err=%llu %s\n", text_uuid(v->uuid, u),
			v->name, v->store.plugin, (unsigned long long)v->size, target_state_name(v->state),
			(unsigned long long)v->reads, (unsigned long long)v->writes,
			(unsigned long long)v->errors, v->error ? v->error : "");
		for (unsigned k = 0; k < v->n_groups; k++)
			printf("group %s %u state=%u%s\n", v->name, v->groups[k].id, v->groups[k].state,
				v->groups[k].preferred ? " preferred" : "");
	}
	for (unsigned i = 0; i < l->n_targets; i++)
		printf("target %s luns=%u hosts=%u generation=%llu\n", l->targets[i].iqn,
			l->targets[i].n_luns, l->targets[i].n_hosts,
			(unsigned long long)l->targets[i].generation);
	for (unsigned i = 0; i < l->n_sessions; i++) {
		const struct target_session *s = &l->sessions[i];

		printf("session %llu %s %s %s commands=%llu read=%llu written=%llu errors=%llu\n",
			(unsigned long long)s->id, s->initiator, s->target ? s->target : "discovery",
			s->address, (unsigned long long)s->commands, (unsigned long long)s->read_bytes,
			(unsigned long long)s->write_bytes, (unsigned long long)s->errors);
	}
	for (unsigned i = 0; i < l->n_portals; i++)
		printf("portal %s\n", l->portals[i]);
}

static void show_event(const struct target_event *e)
{
	printf("event %llu kind %d %s %s what=%u value=%llu of=%llu epoch=%llu ", (unsigned long long)e->seq, (int)e->kind,
		e->session.initiator ? e->session.initiator : "-",
		e->session.address ? e->session.address : "-", e->what, (unsigned long long)e->value,
		(unsigned long long)e->of, (unsigned long long)e->epoch);
	for (size_t i = 0; i < e->n_blob; i++)
		printf("%02x", e->blob[i]);
	printf("%s\n", e->text ? e->text : "");
	fflush(stdout);
}

/* PLUGIN, or FILTER/PLUGIN: then FILTER:key=value is the filter's. Whose parameter `s` is; *s goes on to its key. */
static struct target_store *store_of(struct target_store *top, char **s)
{
	size_t n = strlen(top->plugin);

	if (top->n_children && strncmp(*s, top->plugin, n) == 0 && (*s)[n] == ':') {
		*s += n + 1;
		return top;
	}
	return top->n_children ? &top->children[0] : top;
}

static void parse_store(struct target_store *top, char *spec, int argc)
{
	char *name = strsep(&spec, "/");

	top->plugin = mem_strdup(name);
	top->params = mem_zalloc((size_t)argc * sizeof(*top->params));
	if (!spec)
		return;
	top->children = mem_zalloc(sizeof(*top->children));
	top->n_children = 1;
	top->children[0].plugin = mem_strdup(spec);
	top->children[0].params = mem_zalloc((size_t)argc * sizeof(*top->params));
}

/* PLUGIN[+key=value…] */
static void parse_child(struct target_store *top, char *spec)
{
	struct target_store *c;
	char *name = strsep(&spec, "+"), *pair;

	top->children = mem_realloc(top->children, (top->n_children + 1) * sizeof(*top->children));
	c = &top->children[top->n_children++];
	*c = (struct target_store){ .plugin = mem_strdup(name), .params = mem_zalloc(TARGET_PARAMS_MAX * sizeof(*c->params)) };
	while ((pair = strsep(&spec, "+"))) {
		char *eq = strchr(pair, '=');

		if (!eq || c->n_params == TARGET_PARAMS_MAX)
			die("parameters are key=value");
		c->params[c->n_params++] = (struct target_param){ mem_strndup(pair, (size_t)(eq - pair)), mem_strdup(eq + 1) };
	}
}

/* What is of the volume and not of its storage. */
static bool of_volume(struct target_volume *v, char *s)
{
	const struct {
		const char *text;
		bool *flag;
	} flags[] = { { "removable=yes", &v->removable }, { "agreed=yes", &v->agreed }, { "leased=yes", &v->leased },
		{ "fail-over=yes", &v->fail_over }, { "apart=yes", &v->apart }, { "keeps=yes", &v->keeps } };

	for (unsigned i = 0; i < ARRAY_LEN(flags); i++)
		if (strcmp(s, flags[i].text) == 0)
			return *flags[i].flag = true;
	if (strncmp(s, "epoch=", 6) == 0)
		v->epoch = strtoull(s + 6, NULL, 10);
	else if (strncmp(s, "serve=", 6) == 0)
		v->inner = strcmp(s + 6, "leg") == 0 ? TARGET_INNER_LEG : TARGET_INNER_SERVED;
	else if (strncmp(s, "child=", 6) == 0)
		parse_child(&v->store, s + 6);
	else
		return false;
	return true;
}

static void parse_inner(struct target_msg *m, int argc, char **argv)
{
	struct target_inner *in = &m->inner;

	in->portals = mem_zalloc((size_t)(argc + 1) * sizeof(*in->portals));
	for (int i = 0; i < argc; i++)
		if (strncmp(argv[i], "portal=", 7) == 0)
			in->portals[in->n_portals++] = mem_strdup(argv[i] + 7);
		else if (strncmp(argv[i], "key=", 4) != 0 || in->n_keys == TARGET_KEYS_MAX ||
			text_hex_parse(argv[i] + 4, in->keys[in->n_keys++], TARGET_KEY_LEN) != 0)
			die("portal=ADDR or key=64 hex digits");
}

static int proof(int argc, char **argv)
{
	char secret[INNER_SECRET_LEN], name[INNER_NAME_LEN];
	uint8_t key[TARGET_KEY_LEN], uuid[16];
	uint64_t epoch = 0;

	if (argc < 3 || text_hex_parse(argv[0], key, sizeof(key)) != 0 || text_uuid_parse(argv[1], uuid) != 0 ||
		text_u64_parse(argv[2], &epoch) != 0)
		die("proof KEY UUID EPOCH");
	printf("%s %s\n", inner_secret(key, uuid, epoch, secret), inner_name(uuid, name));
	return 0;
}

static void parse_volume(struct target_msg *m, int argc, char **argv)
{
	struct target_volume *v = &m->volume;
	bool filter;

	if (argc < 4 || text_uuid_parse(argv[0], v->uuid) != 0 || text_size_parse(argv[2], &v->size) != 0)
		die("UUID NAME SIZE PLUGIN [key=value…]");
	v->name = mem_strdup(argv[1]);
	filter = strchr(argv[3], '/') != NULL;
	parse_store(&v->store, argv[3], argc);
	v->generation = 1;
	v->epoch = 1;
	for (int i = 4; i < argc; i++) {
		struct target_store *st;
		char *eq;

		if (of_volume(v, argv[i]))
			continue;
		st = filter ? store_of(&v->store, &argv[i]) : &v->store;
		eq = strchr(argv[i], '=');
		if (!eq)
			die("parameters are key=value");
		st->params[st->n_params++] = (struct target_param){
			mem_strndup(argv[i], (size_t)(eq - argv[i])), mem_strdup(eq + 1)
		};
	}
}

/* ID=STATE[:preferred]…, implicit */
static void parse_access(struct target_msg *m, int argc, char **argv)
{
	struct target_volume *v = &m->volume;

	if (argc < 1 || text_uuid_parse(argv[0], v->uuid) != 0)
		die("access UUID [implicit] [ID=STATE[:preferred]…]");
	v->groups = mem_zalloc((size_t)argc * sizeof(*v->groups));
	for (int i = 1; i < argc; i++) {
		char *eq = strchr(argv[i], '=');

		if (strcmp(argv[i], "implicit") == 0)
			v->implicit_only = true;
		else if (!eq)
			die("ID=STATE");
		else
			v->groups[v->n_groups++] = (struct target_group){ (uint16_t)atoi(argv[i]),
				(uint8_t)atoi(eq + 1), strstr(eq, ":preferred") != NULL };
	}
}

static void parse_lun(struct target_def *t, char *s)
{
	struct target_lun *l = &t->luns[t->n_luns++];
	char *colon = strchr(s, ':'), *ro;

	if (!colon)
		die("lun=N:UUID");
	l->lun = (uint32_t)atoi(s);
	if ((ro = strchr(colon + 1, ':'))) {
		*ro = '\0';
		l->read_only = true;
	}
	if (text_uuid_parse(colon + 1, l->volume) != 0)
		die("lun=N:UUID");
}

static void parse_host(struct target_def *t, char *s)
{
	struct target_host *h = &t->hosts[t->n_hosts++];
	char **to[] = { &h->initiator, &h->user, &h->secret, &h->mutual_user, &h->mutual_secret };

	for (unsigned i = 0; i < 5 && s; i++)
		*to[i] = mem_strdup(strsep(&s, ","));
}

static void parse_elsewhere(struct target_def *t, char *s, int argc)
{
	char *address = strsep(&s, ",");

	if (!s)
		die("elsewhere=ADDR,TAG");
	if (!t->elsewhere)
		t->elsewhere = mem_zalloc((size_t)argc * sizeof(*t->elsewhere));
	t->elsewhere[t->n_elsewhere++] = (struct target_elsewhere){ mem_strdup(address), (uint16_t)atoi(s) };
}

static void parse_target(struct target_msg *m, int argc, char **argv)
{
	struct target_def *t = &m->target;

	if (argc < 1)
		die("target IQN …");
	t->iqn = mem_strdup(argv[0]);
	t->generation = 1;
	t->luns = mem_zalloc((size_t)argc * sizeof(*t->luns));
	t->hosts = mem_zalloc((size_t)argc * sizeof(*t->hosts));
	t->portals = mem_zalloc((size_t)argc * sizeof(*t->portals));
	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "lun=", 4) == 0)
			parse_lun(t, argv[i] + 4);
		else if (strncmp(argv[i], "portal=", 7) == 0)
			t->portals[t->n_portals++] = mem_strdup(argv[i] + 7);
		else if (strncmp(argv[i], "elsewhere=", 10) == 0)
			parse_elsewhere(t, argv[i] + 10, argc);
		else if (strncmp(argv[i], "host=", 5) == 0)
			parse_host(t, argv[i] + 5);
		else if (strncmp(argv[i], "moved=", 6) == 0)
			t->moved_to = mem_strdup(argv[i] + 6);
		else if (strncmp(argv[i], "tag=", 4) == 0)
			t->tag = (uint16_t)atoi(argv[i] + 4);
		else
			die("lun=, portal=, host=, tag= or moved=");
	}
}

static void lease_renew(struct target_msg *m, const char *ms)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	m->leases->until_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000 + strtoull(ms, NULL, 10);
}

static void parse_lease(struct target_msg *m, int argc, char **argv)
{
	if (argc < 3)
		die("lease UUID EPOCH MS [EVERY-MS]");
	m->leases = mem_zalloc(sizeof(*m->leases));
	m->n_leases = 1;
	if (text_uuid_parse(argv[0], m->leases->volume) != 0)
		die("UUID");
	m->leases->epoch = strtoull(argv[1], NULL, 10);
	lease_renew(m, argv[2]);
}

static void parse_keep(struct target_msg *m, int argc, char **argv)
{
	if (argc < 4 || text_uuid_parse(argv[0], m->volume.uuid) != 0)
		die("keep UUID VERSION PROPOSAL HEX|none [refused]");
	m->number = strtoull(argv[1], NULL, 10);
	m->proposal = strtoull(argv[2], NULL, 10);
	if (strcmp(argv[3], "none") != 0) {
		m->n_blob = strlen(argv[3]) / 2;
		m->blob = mem_alloc(m->n_blob + 1);
		if (text_hex_parse(argv[3], m->blob, m->n_blob) != 0)
			die("HEX");
	}
	if (argc > 4) {
		m->err = ERR_CONFLICT;
		m->text = mem_strdup("another was first");
	}
}

static void parse(struct target_msg *m, int argc, char **argv)
{
	static const struct {
		const char *name;
		enum target_msg_kind kind;
	} verbs[] = {
		{ "create", TARGET_VOLUME_CREATE },
		{ "set", TARGET_VOLUME_SET },
		{ "resize", TARGET_VOLUME_RESIZE },
		{ "close", TARGET_VOLUME_CLOSE },
		{ "destroy", TARGET_VOLUME_DESTROY },
		{ "target", TARGET_TARGET_SET },
		{ "untarget", TARGET_TARGET_DELETE },
		{ "list", TARGET_LIST },
		{ "stats", TARGET_STATS },
		{ "access", TARGET_ACCESS_SET },
		{ "shutdown", TARGET_SHUTDOWN },
		{ "drop", TARGET_SESSION_DROP },
		{ "events", TARGET_LIST },
		{ "inner", TARGET_INNER },
		{ "freeze", TARGET_VOLUME_FREEZE },
		{ "hold", TARGET_VOLUME_HOLD },
		{ "lease", TARGET_VOLUME_LEASE },
		{ "keep", TARGET_VOLUME_KEEP },
	};

	for (unsigned i = 0; i < ARRAY_LEN(verbs); i++)
		if (strcmp(argv[0], verbs[i].name) == 0)
			m->kind = verbs[i].kind;
	if (!m->kind)
		die("no such verb");
	if (m->kind == TARGET_VOLUME_CREATE || m->kind == TARGET_VOLUME_SET)
		parse_volume(m, argc - 1, argv + 1);
	else if (m->kind == TARGET_TARGET_SET)
		parse_target(m, argc - 1, argv + 1);
	else if (m->kind == TARGET_TARGET_DELETE && argc > 1)
		m->target.iqn = mem_strdup(argv[1]);
	else if (m->kind == TARGET_SESSION_DROP && argc > 1)
		m->number = (uint64_t)atoll(argv[1]);
	else if (m->kind == TARGET_ACCESS_SET)
		parse_access(m, argc - 1, argv + 1);
	else if (m->kind == TARGET_INNER)
		parse_inner(m, argc - 1, argv + 1);
	else if (m->kind == TARGET_VOLUME_LEASE)
		parse_lease(m, argc - 1, argv + 1);
	else if (m->kind == TARGET_VOLUME_KEEP)
		parse_keep(m, argc - 1, argv + 1);
	else if (argc > 1 && text_uuid_parse(argv[1], m->volume.uuid) != 0)
		die("UUID");
	if ((m->kind == TARGET_VOLUME_FREEZE || m->kind == TARGET_VOLUME_HOLD) && argc > 2)
		m->volume.epoch = strtoull(argv[2], NULL, 10);
	if (m->kind == TARGET_VOLUME_RESIZE && (argc < 3 || text_size_parse(argv[2], &m->volume.size) != 0))
		die("resize UUID SIZE");
}

int main(int argc, char **argv)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct target_msg m = { .kind = TARGET_HELLO,
		.id = 1,
		.hello = { .version = TARGET_PROTO_VERSION } },
			  reply;
	int err;

	if (argc > 1 && strcmp(argv[1], "proof") == 0)
		return proof(argc - 2, argv + 2);
	if (argc < 3 || strlen(argv[1]) >= sizeof(un.sun_path))
		die("SOCKET VERB …");
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", argv[1]);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) < 0)
		die("cannot connect");
	send_msg(&m);
	receive(&reply);
	if (reply.err)
		die(reply.text ? reply.text : err_text(reply.err));
	target_msg_fini(&reply);
	memset(&m, 0, sizeof(m));
	parse(&m, argc - 2, argv + 2);
	m.id = 2;
	for (;;) {
		send_msg(&m);
		for (;;) {
			receive(&reply);
			if (reply.kind == TARGET_REPLY)
				break;
			target_msg_fini(&reply);
		}
		if (m.kind != TARGET_VOLUME_LEASE || argc < 7 || reply.err)
			break;
		target_msg_fini(&reply);
		usleep((useconds_t)atoi(argv[6]) * 1000);
		lease_renew(&m, argv[5]);
	}
	err = reply.err;
	if (err)
		fprintf(stderr, "targetctl: %s: %s\n", err_name(err),
			reply.text ? reply.text : err_text(err));
	show(&reply.list);
	target_msg_fini(&reply);
	target_msg_fini(&m);
	while (strcmp(argv[2], "events") == 0) {
		receive(&reply);
		show_event(&reply.event);
		target_msg_fini(&reply);
	}
	buf_fini(&rx);
	close(fd);
	return err_exit(err);
}
