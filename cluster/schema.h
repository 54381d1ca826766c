/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schema is data: one table per object type says where its objects live, how they may be called
 * and which parameters they have. Checking, completion, help, the manual page, the JSON schema and
 * dumps that hide defaults all come from it. Nothing else parses a parameter.
 *
 * Parameters of plugins are not in the tables: an agreed object holds them under the prefix "p."
 * ("p.direct=yes"), the agreed side takes any of them, and the node that proposes checks them against
 * the table that the plugin's node reports (the fact /plugins/NAME has one attribute "param.X" per
 * parameter, written by schema_param_text). So two versions of a plugin can never make agreed state differ.
 *
 * The agreed side must judge the same for ever. A type or parameter that comes later carries the
 * schema level that brought it (`since`), and is unknown until /cluster says level=N or more.
 */
#ifndef CLUSTER_SCHEMA_H
#define CLUSTER_SCHEMA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "cluster/obj.h"

/* The newest level this program knows. 2: volumes with copies, floating addresses; 3: copies for volumes that had none, legs on foreign LUNs;
 * 4: bounds of resync and scrub */
#define SCHEMA_LEVEL 4
#define SCHEMA_PLUGIN_PREFIX "p."
#define WHY_LEN 400

/* Why something was refused, for the person who asked: object, cause, and what would help. */
struct why {
	char text[WHY_LEN];
};

