/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's answers to the API: what clients read comes out of the cluster's namespace, what they ask
 * for goes into it as a request. Sits between directord/api.h and cluster/cluster.h; decides nothing.
 */
#ifndef DIRECTORD_ANSWER_H
#define DIRECTORD_ANSWER_H

#include <stdint.h>

#include "base/log.h"
#include "cluster/cluster.h"

struct ev_loop;
struct answer;
struct plugins;

struct answer_conf {
	struct ev_loop *loop;
	const struct log *log;
	const char *socket, *state;     /* see struct api_conf */
	const char *version;
	uint64_t stream;
	struct plugins *plugins;        /* for plugin.probe and plugin.reset; may be NULL */
	/* Step the cluster with this request (borrowed). Its reply, maybe from inside, goes to answer_reply. */
	void (*request)(void *arg, const struct cluster_request *r);
	/* Debug subjects were asked for ("gossip,agree", "all", ""). */
	void (*debug)(void *arg, const char *subjects);
	void *arg;
};

/* Binds the socket. 0 or ERR_*, logged. `cluster` is lent until answer_cluster says another. */
int answer_new(struct answer **a, const struct answer_conf *conf, struct cluster *cluster);
void answer_free(struct answer **a);
/* The cluster was made anew (after CLUSTER_ACT_RESET); everything is told again. */
void answer_cluster(struct answer *a, struct cluster *cluster);
/* Replies of the output, each once. */
void answer_reply(struct answer *a, const struct cluster_reply *r);
/* out.names_changed: tell who follows. */
void answer_changed(struct answer *a);

#endif
