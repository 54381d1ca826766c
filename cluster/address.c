/* SPDX-License-Identifier: Apache-2.0 */
/* Floating addresses, read out of the agreed objects. */
#include "cluster/address.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/own.h"
#include "cluster/volume.h"

int address_parse(const char *name, struct addr *ip, unsigned *prefix)
{
	const char *dash = strrchr(name, '-');
	char text[64];
	uint64_t len;

	if (!dash || dash == name || (size_t)(dash - name) >= sizeof(text) || text_u64_parse(dash + 1, &len) < 0 || len > 128)
		return ERR_INVAL;
	snprintf(text, sizeof(text), "%.*s", (int)(dash - name), name);
	if (addr_parse(text, 0, ip) < 0 || ip->port || ip->scope)
		return ERR_INVAL;
	*prefix = (unsigned)len;
	return 0;
}

const struct object *address_lun(const struct tree *t, const char *target)
{
	const struct object *lun = NULL, *first = NULL;
	char luns[PATH_LEN_MAX + 8];
	uint64_t lowest = 0, number;

	snprintf(luns, sizeof(luns), "%s/luns", target);
	while ((lun = tree_child(t, luns, lun))) {
		if (text_u64_parse(path_name(lun->path), &number) < 0 || (first && number >= lowest))
			continue;
		first = lun;
		lowest = number;
	}
	return first;
}

const struct object *address_volume(const struct tree *t, const char *target)
{
	const struct object *lun = address_lun(t, target), *v;
	char path[PATH_LEN_MAX];

	if (!lun)
		return NULL;
	schema_ref_path(schema_param(lun->type, "volume"), attrs_get(&lun->attrs, "volume"), path);
	v = tree_get(t, path);
	return v && volume_is_striped(v) ? volume_shard(t, v, 0) : v;
}

const char *address_node(const struct tree *t, const char *target)
{
	const struct object *v = address_volume(t, target);
	struct own_row row;

	if (!v)
		return NULL;
	if (!volume_row(t, v, &row))
		return attrs_get(&v->attrs, "node");
	return node_id_none(&row.owner) ? NULL : volume_node_name(t, &row.owner);
}

/* ---- one address, one target ---- */

struct taken {
	struct addr ip;
	const char *path;
};

static int taken_cmp(const void *a, const void *b)
{
	return addr_cmp(&((const struct taken *)a)->ip, &((const struct taken *)b)->ip);
}

static int two(const char *one, const char *other, struct why *why)
{
	return why_set(why, ERR_EXIST, "%.180s: the address is that of %.180s already", one, other);
}

/* Those that are agreed and stay, against the sorted new ones. */
static int check_agreed(const struct overlay *o, const struct taken *now, unsigned n, struct why *why)
{
	const struct object *target = NULL;
	char folder[PATH_LEN_MAX + 16];

	while ((target = tree_child(o->base, "/targets", target))) {
		const struct object *old = NULL;

		snprintf(folder, sizeof(folder), "%s/addresses", target->path);
		while ((old = tree_child(o->base, folder, old))) {
			const struct taken *hit;
			struct taken probe;
			unsigned prefix;

			if (address_parse(path_name(old->path), &probe.ip, &prefix) < 0)
				continue;
			hit = bsearch(&probe, now, n, sizeof(*now), taken_cmp);
			if (hit && strcmp(hit->path, old->path) != 0 && overlay_get(o, old->path))
				return two(hit->path, old->path, why);
		}
	}
	return 0;
}

int address_check_unique(const struct overlay *o, struct why *why)
{
	const struct overlay_item *it = NULL;
	struct taken *now = NULL;
	unsigned n = 0, cap = 0, prefix;
	int err = 0;

	while ((it = overlay_next(o, it))) {
		if (!it->after || it->before || it->after->type->id != TYPE_ADDRESS)
			continue;
		now = mem_grow(now, &cap, n, sizeof(*now));
		now[n].path = it->path;
		if (address_parse(path_name(it->path), &now[n].ip, &prefix) == 0)
			n++;
	}
	if (n) {
		qsort(now, n, sizeof(*now), taken_cmp);
		for (unsigned i = 1; err == 0 && i < n; i++)
			if (addr_eq(&now[i].ip, &now[i - 1].ip))
				err = two(now[i].path, now[i - 1].path, why);
		if (err == 0)
			err = check_agreed(o, now, n, why);
	}
	free(now);
	return err;
}
