/* SPDX-License-Identifier: Apache-2.0 */
/*
 * director-target's main structs, and who may touch what.
 *
 *   main thread    listens, accepts, speaks to directord (libev)
 *   job threads    control verbs of backstores: they may block; those of one volume one after the other
 *   workers        each an epoll loop with its links (TCP connections), its pool, its backstore queue
 *
 * A link, its connection, session and tasks belong to one worker; a link whose login joins a session is handed to
 * that session's worker before it does, and so all connections of a session meet on one thread and need no lock.
 * (What it costs: one session has one processor. Initiators that want more open more sessions, as they do.)
 * The registry (volumes, targets,
 * sessions by name) is under one lock that the I/O path never takes: a session keeps its own table of LUNs,
 * and is told by message when that changed. A volume lives while `refs` (nexuses of sessions, and the
 * registry) hold it.
 */
#ifndef SERVE_SERVE_H
#define SERVE_SERVE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/log.h"
#include "base/mono.h"
#include "base/pin.h"
#include "proto/target.h"
#include "target/iscsi/conn.h"
#include "target/scsi/op.h"
#include "target/serve/backstore.h"
#include "target/task.h"

#define WORKERS_MAX 64
#define SCRATCH_LEN (256u << 10)        /* bytes of one read beyond what lands in place */

struct link;
struct serve;
struct session;
struct worker;

struct serve_conf {
	const char *socket;             /* of directord */
	const char *state;              /* folder of what units keep */
	unsigned workers;
	uint64_t sanitize_rate;         /* bytes per second, at most */
	uint64_t memory;                /* bytes of data buffers, over all workers */
	unsigned queue_depth;           /* commands of one session */
	uint32_t login_ms, ping_ms;
	unsigned links_max, logins_per_source_max;
	bool follow;                    /* workers go to the processor of their packets (follow.c) */
};

/* ---- messages to a worker: run on its thread; the memory is the message's own business ---- */

struct worker_msg {
	struct worker_msg *next;
	void (*run)(struct worker *w, struct worker_msg *m);
};

/* ---- volumes and targets: under registry.lock, except where it says otherwise ---- */

#define HOLD_STORE 1u                   /* the backstore is not to be used */
#define HOLD_KEPT 2u                    /* what the unit keeps is not known yet */

struct volume {
	struct volume *next, *hash_next;
	struct serve *serve;
	struct target_volume def;
	_Atomic uint64_t epoch;
	/*
	 * NULL: not open. With registry.lock, but for workers: they use it while `hold` has not HOLD_STORE, and it changes
	 * only when all have said that they have seen that.
	 */
	struct backstore *bs;
	bool shaped;                    /* it was open: `lu` is there, and sessions may have views of it. With registry.lock */
	bool lost;                      /* its right is gone: no lease of this epoch counts any more */
	struct target_lease next_lease; /* of an epoch that it is not open under yet */
	struct mono stuck_since;        /* away.c, with registry.lock. 0: it is served */
	bool away;                      /* its initiators are sent elsewhere */
	_Atomic unsigned hold;          /* HOLD_*: commands wait */
	_Atomic uint32_t voids;         /* counts how often what was not answered became void */
	_Atomic uint64_t lease_ms;      /* until when `epoch` may be answered for, CLOCK_BOOTTIME; of a leased volume */
	_Atomic unsigned n_unanswered;  /* answers that wait for the lease */
	_Atomic bool leased, retries;   /* retries: what a lost way has failed is tried again */
	_Atomic bool path_lost;         /* of the store, when it has one way */
	_Atomic bool served;            /* other nodes may forward to `epoch` */
	struct scsi_lu lu;              /* by lu_lock, see scsi/lu.h */
	pthread_mutex_t lu_lock;
	struct serve_task *keeping;     /* its change is being made durable; by lu_lock, as the next */
	struct serve_task *waiting;     /* commands that change it too, the oldest first */
	/* of a unit that nodes agree about, by lu_lock */
	bool kept_known;
	bool proposal_won;              /* it is in effect, and not confirmed */
	uint64_t kept_version, proposal, proposal_of;   /* proposal 0: none is under way */
	struct buf proposed;
	uint64_t sanitize_runs;         /* of the operations that went on here; by lu_lock */
	_Atomic uint64_t sanitizing;    /* the one that may go on now; 0: none */
	unsigned n_nexus;               /* views that sessions have */
	bool discard_zeroes;
	struct scsi_lu inner_lu;        /* as nodes of the cluster see it: no reservations, no groups; by lu_lock */
	struct backstore_share *share;  /* from inner_open to inner_close */
	uint64_t other;                 /* a leg that is another than the one that was claimed: a number of its own */
	struct backstore_stats past;    /* of backstores that were open before */
};

