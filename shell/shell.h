/* SPDX-License-Identifier: Apache-2.0 */
/* The shell's nouns: the session with its options, a command as a row of data, a call of it. */
#ifndef SHELL_SHELL_H
#define SHELL_SHELL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "cluster/obj.h"
#include "director/client.h"

#define SHELL_JSON_VERSION 1    /* of the envelope that -o json prints */
#define WORDS_MAX 256
#define COMMAND_WORDS_MAX 4     /* "/targets/T target address add" */
#define ARGS_MAX 6
#define OPTS_MAX 12
#define PARAMS_MAX 64

/* ---- the session ---- */

struct shell {
	struct director *d;
	struct director_schema *schema;         /* fetched when first needed; shell_schema() */
	char stale_node[64];
	bool stale;                     /* what is shown is the last that a node without quorum knows */
	bool json, no_headers, no_wait, dry_run, quiet;
	bool interactive, script, stop;         /* stop: at the first error of a script */
	bool tty;                               /* standard output is a terminal */
	bool quit;
	bool patient;                           /* the command that runs waits as long as it takes */
	int (*judge)(struct shell *s, const char *path);        /* of the command that runs: did what was waited for reach its aim? Else an error, said */
	uint64_t timeout_ms;                    /* --timeout, for waiting; 0: not given */
	char cwd[PATH_LEN_MAX];
	int in_tx;                              /* is a candidate open? -1: not asked yet */
	const char *running;                    /* the words of the command that runs, for the envelope */
	bool said_json;                         /* the envelope is out */
	uint64_t agreed;                        /* the commit whose work is waited for, and its task: an error then names both */
	const char *agreed_task;
	bool help;                              /* --help or -h was among the words: say what they mean, do nothing */
	bool json_asked;                        /* -o json is among the words, also where an error comes before it is read */
	bool mute;                              /* errors are not said: nobody asked, as in completion */
};

/* The schema, lent; NULL when the daemon cannot be asked (the error is in director_error). */
const struct director_schema *shell_schema(struct shell *s);
/* Is a candidate of this user open here? */
bool shell_in_tx(struct shell *s);
/* With --dry-run, of a command that would act all the same: true, and that is said. */
bool shell_no_trial(struct shell *s);

/* ---- the grammar as data ---- */

/* What a word stands for: says how it is completed. */
enum word_kind {
	WORD_TEXT = 1, WORD_PATH, WORD_FILE, WORD_SIZE, WORD_NUMBER, WORD_DURATION,
	WORD_NODE, WORD_VOLUME, WORD_TARGET, WORD_LUN, WORD_HOST, WORD_PORTAL, WORD_TASK, WORD_PLUGIN, WORD_SESSION,
	WORD_ERROR, WORD_COMMAND, WORD_INITIATOR, WORD_FORMAT, WORD_ADDRESS, WORD_LEG, WORD_BACKSTORE,
};

struct cmd_arg {
	const char *name;               /* "NAME", for people */
	enum word_kind kind;
	bool optional;
	bool rest;                      /* takes all words that are left; they are in call.rest */
};

struct cmd_opt {
	const char *name;               /* "follow" for --follow */
	char letter;                    /* 'm' for -m; 0: none */
	const char *value;              /* "TEXT"; NULL: a flag */
	enum word_kind kind;
	const char *param;              /* the parameter of the schema that it sets; NULL: the command looks at it */
	const char *help;
};

struct call;

struct cmd {
	const char *words;              /* "volume create" */
	struct cmd_arg args[ARGS_MAX];
	struct cmd_opt opts[OPTS_MAX];
	const char *type;               /* type of the schema whose parameters are options, as --key VALUE or key=VALUE */
	const char *help;               /* one sentence */
	int (*run)(struct shell *s, struct call *c);
	bool local;                     /* needs no daemon */
	bool changes;                   /* --dry-run, -m and --key mean something */
	bool only_interactive;
};

struct pair {
	char *key, *value;
};

