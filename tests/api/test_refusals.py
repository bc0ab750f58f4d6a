"""A database that answers and refuses, because a table is missing: the API says so."""

import pytest

from tests.api.conftest import Client, Rows, problem, until_ready

MISSING = "ALTER TABLE {} RENAME TO {}"


@pytest.mark.parametrize(
    ("table", "path"),
    [
        ("meter", "/v1/devices/meters"),
        ("meter_current_state", "/v1/telemetry/meter/m/current"),
        ("vehicle", "/v1/analytics/fleet/performance"),
    ],
)
async def test_a_missing_table_is_reported_and_the_replica_is_not_ready(
    client: Client, rows: Rows, table: str, path: str
) -> None:
    await until_ready(client, 200)
    rows.execute(MISSING.format(table, "elsewhere"))
    try:
        document = problem(await client.get(path), 503)
        assert "42P01" in str(document["detail"])
        assert "schema check" in str(document["detail"])
        await until_ready(client, 503, database=False)
        assert (await client.get("/health/live")).status_code == 200
    finally:
        rows.execute(MISSING.format("elsewhere", table))
    assert (await client.get(path)).status_code in {200, 404}
    await until_ready(client, 200)
