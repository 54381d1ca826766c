/* SPDX-License-Identifier: Apache-2.0 */
/* Short ways to build and apply transactions, for the tests of the namespace. */
#ifndef TESTS_UNIT_TXNS_H
#define TESTS_UNIT_TXNS_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "cluster/catalog.h"
#include "cluster/txn.h"
#include "tests/unit/check.h"

/* One operation as text: "+ PATH key=value key=value", "~ PATH …", "- PATH". */
static inline void txn_op_text(struct txn *t, const char *text)
{
	char copy[8192], *save = NULL, *word;
	struct txn_op *op;

	snprintf(copy, sizeof(copy), "%s", text);
	word = strtok_r(copy, " ", &save);
	op = txn_add(t, word[0] == '+' ? TXN_CREATE : word[0] == '~' ? TXN_SET : TXN_DELETE, strtok_r(NULL, " ", &save));
	while ((word = strtok_r(NULL, " ", &save))) {
		char *eq = strchr(word, '=');

		*eq = '\0';
		attrs_set(&op->attrs, word, eq + 1);
	}
}

/* A transaction with its own request id, from operations that end with NULL. */
static inline struct txn txn_of(const char *first, ...)
{
	static unsigned n;
	struct txn t = { .time_ms = 1000 + n };
	va_list ap;

	n++;
	snprintf((char *)t.request_id, sizeof(t.request_id), "r%u", n);
	t.author = mem_strdup("root");
	t.node = mem_strdup("n1");
	t.message = mem_strdup("test");
	va_start(ap, first);
	for (const char *s = first; s; s = va_arg(ap, const char *))
		txn_op_text(&t, s);
	va_end(ap);
	return t;
}

/* Apply at the next index and free; gives the result. */
static inline struct catalog_result apply(struct catalog *c, struct txn t)
{
	struct catalog_result r;

	catalog_apply(c, catalog_applied(c) + 1, &t, &r);
	txn_fini(&t);
	return r;
}

#define APPLY_OK(c, ...) do { \
		struct catalog_result r_ = apply((c), txn_of(__VA_ARGS__, NULL)); \
		if (r_.err) { \
			fprintf(stderr, "%s:%d: refused: %s: %s\n", __FILE__, __LINE__, err_name(r_.err), r_.why.text); \
			exit(1); \
		} \
	} while (0)

/* Refused with this code and a text that has `words` in it, changing nothing but index and window. */
#define APPLY_FAILS(c, code, words, ...) do { \
		struct hash_sum before_ = *tree_hash(catalog_tree(c)); \
		struct catalog_result r_ = apply((c), txn_of(__VA_ARGS__, NULL)); \
		if (r_.err != (code) || !strstr(r_.why.text, words)) { \
			fprintf(stderr, "%s:%d: wanted %s with \"%s\", got %s: %s\n", __FILE__, __LINE__, err_name(code), \
			        words, err_name(r_.err), r_.why.text); \
			exit(1); \
		} \
		CHECK(memcmp(&before_, tree_hash(catalog_tree(c)), sizeof(before_)) == 0); \
	} while (0)

#define IQN "iqn.2026-01.org.example:t"

/* Three nodes, one volume on each, one target with a lun, a host and a portal. */
static inline struct catalog *small_cluster(void)
{
	struct catalog *c = catalog_new();

	APPLY_OK(c, "+ /cluster name=lab", "+ /nodes/n1 id=00000000000000000000000000000001",
	         "+ /nodes/n2 id=00000000000000000000000000000002", "+ /nodes/n3 id=00000000000000000000000000000003");
	APPLY_OK(c, "+ /volumes/v1 size=1G node=n1", "+ /volumes/v2 size=2G node=n2", "+ /volumes/v3 size=3G node=n3");
	APPLY_OK(c, "+ /targets/" IQN, "+ /targets/" IQN "/luns/0 volume=v1", "+ /targets/" IQN "/hosts/any",
	         "+ /targets/" IQN "/portals/[::]:3260");
	return c;
}

#endif