/* A command with what was given to it. Strings are the line's. */
struct call {
	const struct cmd *cmd;
	const char *arg[ARGS_MAX];              /* NULL: left out */
	const char *opt[OPTS_MAX];              /* value; "" for a flag that is there; NULL */
	const char *rest[WORDS_MAX];
	unsigned n_rest;
	struct pair params[PARAMS_MAX];         /* of the schema */
	unsigned n_params;
	const char *message, *key;              /* -m, --key */
};

extern const struct cmd *const cmd_tables[];    /* each ends with words NULL; NULL at the end */

/* The value of option `name`, "" for a flag, NULL if it is not given. */
const char *call_opt(const struct call *c, const char *name);
const char *call_param(const struct call *c, const char *key);

/* The command that the first words name, and how many words; NULL if none. Longest match. */
const struct cmd *cmd_find(const char *const *words, unsigned n, unsigned *used);
/* How many of the words begin some longer command: 2 of "target address fly". */
unsigned cmd_group(const char *const *words, unsigned n);
/* No command is called so: say it, and what would help. */
int cmd_unknown(struct shell *s, const char *const *words, unsigned n);
/* Words to a call; 0, or an error that has been said. call_fini always. Borrows the words. */
int call_parse(struct shell *s, const char *const *words, unsigned n, struct call *c);
void call_fini(struct call *c);
/* "volume create NAME --size SIZE [--on NODE] …" into `out` (given). */
char *cmd_usage(const struct cmd *c);

/*
 * Options of every command that stand before its words or between them, put behind them: into `out`, which has room for n.
 * Whatever else there is keeps its place.
 */
void words_order(const char *const *words, unsigned n, const char **out);
/* Is -o json among the words? */
bool words_ask_json(const char *const *words, unsigned n);

/* ---- lines ---- */

struct line {
	char *text;                     /* all words, each with its NUL */
	const char *word[WORDS_MAX];
	unsigned n;
	bool open;                      /* an unfinished quote, or the line ends inside a word (for completion) */
};

/*
 * Split into words at blanks; '…', "…" and \ quote; # at the start of a word begins a comment; ';' between commands ends the
 * line: *rest (may be NULL) is then what follows it, else NULL. ERR_INVAL (an open quote, too many words) with *why a sentence.
 */
int line_parse(const char *s, struct line *l, const char **rest, const char **why);
void line_fini(struct line *l);
/* `word` so that line_parse and sh(1) read it back, into `out` (given). */
char *line_quote(const char *word);

/* The noun of the folder where we are ("volume" in /volumes), so that its verbs need no noun; NULL elsewhere. */
const char *shell_noun(const struct shell *s);
/* Run what the words say; an exit status' error code. */
int shell_run(struct shell *s, const char *const *words, unsigned n);
/* Run each command of a line of text. */
int shell_run_line(struct shell *s, const char *text);
int shell_interactive(struct shell *s);

/* ---- saying ---- */

