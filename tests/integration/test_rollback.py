"""The way back to an older schema, on a real PostgreSQL: only where nothing is lost."""

from pathlib import Path

import psycopg
import pytest

from consumer.errors import UnfitDatabase
from consumer.postgres import schema, schema_rollback
from consumer.postgres.connection import Connection
from consumer.postgres.migrations import Migration, migrations
from consumer.postgres.schema import apply_schema, check_schema
from consumer.postgres.schema_rollback import roll_back, try_rollback
from runtime.postgres.schema_version import NEEDED
from tests.integration.conftest import another_schema, rows
from tests.needed import AT_FOUR, BEFORE, schema_before, tree_of

VERSION = "SELECT max(version) FROM schema_version"
# The newest migration that cannot be undone: it dates what devices are.
FINAL = 3
UNDONE = [one.name for one in reversed(migrations()) if one.version > FINAL]
# The tables of before do without it.
STAYS = {
    "history_removed",
    "function note_bonds()",
    "function note_readings()",
    "function watch_readings(regclass, text)",
    *(
        f"trigger note_{what}"
        for what in (
            "changed_readings", "deleted_readings", "entered_sessions", "changed_sessions",
            "removed_sessions", "entered_assignments", "changed_assignments", "removed_assignments",
        )
    ),
}  # fmt: skip
KEPT = "INSERT INTO history_removed VALUES ('meter', '2026-01-01Z')"


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The schema at the version that can be gone back to."""
    return schema_before(tree_of(BEFORE, tmp_path_factory.mktemp("git") / "tree"))


async def test_a_schema_goes_back_and_forward_again_and_keeps_what_cannot_be_computed(
    database_url: str, before: str
) -> None:
    async with another_schema(database_url, "elsewhere", before) as connection:
        facts_of_before = await schema._facts(connection, "elsewhere")
        await apply_schema(connection)
        await connection.execute(KEPT)
        await connection.execute("INSERT INTO meter (meter_id, capacity_kw) VALUES ('m', 11)")
        assert await try_rollback(connection, FINAL) == [f"would undo {one}" for one in UNDONE]
        assert await check_schema(connection) == []  # it was only tried

        assert await roll_back(connection, FINAL) == [f"undid {one}" for one in UNDONE]
        assert await rows(connection, VERSION) == [(FINAL,)]
        found = await schema._facts(connection, "elsewhere")
        assert facts_of_before <= found
        assert {name for name, _ in found - facts_of_before} == STAYS
        # The triggers are those of before, and what devices are is kept.
        await connection.execute("INSERT INTO meter (meter_id) VALUES ('n'), ('o')")
        await connection.execute("UPDATE meter SET capacity_kw = 22 WHERE meter_id = 'm'")
        facts = "SELECT device_id, capacity_kw FROM device_facts ORDER BY 1"
        assert await rows(connection, facts) == [("m", 22.0), ("n", None), ("o", None)]
        assert await roll_back(connection, FINAL) == []

        assert (await apply_schema(connection))[-1] == f"applied {migrations()[-1].name}"
        assert await check_schema(connection) == []
        assert await rows(connection, "SELECT count(*) FROM history_removed") == [(1,)]
        # What was before cannot be undone, so that nothing is.
        await connection.execute(
            "INSERT INTO schema_version VALUES (%s, '0002_check_device_ids', 0)", [FINAL - 1]
        )
        with pytest.raises(UnfitDatabase, match=r"^0003_date_facts cannot be undone"):
            await roll_back(connection, FINAL - 1)
        assert await rows(connection, VERSION) == [(NEEDED,)]


async def test_the_version_before_roles_is_whole_again(database_url: str, tmp_path: Path) -> None:
    at_four = schema_before(tree_of(AT_FOUR, tmp_path / "tree"))
    async with another_schema(database_url, "elsewhere", at_four) as connection:
        facts = await schema._facts(connection, "elsewhere")
        await apply_schema(connection)
        assert await schema._facts(connection, "elsewhere") != facts
        assert await roll_back(connection, 4) == ["undid 0005_make_days"]
        assert await schema._facts(connection, "elsewhere") == facts


async def test_a_database_that_passed_a_version_by_does_not_go_back_to_it(
    connection: Connection,
) -> None:
    await connection.execute(
        "INSERT INTO schema_version VALUES (%s, '0003_date_facts', 0)", [FINAL]
    )
    with pytest.raises(UnfitDatabase, match=r"this database never had the functions of version 3$"):
        await try_rollback(connection, FINAL)
    assert await check_schema(connection) == []


@pytest.mark.parametrize(
    ("made_at", "version", "line"),
    [
        (NEEDED, NEEDED - 1, f"this database never was at version {NEEDED - 1}: its first was"),
        (NEEDED, NEEDED + 1, f"the schema is at version {NEEDED}: only `schema apply` goes"),
        (NEEDED + 1, NEEDED, f"the schema is at version {NEEDED + 1}, and this code knows"),
        (None, 1, "there is no schema with a version here"),
    ],
)
async def test_a_way_back_that_there_is_not_is_one_line(
    connection: Connection, made_at: int | None, version: int, line: str
) -> None:
    if made_at is None:
        await connection.execute("DROP TABLE schema_version")
    else:
        await connection.execute("UPDATE schema_version SET version = %s", [made_at])
    for attempt in (roll_back, try_rollback):
        with pytest.raises(UnfitDatabase, match=line):
            await attempt(connection, version)


async def test_a_step_back_that_would_lose_something_is_not_taken(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = (
        "DROP TABLE dead_letter; DO $$ BEGIN RAISE EXCEPTION 'five keys would be lost'; END $$"
    )
    later = Migration(NEEDED + 1, "9999_later", 0, "", refusing)
    last = Migration(NEEDED + 2, "9999_last", 0, "", "DROP TABLE rollup_due")
    monkeypatch.setattr(schema_rollback, "migrations", lambda: (*migrations(), later, last))
    for one in (later, last):
        await connection.execute(one.note())
    with pytest.raises(UnfitDatabase, match=r"^9999_later: five keys would be lost$"):
        await try_rollback(connection, NEEDED)
    assert await rows(connection, VERSION) == [(NEEDED + 2,)]
    with pytest.raises(UnfitDatabase, match=r"^9999_later: five keys would be lost$"):
        await roll_back(connection, NEEDED)
    # The step before it is a transaction of its own.
    assert await rows(connection, VERSION) == [(NEEDED + 1,)]
    there = "SELECT to_regclass('dead_letter') IS NOT NULL, to_regclass('rollup_due') IS NOT NULL"
    assert await rows(connection, there) == [(True, False)]


async def test_a_session_that_is_in_the_way_is_waited_for_a_second_at_a_time(
    database_url: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumer.postgres.schema_turn.LOCK_TIMEOUT", "10ms")
    last = Migration(NEEDED + 1, "9999_last", 0, "", "DROP TABLE rollup_due")
    monkeypatch.setattr(schema_rollback, "migrations", lambda: (*migrations(), last))
    await connection.execute(last.note())
    told: list[str] = []
    async with await psycopg.AsyncConnection.connect(database_url) as other:
        await other.execute("LOCK TABLE rollup_due IN ACCESS SHARE MODE")
        monkeypatch.setattr("consumer.postgres.schema_turn._LONGEST_PAUSE_S", 0.001)
        with pytest.raises(UnfitDatabase, match="other sessions have kept the schema waiting"):
            await roll_back(connection, NEEDED, tell=told.append)
    assert await roll_back(connection, NEEDED, tell=told.append) == ["undid 9999_last"]
    assert told == []
