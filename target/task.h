/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one header where target/iscsi and target/scsi meet: a task, that is one SCSI command with its data
 * and its answer. iscsi fills the request half and hands the task over when all its data is there; scsi
 * turns it into block operations and then an answer; iscsi sends that. serve carries the task between them
 * and runs the block operations. Neither room knows the other, and neither does I/O.
 *
 * Memory: a task comes from a `struct task_pool`, which belongs to one thread; its buffers too. They go
 * back with task_put. Nothing here is locked.
 */
#ifndef TARGET_TASK_H
#define TARGET_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TASK_CDB_MAX 32         /* longer CDBs (variable length, 7Fh) are refused */
#define TASK_SENSE_MAX 64
#define TASK_IOV_MAX 16         /* pieces of one block operation */
#define TASK_ALIGN 4096         /* of every buffer: O_DIRECT can use it */
#define TASK_DATA_MAX (16u << 20)       /* bytes of one direction of one command */

/* SAM-5 5.3.1 */
enum scsi_status {
	STATUS_GOOD = 0x00,
	STATUS_CHECK_CONDITION = 0x02,
	STATUS_CONDITION_MET = 0x04,
	STATUS_BUSY = 0x08,
	STATUS_RESERVATION_CONFLICT = 0x18,
	STATUS_TASK_SET_FULL = 0x28,
	STATUS_ACA_ACTIVE = 0x30,
	STATUS_TASK_ABORTED = 0x40,
};

/* RFC 7143 11.3.1 (ATTR) */
enum task_attr { TASK_UNTAGGED, TASK_SIMPLE, TASK_ORDERED, TASK_HEAD_OF_QUEUE, TASK_ACA };

/*
 * A task management function that there is: the row that iscsi dispatches it by (iscsi/tmf.c has them), and what scsi reports of
 * it in REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS (SPC-4 6.36).
 */
struct task_function {
	uint8_t code;                   /* RFC 7143 11.5.1, RFC 7144 4 */
	uint8_t at, bit;                /* byte and bit of the report; bit 0: it is of iSCSI alone */
	uint8_t level;                  /* iSCSIProtocolLevel from which it may be used */
	bool owner;                     /* not the session's own affair: handed to the owner */
	bool plugs;                     /* what is not received of the commands before it counts as received */
};

extern const struct task_function task_functions[];
extern const unsigned n_task_functions;

/* What scsi asks of the storage. serve maps it to the plugin interface. */
enum block_kind {
	BLOCK_READ = 1,
	BLOCK_WRITE,
	BLOCK_FLUSH,
	BLOCK_DISCARD,
	BLOCK_WRITE_ZEROES,
	BLOCK_COMPARE_AND_WRITE,        /* iov: the data to verify, then the data to write, `len` bytes each */
	BLOCK_EXTENTS,                  /* sets at (length of the first run) and hole */
	BLOCK_CHECKSUM,                 /* iov: a digest of 32 bytes for each 64 KiB */
	BLOCK_PAUSE,                    /* nothing, for some 50 ms */
};

#define BLOCK_FUA 1u            /* stable before it completes */
#define BLOCK_MAY_UNMAP 2u
#define BLOCK_DPO 4u
#define BLOCK_LEND 8u           /* READ into `in`, which goes nowhere else: in.p may be the storage's memory instead */
#define BLOCK_ATOMIC 16u        /* a write that is seen whole or not at all */

struct block_iov {
	void *base;
	size_t len;
};

struct block_op {
	enum block_kind kind;
	uint32_t flags;
	uint64_t offset, len;           /* bytes */
	struct block_iov iov[TASK_IOV_MAX];
	unsigned n_iov;
	struct scsi_nexus *nexus;       /* whose unit it goes to; NULL: the task's own */
	/* set at completion */
	int32_t result;                 /* 0 or a negative errno */
	uint8_t key, asc, ascq;         /* sense of the storage, when it knows better; key 0: none */
	bool hole;
	uint64_t at;                    /* EXTENTS: length of the run; COMPARE_AND_WRITE: offset of the miscompare */
};

/* A piece of pooled memory. cap 0: none. */
struct task_buf {
	uint8_t *p;
	uint32_t cap;
};

struct scsi_it;
struct scsi_nexus;
struct scsi_op;
struct scsi_proposal;
struct task_pool;

