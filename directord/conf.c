/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file. The table below is all there is to know of a key. */
#include "directord/conf.h"

#include <stdio.h>
#include <string.h>

#include "base/addr.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "directord/file.h"
#include "directord/seeds.h"

#define VALUE_MAX 4096

enum type { T_TEXT, T_NAME, T_PATH, T_PORT, T_BOOL, T_ENUM, T_ADDRS, T_WORDS, T_SEEDS, T_DEBUG };

struct row {
	const char *key;
	enum type type;
	size_t offset;
	const char *def;
	const char *const *words;       /* T_ENUM: in order of the enum, NULL-terminated */
	bool live;                      /* can be changed at run time */
	const char *help;               /* whole sentences; %s-free */
};

static const char *const discovery_words[] = { "auto", "avahi", "embedded", "off", NULL };
static const char *const agreement_words[] = { "corosync", "host", "off", NULL };
static const char *const level_words[] = { "fatal", "warn", "info", "debug", NULL };

#define F(field) offsetof(struct conf, field)

static const struct row rows[] = {
	{ "name", T_NAME, F(name), "", NULL, false,
	  "What the node calls itself until the cluster gives it a name. Empty: the host's name up to the first dot." },
	{ "cluster-key", T_PATH, F(cluster_key), SYSCONFDIR "/director/cluster.key", NULL, false,
	  "The file with the cluster key. A node that has it joins by itself; a node without it waits to be adopted. "
	  "New keys of a rotation are written into it." },
	{ "state", T_PATH, F(state), LOCALSTATEDIR "/lib/director", NULL, false,
	  "The directory of what must survive a restart: identity, agreed state, Corosync's files." },
	{ "run", T_PATH, F(run), "/run/director", NULL, false,
	  "The directory of sockets and the pid file." },
	{ "listen", T_ADDRS, F(listen), "", NULL, false,
	  "Addresses to listen at, separated by spaces or commas. Empty: all addresses, IPv4 and IPv6." },
	{ "port", T_PORT, F(port), "7340", NULL, false,
	  "The UDP port of gossip. The same on all nodes, unless every node is found by discovery or a seed with a port." },
	{ "mesh-port", T_PORT, F(mesh_port), "0", NULL, false,
	  "The TCP port of the mesh; 0: the number of port. The same on all nodes unless it is 0." },
	{ "inner-port", T_PORT, F(inner_port), "7341", NULL, false,
	  "The TCP port where director-targets of other nodes come in, for legs and volumes of this one." },
	{ "interfaces", T_WORDS, F(interfaces), "", NULL, true,
	  "Network interfaces on which discovery speaks. Empty: all but loopback." },
	{ "seeds", T_SEEDS, F(seeds), "", NULL, true,
	  "Addresses or names of other nodes, for networks without multicast; with or without a port." },
	{ "discovery", T_ENUM, F(discovery), "auto", discovery_words, true,
	  "How nodes find each other by mDNS: through the host's avahi-daemon, by an embedded responder, or "
	  "automatically by the first where it answers and the second where it does not." },
	{ "found", T_BOOL, F(found), "yes", NULL, false,
	  "May the node begin a cluster when it has the cluster key and finds nobody? Off for nodes that must only ever join." },
	{ "agreement", T_ENUM, F(agreement), "corosync", agreement_words, false,
	  "What agreement runs over: a Corosync of director's own, the one that the host runs and the administrator "
	  "configures (the same choice on all nodes; nothing of it is written, started or stopped), or none. With none the "
	  "node never votes." },
	{ "ring-port", T_PORT, F(ring_port), "5405", NULL, false,
	  "The UDP port of Corosync. The same on all nodes." },
	{ "ring-addresses", T_ADDRS, F(ring_addresses), "", NULL, false,
	  "This node's addresses for Corosync, one or two; with two, every packet goes over both networks. "
	  "Empty: the address that gossip uses, and the first of the same family on another interface, if there is one. The "
	  "second link is used when all nodes of the ring have one." },
	{ "volumes", T_PATH, F(volumes), "", NULL, false,
	  "The directory of volumes that are files. Empty: volumes in the state directory." },
	{ "iscsi-port", T_PORT, F(iscsi_port), "3260", NULL, false,
	  "The TCP port of iSCSI portals that name none." },
	{ "target-program", T_PATH, F(target_program), "", NULL, false,
	  "The data plane. Empty: director-target beside this program, or the installed one. \"/\": this node serves nothing." },
	{ "target-follow", T_BOOL, F(target_follow), "yes", NULL, false,
	  "Do threads of the data plane go to the processor where the packets of their connections come in, while commands come "
	  "one by one? For the next start of director-target." },
	{ "corosync-program", T_PATH, F(corosync_program), "", NULL, false,
	  "Corosync. Empty: found in PATH." },
	{ "plugins", T_PATH, F(plugins), "", NULL, false,
	  "Directories of plugins, with ':' between. Empty: the installed one." },
	{ "log-level", T_ENUM, F(log_level), "info", level_words, true,
	  "What is logged: this level and the more serious ones." },
	{ "debug", T_DEBUG, F(debug), "", NULL, true,
	  "Subjects whose debug lines are logged whatever log-level says (\"gossip,mesh\"), or all." },
};