struct target {
	struct target *next, *hash_next;
	struct target_def def;
};

/* A session as others know it: by name. The session itself is its worker's. */
struct session_entry {
	struct session_entry *next;
	uint64_t id;
	struct worker *worker;
	char initiator[ISCSI_NAME_MAX + 1], target[ISCSI_NAME_MAX + 1], alias[256];
	uint8_t isid[6];
	uint16_t tsih;
	bool discovery, dying;
	bool inner, leg;                /* another node's, of `volume` under `epoch` */
	uint8_t volume[16];
	uint64_t epoch;
	struct addr peer, local;
	struct mono since;
	/* written by the worker, read by whoever lists */
	_Atomic uint64_t commands, read_bytes, write_bytes, errors;
	_Atomic unsigned n_links;
};

#define REGISTRY_HASH 1024u

struct registry {
	pthread_mutex_t lock;
	pthread_cond_t released;        /* a volume lost its last nexus */
	struct volume *volumes, *volume_hash[REGISTRY_HASH];
	struct target *targets, *target_hash[REGISTRY_HASH];
	struct session_entry *sessions;
	uint64_t next_session;
	uint16_t next_tsih;
};

/* ---- workers ---- */

/* What a command waits for, on its worker's list (hold.c). */
enum serve_wait {
	WAIT_START,                     /* to begin */
	WAIT_OP,                        /* to submit task.op */
	WAIT_LEASE,                     /* to be answered */
	WAIT_RETRY,                     /* to begin again in a moment; what goes on alone, its latest operation */
};

/* A task with the part of serve. */
struct serve_task {
	struct iscsi_task it;
	struct session *session;        /* NULL: work in the background */
	struct worker *worker;
	struct nexus *nexus;            /* NULL: no LUN */
	struct nexus *reached;          /* views of other units, for a copy between units */
	struct serve_task *next;        /* paused, parked, or waiting for the volume */
	struct serve_task *lent_next, **lent_at;        /* among the nexus's lent */
	struct serve_task *alone_next;  /* among the session's alone */
	struct backstore *lent_by;
	enum serve_wait wait;
	bool touched;                   /* it has reached the medium */
	bool changed;                   /* and has changed it, or may have: it must not begin again */
	bool settled;                   /* what it did is durable, or agreed: it needs no lease, and is never void */
	uint32_t voids, op_voids;       /* of its volume when it began; of the other one that task.op went to */
	uint64_t epoch, op_epoch;
	enum scsi_turn (*resume)(struct task *t);       /* after that wait */
	struct worker_msg retry;
	struct backstore_io bio;
	struct director_iov iov[TASK_IOV_MAX];
	struct director_err err;
};

/* A session's view of one volume. */
struct nexus {
	struct scsi_nexus scsi;         /* first: scsi's pointer is ours */
	struct volume *volume;
	unsigned n_tasks;               /* of this view, running */
	unsigned n_aborting;            /* of these, aborted */
	struct serve_task *lent;        /* answers under way whose data lie in the volume */
	bool gone;                      /* unmapped; goes when n_tasks is 0 and nothing is lent */
	struct nexus *next;
};