/* An error of the library (director_error), as text and, with -o json, as envelope. Returns its code. */
int say_error(struct shell *s);
/* One of our own. hint may be NULL. Returns code. */
int say_fail(struct shell *s, int code, const char *object, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
/* A line for people: nothing with -q or -o json. */
void say(struct shell *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A remark on standard error, also with -o json; not with -q. */
void say_note(struct shell *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* After what was shown of the tree: without quorum it is the last that this node knows. */
/* Ask whether the node has quorum, before its view is shown: "quorate":false stands beside it in JSON ... */
void say_look(struct shell *s);
void say_if_stale(struct shell *s);     /* ... and a remark after it for people */
/* The envelope with `data` (given), if -o json. */
void say_json(struct shell *s, json_t *data);

/* ---- tables ---- */

enum cell_kind { CELL_TEXT, CELL_SIZE, CELL_NUMBER, CELL_AGE, CELL_TIME, CELL_BOOL };

struct column {
	const char *head;               /* "SIZE" */
	const char *key;                /* in JSON, and the attribute of the object that is shown */
	enum cell_kind kind;
};

struct table;
struct table *table_new(const struct column *columns, unsigned n);
void table_row(struct table *t);                                        /* begin one */
void table_cell(struct table *t, unsigned column, const char *value);   /* canonical text; NULL: nothing */
/* More for the JSON of this row than its columns (given). */
void table_json(struct table *t, const char *key, json_t *value);
/* Print it, as text or as JSON, and free it. */
void table_print(struct shell *s, struct table **t);
void table_free(struct table **t);

/* A cell's text for people, into `out` (given). */
char *cell_text(enum cell_kind kind, const char *value);
json_t *cell_json(enum cell_kind kind, const char *value);

/* ---- objects ---- */

/* The whole object as JSON. */
json_t *object_json(struct shell *s, const struct director_object *o);
/* The same, for the row that was begun last. */
void object_row_json(struct shell *s, struct table *t, const struct director_object *o);
/* `key` wherever it is, else its default by the schema; NULL if none. */
const char *object_value(struct shell *s, const struct director_object *o, const char *key);
/* "ok", "pending: …", "failed: …" into `out` (given). */
char *object_status(const struct director_object *o);
enum cell_kind param_cell(struct shell *s, const char *type, const char *key);
/* Fetch and print all sides of it. */
int object_show(struct shell *s, const char *path);
/* The objects in the order that people expect (v9 before v10), to be freed; they are the list's. */
const struct director_object **object_order(const struct director_list *l);
/* The objects of a folder as a table: columns by attribute; "name", "owner" (whose it is), "status" too. */
/* The same; `value` (may be NULL) gives cells that the object has not: given, or NULL. */
int object_table_with(struct shell *s, const char *folder, uint32_t depth, const char *type, const struct column *cols, unsigned n,
	char *(*value)(void *arg, const struct director_object *o, const char *key), void *arg);
int object_table(struct shell *s, const char *folder, uint32_t depth, const char *type, const struct column *cols, unsigned n);

/* ---- paths ---- */

/* `path` as typed (absolute, or from the cwd, with . and ..) into `out` (PATH_LEN_MAX). 0 or an error that was said. */
int path_of(struct shell *s, const char *typed, char *out);
/* fmt to a path, judged. */
int path_make(struct shell *s, char *out, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* ---- changing ---- */

/* The text of -m into `t`. */
int change_message(struct shell *s, const struct call *c, struct director_txn *t);
/* A command that sets parameters was given none: the error is said. */
int change_nothing(struct shell *s, const struct call *c, const char *path);
/* The parameters of the call into the latest step of `t`. */
int change_params(struct shell *s, const struct call *c, struct director_txn *t);
/*
 * Commit `t` (or add it to the open candidate), wait for what follows, and say what was observed: `path` is the object
 * that it was about, `done` what to say ("created"). Frees t.
 */
int change_commit(struct shell *s, const struct call *c, struct director_txn **t, const char *path, const char *done);
/* As above from the result of a commit on. */
int change_follow(struct shell *s, struct director_result **r, const char *path, const char *done);
/* Wait for a task with progress on a terminal; at most timeout_ms (0: for ever) unless --timeout says otherwise. */
int change_wait(struct shell *s, const char *task, uint64_t timeout_ms);
/* A secret from a file ("-": standard input) into *secret (given); no newline. Without a file, from the terminal. */
int secret_read(struct shell *s, const char *file, const char *prompt, char **secret);

/*
 * Does `t`, or with `undone` its undoing, take from initiators that are logged in what they use? Then it is not done without --force: an
 * error, which was said. A session that has just ended is given a moment to be known as such.
 */
int sessions_refuse(struct shell *s, const struct call *c, const struct director_txn *t, bool undone);

/* ---- completion ---- */

struct words_out {
	char **w;
	unsigned n, cap;
	bool no_space;                  /* the word is not finished by it (a folder, "key=") */
};

/* What may stand in the place of the last, unfinished word of `text`. Each is the whole word. */
void complete_line(struct shell *s, const char *text, struct words_out *out);
void words_out_fini(struct words_out *out);

/* ---- help ---- */

/* All about the command that the words begin with, or a list of those that they could; n 0: of all. */
int help_print(struct shell *s, const char *const *words, unsigned n);
void help_error_names(struct words_out *out, const char *prefix);

#endif