#define N_ROWS ARRAY_LEN(rows)

static void *field(const struct row *r, const struct conf *c)
{
	return (char *)(uintptr_t)c + r->offset;
}

static const struct row *find(const char *key)
{
	for (size_t i = 0; i < N_ROWS; i++)
		if (strcmp(rows[i].key, key) == 0)
			return &rows[i];
	return NULL;
}

/* ---- lists ---- */

static void list_fini(struct conf_list *l)
{
	for (unsigned i = 0; i < l->n; i++)
		mem_autofree(&l->item[i]);
	mem_autofree(&l->item);
	*l = (struct conf_list){ 0 };
}

static void list_put(struct conf_list *l, const char *s, size_t n)
{
	l->item = mem_realloc(l->item, (l->n + 1) * sizeof(*l->item));
	l->item[l->n++] = mem_strndup(s, n);
}

static int list_item_ok(enum type type, const char *s)
{
	struct addr a;

	switch (type) {
	case T_ADDRS:
		return addr_parse(s, 0, &a);
	case T_SEEDS:
		return seeds_check(s);
	default:
		return strlen(s) < 16 && !strchr(s, '/') ? 0 : ERR_INVAL;       /* an interface name */
	}
}

static int list_parse(struct conf_list *l, enum type type, const char *value, struct buf *errs)
{
	static const char sep[] = " \t,";
	struct conf_list got = { 0 };

	for (const char *p = value + strspn(value, sep); *p; p += strspn(p, sep)) {
		size_t n = strcspn(p, sep);

		if (got.n == CONF_LIST_MAX) {
			buf_printf(errs, "more than %d items", CONF_LIST_MAX);
			break;
		}
		list_put(&got, p, n);
		p += n;
		if (list_item_ok(type, got.item[got.n - 1]) < 0) {
			buf_printf(errs, "\"%s\" is not %s", got.item[got.n - 1],
			           type == T_ADDRS ? "an address" : type == T_SEEDS ? "an address or name" : "an interface");
			break;
		}
	}
	if (errs->len) {
		list_fini(&got);
		return ERR_INVAL;
	}
	list_fini(l);
	*l = got;
	return 0;
}

/* ---- one value ---- */

static int set_enum(int *v, const char *const *words, const char *value, struct buf *why)
{
	for (int i = 0; words[i]; i++)
		if (strcmp(words[i], value) == 0) {
			*v = i;
			return 0;
		}
	buf_printf(why, "\"%s\" is none of", value);
	for (int i = 0; words[i]; i++)
		buf_printf(why, "%s %s", i ? "," : "", words[i]);
	return ERR_INVAL;
}