/* Sets w->text (w may be NULL) and returns err, so that a refusal is one line. */
int why_set(struct why *w, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

enum schema_type_id {
	TYPE_NONE,              /* no object: a folder ("/", "/volumes") or no path of ours */
	TYPE_CLUSTER, TYPE_NODE, TYPE_DEVICE, TYPE_VOLUME, TYPE_TARGET, TYPE_LUN, TYPE_HOST, TYPE_PORTAL,
	TYPE_SESSION, TYPE_TASK, TYPE_PLUGIN, TYPE_LEG, TYPE_ADDRESS,
	TYPE_COUNT,
};

enum schema_value {
	VALUE_STRING = 1,
	VALUE_UINT,             /* decimal */
	VALUE_BOOL,             /* "yes" or "no" */
	VALUE_SIZE,             /* written 10G; held as bytes */
	VALUE_DURATION,         /* written 10s; held as milliseconds */
	VALUE_ENUM,             /* one word of `choices` */
	VALUE_PATH,             /* absolute path of a node's file system */
	VALUE_WORD,             /* lower case, digits, '-': the name of a plugin */
	VALUE_HEX,              /* exactly `max` bytes in lower-case hex */
	VALUE_UUID,
	VALUE_PORTAL,           /* ADDR:PORT or [V6]:PORT */
	VALUE_REF,              /* the name of an object of type `ref` */
};

#define PARAM_REQUIRED 0x01u    /* desired side: must be set once the object exists (unless `unless` is) */
#define PARAM_SECRET   0x02u    /* never shown, never logged */
#define PARAM_LIVE     0x04u    /* a change takes effect without interrupting anyone */
#define PARAM_CREATE   0x08u    /* may be given when the object is created, never changed */
#define PARAM_AUTO     0x10u    /* left out, a rule fills it in before it is agreed */
#define PARAM_UNIQUE   0x20u    /* no two objects of the type have the same value */
#define PARAM_OBSERVED 0x40u    /* observed side: reported, never set */
#define PARAM_GROWS    0x80u    /* gets smaller only while `allow-shrink` is yes */
#define PARAM_MACHINE 0x100u    /* desired side: agreed by the cluster itself (cluster/volume.h), never set by people */

struct schema_param {
	const char *name;
	enum schema_value type;
	uint32_t flags;                 /* PARAM_* */
	const char *value;              /* the default as it is written; NULL: none */
	const char *choices;            /* VALUE_ENUM: "a b c" */
	uint64_t min, max;              /* numbers; bytes of a string or of VALUE_HEX; both 0: no bounds */
	const char *unit;               /* for people; NULL: none */
	enum schema_type_id ref;        /* VALUE_REF */
	const char *needs;              /* another parameter that must be set with this one */
	const char *unless;             /* a parameter that makes PARAM_REQUIRED void */
	const char *differs;            /* a parameter that must not have the same value */
	const char *granule;            /* a parameter that must divide the value */
	unsigned since;                 /* schema level; 0: from the start */
	const char *help;               /* one sentence without the final stop */
};

/* Which names an object of the type may have. */
enum schema_name {
	NAME_FIXED,             /* the type has one object: "/cluster" */
	NAME_LABEL,             /* [A-Za-z0-9][A-Za-z0-9._-]{0,62} */
	NAME_HOST,              /* [a-z0-9][a-z0-9-]{0,62}, dots between: a node */
	NAME_ISCSI,             /* iqn. eui. naa. (RFC 7143 4.2.7), lower case */
	NAME_ISCSI_ANY,         /* the same, or "any" */
	NAME_LUN,               /* 0 to 16383, no leading zero */
	NAME_PORTAL,            /* ADDR:PORT or [V6]:PORT */
	NAME_ADDRESS,           /* ADDR-LEN, what people write ADDR/LEN: 10.0.0.9-24, fd00::9-64 */
	NAME_FREE,              /* anything a path may hold */
};

struct schema_type {
	enum schema_type_id id;
	const char *name;               /* "volume" */
	const char *pattern;            /* "/targets/ISCSI-NAME/luns/NUMBER": capitals stand for names */
	enum schema_type_id parent;     /* TYPE_NONE: below a folder only */
	enum schema_name rule;
	bool agreed;                    /* has a desired side */
	bool covered;                   /* observed through its parent: the parent's `applied` speaks for it */
	unsigned since;
	const struct schema_param *params;      /* ends with a NULL name */
	const char *help;
};

/* ---- asking ---- */

extern const struct schema_type schema_types[];  /* TYPE_COUNT rows, by id; row 0 is empty */

/* The row of a type; NULL for TYPE_NONE and what is out of range. */
const struct schema_type *schema_type(enum schema_type_id id);
const struct schema_type *schema_type_named(const char *name);
/* The type an object at `path` has; NULL for folders and paths that are none of ours. Names are not judged. */
const struct schema_type *schema_type_of(const char *path);
/* Is `path` a folder: "/", "/volumes", "/targets/X/luns"? */
bool schema_is_folder(const char *path);
/*
 * The i-th fixed name that stands below `path` ("volumes" below "/", "luns" below "/targets/X"), and the
 * type of the objects below that (NULL for a singleton such as "cluster", whose type is at the path
 * itself). NULL after the last.
 */
const char *schema_folder_at(const char *path, unsigned i);
/* The type of the objects that stand directly in folder `path`; NULL if it holds none. */
const struct schema_type *schema_type_in(const char *path);
/* The parameter; NULL if the type has none of that name. */
const struct schema_param *schema_param(const struct schema_type *t, const char *name);
/* The i-th word of a choice list into out (ATTR_KEY_MAX); NULL after the last. */
const char *schema_choice_at(const struct schema_param *p, unsigned i, char *out);
const char *schema_value_name(enum schema_value v);     /* "size" */
bool schema_secret(const char *path, const char *key);  /* must the value be hidden? */
/* The path of the object a VALUE_REF names, into out (PATH_LEN_MAX). */
void schema_ref_path(const struct schema_param *p, const char *value, char *out);
/* The value or, where it is unset, the default; NULL if neither. */
const char *schema_get(const struct schema_type *t, const struct attrs *as, const char *key);
uint64_t schema_get_uint(const struct schema_type *t, const struct attrs *as, const char *key);
bool schema_get_bool(const struct schema_type *t, const struct attrs *as, const char *key);

/* ---- judging; each gives 0 or ERR_INVAL with `why` filled ---- */

/* The name of an object of type t, normalised into out (PATH_LEN_MAX): iSCSI names and addresses to their one form. */
int schema_name(const struct schema_type *t, const char *name, char *out, struct why *why);
/* One value, normalised into out (ATTR_VALUE_MAX + 1): sizes to bytes, durations to milliseconds … `path` is for the text. */
int schema_value(const struct schema_param *p, const char *path, const char *value, char *out, struct why *why);
/* A path and its names, in normal form already? Which type it is goes to *type. */
int schema_path(const char *path, unsigned level, const struct schema_type **type, struct why *why);
/* The same, but brings the names into normal form: `out` has PATH_LEN_MAX. */
int schema_path_normalise(const char *path, unsigned level, char *out, const struct schema_type **type, struct why *why);
/* One attribute of a change to the desired side: known at `level`, not observed, its value normalised in out. Empty values pass. */
int schema_attr(const struct schema_type *t, unsigned level, const char *path, const char *key, const char *value,
                char *out, struct why *why);
/*
 * A whole desired side after a change: required parameters, `needs`, `differs`. `before` is NULL for a new
 * object; else create-only parameters must be what they were and a volume does not shrink unasked.
 */
int schema_check(const struct schema_type *t, unsigned level, const char *path, const struct attrs *before,
                 const struct attrs *after, struct why *why);

/* ---- parameters of plugins as text ---- */

/* A parameter read from text; the strings are its own. */
struct schema_param_text {
	struct schema_param p;
	char *text;
};

/* "size required live default=1G min=4096 max=… unit=bytes choices=a,b help=…" (help last, to the end). */
void schema_param_text(const struct schema_param *p, struct buf *out);
int schema_param_parse(const char *name, const char *text, struct schema_param_text *out);
void schema_param_text_fini(struct schema_param_text *p);

/* ---- printing ---- */

void schema_json(struct buf *out);      /* a JSON document of all types */
void schema_mdoc(struct buf *out);      /* mdoc for the manual page: one subsection per type */

#endif
