/* SPDX-License-Identifier: Apache-2.0 */
/*
 * director/plugin.h - the one header a plugin compiles against.
 *
 * A plugin is a shared object that exports one symbol, `director_plugin`, through DIRECTOR_PLUGIN().
 * It resolves no symbol of the host: everything it may call arrives in `struct director_host`, so the
 * same file loads in director-target, in the process beside directord and in director-plugin-test.
 *
 * ABI rules. Both sides state their major, minor and struct sizes. Fields are only ever appended; a
 * field beyond the other side's size is absent (NULL, 0). A plugin of another major is refused with a
 * sentence. Nothing here blocks: block I/O is asynchronous, control verbs have deadlines.
 */
#ifndef DIRECTOR_PLUGIN_H
#define DIRECTOR_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DIRECTOR_PLUGIN_MAGIC 0x44495250u       /* "DIRP" */
#define DIRECTOR_ABI_MAJOR 1u
#define DIRECTOR_ABI_MINOR 2u

enum director_plugin_kind {
	DIRECTOR_BACKSTORE = 1, /* block storage; loaded by director-target */
	DIRECTOR_FABRIC,        /* drives a target module */
	DIRECTOR_DEVICE,        /* finds local media */
	DIRECTOR_ADDRESS,
	DIRECTOR_FENCE,
	DIRECTOR_NOTIFY,
};

/* ---- parameters: a table, so that the host parses, validates, completes, documents and hides ---- */

enum director_param_type {
	DIRECTOR_P_STRING = 1,
	DIRECTOR_P_UINT,
	DIRECTOR_P_BOOL,        /* "yes" or "no" */
	DIRECTOR_P_SIZE,        /* bytes; written as 10G; value is the decimal number of bytes */
	DIRECTOR_P_DURATION,    /* milliseconds; written as 250ms, 10s; value is decimal milliseconds */
	DIRECTOR_P_PATH,        /* absolute path of the host's file system */
	DIRECTOR_P_ENUM,        /* one word of `choices` */
};

#define DIRECTOR_PF_REQUIRED 1u
#define DIRECTOR_PF_SECRET   2u /* never shown, never logged */
#define DIRECTOR_PF_LIVE     4u /* may be given to reconfigure() */

struct director_param {
	const char *name;               /* lower case, digits, '-' */
	uint32_t type;                  /* enum director_param_type */
	uint32_t flags;                 /* DIRECTOR_PF_* */
	const char *value;              /* the default as it would be written; NULL: none */
	const char *choices;            /* DIRECTOR_P_ENUM: "a b c" */
	uint64_t min, max;              /* numbers; both 0: no bounds */
	const char *unit;               /* for people; NULL: none */
	const char *help;               /* one sentence, for completion and manual page */
};

/*
 * The checked parameters of one object. Borrowed for the call. The host has filled in defaults and
 * normalised the values (sizes and durations to plain decimal numbers), so a plugin never parses units.
 */
struct director_conf {
	uint32_t struct_size;
	/* The value of `name`, lent for the call; NULL if it is unset and has no default. */
	const char *(*get)(const struct director_conf *, const char *name);
	uint64_t (*get_uint)(const struct director_conf *, const char *name, uint64_t if_unset);
};

/* ---- errors: a negative errno, SCSI sense when the plugin knows better, and text for the user ---- */

struct director_err {
	uint32_t struct_size;
	int32_t code;                   /* negative errno */
	uint8_t key, asc, ascq;         /* SCSI sense; key 0: the host chooses from `code` */
	uint8_t reserved;
	char text[252];                 /* for the person who typed the command, wherever that was */
};

/* ---- what the host offers ---- */

enum director_level { DIRECTOR_LOG_WARN = 1, DIRECTOR_LOG_INFO, DIRECTOR_LOG_DEBUG };