struct task {
	/* The request: by iscsi. */
	uint8_t lun[8];                 /* SAM-5 4.7 */
	uint8_t cdb[TASK_CDB_MAX];
	uint8_t cdb_len;
	uint8_t attr;                   /* enum task_attr */
	bool read, write;               /* the R and W bits */
	uint32_t expect_in, expect_out; /* bytes the initiator expects to be moved each way */
	struct task_buf out;            /* data-out, and how much of it is here */
	uint32_t out_len;

	/* The answer: by scsi. iscsi sends in[0..in_len) cut to expect_in and works out the residuals. */
	uint8_t status;                 /* enum scsi_status */
	uint8_t sense_len;
	uint8_t sense_head[2];          /* iscsi's: SenseLength stands right before the sense on the wire */
	uint8_t sense[TASK_SENSE_MAX];
	struct task_buf in;             /* with `lent`, of cap 0: p is the storage's own memory */
	uint32_t in_len;                /* bytes the command has for the initiator */
	uint32_t out_want;              /* bytes of data-out the command wanted */

	/* Between: what scsi asks serve to do next (scsi_start and scsi_done say whether there is one). */
	struct block_op op;

	/* scsi's own while it works on the command. */
	struct {
		const struct scsi_it *it;
		struct scsi_nexus *nexus;
		const struct scsi_op *row;
		int (*next)(struct task *);     /* goes on after a block operation */
		void (*drop)(struct task *);    /* see scsi_drop; may be NULL */
		uint64_t lba, blocks;           /* what the CDB names */
		uint64_t done;                  /* progress, in the handler's unit */
		uint32_t step;
		struct task_buf work;           /* a second buffer: compares, patterns */
		struct scsi_proposal *next_kept;        /* with SCSI_KEEP: what is to be kept */
		bool judges;                    /* the handler looks at failed block operations itself */
		bool aborts;                    /* commands of nexuses with `abort` set are to end before it is answered */
		bool drains;                    /* all other commands of the unit are to end before it goes on */
		bool background;                /* scsi_background is to be called for a task of its own */
		bool early;                     /* it may be answered now, GOOD, and goes on alone if it is */
		bool alone;                     /* it was: its outcome is told by other commands, see scsi_over */
	} scsi;

	/* What its session may hold: buffers are counted in *held, up to held_max. NULL: not counted. */
	uint64_t *held, held_max;
	void (*lent)(struct task *);    /* not NULL: task_put calls it when in.p is not needed any more */
	bool aborted;                   /* no answer is sent; the effect of what runs is undefined (SAM-5 7.2) */
	struct task_pool *pool;
	struct task *next;              /* of whoever has the task */
};

/*
 * The pool: tasks of `size` bytes (a struct task at offset 0, the rest the owner's) and aligned buffers in
 * classes of powers of two, both kept for reuse. `bytes_max` bounds the buffers; beyond it task_buf_get
 * fails.
 */
#define TASK_CLASSES 13         /* 4 KiB … 16 MiB */

struct task_pool {
	size_t task_size;
	struct task *free;
	void *bufs[TASK_CLASSES];
	uint64_t bytes, bytes_max;      /* handed out and kept; the bound */
	unsigned n_tasks, n_tasks_max;  /* handed out; the bound */
	unsigned n_free;
};

void task_pool_init(struct task_pool *pool, size_t task_size, uint64_t bytes_max, unsigned n_tasks_max);
/* All tasks must be back. */
void task_pool_fini(struct task_pool *pool);
/* A task, its `struct task` zeroed, the owner's part not; NULL when the pool is at its bound. */
struct task *task_get(struct task_pool *pool);
/* Gives the task and its buffers back, and nulls the pointer. */
void task_put(struct task **task);
/*
 * Memory for at least `n` bytes into `b`, which has none; 0 or ERR_NOMEM. The content is what the last user
 * left.
 */
int task_buf_get(struct task_pool *pool, struct task_buf *b, size_t n);
/* The same for a buffer of `t`, within what its session may hold. */
int task_room(struct task *t, struct task_buf *b, size_t n);
void task_buf_put(struct task_pool *pool, struct task_buf *b);
/* Undoes task_room. */
void task_unroom(struct task *t, struct task_buf *b);
/* Free kept buffers until at most `bytes` are held, and all but a few kept tasks; for idle times. */
void task_pool_trim(struct task_pool *pool, uint64_t bytes);

#endif
