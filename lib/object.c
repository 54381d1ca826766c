/* SPDX-License-Identifier: Apache-2.0 */
/* Objects and lists of them, as the caller sees them. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "lib/priv.h"

struct director_object *object_new(struct control_object *from)
{
	static const uint8_t zero[16];
	struct director_object *o = mem_zalloc(sizeof(*o));

	o->o = *from;
	*from = (struct control_object){ 0 };
	if (memcmp(o->o.uuid, zero, 16) != 0)
		text_uuid(o->o.uuid, o->uuid);
	return o;
}

void object_free(struct director_object *o)
{
	if (!o)
		return;
	control_object_fini(&o->o);
	free(o);
}

void director_object_free(struct director_object **o)
{
	object_free(*o);
	*o = NULL;
}

const char *director_object_path(const struct director_object *o)
{
	return o->o.path;
}

const char *director_object_name(const struct director_object *o)
{
	return path_name(o->o.path);
}

const char *director_object_type(const struct director_object *o)
{
	return o->o.type;
}

const char *director_object_uuid(const struct director_object *o)
{
	return o->uuid;
}

uint64_t director_object_generation(const struct director_object *o)
{
	return o->o.generation;
}

enum director_converged director_object_status(const struct director_object *o)
{
	return (enum director_converged)o->o.status;
}

const char *director_object_reason(const struct director_object *o)
{
	return o->o.reason ? o->o.reason : "";
}

static bool attr_at(const struct attrs *as, size_t i, const char **key, const char **value)
{
	if (i >= as->n)
		return false;
	*key = as->a[i].key;
	*value = as->a[i].value;
	return true;
}

const char *director_object_desired(const struct director_object *o, const char *key)
{
	return attrs_get(&o->o.desired, key);
}

bool director_object_desired_at(const struct director_object *o, size_t i, const char **key, const char **value)
{
	return attr_at(&o->o.desired, i, key, value);
}

const char *director_object_derived(const struct director_object *o, const char *key)
{
	return attrs_get(&o->o.derived, key);
}

bool director_object_derived_at(const struct director_object *o, size_t i, const char **key, const char **value)
{
	return attr_at(&o->o.derived, i, key, value);
}

size_t director_object_observers(const struct director_object *o)
{
	return o->o.n_seen;
}

const char *director_object_observer(const struct director_object *o, size_t i, uint64_t *age_ms)
{
	if (i >= o->o.n_seen)
		return NULL;
	if (age_ms)
		*age_ms = o->o.seen[i].age_ms;
	return o->o.seen[i].node;
}

const char *director_object_observed(const struct director_object *o, size_t i, const char *key)
{
	return i < o->o.n_seen ? attrs_get(&o->o.seen[i].attrs, key) : NULL;
}

bool director_object_observed_at(const struct director_object *o, size_t i, size_t j, const char **key, const char **value)
{
	return i < o->o.n_seen && attr_at(&o->o.seen[i].attrs, j, key, value);
}

const char *director_object_value(const struct director_object *o, const char *key)
{
	const char *v = attrs_get(&o->o.derived, key);

	for (unsigned i = 0; !v && i < o->o.n_seen; i++)
		v = attrs_get(&o->o.seen[i].attrs, key);
	return v ? v : attrs_get(&o->o.desired, key);
}

/* ---- lists ---- */

size_t director_list_n(const struct director_list *l)
{
	return l->n;
}

const struct director_object *director_list_at(const struct director_list *l, size_t i)
{
	return i < l->n ? l->o[i] : NULL;
}

void director_list_free(struct director_list **p)
{
	struct director_list *l = *p;

	if (!l)
		return;
	*p = NULL;
	for (unsigned i = 0; i < l->n; i++)
		object_free(l->o[i]);
	free(l->o);
	free(l);
}
