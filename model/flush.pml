/*
 * The protocol of one flush and everything that can happen between its steps, small enough that
 * `make model` tries every interleaving with Spin. The protocol holds. Variants that lack one part
 * of it, chosen by -D, are refuted; check.py lists them. Steps are numbered as in
 * consumer/flush/sink.py.
 *
 * Modelled: a partition of four records; two replicas, each killed or suspended between any two
 * steps; a group that moves the partition at any time, without waiting for its former owner;
 * connections that break, transactions that the server ends, answers to COMMIT that are lost;
 * commits of Kafka's offset that arrive late, out of order, twice or never. All of these happen
 * any number of times.
 *
 * Not modelled: other partitions, which share nothing with this one; bisection and the reasons of
 * dead letters, which are decided within a transaction; an operator who sets offsets, for which
 * the replicas must be stopped; a PostgreSQL that loses what it committed; and the key of history,
 * which would turn a record that is stored twice into a counted duplicate. So there is no second
 * line of defence here: the offset alone must be enough.
 */

/* ---- The records ----------------------------------------------------------------------------
 * Offsets 0 to 3, one device. The record at offset 1 cannot be read and becomes a dead letter. The
 * one at 3 is late: its own time is the oldest.
 */
#define END        4
#define UNREADABLE (1 << 1)
#define TIME(o)    ((o) == 0 -> 2 : ((o) == 2 -> 3 : 1))

/* ---- PostgreSQL: what is durable ------------------------------------------------------------
 * All of it changes in one step, as other sessions see it.
 */
byte next_offset;            /* ingest_offset */
byte history, dead_letters;  /* the records that are stored, as bits */
byte current;                /* current state: the time of its reading; 0 if there is none */

/* What must hold for these. `store` adds that no record is stored twice. */
#define HAS(o)       ((history & (1 << (o))) != 0)
#define NONE_SKIPPED ((history | dead_letters) == (1 << next_offset) - 1)
#define IN_PLACE     ((history & UNREADABLE) == 0 && (dead_letters & ~UNREADABLE) == 0)
#define STATE_NEWEST ((current == 3 && HAS(2)) || (current == 2 && HAS(0) && !HAS(2)) || \
                      (current == 0 && history == 0))

/* ---- PostgreSQL: the open transaction -------------------------------------------------------
 * Step 1 locks the row of ingest_offset until the transaction ends. A transaction that waits for
 * the lock has changed nothing yet, so only the lock's holder is modelled.
 */
#define NOBODY 2
byte holder = NOBODY;
byte tx_from, tx_next;  /* its batch: the offsets from tx_from to before tx_next */
bool tx_commit;         /* COMMIT has arrived */
bool tx_orphan;         /* its client is gone */
bool committed[2];      /* pg_xact_status of each replica's last transaction, once it has ended */

/* ---- Kafka, and trouble ------------------------------------------------------------------ */
byte owner;             /* the replica that the group assigns the partition to */
byte sent;              /* commits of Kafka's offset that have been sent, as bits */
byte kafka_offset;      /* the commit that arrived last */
bool calm;              /* nothing goes wrong any more */

/* The rows of a batch. The newest reading is chosen at step 3, but the lock is held from there on,
 * so choosing it at COMMIT is the same.
 */
inline store()
{
    o = tx_from;
    do
    :: o < tx_next ->
        assert(((history | dead_letters) & (1 << o)) == 0);  /* none is stored twice */
        if
        :: (1 << o) & UNREADABLE -> dead_letters = dead_letters | (1 << o)
        :: else ->
            history = history | (1 << o);
            newest = (TIME(o) > newest -> TIME(o) : newest)
        fi;
        o++
    :: else -> break
    od;
    if
#ifdef LAST_WRITE_WINS
    :: newest > 0 -> current = newest
#else
    :: newest > current -> current = newest                  /* the guard against stale data */
#endif
    :: else
    fi;
    o = 0; newest = 0
}

inline end_transaction() { holder = NOBODY; tx_from = 0; tx_next = 0; tx_commit = 0; tx_orphan = 0 }

active proctype PostgreSQL()
{
    byte o, newest;
end:
    do
    :: atomic {
        tx_commit ->                                         /* 5. all of it, or nothing */
        store();
        assert(tx_next >= next_offset);                      /* the offset never goes back */
        next_offset = tx_next;
        assert(NONE_SKIPPED && IN_PLACE);
        assert(STATE_NEWEST);
        committed[holder] = !tx_orphan;                      /* no replica asks about an orphan */
        end_transaction()
    }
    :: atomic { holder != NOBODY && !calm -> end_transaction() }  /* stopped, out of time, … */
    :: atomic { tx_orphan && !tx_commit -> end_transaction() }    /* rolled back, sooner or later */
    od
}

