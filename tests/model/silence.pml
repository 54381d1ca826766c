/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For how long a successor waits for the lease of a former owner that was silent: doc/ownership.md 2. Three voters: X owned the volume
 * and goes on sending beats, S takes it and asks, V is the third. Time goes in ticks; a clock may be one off, X's behind and the others' ahead, and what
 * is made of a clock elsewhere has DRIFT ticks to spare. Datagrams take as long as they like, V loses power, and logs hold at
 * the take's place nothing, the take, or what was proposed in an order before and never committed.
 *
 *   I2  X answers nothing any more once S has answered
 *
 * Whole waits, and legs and writes under this rule (I1, I3), are own.pml's. -DRULE removes a rule, to see that it can fail:
 * LIE (voters call X silent, whatever they heard), PLACE (a voter counts without the take), STABLE (also when it may still lose it),
 * ORDER (also when its log is of another order), START (one that has just started calls X silent for ever), ASKED (its word counts
 * from when it was asked for, not from when it came), ALONE (S needs no other voter), SELF (X's word about itself counts), SHORT
 * (nothing is added for clocks that do not run alike).
 */
#define LEASE 1
#define DRIFT 1                         /* that one clock has, at most */
#ifdef SHORT
#define WAIT LEASE
#define LESS(n) (n)
#else
#define WAIT (LEASE + 2 * DRIFT)
#define LESS(n) (n > DRIFT -> n - DRIFT : 0)    /* what is left of a silence that another clock has measured */
#endif
#define LONG (WAIT + DRIFT)             /* of silence: more is not told apart */

#define X 0
#define S 1
#define V 2
#define EMPTY 0
#define OTHER 1
#define TAKE 2

/* At the take's place: in the log; on V's disk (the others' are quick); whether V's log is of the order in which the take was proposed. */
byte log[3], disk;
bit order, applied;                     /* applied: by S. When X has, it is over */

byte lease;                             /* X's, in ticks of its clock */
bit beating;                            /* X's newest beat is under way, or was echoed; it does not count before it is */
byte age;                               /* of it */
bit told[3];                            /* who has echoed it with nothing at the take's place: an echo with it does not count at X */

byte heard[3];                          /* ticks of this voter's clock since it echoed X, or started */

byte wait;                              /* S's */
bit asking, self_counts;                /* S has asked V; and says something itself */
byte self_age, asked_age;               /* S's own silence, and how long ago it asked */

bit used[3];                            /* the clock is off */

#define COMMITTED (log[X] == TAKE || disk == TAKE)      /* S has it */
#define LEASED (told[X] + told[S] + told[V] >= 2)

#ifdef LIE
#define SILENT LONG
#else
#define SILENT heard[V]
#endif
#ifdef PLACE
#define HAS_PLACE 1
#else
#define HAS_PLACE (log[V] != EMPTY)
#endif
#ifdef STABLE
#define IS_STABLE 1
#else
#define IS_STABLE (disk == log[V])
#endif
#ifdef ORDER
#define IS_ORDER 1
#else
#define IS_ORDER (order == 1)
#endif

inline agree()
{
	if
	:: log[S] == EMPTY -> log[S] = TAKE
	/* A view begins: what is not of its order is no more. */
	:: log[S] == TAKE && !order -> order = 1; log[V] = (log[V] == OTHER -> EMPTY : log[V]); disk = (disk == OTHER -> EMPTY : disk)
	:: order && log[V] == EMPTY -> log[V] = TAKE
	:: log[S] == TAKE && log[X] == EMPTY -> log[X] = TAKE
	:: disk != log[V] -> disk = log[V]
	:: COMMITTED && !applied -> applied = 1; wait = WAIT
	/* Power: the memory is gone, and what was not on the disk; it counts from when it is back. */
	:: order || heard[V] > 0 -> order = 0; log[V] = disk;
#ifdef START
		heard[V] = LONG
#else
		heard[V] = 0
#endif
	fi
}

inline beats()
{
	if
	:: !beating || age > 0 -> beating = 1; age = 0; told[X] = (log[X] == EMPTY -> 1 : 0); told[S] = 0; told[V] = 0
	:: beating -> told[S] = (log[S] == EMPTY -> 1 : told[S]); heard[S] = 0
	:: beating -> told[V] = (log[V] == EMPTY -> 1 : told[V]); heard[V] = 0
	:: beating && LEASED && age < LEASE && lease < LEASE - age -> lease = LEASE - age
	fi
}

inline shorten(a, b)
{
	/* Ticks of S's clock since X was echoed, by both that count. */
	last = (a < b -> a : b);
	if
	:: last >= WAIT -> wait = 0
	:: last < WAIT && WAIT - last < wait -> wait = WAIT - last
	:: else
	fi;
	last = 0
}

inline hear()
{
	if
	:: self_counts && word > 0 && self_age > 0 ->
#ifdef ASKED
		word = word + asked_age;
#endif
		shorten(word, self_age)
	:: else
	fi;
	word = 0; asking = 0; self_counts = 0; self_age = 0; asked_age = 0
}

inline silence()
{
	if
	:: applied && wait > 0 && !asking -> asking = 1; self_counts = 1; self_age = LESS(heard[S])
	:: asking && HAS_PLACE && IS_STABLE && IS_ORDER -> word = LESS(SILENT); hear()
#ifdef SELF
	/* X was never echoed by itself. */
	:: asking -> word = LONG; hear()
#endif
#ifdef ALONE
	:: asking -> shorten(self_age, self_age)
#endif
	/* Or it is lost. */
	:: asking -> hear()
	fi
}

#define UP(a, n) a = (a + n < LONG -> a + n : LONG)
#define DOWN(a, n) a = (a > n -> a - n : 0)

/* So far that clock goes in one tick: X's may once stand still, and those of S and V go twice as fast. */
inline goes(v, other)
{
	if
	:: n = 1
	:: !used[v] -> used[v] = 1; n = other
	fi
}

inline tick()
{
	goes(X, 0);
	DOWN(lease, n);
	age = (beating && age + n < LEASE -> age + n : 0);
	if
	:: beating && age == 0 && n > 0 -> beating = 0; told[X] = 0; told[S] = 0; told[V] = 0        /* too old to give a lease */
	:: else
	fi;
	goes(V, 2);
	UP(heard[V], n);
	goes(S, 2);
	UP(heard[S], n);
	DOWN(wait, n);
	if
	:: asking -> UP(self_age, n); UP(asked_age, n)
	:: else
	fi;
	n = 0
}

init {
	byte n = 0, last = 0, word = 0;

	atomic {
		if
		:: skip
		:: log[V] = OTHER; disk = OTHER
		fi
	};
	do
	:: atomic { agree(); assert(!applied || wait > 0 || lease == 0) }       /* I2 */
	:: atomic { beats(); assert(!applied || wait > 0 || lease == 0) }
	:: atomic { silence(); assert(!applied || wait > 0 || lease == 0) }
	:: atomic { tick(); assert(!applied || wait > 0 || lease == 0) }
	od
}