struct session {
	struct session *next;
	struct worker *worker;
	struct iscsi_session *is;
	struct session_entry *entry;
	unsigned n_links;               /* with those that have left the session and are not closed yet */
	struct scsi_it it;
	struct nexus *nexuses;          /* with those that are gone */
	struct serve_task *alone;       /* commands that were answered and go on (alone.c) */
};

struct link {
	struct link *next, *prev;
	struct worker *worker;
	int fd;
	struct addr peer, local;
	struct iscsi_conn *conn;
	struct session *session;        /* once logged in */
	bool logged_in;
	struct mono since;
	bool dirty;                     /* on worker->dirty */
	struct link *next_dirty;
	bool want_out;                  /* EPOLLOUT is asked for */
	bool paused;                    /* EPOLLIN is not */
	bool waiting;                   /* for an older session to end, or to be on its way */
	bool looked;                    /* at what may have closed before it came (gone.c) */
	unsigned looks;                 /* of these, not answered yet */
	struct worker *moving_to;       /* where its session is */
	bool inner;                     /* it came to an inner portal */
	bool claimed;                   /* its claim is over, with claim_status */
	enum login_status claim_status;
	uint64_t epoch;                 /* that it logs in under */
	struct claim *claim;            /* under way */
	struct mono wake;
};

/* Waits for aborted tasks of other sessions on a volume (task management that reaches them). */
struct drain;
struct hold_msg;
struct others;
struct look;

/* What a worker knows of where its packets come in. */
struct follow {
	struct pin pin;
	struct link *link;              /* whose command was the last one */
	unsigned now;                   /* commands of this turn of the loop */
};

struct worker {
	struct serve *serve;
	pthread_t thread;
	unsigned index;
	int epfd, bell;                 /* bell: an eventfd, rung by worker_post */
	_Atomic(struct worker_msg *) inbox;
	struct task_pool pool;
	struct backstore_queue *queue;
	struct link *links, *dirty;
	struct session *sessions;
	struct drain *drains;
	struct others *others;          /* commands that one elsewhere waits for */
	struct serve_task *paused;
	struct look *looks;             /* to be answered at the end of the turn */
	struct serve_task *parked, **parked_tail;       /* they wait for their volumes, the oldest first */
	unsigned n_parked;
	uint64_t parked_bytes;
	struct mono retry_due;
	struct hold_msg *holds;         /* who asked us to let go of a volume */
	unsigned n_background;
	_Atomic unsigned n_links;
	struct mono now, next_tick;
	bool stopping, idle;
	bool reap;                      /* a session or a view of one may have ended */
	bool woken;                     /* commands of a session may begin, which waited for others of it */
	struct follow follow;
	uint8_t scratch[SCRATCH_LEN];
};

struct source;
struct claim;
struct inner;

struct serve {
	struct serve_conf conf;
	struct log log;
	struct registry registry;
	struct backstore_host *host;
	struct worker *workers[WORKERS_MAX];
	unsigned n_workers;
	_Atomic uint64_t next_proposal;
	_Atomic unsigned n_idle;        /* workers that stopped and have nothing left: they end together */
	struct mono started;
	uint8_t instance[16];
	pthread_mutex_t sources_lock;
	struct source *sources;         /* connections by address */
	unsigned n_logins;              /* of all sources, not logged in yet; by sources_lock */
	_Atomic unsigned n_links;
	struct control *control;
	struct listen *listen;
	struct keep *keep;
	struct away *away;
	struct inner *inner;
	struct judge *judge;
};

/* worker.c */
int worker_new(struct serve *s, unsigned index, struct worker **out);
/* All drop their links, end their sessions, and end. Before worker_free. */
void workers_stop(struct serve *s);
void worker_free(struct worker **w);
void worker_post(struct worker *w, struct worker_msg *m);
void workers_post_all(struct serve *s, void (*run)(struct worker *w, struct worker_msg *m));
void worker_dirty(struct worker *w, struct link *l);

/* follow.c: where a worker runs. On its thread. */
void follow_init(struct worker *w);
/* A turn of the loop is over. */
void follow_turn(struct worker *w);
void follow_fini(struct worker *w);

