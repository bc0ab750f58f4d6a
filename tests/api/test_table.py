"""The inputs with right answers, as a client asks about them: vehicle, fleet, rolled up and not."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row

from energy.stored.rolling_up import roll_up
from energy.stored.times import as_datetime
from energy.units import as_kwh
from runtime.postgres.arrays import load_arrays
from telemetry.streams import METER, VEHICLE
from tests.api.conftest import Client, Rows
from tests.energy.pure import Said, ask
from tests.energy.slow_world import World
from tests.energy.stored_world import (
    ASSIGNMENTS,
    SESSIONS,
    put_devices,
    put_readings,
    put_stay,
)
from tests.energy.table import OCTOBER, ROWS, Row

PATHS = "/v1/analytics"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_every_input_has_its_right_answer(
    row: Row, client: Client, rows: Rows, api_database: str
) -> None:
    # The API answers as of now, when everything is settled.
    world = replace(row.world, as_of=int(datetime.now(UTC).timestamp() * 1e6))
    right = ask(world, row.start, row.end)
    async with await AsyncConnection.connect(
        api_database, row_factory=dict_row, autocommit=True
    ) as connection:
        load_arrays(connection)
        await put(connection, world)
        await compare(client, row, right)
        while await roll_up(connection, datetime.now(UTC)) is not True:
            pass
        await compare(client, row, right)


async def compare(client: Client, row: Row, right: dict[str, Said]) -> None:
    """Compare the answers for each vehicle and for the fleet with the right ones."""
    window = {"start": as_datetime(row.start).isoformat(), "end": as_datetime(row.end).isoformat()}
    fleet = await client.get(f"{PATHS}/fleet/performance", params=window)
    assert fleet.status_code == 200, fleet.text
    statuses = fleet.json()["vehicles"]
    energies: dict[bool, list[tuple[float | None, float | None]]] = {True: [], False: []}
    for vehicle, said in right.items():
        answer = await client.get(f"{PATHS}/performance/{vehicle}", params=window)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert found["efficiency"]["status"] == said.status
        assert set(found["quality"]["reasons"]) == said.reasons
        assert found["energy"]["acKwh"] == total(said.ac, said.known[0])
        assert found["energy"]["dcKwh"] == total(said.dc, said.known[1])
        is_band = said.status in {"optimal", "degraded", "critical"}
        energies[is_band].append((found["energy"]["acKwh"], found["energy"]["dcKwh"]))
        statuses[said.status] -= 1
    statuses.pop("total")
    assert set(statuses.values()) == {0}
    for key, of_band in (("energy", True), ("unjudged", False)):
        for side, name in enumerate(("acKwh", "dcKwh")):
            known = [kwh for one in energies[of_band] if (kwh := one[side]) is not None]
            wanted = None if energies[of_band] and not known else sum(known)
            assert fleet.json()[key][name] == (
                wanted if wanted is None else pytest.approx(wanted, abs=1e-9)
            )


def total(hours: list[int | None], known_us: int) -> float | None:
    told = [hour for hour in hours if hour is not None]
    return as_kwh(sum(told)) if told or known_us else None


async def put(connection: AsyncConnection[DictRow], world: World) -> None:
    """Store a world as if its readings had come from Kafka."""
    await connection.execute("TRUNCATE device_facts")
    await put_devices(connection, world)
    for stream, devices in ((METER, world.meters), (VEHICLE, world.vehicles)):
        readings = [(one.name, reading) for one in devices for reading in one.readings]
        await put_readings(connection, stream, readings)
        hours = {(name, (reading.at - 1) // 3_600_000_000) for name, reading in readings}
        await connection.execute(
            "INSERT INTO rollup_due (stream, devices, hours) VALUES (%s, %s, %s)",
            [stream.name, [name for name, _ in hours], [hour for _, hour in hours]],
        )
    for car in world.vehicles:
        await connection.execute(
            "INSERT INTO vehicle_current_state VALUES (%s, now(), 50, 1, 20, now())", [car.name]
        )
    for stay in world.assignments:
        await put_stay(connection, ASSIGNMENTS, stay)
    for stay in world.sessions:
        await put_stay(connection, SESSIONS, stay)


async def test_a_month_in_which_clocks_are_put_back_is_not_too_long(
    client: Client, rows: Rows
) -> None:
    """October in Paris has 31 days and an hour."""
    window = {"start": "2026-10-01T00:00+02:00", "end": "2026-11-01T00:00+01:00"}
    assert as_datetime(OCTOBER).isoformat() == "2026-09-30T22:00:00+00:00"
    assert (await client.get(f"{PATHS}/fleet/performance", params=window)).status_code == 200
