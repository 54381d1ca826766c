/* SPDX-License-Identifier: Apache-2.0 */
/* The runner's insides, shared by run*.c alone. */
#ifndef DIRECTORD_RUN_INT_H
#define DIRECTORD_RUN_INT_H

#include <ev.h>

#include "base/buf.h"
#include "cluster/cluster.h"
#include "directord/conf.h"
#include "directord/identity.h"
#include "directord/run.h"
#include "proto/seal.h"

struct answer;
struct corosync;
struct cpg;
struct discover;
struct drive;
struct floataddr;
struct mesh;
struct netaddr;
struct plugins;
struct seeds;
struct store;
struct store_image;
struct udp;

/* A datagram that waits for the incarnation to be durable. */
struct held {
	struct addr to;
	size_t len;
	uint8_t *bytes;
};

struct run {
	struct ev_loop *loop;
	struct conf *conf;
	struct log *log;
	struct identity id;
	char name[CARD_NAME_MAX];
	char *volumes;                  /* the folder of files of volumes */
	struct cluster *cluster;
	struct cluster_out out;
	bool left;                      /* goodbye is said: nothing is stepped any more */
	bool reset;                     /* the agreed state is to be forgotten, once the output is done */
	ev_timer wake;

	/* run_net.c */
	struct udp *udp;
	struct mesh *mesh;
	struct seal seal;
	struct keys keys;               /* those in the seal */
	struct netaddr *netaddr;
	struct discover *discover;
	struct seeds *seeds;
	struct held *held;
	unsigned n_held, cap_held;
	bool holding;                   /* datagrams wait for `incarnation_put` */
	double knocks;                  /* proofs of strangers that may be looked at */
	struct mono knocks_at, refused_at;
	struct buf opened, plain, wire; /* scratch */

	/* run_disk.c */
	struct store *store;
	uint64_t act_seq;               /* numbers puts that are not agreement's, from the top of the range */
	uint32_t incarnation;           /* durable: at least every one that was used */
	uint32_t incarnation_put;       /* on its way */
	ev_timer members;               /* who to remember, written lazily */

	/* run_facts.c */
	struct run_kept *kept;
	unsigned n_kept, cap_kept;

	/* run_ring.c */
	struct corosync *corosync;
	struct cpg *cpg;
	ev_timer ring_poll;
	uint64_t ring_written, ring_active;
	bool ring_running, ring_asked;
	unsigned ring_polls;
	uint32_t ring_self, ring_nodes[128];    /* the host's ring: our nodeid, its node list, votequorum's word */
	unsigned n_ring_nodes;
	bool ring_quorate;
	struct addr ring_addr[ROSTER_ADDRS_MAX];        /* ours for the ring, as found; they stay while they are there */
	unsigned n_ring_addr;

	/* run_host.c */
	struct drive *drive;
	struct answer *answer;
	struct plugins *plugins;
	struct floataddr *floataddr;
	bool target_heard, target_there;
	ev_timer host, status, scan_later;
	uint64_t scan_members;          /* whom it saw when it was put off */
	unsigned scan_tries;
	ev_io uevents;
	char **device;                  /* names of the last scan, sorted */
	unsigned n_devices;
	char **scan;                    /* of the one under way */
	unsigned n_scan;
	bool scanning, scan_again;
	unsigned looks;                                 /* by host_look's timer, while they are counted */
	struct {                                        /* of this machine, by host_look */
		struct mono at;
		uint64_t space, memory, load, refused;
		struct addr refused_last;
	} told;
	char *debug;                    /* subjects asked for through the API */

	ev_timer bye;
	void (*left_fn)(void *arg);
	void *left_arg;
};

/* Step with the time of this turn, and do what comes out. */
void run_step(struct run *r, struct cluster_in *in);
void run_done(struct run *r, uint64_t act, int err, const char *text);

/* ---- run_net.c: datagrams, mesh, discovery ---- */
int run_net_open(struct run *r, char **why);
void run_net_begin(struct run *r);      /* discovery and seeds, once the cluster runs */
void run_net_close(struct run *r);
void run_net_out(struct run *r, const struct cluster_out *out);
void run_net_peer(struct run *r, const struct cluster_act *a);
void run_net_publish(struct run *r);
void run_net_reconf(struct run *r);
void run_net_again(struct run *r);      /* look for others anew */
void run_seal_keys(struct run *r, const struct keys *ks);
void run_release(struct run *r);        /* the incarnation is durable */
unsigned run_own_addrs(struct run *r, struct addr out[CARD_ADDRS_MAX]);
void run_ring_addrs(struct run *r, const struct addr *own, unsigned n);         /* to r->ring_addr */

/* ---- run_disk.c: the store, the key file ---- */
/* What was found, as the cluster wants it; points into the image. */
struct run_disk {
	struct agree_disk agree;
	struct agree_snap *snap;
	struct agree_entry *entry;
	const struct agree_entry **entries;
	struct cluster_record *record;
	struct addr addr[256];
	struct cluster_disk disk;
};
int run_disk_open(struct run *r, struct store_image *image, char **why);
void run_disk_close(struct run *r);
/* 0, or ERR_MALFORMED with a sentence. */
int run_disk_read(struct run *r, const struct store_image *image, struct run_disk *d, char **why);
void run_disk_fini(struct run_disk *d);
void run_disk_put(struct run *r, struct agree_put **put, unsigned n);
void run_disk_record(struct run *r, const struct cluster_act *a);
void run_disk_incarnation(struct run *r, uint32_t incarnation);
void run_disk_members(struct run *r);
/* Forget all agreed state; the node's own numbers stay. */
int run_disk_wipe(struct run *r, char **why);
int run_keys_load(struct run *r, struct keys *ks, char **why);
int run_keys_store(struct run *r, const struct keys *ks, char **why);

/* ---- run_facts.c: other nodes' facts, from one process to the next ---- */
void run_facts_read(struct run *r);     /* after run_disk_open, before anything is put */
void run_facts_give(struct run *r);     /* to the cluster that has started */
void run_facts_save(struct run *r);     /* what changed */
void run_facts_close(struct run *r);

/* ---- run_ring.c: Corosync ---- */
void run_ring_open(struct run *r);
void run_ring_begin(struct run *r);     /* tell the cluster, which is there now, what runs already */
void run_ring_close(struct run *r);
void run_ring_act(struct run *r, const struct cluster_act *a);
void run_ring_cast(struct run *r, const struct cluster_cast *c);
void run_ring_reset(struct run *r);

/* ---- run_host.c: director-target, plugins, devices, the API, what the host is like ---- */
void run_host_init(struct run *r);      /* before the first step, which may tell of changes already */
int run_host_open(struct run *r, char **why);
void run_host_close(struct run *r);
void run_host_plan(struct run *r, const struct cluster_act *a);
void run_host_devices(struct run *r);
void run_host_inner(struct run *r);
void run_host_lease(struct run *r, const struct cluster_act *a);
void run_host_keep(struct run *r, const struct cluster_act *a);
void run_host_flush(struct run *r);
void run_host_changed(struct run *r);   /* the namespace changed */
char *run_volumes_dir(const struct run *r);     /* given */
void run_host_bind(struct run *r);      /* r->cluster is another one: before its first step */
void run_host_cluster(struct run *r);   /* the cluster was made anew and has started */

#endif