/* link.c */
struct link *link_new(struct worker *w, int fd, const struct addr *peer, const struct addr *local);
void link_readable(struct link *l);
/* Run what came in; true: not all of it, send what has been answered (link_send) and call it again. */
bool link_run(struct link *l);
/* Answers to another node, while more commands of it wait. */
void link_send(struct link *l);
/* Send what is to be sent; false: the link is gone. */
bool link_flush(struct link *l);
void link_free(struct link **l);
struct mono link_tick(struct link *l, struct mono now);

/* source.c: connections by source address */
enum source_room { SOURCE_ROOM, SOURCE_CROWDED, SOURCE_FULL };
/* Unless it is full, it counts as a login. Crowded, or full: source_shed makes room. */
enum source_room source_admit(struct serve *s, const struct addr *from);
/* Close connections from there (NULL: from anywhere) whose login has taken too long. */
void source_shed(struct serve *s, const struct addr *from);
void source_logged_in(struct serve *s, const struct addr *from);
void source_gone(struct serve *s, const struct addr *from, bool logged_in);
void sources_fini(struct serve *s);

/* gone.c: what has closed is seen to be gone before a session begins */
void gone_ask(struct link *l);
void gone_answer(struct worker *w);

/* ask.c: the questions of a login, answered from the registry */
void ask_answer(struct link *l);

/* session.c */
struct session *session_new(struct link *l, struct session_entry *e, struct iscsi_session *is);
/* Another connection of it. */
void session_link_add(struct session *ss, struct link *l);
/* The link is gone. */
void session_link_gone(struct session *ss);
struct session *session_find_id(struct worker *w, uint64_t id);
/* All its links may have something to send, or to close. */
void session_dirty(struct session *ss);
/* What became ready because others have ended (iscsi_session.woken) is run: in this turn, or a next one follows. */
void session_wake(struct session *ss);
/* Close all its connections, at once or after a word to the initiator; it ends when they are gone. */
void session_end(struct session *ss, const char *why, bool at_once);
/* Give the LUN table the target's present shape. */
void session_refresh(struct session *ss);
/*
 * If it is closing and nothing of it runs any more, its units are let go; before the last words are sent, so that who
 * comes back after a logout finds them as if the session had never been.
 */
void session_let_go(struct session *ss);
/* Frees it if nobody will come back to it and nothing runs; true if it did. */
bool session_reap(struct session *ss);
void session_publish(struct session *ss);

/* A view of a volume for one command, of whatever target; NULL: this initiator has no way to it. */
struct nexus *session_reach(struct session *ss, unsigned type, const uint8_t *id, unsigned n);
void session_unreach(struct session *ss, struct nexus **views);

/* alone.c: commands that were answered when they began, and go on: copies in the background */
/* If it can be, `st` is answered GOOD now, and is such a one from then on. */
void alone_begin(struct serve_task *st);
/* It has ended; frees it. */
void alone_end(struct serve_task *st);
/* Those of a view (NULL: of all) are to end. */
void alone_abort(struct session *ss, const struct nexus *n);
/* Is one of the view to end, and has not? */
bool alone_aborting(const struct session *ss, const struct nexus *n);

/* exec.c */
void exec_task(struct session *ss, struct task *t);
/* scsi has said how `st` goes on. */
void exec_turn(struct serve_task *st, enum scsi_turn turn);
/* An answer is there, or the task is aborted: the end of it, once there is a lease for it. */
void exec_finish(struct serve_task *st);
/* The same, whatever the lease. */
void exec_answer(struct serve_task *st);
/* Begin (first), or begin again with what hold.c has made new. */
void exec_begin(struct serve_task *st, bool first);
/* Run `fn` with the lock of the volume, when nothing is being kept for it. */
void exec_locked(struct serve_task *st, struct volume *v, enum scsi_turn (*fn)(struct task *t));
/* Those that paused go on; true: there are some still. */
bool exec_tick(struct worker *w);
/* Copy away what a volume has lent on this worker (backstore_queue_recall). */
void exec_recall(void *worker, struct backstore *bs);

