/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ownership, lease and legs of one mirrored volume, as small as they can be: doc/ownership.md. Which node
 * reaches which is the choice of who stores, echoes and receives. Time goes in ticks; a lease is LEASE of them.
 * Values only rise, so a leg that is in sync and holds less than what was acknowledged has lost a write.
 *
 *   I1  acknowledged <= every in-sync leg, when something is answered
 *   I2  the epochs of answers never go back
 *   I3  only legs in sync are read or make an owner; a leg is called in sync when it has all
 *
 * A successor waits for the lease of the first owner, or no longer than that one's silence makes necessary. Clocks run alike here, and
 * words come at once: silence.pml has that rule with clocks that do not, datagrams that take their time, and losses of power.
 *
 * -DNODES=2|3, and to see that it can fail: -DNO_LEASE -DNO_FENCE -DNO_OUT -DNO_ECHO -DNO_END -DNO_WAIT -DSILENT_LIE -DSILENT_PLACE
 */
#ifndef NODES
#define NODES 3
#endif
#define LEGS 2
#ifndef LEASE
#define LEASE 1
#endif
#ifndef EPOCHS
#define EPOCHS 3
#endif
#ifndef WRITES
#define WRITES 2
#endif
#ifndef CHANGES
#define CHANGES 4               /* committed in all: bounds the log */
#endif
#define NOBODY 7
#define BIT(i) (1 << (i))
#define ALL (BIT(LEGS) - 1)
#if NODES == 2
#define MAJORITY(m) ((m) == 3)
#else
#define MAJORITY(m) ((m) == 3 || (m) == 5 || (m) == 6 || (m) == 7)
#endif

/* The agreed row, and the log: how many changes are committed, and how many each voter has on disk. */
byte owner = NOBODY, epoch = 0, left = 0, insync = ALL, changes = 0;
byte turn[3], stored[3];

/* What each node has applied of it. */
byte a_owner[3], a_epoch[3], a_in[3], a_changes[3];

/* Its director-target. */
byte opened[3], used[3];    /* the epoch, 0: closed; the last one it was opened under: never again */
byte claimed[3];            /* legs, while it opens */
byte lease[3], wait[3]; /* ticks left */
byte join[3];               /* legs that count for writes and are being asked in */
byte join_turn[3];

/*
 * The newest beat: its age, and the log's end of another voter that echoed it, plus one. With two or three voters
 * one other and oneself are a majority; one's own log's end counts like the other's.
 */
byte beat_on[3], beat_age[3], echoed[3], own_end[3];

/* Ticks since each voter echoed the owner of the first epoch; of two voters none but that one and the asker could say so. */
byte first = NOBODY, since[3];

/* One write of each node: its value, epoch, the legs it is under way to, and those it failed at. */
byte w_value[3], w_epoch[3], w_way[3], w_failed[3];

/* The legs, and a write that its sender gave up and that may still arrive. */
byte value[3], fence[3], ghost[3], ghost_epoch[3];

byte acked = 0, next = 1, answered = 0;

#ifdef NO_ECHO
#define COUNTS(n) (1)
#elif defined(NO_END)
#define COUNTS(n) (echoed[n] != 0)
#else
#define COUNTS(n) (echoed[n] != 0 && echoed[n] <= a_changes[n] + 1 && own_end[n] <= a_changes[n])
#endif
#ifdef NO_OUT
#define ALL_HAVE(n) (1)
#else
#define ALL_HAVE(n) ((w_failed[n] & (a_in[n] | join[n])) == 0)
#endif

#ifdef SILENT_LIE
#define SILENT(v) LEASE
#else
#define SILENT(v) since[v]
#endif
#ifdef SILENT_PLACE
#define HAS_TAKE(n, v) (1)
#else
#define HAS_TAKE(n, v) (stored[v] >= a_changes[n])
#endif

inline echo(n, v) {
	echoed[n] = stored[v] + 1;
	since[v] = (NODES == 3 && first == n -> 0 : since[v])
}

inline commit(n) {
	/* Any majority with the proposer in it has it on disk. */
	changes++;
	if
	:: MAJORITY(BIT(n) | BIT((n + 1) % NODES)) -> stored[n] = changes; stored[(n + 1) % NODES] = changes
	:: NODES == 3 -> stored[n] = changes; stored[(n + 2) % NODES] = changes
	fi
}

inline apply(n) {
	if
	:: a_epoch[n] != epoch ->
		if
		:: owner == n ->
			if
			:: left + 1 >= epoch -> wait[n] = 0
			:: a_owner[n] == n && a_epoch[n] + 1 == epoch && opened[n] == 0 && wait[n] == 0 -> skip
			:: else -> wait[n] = LEASE
			fi
		:: else -> wait[n] = 0
		fi;
		opened[n] = 0;
		claimed[n] = 0;
		join[n] = 0;
		lease[n] = 0
	:: else
	fi;
	a_owner[n] = owner;
	a_epoch[n] = epoch;
	a_in[n] = insync;
	a_changes[n] = changes;
	stored[n] = changes
}