/* ---- A replica ------------------------------------------------------------------------------
 * From opening a partition to the record of its flush, in consumer/pipeline.py. A replica looks at
 * the group between flushes, at any time: so both may believe that they own the partition, for any
 * time (a zombie). A flush that is cancelled at the end of draining leaves what a kill leaves.
 */
#ifdef KAFKA_IS_TRUTH
#define START  kafka_offset
#define NO_FENCE
#else
#define START  next_offset
#endif
#ifdef NO_FENCE
#define FENCED false
#else
#define FENCED (next_offset != believed)
#endif

inline begin()
{
    holder = me; tx_from = believed; tx_next = next; committed[me] = false;
#ifdef OFFSET_FIRST
    next_offset = next                                       /* a transaction of its own */
#endif
}

inline die()
{
    believed = 0; next = 0; committed[me] = false;
    tx_orphan = tx_orphan || holder == me
}

#define OR_KILLED :: atomic { !calm -> die(); goto unassigned }

proctype Replica(byte me)
{
    byte believed, next;     /* Flush.believed, Flush.next_offset */

end_unassigned: unassigned:
    owner == me;
open:                        /* PostgreSQL has the offset; the lock does not stop readers */
    if
    :: atomic { true -> believed = START; next = 0 }
    OR_KILLED
    fi;
end_read: read:              /* a batch of one record or two */
    if
    :: atomic { believed < END -> next = believed + 1 }
    :: atomic { believed + 1 < END -> next = believed + 2 }
    :: atomic { owner != me -> believed = 0; goto unassigned }
    OR_KILLED
    fi;
flush:                       /* 1. advance the offset, if it is where the replica believes */
    if
#ifdef STUBBORN
    :: FENCED -> goto flush
#else
    :: FENCED -> goto open   /* no row changes, locked or not: drop the batch */
#endif
#ifdef NO_RECHECK
    :: !FENCED -> atomic { holder == NOBODY -> begin() }
#else
    /* Wait for the lock and look at the row again, as READ COMMITTED does. */
    :: atomic { holder == NOBODY && !FENCED -> begin() }
#endif
    OR_KILLED
    fi;
write:                       /* 2., 3., 4. the rows, not visible yet; then COMMIT is sent */
    if
    :: atomic { holder == me -> tx_commit = true }
    :: atomic { holder == me && !calm -> tx_orphan = true; goto unknown } /* it never arrives */
    :: atomic { holder == me && !calm -> tx_orphan = true; goto flush }   /* broken before it */
    :: holder != me -> goto flush                                         /* the server ended it */
    OR_KILLED
    fi;
    /* 5. The answer comes when the transaction has ended, or is lost before or after that. */
    if
    :: holder != me && committed[me] -> goto stored
    :: holder != me && !committed[me] -> goto flush
    :: !calm
    OR_KILLED
    fi;
unknown:
#ifdef ASSUME_LOST
    if
    :: atomic { holder == NOBODY -> begin(); goto write }
    OR_KILLED
    fi;
#endif
#ifdef NO_SETTLE
    goto flush;
#endif
    /* Settle: ask PostgreSQL for the outcome, again while the transaction is in progress. Only the
     * counts need it: a committed batch that is tried again would be fenced at step 1. */
    if
    :: holder != me && committed[me]
    :: holder != me && !committed[me] -> goto flush
    OR_KILLED
    fi;
stored:                      /* the commit is known: go on from there, and tell Kafka at some time */
    if
    :: atomic {
        true ->
        sent = sent | (1 << next);
        believed = next; next = 0; committed[me] = false;
        goto read
    }
    OR_KILLED
    fi
}

/* ---- Kafka ----------------------------------------------------------------------------------
 * Its offset is never ahead of the stored one. It may go back when an old commit arrives late:
 * that does no harm, because no replica starts from it.
 */
#define ARRIVES(o) \
    atomic { (sent & (1 << (o))) && kafka_offset != (o) -> \
             kafka_offset = (o); assert(kafka_offset <= next_offset) }

active proctype Kafka()
{
end:
    do
    :: ARRIVES(1) :: ARRIVES(2) :: ARRIVES(3) :: ARRIVES(4)
    :: atomic { !calm -> owner = 1 - owner }                 /* a rebalance */
    od
}

active proctype Calm() { calm = true }                       /* at any time */

init { atomic { run Replica(0); run Replica(1) } }

/* ---- The claims over time -------------------------------------------------------------------
 * At every moment, exactly the records below the offset are stored. And whatever went wrong, once
 * it is calm all records are stored, provided that each process that can go on does so at some
 * time (weak fairness).
 */
ltl exact    { [] (NONE_SKIPPED && IN_PLACE && STATE_NEWEST && kafka_offset <= next_offset) }
ltl progress { <> (next_offset == END) }

/* This is not claimed, because Kafka's offset may go back. */
ltl forward  { [] (kafka_offset == END -> [] (kafka_offset == END)) }