/* hold.c: commands that wait for their volume. Those that give false have taken care of the task. */
bool hold_begins(struct serve_task *st, bool first);
/* Task.op goes to `to` now. */
bool hold_submits(struct serve_task *st, struct volume *to);
/* It is back from there with `result`. */
bool hold_completes(struct serve_task *st, struct volume *at, int32_t result);
/* Does `result` say that there is no way to the storage now, and not that it cannot do what was asked? Then it is tried again. */
bool hold_tries_again(const struct volume *v, int32_t result);
/* The answer is given. */
bool hold_answers(struct serve_task *st);
/* All of it is void: it begins again, in a moment or when it may; if it must not, its initiator loses the nexus. */
void hold_void(struct serve_task *st, bool retry);
/* In each turn: those that need not wait any more go on. */
void hold_sweep(struct worker *w);
/* In each turn: those that asked are answered. */
void hold_check(struct worker *w);
/* The worker is no more. */
void hold_forget(struct worker *w);
/* On a job thread: hold it, and if its right is lost all is void that is not answered; back when no worker uses what is held. */
void hold_begin(struct volume *v, unsigned why, bool lost);
void hold_end(struct volume *v, unsigned why);
/* Workers look again. */
void hold_wake(struct serve *s);

/* lease.c */
/* May an answer be given of what was done under `epoch`? Looks at the clock. */
bool lease_holds(const struct volume *v, uint64_t epoch);
/* On the main thread. */
void leases_take(struct serve *s, const struct target_lease *leases, unsigned n);
/* The right of `epoch` (0: whichever) is gone: none of it counts any more. */
void lease_lose(struct serve *s, const uint8_t uuid[16], uint64_t epoch);
/* It is open under v->def.epoch. */
void lease_begin_locked(struct volume *v);

/* background.c: work that goes on without the command that asked for it */
/* As `as` (NULL: nobody). */
void background_start(struct worker *w, struct volume *v, const struct scsi_it *as, enum scsi_turn (*work)(struct task *t));
void background_begin(struct serve_task *st);
/* The sanitize operation of the volume, which goes on while `run` is v->sanitizing. */
void background_sanitize(struct worker *w, struct volume *v, uint64_t run);
/* Of a task without a session: may it go on? */
bool background_goes_on(const struct serve_task *st);
/* sanitize.c: where nodes agree, begin what is owed if it is this node's to do, and stop what is not. */
void sanitize_look(struct volume *v);
/* With registry.lock; after each change of who serves `v`, or of what its unit keeps. */
void sanitize_look_locked(struct volume *v);
void background_end(struct serve_task *st);

/* others.c: commands of preempted nexuses, or all of the unit, end on all workers; then `st` goes on with `turn` */
void others_end(struct serve_task *st, enum scsi_turn turn);
void others_check(struct worker *w);
/* Commands of nexuses that are marked end; then over(arg), on any thread. */
void others_abort(struct serve *s, struct volume *v, void (*over)(void *arg), void *arg);

/* keep.c: what units keep, a file per volume */
int keep_new(struct serve *s, struct keep **out);
void keep_free(struct keep **k);
/* What scsi proposed for st's volume becomes durable; then exec goes on with st, on its worker. */
void keep_put(struct serve_task *st);
/* The change that is being kept for st's volume is, or is not (ERR_*): how it goes on. Others may change the unit now. */
enum scsi_turn keep_over(struct serve_task *st, int err);
/* What was kept, into the volume's unit; negative ERR_* with a sentence given. */
int keep_load(struct serve *s, struct volume *v, char **why);
void keep_drop(struct serve *s, const uint8_t uuid[16]);

/* agree.c: what units keep, where nodes agree about it */
/* As keep_put. */
void agree_propose(struct serve_task *st);
/* To a directord that has come: a client of control.c. */
void agree_propose_again(struct serve *s, uint64_t client);
/* A VOLUME_KEEP, on the main thread. 0: over(arg) is called once all that it ends here has ended; or ERR_*. */
int agree_take(struct serve *s, struct target_msg *m, void (*over)(void *arg), void *arg);
/* The workers end: nothing is waited for any more. */
void agree_stop(struct serve *s);