#ifdef NO_LEASE
#define SERVES(n) (opened[n] != 0 && opened[n] == a_epoch[n])
#elif defined(NO_WAIT)
#define SERVES(n) (opened[n] != 0 && opened[n] == a_epoch[n] && lease[n] > 0)
#else
#define SERVES(n) (opened[n] != 0 && opened[n] == a_epoch[n] && lease[n] > 0 && wait[n] == 0)
#endif

inline answer(n) {
	assert(opened[n] >= answered);                  /* I2 */
	answered = opened[n]
}

#ifdef NO_FENCE
#define STALE(l, e) (0)
#else
#define STALE(l, e) (fence[l] > (e))
#endif

inline land(n, l) {
	if
	:: STALE(l, w_epoch[n]) ->
		if
		:: opened[n] == w_epoch[n] -> opened[n] = 0     /* succeeded: it stops */
		:: else
		fi
	:: else -> value[l] = w_value[n]
	fi;
	w_way[n] = w_way[n] & ~BIT(l)
}

#define OWNS(n) (a_owner[n] == n && a_epoch[n] > 0)

inline node_step(n) {
	if
	/* ---- agreement ---- */
	:: a_changes[n] < changes -> apply(n)
	:: n < LEGS && epoch < EPOCHS && changes < CHANGES && a_changes[n] == changes && (insync & BIT(n)) && opened[n] == 0 ->
		owner = n;
		epoch++;
		first = (NODES == 3 && epoch == 1 -> n : first);
		commit(n)
	:: OWNS(n) && epoch < EPOCHS && changes < CHANGES && opened[n] == epoch && wait[n] == 0 && w_value[n] == 0 ->
		if
		:: n != 0 && (insync & 1) -> opened[n] = 0; lease[n] = 0; left = epoch; owner = 0; epoch++; commit(n)
		:: n != 1 && (insync & 2) -> opened[n] = 0; lease[n] = 0; left = epoch; owner = 1; epoch++; commit(n)
		:: else -> skip
		fi

	/* ---- the lease ---- */
	:: OWNS(n) && (beat_on[n] == 0 || beat_age[n] > 0) && opened[n] != 0 -> beat_on[n] = 1; beat_age[n] = 0; echoed[n] = 0; own_end[n] = stored[n]
	:: beat_on[n] == 1 && echoed[n] == 0 -> echo(n, (n + 1) % NODES)
	:: NODES == 3 && beat_on[n] == 1 && echoed[n] == 0 -> echo(n, (n + 2) % NODES)
	/* Two of three have been silent to the former owner, and have the take: the asker, and who is neither. */
	:: NODES == 3 && OWNS(n) && wait[n] > 0 && a_epoch[n] == 2 && first != n && HAS_TAKE(n, 3 - n - first) &&
	   since[n] > 0 && SILENT(3 - n - first) > 0 ->
		wait[n] = LEASE - (since[n] < SILENT(3 - n - first) -> since[n] : SILENT(3 - n - first))
	:: OWNS(n) && beat_on[n] == 1 && beat_age[n] < LEASE && lease[n] < LEASE - beat_age[n] && COUNTS(n) -> lease[n] = LEASE - beat_age[n]

	/* ---- opening: each in-sync leg is claimed, or put out ---- */
	:: OWNS(n) && opened[n] == 0 && used[n] != a_epoch[n] ->
		if
		:: (a_in[n] & 1 & ~claimed[n]) && fence[0] <= a_epoch[n] -> fence[0] = a_epoch[n]; claimed[n] = claimed[n] | 1
		:: (a_in[n] & 2 & ~claimed[n]) && fence[1] <= a_epoch[n] -> fence[1] = a_epoch[n]; claimed[n] = claimed[n] | 2
		:: (a_in[n] & claimed[n]) == a_in[n] && fence[n] == a_epoch[n] && (a_in[n] & BIT(n)) && w_value[n] == 0 ->
			/* They are made equal: unless one is another's by now, which is then seen. */
			if
			:: (a_in[n] & 1) && fence[0] == a_epoch[n] -> value[0] = value[n]
			:: else
			fi;
			if
			:: (a_in[n] & 2) && fence[1] == a_epoch[n] -> value[1] = value[n]
			:: else
			fi;
			opened[n] = a_epoch[n];
			used[n] = a_epoch[n]
		:: else
		fi

	/* ---- reads ---- */
	:: SERVES(n) && w_value[n] == 0 ->
		if
		:: (a_in[n] & 1) && !STALE(0, opened[n]) -> assert(value[0] >= acked); answer(n)        /* I1, I3 */
		:: (a_in[n] & 2) && !STALE(1, opened[n]) -> assert(value[1] >= acked); answer(n)
		:: else
		fi

	/* ---- writes ---- */
	:: opened[n] != 0 && w_value[n] == 0 && next <= WRITES ->
		w_value[n] = next;
		next++;
		w_epoch[n] = opened[n];
		w_way[n] = a_in[n] | join[n];
		w_failed[n] = 0
	:: (w_way[n] & 1) -> land(n, 0)
	:: (w_way[n] & 2) -> land(n, 1)
	:: w_way[n] != 0 ->             /* given up; it may still arrive */
		if
		:: (w_way[n] & 1) -> w_failed[n] = w_failed[n] | 1; w_way[n] = w_way[n] & ~1; ghost[0] = w_value[n]; ghost_epoch[0] = w_epoch[n]
		:: (w_way[n] & 2) -> w_failed[n] = w_failed[n] | 2; w_way[n] = w_way[n] & ~2; ghost[1] = w_value[n]; ghost_epoch[1] = w_epoch[n]
		fi
	:: w_value[n] != 0 && w_way[n] == 0 && SERVES(n) && opened[n] == w_epoch[n] && ALL_HAVE(n) && (a_in[n] & ~w_failed[n]) != 0 ->
		acked = (w_value[n] > acked -> w_value[n] : acked);
		answer(n);
		w_value[n] = 0
	:: w_value[n] != 0 && w_way[n] == 0 && opened[n] != w_epoch[n] -> w_value[n] = 0

	/* ---- a leg goes out, or comes in ---- */
	:: OWNS(n) && changes < CHANGES && epoch == a_epoch[n] ->
		if
		/* One that failed a write, or that cannot be claimed. */
		:: (((w_failed[n] & (a_in[n] | join[n])) | (opened[n] == 0 -> a_in[n] & ~claimed[n] : 0)) & 1) && (insync & ~1) ->
			insync = insync & ~1; turn[0]++; join[n] = join[n] & ~1; commit(n); apply(n)
		:: (((w_failed[n] & (a_in[n] | join[n])) | (opened[n] == 0 -> a_in[n] & ~claimed[n] : 0)) & 2) && (insync & ~2) ->
			insync = insync & ~2; turn[1]++; join[n] = join[n] & ~2; commit(n); apply(n)
		/* Copied whole; from here on it gets the writes. Logging in anew has ended what was under way to it. */
		:: n == 0 && opened[n] != 0 && opened[n] == a_epoch[n] && w_value[n] == 0 && !((a_in[n] | join[n]) & 2) && fence[1] <= opened[n] &&
		   (a_in[n] & 1) && !STALE(0, opened[n]) ->
			fence[1] = opened[n]; value[1] = value[0]; join[n] = join[n] | 2; join_turn[n] = turn[1];
			if
			:: ghost_epoch[1] == opened[n] -> ghost[1] = 0; ghost_epoch[1] = 0
			:: else
			fi
		:: (join[n] & 2) && opened[n] == epoch && join_turn[n] == turn[1] && (w_failed[n] & 2) == 0 ->
			insync = insync | 2; turn[1]++; join[n] = join[n] & ~2; commit(n); apply(n)
		:: else
		fi

	/* ---- its director-target dies ---- */
	:: opened[n] != 0 -> opened[n] = 0; claimed[n] = 0; join[n] = 0; lease[n] = 0
	:: else
	fi
}