enum director_event_kind {
	DIRECTOR_EV_RESIZED = 1,        /* value: the new size in bytes */
	DIRECTOR_EV_PATH_LOST,
	DIRECTOR_EV_PATH_BACK,
	DIRECTOR_EV_DEGRADED,
	DIRECTOR_EV_HEALTHY,
	DIRECTOR_EV_MEDIA_ERROR,        /* value: the byte offset */
	DIRECTOR_EV_PROGRESS,           /* value: done, of: total */
	DIRECTOR_EV_SPACE_LOW,          /* value: bytes left */
	DIRECTOR_EV_LEG_FAILED,         /* value: the child, of: its turn; it must be out of sync before what waits is answered */
	DIRECTOR_EV_LEG_READY,          /* value: the child, of: its turn; it has all and may be called in sync */
	DIRECTOR_EV_LOST,               /* it answers nothing any more: close it, and open it under a new epoch */
	DIRECTOR_EV_SCRUBBED,           /* a scrub is over. value: regions compared, of: regions that differed */
	DIRECTOR_EV_REPAIRED,           /* of it, or of a read. value: regions made equal, of: regions that could not be */
	/*
	 * What was written and not flushed may be lost: a server elsewhere may have started anew. value: caps.life from now on. It is
	 * told before any I/O that was answered after that ends; the next flush fails with -EIO.
	 */
	DIRECTOR_EV_FORGOT,
	/* value: the child, which carries another volume and is left alone, of: how that one's identity begins (8 bytes); 0: no more */
	DIRECTOR_EV_LEG_FOREIGN,
};

struct director_io;
struct director_caps;
struct director_bs;                     /* a backstore as the host hands it to a stacked one; opaque */

/*
 * Services of the host; valid from init() to fini(). Every function may be called from any thread
 * unless it says otherwise.
 */
struct director_host {
	uint32_t struct_size, abi_major, abi_minor, reserved;
	void *arg;                      /* given back as the first argument of every call */
	/* One line of log, without newline. The host adds subject and object. */
	void (*log)(void *arg, int level, const char *line);
	/* Something happened to the object opened with `owner` (the handle given to open). */
	void (*event)(void *arg, void *owner, uint32_t kind, uint64_t value, uint64_t of);
	/*
	 * Complete `io`, exactly once: 0, or a negative errno. After it `io` belongs to the host again.
	 * Sense data may be put into io->sense before. -EAGAIN: nothing of it was done, and it may be asked for again. Any
	 * other error of an operation that changes content: it may have been done, or a part of it, or be done yet (-ENOTCONN).
	 */
	void (*io_done)(void *arg, struct director_io *io, int32_t result);
	/* CLOCK_BOOTTIME in nanoseconds. */
	uint64_t (*now_ns)(void *arg);
	/*
	 * Call fn(fn_arg) once, `ms` from now, on some host thread. For delays and retries; not for I/O.
	 * Returns 0 or -ENOMEM.
	 */
	int (*after_ms)(void *arg, uint32_t ms, void (*fn)(void *fn_arg), void *fn_arg);
	/*
	 * For stacked backstores, valid from open() to close(): a child named in the object's parameters
	 * (its index, from 0), its capabilities, and I/O to it. Child I/O completes by a call of
	 * io->done(io, result) on any thread.
	 * A filter submits I/O of its own, or passes on the very io that it was given: then it
	 * does not call io_done for it and never sees it again.
	 */
	struct director_bs *(*child)(void *arg, void *owner, uint32_t index);
	int (*child_caps)(void *arg, struct director_bs *child, struct director_caps *caps);
	void (*child_submit)(void *arg, struct director_bs *child, struct director_io *io);
	/*
	 * Since ABI 1.1. Try again to open a child that is missing (DIRECTOR_CHILDREN_MAY_MISS): 0, and child()
	 * gives it from now on; or why not. -EINPROGRESS: it takes time, ask again. Only on a thread that the plugin made itself.
	 */
	int (*child_open)(void *arg, void *owner, uint32_t index, struct director_err *err);
	/*
	 * Since ABI 1.2. For the object's own resize() only (DIRECTOR_CHILDREN_KEEP_SIZE): make a child `size` bytes long.
	 * A child that cannot be told its size (another's) looks how long it is by now: 0 if that is enough.
	 */
	int (*child_resize)(void *arg, void *owner, uint32_t index, uint64_t size, struct director_err *err);
};

/* ---- kind BACKSTORE ---- */