static int set_bool(bool *v, const char *value, struct buf *why)
{
	static const char *const words[] = { "no", "yes", "off", "on", "false", "true", "0", "1" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(words[i], value) == 0) {
			*v = i & 1;
			return 0;
		}
	buf_printf(why, "\"%s\" is neither yes nor no", value);
	return ERR_INVAL;
}

/* A port. 0 only where it is the default and means something. */
static int set_port(unsigned *v, const char *def, const char *value, struct buf *why)
{
	uint64_t n;

	if (text_u64_parse(value, &n) < 0 || n > 65535 || (n == 0 && strcmp(def, "0") != 0)) {
		buf_printf(why, "\"%s\" is not a port", value);
		return ERR_INVAL;
	}
	*v = (unsigned)n;
	return 0;
}

static const char *text_wrong(enum type type, const char *value)
{
	if (type == T_NAME && value[strcspn(value, "/ \t")])
		return "a name holds neither '/' nor spaces";
	if (type == T_NAME && strlen(value) >= 64)
		return "a name has at most 63 bytes";
	if (type == T_PATH && *value && *value != '/')
		return "a path begins with '/'";
	if (type == T_DEBUG && value[strcspn(value, " \t")])
		return "subjects are separated by commas alone";
	return NULL;
}

static int set_text(char **v, enum type type, const char *value, struct buf *why)
{
	const char *wrong = text_wrong(type, value);

	if (wrong) {
		buf_printf(why, "\"%s\": %s", value, wrong);
		return ERR_INVAL;
	}
	mem_autofree(v);
	*v = mem_strdup(value);
	return 0;
}

static int row_set(const struct row *r, struct conf *c, const char *value, struct buf *why)
{
	void *f = field(r, c);

	if (!text_ok(value, VALUE_MAX)) {
		buf_puts(why, "the value is not UTF-8 text of at most 4096 bytes");
		return ERR_INVAL;
	}
	switch (r->type) {
	case T_PORT:
		return set_port(f, r->def, value, why);
	case T_BOOL:
		return set_bool(f, value, why);
	case T_ENUM:
		return set_enum(f, r->words, value, why);
	case T_ADDRS:
	case T_WORDS:
	case T_SEEDS:
		return list_parse(f, r->type, value, why);
	default:
		return set_text(f, r->type, value, why);
	}
}

static void row_text(const struct row *r, const struct conf *c, struct buf *out)
{
	const void *f = field(r, c);

	switch (r->type) {
	case T_PORT:
		buf_printf(out, "%u", *(const unsigned *)f);
		return;
	case T_BOOL:
		buf_puts(out, *(const bool *)f ? "yes" : "no");
		return;
	case T_ENUM:
		buf_puts(out, r->words[*(const int *)f]);
		return;
	case T_ADDRS:
	case T_WORDS:
	case T_SEEDS:
		for (unsigned i = 0; i < ((const struct conf_list *)f)->n; i++)
			buf_printf(out, "%s%s", i ? " " : "", ((const struct conf_list *)f)->item[i]);
		return;
	default:
		buf_puts(out, *(char *const *)f);
	}
}

void conf_init(struct conf *c)
{
	struct buf why = { 0 };

	*c = (struct conf){ 0 };
	for (size_t i = 0; i < N_ROWS; i++)
		row_set(&rows[i], c, rows[i].def, &why);
	buf_fini(&why);
}

void conf_fini(struct conf *c)
{
	for (size_t i = 0; i < N_ROWS; i++) {
		switch (rows[i].type) {
		case T_ADDRS:
		case T_WORDS:
		case T_SEEDS:
			list_fini(field(&rows[i], c));
			break;
		case T_TEXT:
		case T_NAME:
		case T_PATH:
		case T_DEBUG:
			mem_autofree(field(&rows[i], c));
			break;
		default:
			break;
		}
	}
	*c = (struct conf){ 0 };
}

/* ---- unknown keys ---- */

