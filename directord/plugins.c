/* SPDX-License-Identifier: Apache-2.0 */
#include "directord/plugins.h"
#include <stddef.h>
struct plugins *plugins_new(const struct plugins_conf *c) { return NULL; }
void plugins_free(struct plugins **p) { }
void plugins_scan(struct plugins *p, void (*done)(void *arg), void *arg) { }
void plugins_probe(struct plugins *p, const char *file, void (*done)(void *arg, const struct plugins_result *), void *arg) { }
void plugins_run(struct plugins *p, const char *name, const char *verb, const char *in, void (*done)(void *arg, const struct plugins_result *), void *arg) { }
void plugins_each(const struct plugins *p, void (*fn)(void *arg, const char *name, const struct attrs *), void *arg) { }
int plugins_unquarantine(struct plugins *p, const char *name) { return 0; }
void plugins_devices(struct plugins *p, void (*found)(void *arg, const char *name, const struct attrs *), void (*done)(void *arg, int err, const char *text), void *arg) { }
