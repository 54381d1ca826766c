/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets stop here: what leaves the daemon in a read says that one is set, never which. */
#include <stdlib.h>
#include <string.h>

#include "directord/api_priv.h"

static bool is_secret(const struct api *api, const char *path, const char *key)
{
	return api->conf.ops->secret(api->conf.ops_arg, path, key);
}

static void mask_attrs(const struct api *api, const char *path, const struct attrs *as, struct attrs *out)
{
	*out = (struct attrs){ .n = as->n, .cap = as->n };
	out->a = as->n ? mem_dup(as->a, as->n * sizeof(*as->a)) : NULL;
	for (unsigned i = 0; i < as->n; i++)
		if (*as->a[i].value && is_secret(api, path, as->a[i].key))
			out->a[i].value = (char *)CONTROL_SECRET;
}

void api_mask_object(const struct api *api, const struct control_object *o, struct control_object *out)
{
	*out = *o;
	mask_attrs(api, o->path, &o->desired, &out->desired);
	mask_attrs(api, o->path, &o->derived, &out->derived);
	out->seen = o->n_seen ? mem_dup(o->seen, o->n_seen * sizeof(*o->seen)) : NULL;
	for (unsigned i = 0; i < o->n_seen; i++)
		mask_attrs(api, o->path, &o->seen[i].attrs, &out->seen[i].attrs);
}

void api_mask_object_fini(struct control_object *out)
{
	free(out->desired.a);
	free(out->derived.a);
	for (unsigned i = 0; i < out->n_seen; i++)
		free(out->seen[i].attrs.a);
	free(out->seen);
}

void api_mask_txn(const struct api *api, const struct txn *t, struct txn *out)
{
	*out = *t;
	out->ops = t->n_ops ? mem_dup(t->ops, t->n_ops * sizeof(*t->ops)) : NULL;
	for (unsigned i = 0; i < t->n_ops; i++)
		mask_attrs(api, t->ops[i].path, &t->ops[i].attrs, &out->ops[i].attrs);
}

void api_mask_txn_fini(struct txn *out)
{
	for (unsigned i = 0; i < out->n_ops; i++)
		free(out->ops[i].attrs.a);
	free(out->ops);
}
