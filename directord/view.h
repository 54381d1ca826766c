/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The namespace (cluster/names.h, cluster/catalog.h) in the words of the control protocol: the reading
 * half of struct api_ops and the events. Everything here is a translation; it decides nothing.
 */
#ifndef DIRECTORD_VIEW_H
#define DIRECTORD_VIEW_H

#include "cluster/catalog.h"
#include "cluster/names.h"
#include "directord/api.h"

struct view;

/* Borrowed until view_free, or until view_set says that there are others. What happened before is not told. */
struct view *view_new(struct names *n, const struct catalog *c);
void view_free(struct view **v);
void view_set(struct view *v, struct names *n, const struct catalog *c);

/* For api_ops; the runner's own functions of these shapes call them with their view. */
int view_get(struct view *v, const char *path, const struct control_object **o);
bool view_child(struct view *v, const char *path, const char *after, char *out);
int view_history(struct view *v, const char *path, uint64_t before, bool (*fn)(void *fn_arg, const struct control_entry *e),
	void *fn_arg);
int view_blame(struct view *v, const char *path, bool (*fn)(void *fn_arg, const struct control_entry *e), void *fn_arg);
void view_schema(struct view *v, void (*fn)(void *fn_arg, const struct control_type *t), void *fn_arg);
bool view_secret(const char *path, const char *key);

/* The part of a status that the namespace knows: index, objects, pending, failed, and a warning for each that failed. */
void view_status(struct view *v, struct control_status *s);
/* "/tasks/N" if work follows commit `index`, else "" (lent until the next call). */
const char *view_task(struct view *v, uint64_t index);
/* The diff of a dry run as lines of *d. */
void view_diff(const struct diff *diff, struct control_done *d);

/* Tell what happened in the namespace since the last call. */
void view_events(struct view *v, struct api *api);

#endif
