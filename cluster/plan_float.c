/* SPDX-License-Identifier: Apache-2.0 */
/* The plan's part about floating addresses: every node listens at them, one is said to be where they are. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cluster/address.h"
#include "cluster/plan_int.h"

static uint16_t tag_of(const struct tree *t, const char *node)
{
	char path[PATH_LEN_MAX];
	const struct object *o;

	snprintf(path, sizeof(path), "/nodes/%.200s", node ? node : "");
	o = node ? tree_get(t, path) : NULL;
	return o ? (uint16_t)schema_get_uint(o->type, &o->attrs, "portal-group") : 0;
}

static void portal_add(struct plan_action *a, const char *text)
{
	a->portals = mem_grow(a->portals, &a->cap_portals, a->n_portals, sizeof(*a->portals));
	a->portals[a->n_portals++] = mem_strdup(text);
}

static void address_at(struct plan_action *a, const struct tree *t, const struct addr *at, const char *node, const char *self)
{
	bool here = node && strcmp(node, self) == 0;
	char text[64];

	if (!here && a->n_elsewhere == ELSEWHERE_MAX)
		return;
	portal_add(a, addr_text(at, text));
	if (here)
		return;
	a->elsewhere = mem_grow(a->elsewhere, &a->cap_elsewhere, a->n_elsewhere, sizeof(*a->elsewhere));
	a->elsewhere[a->n_elsewhere++] = (struct plan_elsewhere){ .address = mem_strdup(text), .tag = tag_of(t, node) };
}

#define PORTS_MAX 16

/* Each port of the target's portals, once. */
static unsigned ports(const struct plan_action *a, const struct tree *t, const char *target, uint16_t port[PORTS_MAX])
{
	const struct object *portal = NULL;
	char folder[PATH_LEN_MAX + 16];
	struct addr at;
	unsigned n = 0;

	snprintf(folder, sizeof(folder), "%s/portals", target);
	while (n < PORTS_MAX && (portal = tree_child(t, folder, portal))) {
		bool again = addr_parse(path_name(portal->path), 3260, &at) < 0;

		for (unsigned i = 0; i < n; i++)
			again |= port[i] == at.port;
		if (!again)
			port[n++] = at.port;
	}
	if (n == 0 && a->n_portals && addr_parse(a->portals[0], 3260, &at) == 0)
		port[n++] = at.port;
	return n;
}

/* What is elsewhere takes precedence over what is listened at here. */
void plan_floating(struct plan_action *a, const struct tree *t, const struct object *target, const char *self, const char *portal)
{
	const char *node = address_node(t, target->path);
	const struct object *o = NULL;
	char folder[PATH_LEN_MAX + 16];
	uint16_t port[PORTS_MAX];
	unsigned n, prefix;
	struct addr ip;
	bool bare;

	snprintf(folder, sizeof(folder), "%s/portals", target->path);
	bare = tree_count_in(t, folder) == 0;
	snprintf(folder, sizeof(folder), "%s/addresses", target->path);
	if (tree_count_in(t, folder) == 0)
		return;
	if (bare)
		portal_add(a, portal);
	n = ports(a, t, target->path, port);
	while ((o = tree_child(t, folder, o))) {
		if (address_parse(path_name(o->path), &ip, &prefix) < 0)
			continue;
		for (unsigned i = 0; i < n; i++) {
			ip.port = port[i];
			address_at(a, t, &ip, node, self);
		}
	}
}