enum director_op {
	DIRECTOR_READ = 1,
	DIRECTOR_WRITE,
	DIRECTOR_FLUSH,                 /* all writes completed before it are stable */
	DIRECTOR_DISCARD,               /* a hint; the content becomes undefined or zero (caps.discard_zeroes) */
	DIRECTOR_WRITE_ZEROES,
	DIRECTOR_COMPARE_AND_WRITE,     /* iov: verify data then write data, `len` bytes each; -EILSEQ: miscompare at io->at */
	DIRECTOR_EXTENTS,               /* allocation of [offset, offset + len): sets io->at (length of the first run), io->flags_out */
	DIRECTOR_CHECKSUM,              /* since ABI 1.2. iov is filled with a digest of each DIRECTOR_CHECKSUM_GROUP bytes from offset
	                                 * on (the last group may be shorter): BLAKE2b with 32 bytes of output and no key */
};

#define DIRECTOR_CHECKSUM_GROUP 65536u
#define DIRECTOR_CHECKSUM_SIZE  32u

#define DIRECTOR_IOF_FUA        1u      /* stable before it completes */
#define DIRECTOR_IOF_MAY_UNMAP  2u      /* WRITE_ZEROES may deallocate */
#define DIRECTOR_IOF_DPO        4u      /* will not be needed again soon */

#define DIRECTOR_EXT_HOLE       1u      /* flags_out: not allocated, reads as zeroes */

struct director_iov {
	void *base;
	size_t len;
};

/*
 * One operation. The submitter's memory; the backstore's from submit() to io_done(). offset and len
 * are bytes, multiples of caps.block_size, inside the size. The buffers stay in place until completion;
 * they are aligned to caps.align.
 */
struct director_io {
	uint32_t struct_size;
	uint16_t op;                    /* enum director_op */
	uint16_t flags;                 /* DIRECTOR_IOF_* */
	uint64_t offset, len;
	const struct director_iov *iov;
	uint32_t n_iov;
	uint32_t flags_out;             /* DIRECTOR_EXT_* */
	uint64_t at;                    /* see the operations */
	uint64_t epoch;                 /* of the owner that sends it; see fence() */
	struct director_err *sense;     /* may be NULL */
	/* The submitter's completion. A plugin that receives `io` must use host->io_done instead. */
	void (*done)(struct director_io *io, int32_t result);
	void *user;                     /* the submitter's */
	void *plugin[4];                /* the receiver's, while it has the io */
};

#define DIRECTOR_CAP_FLUSH        0x0001u
#define DIRECTOR_CAP_FUA          0x0002u
#define DIRECTOR_CAP_DISCARD      0x0004u
#define DIRECTOR_CAP_ZERO         0x0008u
#define DIRECTOR_CAP_CAW          0x0010u       /* compare-and-write is atomic with all other I/O of this object */
#define DIRECTOR_CAP_EXTENTS      0x0020u
#define DIRECTOR_CAP_RESIZE       0x0040u
#define DIRECTOR_CAP_READ_ONLY    0x0080u
#define DIRECTOR_CAP_VOLATILE     0x0100u       /* content does not survive the process (ram) */
#define DIRECTOR_CAP_WRITE_CACHE  0x0200u       /* completed writes may be lost until a flush */
#define DIRECTOR_CAP_DISCARD_ZEROES 0x0400u
#define DIRECTOR_CAP_MULTI_WRITER 0x0800u       /* several nodes may open it at once without harm */
#define DIRECTOR_CAP_ROTATIONAL   0x1000u
#define DIRECTOR_CAP_NO_CONTENT   0x2000u       /* what is written is lost, reads give zeroes (null) */
#define DIRECTOR_CAP_CHECKSUM     0x4000u

/* What a backstore is and can. What it cannot, the host emulates (FUA by flush, zeroes by writes, compare). */
struct director_caps {
	uint32_t struct_size;
	uint32_t flags;                 /* DIRECTOR_CAP_* */
	uint64_t size;                  /* bytes */
	uint32_t block_size;            /* logical block: 512 or 4096 */
	uint32_t physical_block;        /* bytes; a multiple of block_size */
	uint32_t align;                 /* of buffers, bytes; at least 1 */
	uint32_t max_io;                /* bytes of one READ or WRITE; 0: no bound */
	uint64_t max_discard;           /* bytes; 0: no bound */
	uint32_t discard_granularity;   /* bytes */
	uint32_t optimal_io;            /* bytes; 0: unknown */
	/*
	 * Since ABI 1.2. Another number once what was written and not flushed may have been lost (the machine that has it in
	 * memory started anew); 0: unknown.
	 */
	uint64_t life;
	/*
	 * Since ABI 1.2. What must be atomic (COMPARE_AND_WRITE) does not cross a multiple of so many bytes: such a one is
	 * refused with -EINVAL, and others are passed on as they are; 0: there are no seams.
	 */
	uint32_t seam;
	uint32_t reserved;
};