/* tmf.c */
void tmf_carry_out(struct session *ss, struct iscsi_tmf *tmf);
/* End the tasks that a session has on a LUN, because another asked for it. */
void tmf_end_tasks(struct session *ss, const uint8_t *lun);
void drains_check(struct worker *w);

/* registry.c: all take registry.lock unless their name ends in _locked */
void registry_init(struct registry *r);
void registry_fini(struct registry *r);
struct volume *volume_find_locked(struct registry *r, const uint8_t uuid[16]);
struct target *target_find_locked(struct registry *r, const char *iqn);
void registry_volume_add_locked(struct registry *r, struct volume *v);
void registry_volume_remove_locked(struct registry *r, struct volume *v);
void registry_target_add_locked(struct registry *r, struct target *t);
void registry_target_remove_locked(struct registry *r, struct target *t);
const struct target_host *target_host_for(const struct target_def *t, const char *initiator);
/* Adds; `e` is the registry's from here on. */
void registry_session_add_locked(struct registry *r, struct session_entry *e);
/* Tell an open volume, or those of a target's LUNs, through which ports it is reached. */
void volume_ports_locked(struct registry *r, struct volume *v);
void target_ports_locked(struct registry *r, const struct target_lun *luns, unsigned n);
/* Removes and frees; wakes links that wait for it. */
void registry_session_remove(struct serve *s, struct session_entry **e);

/* inner.c: logins at inner portals */
struct inner *inner_new(struct serve *s);
/* Claims end; after the workers have stopped. */
void inner_stop(struct inner *in);
void inner_free(struct inner **in);
/* Portals and keys, in place of what was. On the main thread. */
void inner_set(struct serve *s, const struct target_inner *want, struct target_msg *reply);
/* The i-th inner portal; false: there are no more. */
bool inner_portal_locked(const struct serve *s, unsigned i, struct addr *a);
/* Did the link come to one? Then `p` is as it must be. */
bool inner_policy_locked(struct link *l, struct login_policy *p);
void inner_proof(struct link *l);
/* May the session begin? False: it waits for its claim, and asks again. */
bool inner_admit(struct link *l, enum login_status *status);
/* Once more, and then `e` is of the volume. */
bool inner_enter_locked(struct link *l, struct session_entry *e);
void inner_link_gone(struct link *l);
/* May what another node forwards under `epoch` be done? */
bool inner_serves(const struct volume *v, uint64_t epoch);
/* Its one LUN is there, or the session ends. */
void inner_refresh(struct session *ss);

/* inner.c: legs and volumes for other nodes, and for stacks of this one (doc/ownership.md 9); on control threads */
/*
 * `bs` was just opened. If it is a leg that somebody has claimed: has it another disk since? Of storage that does not answer `bs` is
 * kept, and NULL. Negative ERR_* with a sentence given.
 */
int inner_judge(struct volume *v, struct backstore **bs, char **why);
/*
 * `bs` is open under v->def.epoch, again after inner_hold too: references (store `volume`) and inner sessions go to it.
 * Of a leg its claimed epoch is read first, and I/O of older ones refused. Negative ERR_* with a sentence given.
 */
int inner_open(struct volume *v, struct backstore *bs, char **why);
/* The unit of inner sessions, by what `bs` is now; nobody's I/O is touched. */
void inner_look(struct volume *v, struct backstore *bs);
/* If it is a leg: what was written and not flushed may be lost. Other nodes have to log in anew, and find it in another life. */
void inner_forgot(struct volume *v, uint64_t life);
/* v->bs is about to be closed, to be opened anew: what references want waits. Inner sessions of a served volume stay. */
void inner_hold(struct volume *v);
/* v->bs is about to be closed for good: references fail, inner sessions end. Idempotent; nothing if it was never open. */
void inner_close(struct volume *v);
/* The volume is removed for ever: so is what its leg has stored. */
void inner_drop(struct serve *s, const uint8_t uuid[16]);