/* Edit distance of two short words; long ones are as far apart as can be. */
static unsigned distance(const char *a, const char *b)
{
	unsigned d[33], n = (unsigned)strlen(b);

	if (strlen(a) > 32 || n > 32)
		return 99;
	for (unsigned j = 0; j <= n; j++)
		d[j] = j;
	for (unsigned i = 1; a[i - 1]; i++) {
		unsigned diagonal = d[0];

		d[0] = i;
		for (unsigned j = 1; j <= n; j++) {
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = d[j];
			if (d[j] + 1 < best)
				best = d[j] + 1;
			if (d[j - 1] + 1 < best)
				best = d[j - 1] + 1;
			d[j] = best;
		}
	}
	return d[n];
}

static const char *nearest(const char *key)
{
	unsigned best = 99;
	const char *name = NULL;

	for (size_t i = 0; i < N_ROWS; i++) {
		unsigned d = distance(key, rows[i].key);

		if (d < best) {
			best = d;
			name = rows[i].key;
		}
	}
	return best <= 3 || best * 2 <= strlen(key) ? name : NULL;
}

int conf_set(struct conf *c, const char *key, const char *value, struct buf *errs)
{
	const struct row *r = find(key);
	struct buf why = { 0 };
	const char *near;
	int err;

	if (!r) {
		near = nearest(key);
		if (near)
			buf_printf(errs, "there is no key \"%s\"; did you mean \"%s\"?", key, near);
		else
			buf_printf(errs, "there is no key \"%s\"", key);
		return ERR_NOENT;
	}
	err = row_set(r, c, value, &why);
	if (err)
		buf_printf(errs, "%s: %s", key, buf_str(&why));
	buf_fini(&why);
	return err;
}

/* ---- the file ---- */

/* Cut blanks off both ends of [*s, *s + *n). */
static void trim(const char **s, size_t *n)
{
	while (*n && (**s == ' ' || **s == '\t')) {
		(*s)++;
		(*n)--;
	}
	while (*n && ((*s)[*n - 1] == ' ' || (*s)[*n - 1] == '\t' || (*s)[*n - 1] == '\r'))
		(*n)--;
}

/* The part of a line before a '#' that begins it or follows a blank. */
static size_t uncommented(const char *line, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (line[i] == '#' && (i == 0 || line[i - 1] == ' ' || line[i - 1] == '\t'))
			return i;
	return n;
}

static int parse_line(struct conf *c, const char *line, size_t n, bool seen[N_ROWS], struct buf *why)
{
	auto_free char *key = NULL, *value = NULL;
	const char *eq, *v;
	const struct row *r;
	size_t n_key, n_value;

	n = uncommented(line, n);
	trim(&line, &n);
	if (n == 0)
		return 0;
	if (memchr(line, 0, n)) {
		buf_puts(why, "there is a zero byte in the line");
		return ERR_INVAL;
	}
	eq = memchr(line, '=', n);
	if (!eq) {
		buf_puts(why, "this is not \"key = value\"");
		return ERR_INVAL;
	}
	n_key = (size_t)(eq - line);
	n_value = n - n_key - 1;
	v = eq + 1;
	trim(&line, &n_key);
	trim(&v, &n_value);
	key = mem_strndup(line, n_key);
	value = mem_strndup(v, n_value);
	if (!text_ok(key, 64)) {
		buf_puts(why, "this is no key");
		return ERR_INVAL;
	}
	r = find(key);
	if (r && seen[r - rows]) {
		buf_printf(why, "%s was set on a line above", key);
		return ERR_INVAL;
	}
	if (r)
		seen[r - rows] = true;
	return conf_set(c, key, value, why);
}

int conf_parse(struct conf *c, const char *text, size_t len, const char *name, struct buf *errs)
{
	bool seen[N_ROWS] = { false };
	struct buf why = { 0 };
	unsigned line = 0, bad = 0;

	for (size_t at = 0; at < len; ) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t n = end ? (size_t)(end - text) - at : len - at;

		line++;
		buf_reset(&why);
		if (parse_line(c, text + at, n, seen, &why) < 0 && bad++ < 20)
			buf_printf(errs, "%s:%u: %s\n", name, line, buf_str(&why));
		at += n + 1;
	}
	if (bad > 20)
		buf_printf(errs, "%s: %u more errors\n", name, bad - 20);
	buf_fini(&why);
	return bad ? ERR_INVAL : 0;
}

