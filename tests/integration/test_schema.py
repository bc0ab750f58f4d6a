"""schema.sql on a real PostgreSQL."""

import asyncio

import pytest

from consumer.database import Connection, connect
from consumer.schema import apply_schema, check_schema
from consumer.settings import DatabaseSettings
from tests.integration.conftest import rows


async def test_applying_twice_and_at_once_changes_nothing(
    database_settings: DatabaseSettings, connection: Connection
) -> None:
    replicas = [await connect(database_settings) for _ in range(3)]
    await asyncio.gather(*(apply_schema(replica) for replica in replicas))
    assert await check_schema(connection) == []
    for replica in replicas:
        await replica.close()


async def test_a_check_leaves_nothing_behind(connection: Connection) -> None:
    await check_schema(connection)
    found = await rows(connection, "SELECT 1 FROM pg_namespace WHERE nspname LIKE 'wattline%'")
    assert found == []


@pytest.mark.parametrize(
    ("change", "table"),
    [
        ("DROP TABLE dead_letter", "dead_letter"),
        ("ALTER TABLE meter_history ALTER voltage TYPE real", "meter_history"),
        ("ALTER TABLE vehicle_history DROP CONSTRAINT vehicle_history_pkey", "vehicle_history"),
        ("ALTER TABLE meter_current_state ADD COLUMN extra text", "meter_current_state"),
        (
            'ALTER TABLE meter_current_state ALTER meter_id TYPE text COLLATE "default"',
            "meter_current_state",
        ),
        ("ALTER TABLE meter_current_state SET (fillfactor = 100)", "meter_current_state"),
    ],
)
async def test_a_difference_is_named(connection: Connection, change: str, table: str) -> None:
    await connection.execute(change)
    differences = await check_schema(connection)
    assert differences
    assert all(line.startswith(f"{table}:") for line in differences)