/* judge.c: legs whose disk may be another */
struct judge *judge_new(struct serve *s);
/* After whoever opens volumes has ended; waits for storage that does not answer yet. */
void judge_free(struct judge **j);
/* Or does what was opened for it last still not answer? ERR_TIMEOUT with a sentence given. */
int judge_free_to_open(const struct volume *v, char **why);
/* Does `bs` say what the leg was claimed under, or newer? ERR_TIMEOUT, with *bs taken: it does not answer. */
int judge_leg(const struct volume *v, uint64_t claimed, struct backstore **bs, bool *same, char **why);

/* listen.c */
struct ev_loop;
struct listen *listen_new(struct serve *s, struct ev_loop *loop);
/* Open and close listeners so that they are the portals of all targets. */
void listen_refresh(struct listen *ls);
void listen_free(struct listen **ls);
/* Why a portal of `t` is not open, given; NULL: all are. */
char *listen_trouble(const struct listen *ls, const struct target_def *t);
/* The portals that are open now, into list->portals. */
void listen_list(const struct listen *ls, struct target_list *list);

/* away.c: what is held for long */
struct away *away_new(struct serve *s, struct ev_loop *loop);
void away_free(struct away **a);
/* Are initiators of this target to go elsewhere? */
bool away_locked(struct registry *r, const struct target_def *t);

/* control.c */
struct control *control_new(struct serve *s, struct ev_loop *loop);
/* Finish the jobs that wait, and end their thread. */
void control_stop_jobs(struct control *c);
/* After the workers. */
void control_free(struct control **c);
/* From any thread: an event for directord; `ev` is copied. */
void control_event(struct serve *s, const struct target_event *ev);
/* The same for one client (0: for all). */
void control_event_to(struct serve *s, uint64_t client, const struct target_event *ev);

/* jobs.c: who runs job.c */
typedef void job_done_fn(void *arg, uint64_t client, struct target_msg *reply);
struct jobs *jobs_new(struct serve *s, job_done_fn *done, void *arg);
/* `req` is given. On the main thread. */
void jobs_post(struct jobs *js, uint64_t client, struct target_msg *req);
/* Those that wait are done, then the threads end. */
void jobs_stop(struct jobs **jobs);

/* job.c: control verbs; on job threads */
void job_run(struct serve *s, const struct target_msg *req, struct target_msg *reply);
/* The volume's port groups are those of `def` from now on: of its unit, and (with registry.lock) of its definition. */
void access_set(struct volume *v, const struct target_volume *def);
void groups_take(struct volume *v, const struct target_volume *def);
/* How much room there is below a thin unit: for its thresholds. */
void job_space(struct serve *s, const uint8_t uuid[16]);
/* At the end: workers are gone. */
void job_close_all(struct serve *s);
/* Make and keep the sentence; returns err. */
int job_fail(struct target_msg *reply, int err, const char *fmt, const char *a);
int job_fail_errno(struct target_msg *reply, int e, const struct director_err *de);
void volume_state(struct serve *s, struct volume *v, enum target_state state, const char *error);
/* Open v->def's store, and let sessions see it; or begin again where they do. */
int volume_open(struct serve *s, struct volume *v, struct target_msg *reply);
/* What is not storage is as `want` says. */
int volume_change(struct serve *s, struct volume *v, const struct target_volume *want, struct target_msg *reply);
/* With registry.lock: before v->bs is closed. */
void volume_stats_keep(struct volume *v);

/* switch.c: the store under a volume goes, and another comes; on job threads */
/* Hold and close it, quiet or (the right is gone) at once. */
void switch_freeze(struct serve *s, const struct target_msg *req, struct target_msg *reply);
void switch_hold(struct serve *s, const struct target_msg *req, struct target_msg *reply);
/* To the store of `want`. */
void switch_to(struct serve *s, struct volume *v, const struct target_volume *want, struct target_msg *reply);

#endif
