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

/* The target's addresses with each port of its portals. Elsewhere takes precedence over what is listened at here. */
static void address_add(struct plan_action *a, const struct tree *t, const struct object *target, const struct addr *ip,
                        const char *self)
{
	const char *node = address_node(t, target->path);
	const struct object *portal = NULL;
	char folder[PATH_LEN_MAX + 16], text[64];
	uint16_t done[16];
	unsigned n = 0;

	snprintf(folder, sizeof(folder), "%s/portals", target->path);
	while ((portal = tree_child(t, folder, portal)) && n < ARRAY_LEN(done)) {
		struct addr at;
		bool again = addr_parse(path_name(portal->path), 3260, &at) < 0;

		for (unsigned i = 0; i < n; i++)
			again |= done[i] == at.port;
		if (again)
			continue;
		done[n++] = at.port;
		at = *ip;
		at.port = done[n - 1];
		portal_add(a, addr_text(&at, text));
		if (node && strcmp(node, self) == 0)
			continue;
		a->elsewhere = mem_grow(a->elsewhere, &a->cap_elsewhere, a->n_elsewhere, sizeof(*a->elsewhere));
		a->elsewhere[a->n_elsewhere++] = (struct plan_elsewhere){ .address = mem_strdup(text), .tag = tag_of(t, node) };
	}
}

void plan_floating(struct plan_action *a, const struct tree *t, const struct object *target, const char *self)
{
	const struct object *o = NULL;
	char folder[PATH_LEN_MAX + 16];
	struct addr ip;
	unsigned prefix;

	snprintf(folder, sizeof(folder), "%s/addresses", target->path);
	while ((o = tree_child(t, folder, o)))
		if (address_parse(path_name(o->path), &ip, &prefix) == 0)
			address_add(a, t, target, &ip, self);
}
