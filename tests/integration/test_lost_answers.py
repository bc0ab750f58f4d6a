"""A COMMIT whose answer is lost: the batch is neither applied twice nor dropped."""

import asyncio
from collections.abc import Callable, Iterator

import psycopg
import pytest

from consumer.errors import CommitUnknown
from consumer.flush.outcome import Outcome
from consumer.flush.sink import Sink, Unsettled
from consumer.postgres.connection import Connection
from tests.integration.conftest import flush_of, meter_value, rows


@pytest.mark.parametrize("survives", [True, False])
async def test_a_commit_whose_answer_is_lost_is_settled_by_asking(
    sink: Sink, connection: Connection, forget_standby: Callable[[], None], *, survives: bool
) -> None:
    """The commit hangs on a standby that does not exist; ending its backend loses the answer."""
    await sink.flush(flush_of([meter_value()]))
    flush = flush_of([meter_value("mtr-2")], believed=1)
    if survives:
        await wait_for_a_standby(connection)
    else:
        await connection.execute("SELECT pg_advisory_lock(1)")
        await connection.execute(
            "CREATE FUNCTION wait_here() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END'"
        )
        await connection.execute(
            "CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON meter_current_state"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait_here()"
        )
    flushing = asyncio.create_task(sink.flush(flush))
    await _end_backend_that_waits(connection, event="SyncRep" if survives else "advisory")
    with pytest.raises(CommitUnknown):
        await flushing
    forget_standby()
    await connection.execute("SELECT pg_advisory_unlock_all()")
    stored_before = await rows(connection, "SELECT count(*) FROM meter_history")
    assert stored_before == [(2 if survives else 1,)]
    outcome = await sink.flush(flush)
    assert (outcome.stored, outcome.dead_letters) == (1, [])
    assert await rows(connection, "SELECT count(*) FROM meter_history") == [(2,)]


async def test_an_id_that_a_crash_took_away_is_another_transactions_by_now(
    sink: Sink, connection: Connection
) -> None:
    """A crash forgets ids that were not written down yet, and they are given out again."""
    flush = flush_of([meter_value()])
    cursor = await connection.execute("SELECT pg_current_xact_id()::text")
    row = await cursor.fetchone()
    assert row is not None
    somebody_elses = row[0]
    # As after a COMMIT without answer.
    sink._unsettled = Unsettled(flush, somebody_elses, Outcome(stored=1))
    outcome = await sink.flush(flush)
    assert (outcome.stored, outcome.duplicates) == (1, 0)
    assert await rows(connection, "SELECT count(*) FROM meter_history") == [(1,)]


async def wait_for_a_standby(connection: Connection) -> None:
    """Let every commit of the server wait for a standby that does not exist, from now on."""
    await connection.execute("CREATE TABLE probe ()")
    await connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    await connection.execute("SELECT pg_reload_conf()")
    waits = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    async with await psycopg.AsyncConnection.connect(
        connection.info.dsn, password=connection.info.password, autocommit=True
    ) as prober:
        # The server takes note in its own time: a commit that waits shows that it has.
        while True:
            probing = asyncio.create_task(prober.execute("INSERT INTO probe DEFAULT VALUES"))
            while not probing.done():
                if await rows(connection, waits):
                    await _end_backend_that_waits(connection, event="SyncRep")
                    await asyncio.wait([probing])
                    probing.exception()
                    return
                await asyncio.sleep(0.01)
            await probing


@pytest.fixture
def forget_standby(database_url: str) -> Iterator[Callable[[], None]]:
    """Let commits wait for no standby again; at the end too, however the test ended."""

    def forget() -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
            connection.execute("SELECT pg_reload_conf()")

    yield forget
    forget()


async def _end_backend_that_waits(connection: psycopg.AsyncConnection, *, event: str) -> None:
    query = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event = %s AND pid <> pg_backend_pid()"
    )
    while not await (await connection.execute(query, [event])).fetchall():
        await asyncio.sleep(0.01)