int conf_load(struct conf *c, const char *path, bool must, struct buf *errs)
{
	struct buf text = { 0 };
	int err = file_read(path, CONF_FILE_MAX, &text);

	if (err == ERR_NOENT && !must)
		return 0;
	if (err)
		buf_printf(errs, "%s: %s\n", path, err == ERR_LIMIT ? "the file is too long" : err_text(err));
	else
		err = conf_parse(c, buf_str(&text), text.len, path, errs);
	buf_fini(&text);
	return err;
}

int conf_check(const struct conf *c, struct buf *errs)
{
	size_t before = errs->len;
	unsigned mesh = c->mesh_port ? c->mesh_port : c->port;

	if (c->ring_addresses.n > 2)
		buf_puts(errs, "ring-addresses: at most two\n");
	if (!*c->state)
		buf_puts(errs, "state: must not be empty\n");
	if (!*c->run)
		buf_puts(errs, "run: must not be empty\n");
	if (strlen(c->run) > 80)
		buf_puts(errs, "run: a path of more than 80 bytes is too long for the sockets in it\n");
	if (!*c->cluster_key)
		buf_puts(errs, "cluster-key: must not be empty\n");
	if (c->agreement == CONF_AGREEMENT_COROSYNC && c->ring_port == c->port)
		buf_printf(errs, "ring-port: %u is gossip's port already\n", c->ring_port);
	if (mesh == c->iscsi_port)
		buf_printf(errs, "iscsi-port: %u is the mesh's port already\n", mesh);
	if (c->agreement == CONF_AGREEMENT_OFF && c->ring_addresses.n)
		buf_puts(errs, "ring-addresses: of no use with agreement = off\n");
	return errs->len > before ? ERR_INVAL : 0;
}

/* ---- printing ---- */

static bool row_same(const struct row *r, const struct conf *a, const struct conf *b)
{
	struct buf x = { 0 }, y = { 0 };
	bool same;

	row_text(r, a, &x);
	row_text(r, b, &y);
	same = strcmp(buf_str(&x), buf_str(&y)) == 0;
	buf_fini(&x);
	buf_fini(&y);
	return same;
}

void conf_print(const struct conf *c, bool all, struct buf *out)
{
	struct conf def;

	conf_init(&def);
	for (size_t i = 0; i < N_ROWS; i++) {
		if (!all && row_same(&rows[i], c, &def))
			continue;
		buf_printf(out, "%s = ", rows[i].key);
		row_text(&rows[i], c, out);
		while (out->len && out->data[out->len - 1] == ' ')
			out->len--;
		buf_puts(out, "\n");
	}
	conf_fini(&def);
}

/* `text` as comment lines of at most 96 columns. */
static void comment(const char *text, struct buf *out)
{
	unsigned col = 0;

	for (const char *p = text; *p; p += strspn(p, " ")) {
		size_t n = strcspn(p, " ");

		if (col == 0 || col + 1 + n > 96) {
			buf_puts(out, col ? "\n#" : "#");
			col = 1;
		}
		buf_printf(out, " %.*s", (int)n, p);
		col += 1 + (unsigned)n;
		p += n;
	}
	buf_puts(out, "\n");
}

/* A directory of the build belongs in the program, not in a text that is the same everywhere. */
static const char *shown_default(const struct row *r)
{
	if (r->def == NULL || !*r->def)
		return "";
	if (strcmp(r->key, "cluster-key") == 0)
		return "/etc/director/cluster.key";
	if (strcmp(r->key, "state") == 0)
		return "/var/lib/director";
	return r->def;
}

static void words_text(const struct row *r, struct buf *out)
{
	for (int i = 0; r->words[i]; i++)
		buf_printf(out, "%s%s", i == 0 ? "" : r->words[i + 1] ? ", " : " or ", r->words[i]);
}