enum director_threads {
	DIRECTOR_THREADS_ASYNC = 1,     /* submit() never blocks; called from any thread, also at once */
	DIRECTOR_THREADS_BLOCKING,      /* submit() may block; the host gives it workers, several at once */
	DIRECTOR_THREADS_SERIAL,        /* as BLOCKING, one call at a time */
};

#define DIRECTOR_THREADS_TURNS 1u       /* see thread_fd */

/* How an object ends: see stop(). */
enum director_stop {
	DIRECTOR_STOP_QUIET = 1,        /* in order: make all stable, and mark that nothing was under way */
	DIRECTOR_STOP_LOST,             /* somebody else may have the right to the storage: touch it no more */
};

#define DIRECTOR_CHILDREN_MAY_MISS 1u   /* open() is called though some could not be opened: child() gives NULL for those */
#define DIRECTOR_CHILDREN_KEEP_SIZE 2u  /* a new size of the object is not theirs: its resize() sees to it, or it has none */

/*
 * The life of an object: check -> create (once in its life) -> open -> submit … -> close -> destroy.
 * Every step may be repeated after a crash and then succeeds if it is already done.
 */
struct director_backstore_ops {
	uint32_t struct_size;
	uint32_t threads;               /* enum director_threads */
	/* Pure: can these parameters work? Must not touch the storage. NULL: yes. */
	int (*check)(void *priv, const struct director_conf *, struct director_err *);
	/* Make the storage (a file of `size` bytes). Exists with the same size: 0. NULL: nothing to make. */
	int (*create)(void *priv, const struct director_conf *, uint64_t size, struct director_err *);
	/* Open for I/O under `epoch`. `owner` is what events carry. *obj is the plugin's. */
	int (*open)(void *priv, const struct director_conf *, void *owner, uint64_t epoch, void **obj, struct director_err *);
	int (*caps)(void *obj, struct director_caps *);
	void (*submit)(void *obj, struct director_io *);
	/*
	 * Optional batching for ASYNC plugins: submit() calls between plug() and unplug() on one thread may
	 * be held back until unplug(). NULL: none.
	 */
	void (*plug)(void *obj);
	void (*unplug)(void *obj);
	/* Parameters marked LIVE changed. NULL: none can. */
	int (*reconfigure)(void *obj, const struct director_conf *, struct director_err *);
	/* Grow (or shrink) to `size` bytes. */
	int (*resize)(void *obj, uint64_t size, struct director_err *);
	/* Refuse I/O whose epoch is older than `epoch` from now on, durably (-ESTALE). NULL: the host does it in memory. */
	int (*fence)(void *obj, uint64_t epoch, struct director_err *);
	/* No I/O is outstanding. Without stop() before it: as well as it can, in order. */
	void (*close)(void *obj);
	/* Remove the storage for ever. Absent already: 0. NULL: nothing to remove. */
	int (*destroy)(void *priv, const struct director_conf *, struct director_err *);
	/* How many children (other backstores) an object has, 0 for none; stacked backstores only. */
	uint32_t n_children;
	uint32_t threads_flags;         /* DIRECTOR_THREADS_*, since ABI 1.2 */
	/*
	 * Optional, for ASYNC plugins that complete on the thread that submitted (a ring per thread, say).
	 * thread_fd: a descriptor of the calling thread, the plugin's, the same at each call: it polls
	 * readable while completions of I/O that this thread submitted wait. The host calls it on a thread
	 * before the first submit there, and then calls reap on that thread when the descriptor is readable,
	 * and whenever it is convenient besides; reap delivers what waits and never blocks. thread_exit: the
	 * thread has no I/O left in this plugin and will submit no more.
	 * With these the host calls submit only on threads that also reap. A negative errno: without.
	 * DIRECTOR_THREADS_TURNS: on others, too. thread_fd is called only on threads that wait for nothing but their descriptors,
	 * and reap may do there what the I/O of all threads needs. What waits for a turn of such a thread must not be what one of
	 * them may wait for: control verbs run on other threads.
	 */
	int (*thread_fd)(void *priv);
	void (*reap)(void *priv);
	void (*thread_exit)(void *priv);
	/*
	 * Optional, for content that lies in memory anyway: where [offset, offset + len) is, so that a read can do
	 * without a copy. Called from any thread, in the place of a READ. The memory is readable until close(). The host
	 * submits no write while anything is lent; for that, submit() completes each I/O before it returns.
	 * NULL: not now; then a READ comes.
	 */
	const void *(*lend)(void *obj, uint64_t offset, uint64_t len);
	/*
	 * Optional, for thin storage: the bytes that this object takes, and how many more it could have (which others
	 * may take first). May block; never called beside other verbs. 0 or a negative errno.
	 */
	int (*space)(void *obj, uint64_t *used, uint64_t *available);
	/* Since ABI 1.1. From n_children to so many children; 0: exactly n_children. */
	uint32_t n_children_max;
	uint32_t children_flags;        /* DIRECTOR_CHILDREN_* */
	/*
	 * Since ABI 1.2. Optional; before close(), parents before their children; how is of enum director_stop.
	 * QUIET: no I/O is outstanding and none will come. 0, or a negative errno: it could not; it is closed all the same.
	 * LOST: complete what is outstanding, with -ESTALE what has not succeeded, as soon as its memory is not used any
	 * more, wait for nobody's word, submit nothing, flush nothing. I/O that comes after it gets -ESTALE. Both
	 * may block, but LOST not for long.
	 */
	int (*stop)(void *obj, uint32_t how, struct director_err *);
};

