/*
 * The protocol of one flush, and all that can come between its steps, small enough to try every
 * interleaving: `make model` does, with Spin. This protocol holds. Protocols that lack one part
 * of it, chosen by -D, are refuted; check.py lists them. Steps are numbered as in
 * consumer/flush/sink.py.
 *
 * What is here: a partition of four records; two replicas, each killed or suspended between any
 * two steps; a group that moves the partition at any time, without waiting for its former owner;
 * connections that break, transactions that the server ends, answers to COMMIT that are lost;
 * and commits of Kafka's offset that arrive late, out of order, twice or never. All of it happens
 * any number of times.
 *
 * What is not: other partitions, which share nothing with this one; bisecting and dead letters'
 * reasons, which are decided within a transaction; an operator who sets offsets, for which the
 * replicas are to be stopped; a PostgreSQL that forgets what it committed; and the key of history,
 * which would make a counted duplicate of a record that is stored twice. So there is no second
 * line here: the offset alone has to do.
 */

/* ---- The records ----------------------------------------------------------------------------
 * Offsets 0 to 3, one device. The record at 1 cannot be read and becomes a dead letter. The one
 * at 3 is late: by its own time it is the oldest.
 */
#define END        4
#define UNREADABLE (1 << 1)
#define TIME(o)    ((o) == 0 -> 2 : ((o) == 2 -> 3 : 1))

/* ---- PostgreSQL: what is durable ------------------------------------------------------------
 * All of it changes in one step, as other sessions see it.
 */
byte next_offset;            /* ingest_offset */
byte history, dead_letters;  /* which records are there, as bits */
byte current;                /* current state: the time of its reading; 0, there is none */

/* What is claimed of it. `store` adds that no record is stored twice. */
#define HAS(o)       ((history & (1 << (o))) != 0)
#define NONE_SKIPPED ((history | dead_letters) == (1 << next_offset) - 1)
#define IN_PLACE     ((history & UNREADABLE) == 0 && (dead_letters & ~UNREADABLE) == 0)
#define STATE_NEWEST ((current == 3 && HAS(2)) || (current == 2 && HAS(0) && !HAS(2)) || \
                      (current == 0 && history == 0))

/* ---- PostgreSQL: the open transaction -------------------------------------------------------
 * Step 1 locks the row of ingest_offset until the transaction ends. Whoever waits for it has
 * changed nothing yet, so the one transaction to model is the lock's holder.
 */
#define NOBODY 2
byte holder = NOBODY;
byte tx_from, tx_next;  /* its batch: the offsets from one to before the other */
bool tx_commit;         /* COMMIT has arrived */
bool tx_orphan;         /* its client is gone */
bool committed[2];      /* pg_xact_status of a replica's last transaction, once it has ended */

/* ---- Kafka, and trouble ------------------------------------------------------------------ */
byte owner;             /* whose the partition is, says the group */
byte sent;              /* commits of Kafka's offset that are or were under way, as bits */
byte kafka_offset;      /* the one that arrived last */
bool calm;              /* nothing goes wrong any more */

/* The rows of a batch. Which reading is newest is decided at step 3; the lock is held by then, so
 * deciding it at COMMIT is the same.
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
        committed[holder] = !tx_orphan;                      /* nobody asks after an orphan */
        end_transaction()
    }
    :: atomic { holder != NOBODY && !calm -> end_transaction() }  /* stopped, out of time, … */
    :: atomic { tx_orphan && !tx_commit -> end_transaction() }    /* rolled back, sooner or later */
    od
}

/* ---- A replica ------------------------------------------------------------------------------
 * From Pipeline._open to Pipeline._record. It looks at the group between flushes, and when it
 * likes: so both may think that they own the partition, for as long as they like (a zombie). A
 * flush that is cancelled when the time to drain is up leaves what a kill leaves.
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
open:                        /* PostgreSQL says from where: the lock keeps no reader out */
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
flush:                       /* 1. the offset, from where it is believed to be */
    if
#ifdef STUBBORN
    :: FENCED -> goto flush
#else
    :: FENCED -> goto open   /* no row is changed, locked or not: the batch is dropped */
#endif
#ifdef NO_RECHECK
    :: !FENCED -> atomic { holder == NOBODY -> begin() }
#else
    /* Waits for the lock, and looks at the row again, as READ COMMITTED does. */
    :: atomic { holder == NOBODY && !FENCED -> begin() }
#endif
    OR_KILLED
    fi;
write:                       /* 2., 3., 4. the rows, which nobody sees yet; and COMMIT is sent */
    if
    :: atomic { holder == me -> tx_commit = true }
    :: atomic { holder == me && !calm -> tx_orphan = true; goto unknown } /* it never arrives */
    :: atomic { holder == me && !calm -> tx_orphan = true; goto flush }   /* broken before it */
    :: holder != me -> goto flush                                         /* the server ended it */
    OR_KILLED
    fi;
    /* 5. The answer comes when the transaction has ended; or is lost, before or after that. */
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
    /* Sink._settle asks what became of it: again, while it is in progress. That is for the counts:
     * a batch that was committed and is tried again would be refused at step 1. */
    if
    :: holder != me && committed[me]
    :: holder != me && !committed[me] -> goto flush
    OR_KILLED
    fi;
stored:                      /* it is known: go on from there, and tell Kafka, sooner or later */
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
 * Its offset is never ahead of the stored one. It may go back, when an old commit arrives late:
 * that harms nobody, since nobody starts from it.
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
 * At every moment, what is stored is exactly the records below the offset. And however much went
 * wrong: once it is calm, all is stored, provided that whoever can go on does so some time (weak
 * fairness).
 */
ltl exact    { [] (NONE_SKIPPED && IN_PLACE && STATE_NEWEST && kafka_offset <= next_offset) }
ltl progress { <> (next_offset == END) }

/* This one is not claimed: Kafka's offset may go back. */
ltl forward  { [] (kafka_offset == END -> [] (kafka_offset == END)) }