void conf_example(struct buf *out)
{
	buf_puts(out, "# Configuration of directord(8); see director.conf(5). Every line may be left out, and so may the file.\n"
	              "# `directord -n` checks it; most lines need a restart, those marked (live) `systemctl reload directord`.\n");
	for (size_t i = 0; i < N_ROWS; i++) {
		const struct row *r = &rows[i];
		struct buf text = { 0 };

		buf_puts(&text, r->help);
		if (r->type == T_ENUM) {
			buf_puts(&text, " One of ");
			words_text(r, &text);
			buf_puts(&text, ".");
		}
		if (r->live)
			buf_puts(&text, " (live)");
		buf_puts(out, "\n");
		comment(buf_str(&text), out);
		buf_printf(out, "#%s =%s%s\n", r->key, *r->def ? " " : "", shown_default(r));
		buf_fini(&text);
	}
}

static const char *type_mdoc(const struct row *r, struct buf *out)
{
	static const char *const names[] = {
		[T_TEXT] = "text", [T_NAME] = "name", [T_PATH] = "path", [T_PORT] = "port", [T_BOOL] = "yes | no",
		[T_ADDRS] = "address ...", [T_WORDS] = "interface ...", [T_SEEDS] = "host ...", [T_DEBUG] = "subject,...",
	};

	if (r->type != T_ENUM)
		return names[r->type];
	for (int i = 0; r->words[i]; i++)
		buf_printf(out, "%s%s", i ? " | " : "", r->words[i]);
	return buf_str(out);
}

/* Words in lines of at most 78 columns. */
static void filled(const char *text, size_t len, struct buf *out)
{
	size_t col = 0;

	while (len) {
		size_t n = 0;

		while (n < len && text[n] != ' ')
			n++;
		if (col && col + 1 + n > 78) {
			buf_puts(out, "\n");
			col = 0;
		}
		buf_printf(out, "%s%.*s", col ? " " : "", (int)n, text);
		col += n + (col != 0);
		n += n < len;
		text += n;
		len -= n;
	}
	buf_puts(out, "\n");
}

/* Every sentence begins a line, as mdoc wants it. */
static void sentences(const char *text, struct buf *out)
{
	const char *p = text, *end;

	while ((end = strstr(p, ". "))) {
		filled(p, (size_t)(end - p) + 1, out);
		p = end + 2;
	}
	filled(p, strlen(p), out);
}

void conf_mdoc(struct buf *out)
{
	for (size_t i = 0; i < N_ROWS; i++) {
		const struct row *r = &rows[i];
		struct buf words = { 0 };

		buf_printf(out, ".It Ic %s Li = Ar %s\n", r->key, type_mdoc(r, &words));
		sentences(r->help, out);
		if (*r->def)
			buf_printf(out, "The default is\n.Ql %s .\n", shown_default(r));
		if (r->live)
			buf_puts(out, "Can be changed by a reload.\n");
		buf_fini(&words);
	}
}

/* ---- reload ---- */

enum conf_diff conf_diff(const struct conf *have, const struct conf *want, struct buf *out)
{
	enum conf_diff result = CONF_SAME;

	for (size_t i = 0; i < N_ROWS; i++) {
		const struct row *r = &rows[i];

		if (row_same(r, have, want))
			continue;
		if (!r->live || result == CONF_SAME)
			result = r->live ? CONF_LIVE : CONF_RESTART;
		buf_printf(out, "%s: \"", r->key);
		row_text(r, have, out);
		buf_puts(out, "\" -> \"");
		row_text(r, want, out);
		buf_printf(out, "\"%s\n", r->live ? "" : " (needs a restart)");
	}
	return result;
}

void conf_adopt(struct conf *have, const struct conf *want)
{
	struct buf text = { 0 }, why = { 0 };

	for (size_t i = 0; i < N_ROWS; i++) {
		if (!rows[i].live)
			continue;
		buf_reset(&text);
		row_text(&rows[i], want, &text);
		row_set(&rows[i], have, buf_str(&text), &why);
	}
	buf_fini(&text);
	buf_fini(&why);
}