/* ---- kind DEVICE ---- */

struct director_device {
	uint32_t struct_size;
	const char *name;               /* stable and unique on the node: "sda", "wwn-0x5000c500a1b2c3d4" */
	const char *path;               /* to open it with the block or file backstore */
	const char *kind;               /* "disk", "partition", "lvm", "file", "loop" … */
	uint64_t size;                  /* bytes */
	uint32_t block_size;
	uint32_t flags;                 /* DIRECTOR_DEV_* */
	const char *model, *serial, *wwn;       /* NULL: unknown */
	const char *used_by;            /* NULL: free; else what occupies it ("ext4 on /", "partition table") */
};

#define DIRECTOR_DEV_ROTATIONAL 1u
#define DIRECTOR_DEV_READ_ONLY  2u
#define DIRECTOR_DEV_REMOVABLE  4u

struct director_device_ops {
	uint32_t struct_size;
	uint32_t reserved;
	/* Call found(arg, dev) for each device; dev is borrowed for that call. */
	int (*scan)(void *priv, const struct director_conf *,
	            void (*found)(void *arg, const struct director_device *dev), void *arg, struct director_err *);
};

/* ---- the exported struct ---- */

struct director_plugin {
	uint32_t magic;                 /* DIRECTOR_PLUGIN_MAGIC */
	uint32_t struct_size;           /* sizeof(struct director_plugin) of the plugin's build */
	uint32_t abi_major, abi_minor;
	uint32_t kind;                  /* enum director_plugin_kind */
	uint32_t reserved;
	const char *name;               /* "file": lower case, digits, '-' */
	const char *version, *license, *summary;
	/*
	 * Ends with a NULL name; NULL: none. A backstore that cannot learn its size from its storage (ram)
	 * has a DIRECTOR_P_SIZE named "size"; the host fills it with the size of the volume.
	 */
	const struct director_param *params;
	/* Once after loading; *priv is given to the verbs. NULL: nothing to do. */
	int (*init)(const struct director_host *host, void **priv);
	void (*fini)(void *priv);
	const struct director_backstore_ops *backstore;
	const struct director_device_ops *device;
};

#if defined(__GNUC__)
#define DIRECTOR_EXPORT __attribute__((visibility("default")))
#else
#define DIRECTOR_EXPORT
#endif

/* At file scope: DIRECTOR_PLUGIN(.kind = DIRECTOR_BACKSTORE, .name = "example", …); */
#define DIRECTOR_PLUGIN(...) \
	extern DIRECTOR_EXPORT const struct director_plugin director_plugin; \
	DIRECTOR_EXPORT const struct director_plugin director_plugin = { \
		.magic = DIRECTOR_PLUGIN_MAGIC, .struct_size = sizeof(struct director_plugin), \
		.abi_major = DIRECTOR_ABI_MAJOR, .abi_minor = DIRECTOR_ABI_MINOR, __VA_ARGS__ }

#ifdef __cplusplus
}
#endif
#endif