inline tick_node(n) {
	lease[n] = (lease[n] > 0 -> lease[n] - 1 : 0);
	wait[n] = (wait[n] > 0 -> wait[n] - 1 : 0);
	since[n] = (NODES == 3 && first != NOBODY && since[n] < LEASE -> since[n] + 1 : since[n]);
	beat_age[n] = (beat_on[n] == 1 && beat_age[n] < LEASE -> beat_age[n] + 1 : beat_age[n]);
	if
	:: beat_age[n] == LEASE -> beat_on[n] = 0; beat_age[n] = 0; echoed[n] = 0; own_end[n] = 0
	:: else
	fi
}

init {
	atomic {
		a_in[0] = ALL;
		a_in[1] = ALL;
		a_owner[0] = NOBODY;
		a_owner[1] = NOBODY;
#if NODES == 3
		a_in[2] = ALL;
		a_owner[2] = NOBODY
#endif
	};
	do
	:: true -> atomic { node_step(0) }
	:: true -> atomic { node_step(1) }
#if NODES == 3
	:: true -> atomic { node_step(2) }
#endif
	:: atomic { ghost[0] != 0 -> if :: STALE(0, ghost_epoch[0]) :: else -> value[0] = ghost[0] fi; ghost[0] = 0; ghost_epoch[0] = 0 }
	:: atomic { ghost[1] != 0 -> if :: STALE(1, ghost_epoch[1]) :: else -> value[1] = ghost[1] fi; ghost[1] = 0; ghost_epoch[1] = 0 }
	:: atomic { tick_node(0); tick_node(1);
#if NODES == 3
		tick_node(2)
#endif
	}
	od
}
