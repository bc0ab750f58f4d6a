"""Bounds of the work that entries cause: a limit a day, locks by device, pages that end early."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from fastapi import FastAPI
from httpx import Response
from psycopg.rows import dict_row

from api.queries import charges
from energy.stored.rolling_up import roll_up
from runtime.postgres.arrays import load_arrays
from tests.api.conftest import Client, Rows, problem
from tests.api.paging import pages
from tests.api.readings import MINUTE, NOW, stamp, store_meter, store_vehicle
from tests.asked import asked

DEVICES = "/v1/devices"
SESSIONS = "/v1/sessions"
MakeApp = Callable[..., FastAPI]


async def assign(client: Client, vehicle: str, start: str, end: str | None = None) -> Response:
    path = f"{DEVICES}/vehicles/{vehicle}/assignments"
    return await client.post(path, json={"meterId": "m", "start": start, "end": end})


async def test_the_assignments_of_a_vehicle_that_start_on_a_day_are_limited(
    make_app: MakeApp,
) -> None:
    async with asked(make_app(ASSIGNMENT_CHANGES_PER_DAY="3")) as client:

        async def of_second(day: int, second: int, vehicle: str = "v") -> Response:
            start, end = (f"2026-01-0{day}T00:00:0{n}Z" for n in (second, second + 1))
            return await assign(client, vehicle, start, end)

        made = [await of_second(2, second) for second in (0, 2, 4)]
        assert [one.status_code for one in made] == [201] * 3
        refused = problem(await of_second(2, 6), 409, "start")
        assert "ASSIGNMENT_CHANGES_PER_DAY" in str(refused["detail"])
        # Moving an end does not make room for another.
        one = f"{DEVICES}/vehicles/v/assignments/{made[2].json()['assignmentId']}"
        moved = await client.patch(one, json={"end": "2026-01-02T00:00:04.5Z"})
        assert moved.status_code == 200
        problem(await of_second(2, 6), 409, "start")
        # Days end at midnight UTC, and another vehicle has days of its own.
        for start in ("2026-01-03T00:00:00+02:00", "2026-01-02T23:59:59.999999Z"):
            problem(await assign(client, "v", start), 409, "start")
        assert (await of_second(2, 6, "w")).status_code == 201
        assert (await of_second(1, 6)).status_code == 201
        assert (await of_second(3, 0)).status_code == 201
        counted = (await client.get("/metrics")).text
        assert 'telemetry_http_refused_total{bound="assignments_a_day"} 4.0' in counted


@pytest.mark.parametrize("same", ["vehicle", "meter"])
async def test_the_sessions_of_a_device_that_start_on_a_day_are_limited(
    make_app: MakeApp, same: str
) -> None:
    async with asked(make_app(SESSIONS_PER_DAY="2")) as client:

        async def enter(day: int, second: int) -> Response:
            body = {"vehicleId": f"v-{second}", "meterId": f"m-{second}", f"{same}Id": "the-one"}
            start, end = (f"2026-01-0{day}T12:00:0{n}Z" for n in (second, second + 1))
            return await client.post(
                f"{SESSIONS}/start", json=body | {"startedAt": start, "endedAt": end}
            )

        assert [(await enter(2, second)).status_code for second in (0, 2)] == [201, 201]
        refused = problem(await enter(2, 4), 409, f"{same}Id")
        assert "SESSIONS_PER_DAY" in str(refused["detail"])
        assert (await enter(3, 4)).status_code == 201


async def test_vehicles_do_not_wait_for_each_other(
    make_app: MakeApp, api_database: str, rows: Rows
) -> None:
    # Each request that waits for a lock holds a connection: the pool needs more than those two.
    app = make_app(DATABASE_POOL_SIZE="24", DATABASE_LOCK_TIMEOUT_S="60")
    async with asked(app) as client:
        with psycopg.connect(api_database) as slow:
            slow.execute(
                "INSERT INTO vehicle_meter_assignment (vehicle_id, meter_id, started_at)"
                " VALUES ('v-1', 'm', '2026-01-01Z')"
            )
            slow.execute(
                "INSERT INTO charging_session (vehicle_id, meter_id, started_at)"
                " VALUES ('v-1', 'm-1', '2026-01-01Z')"
            )
            begin = {"vehicleId": "v-1", "meterId": "m-1"}
            first = asyncio.create_task(assign(client, "v-1", "2026-01-02T00:00:00Z"))
            other = asyncio.create_task(client.post(f"{SESSIONS}/start", json=begin))
            await waiting(rows, 2)
            assert (await assign(client, "v-2", "2026-01-02T00:00:00Z")).status_code == 201
            begin = {"vehicleId": "v-2", "meterId": "m-2"}
            begun = await client.post(f"{SESSIONS}/start", json=begin)
            assert begun.status_code == 201
            ended = await client.post(f"{SESSIONS}/{begun.json()['sessionId']}/end")
            assert ended.status_code == 200
            assert not first.done()
            assert not other.done()
            slow.commit()
        problem(await first, 409, "start")
        problem(await other, 409)


async def test_sessions_that_cross_in_vehicle_and_meter_are_entered_one_by_one(
    client: Client,
) -> None:
    bodies = [{"vehicleId": f"v-{n % 2}", "meterId": f"m-{(n // 2 + n) % 2}"} for n in range(16)]
    answers = await asyncio.gather(
        *(client.post(f"{SESSIONS}/start", json=body) for body in bodies)
    )
    statuses = sorted(one.status_code for one in answers)
    assert set(statuses) == {201, 409}
    assert statuses.count(201) == len((await client.get(f"{SESSIONS}/active")).json()["items"])


async def test_no_lock_is_held_while_a_sessions_energies_are_computed(
    client: Client, api_database: str, rows: Rows
) -> None:
    begin = {"vehicleId": "v", "meterId": "m", "startedAt": stamp(NOW - MINUTE)}
    open_one = (await client.post(f"{SESSIONS}/start", json=begin)).json()
    body = {"vehicleId": "w", "meterId": "x"}
    with psycopg.connect(api_database) as slow:
        slow.execute("LOCK TABLE meter_history")
        answers = [
            asyncio.create_task(client.post(f"{SESSIONS}/start", json=body)),
            asyncio.create_task(client.post(f"{SESSIONS}/{open_one['sessionId']}/end")),
        ]
        await waiting(rows, 2)
        held = rows.execute("SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory'")
        assert held.fetchone() == {"n": 0}
        # Nothing is entered before they are known, so that a failure leaves nothing behind.
        (one,) = rows.execute("SELECT ended_at FROM charging_session").fetchall()
        assert one == {"ended_at": None}
        slow.commit()
    assert [(await one).status_code for one in answers] == [201, 200]


async def test_a_page_of_sessions_ends_when_its_time_is_over(
    client: Client, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_meter(rows, "m-1", [(NOW - n * MINUTE, 1.0) for n in range(60)])
    store_vehicle(rows, "v-1", [(NOW - n * MINUTE, 0.5) for n in range(60)])
    begin = stamp(NOW - 30 * MINUTE)
    for number in range(4):
        body = {"vehicleId": f"v-{number}", "meterId": f"m-{number}", "startedAt": begin}
        assert (await client.post(f"{SESSIONS}/start", json=body)).status_code == 201
    listed = await pages(client, f"{SESSIONS}/active", limit=100)
    assert [one["acKwh"] for one in listed] == [None, 30, None, None]
    monkeypatch.setattr(charges, "ENOUGH_S", 0)
    found: list[dict[str, Any]] = []
    after: dict[str, str | None] = {}
    while len(found) < 4:
        page = (await client.get(f"{SESSIONS}/active", params={"limit": 100, **after})).json()
        assert len(page["items"]) == 1
        found += page["items"]
        after = {"after": page["next"]}
    assert (found, after) == (listed, {"after": None})


async def test_the_fleet_is_refused_while_too_many_late_readings_are_not_rolled_up(
    make_app: MakeApp, api_database: str, rows: Rows
) -> None:
    note_vehicles(rows, 3_000, ago=timedelta(hours=12))
    paths = ("/v1/analytics/fleet/performance", "/v1/analytics/anomalies")
    async with asked(make_app()) as client:
        for path in paths:
            refused = await client.get(path)
            problem(refused, 503)
            assert int(refused.headers["retry-after"]) > 0
        # Late readings of other days do not matter to a window.
        before = {
            "start": stamp(NOW - timedelta(hours=60)),
            "end": stamp(NOW - timedelta(hours=36)),
        }
        assert (await client.get(paths[0], params=before)).status_code == 200
        await roll_all_up(api_database)
        for path in paths:
            assert (await client.get(path)).status_code == 200


async def test_one_device_with_a_tiny_interval_does_not_keep_the_fleet_from_being_answered(
    make_app: MakeApp, rows: Rows
) -> None:
    async with asked(make_app(DATABASE_STATEMENT_TIMEOUT_S="2")) as client:
        body = {"vehicleId": "v-1", "readingIntervalSeconds": 0.001}
        assert (await client.post(f"{DEVICES}/vehicles", json=body)).status_code == 201
        note_vehicles(rows, 200, ago=timedelta(hours=12))
        answer = await client.get("/v1/analytics/fleet/performance")
        assert (answer.status_code, answer.json()["vehicles"]["total"]) == (200, 200)


def note_vehicles(rows: Rows, count: int, *, ago: timedelta) -> None:
    """Let vehicles v-1, v-2, ... have sent late readings that are not rolled up."""
    rows.execute("TRUNCATE rollup_due")
    rows.execute(
        "INSERT INTO vehicle_current_state"
        " SELECT 'v-' || n, %s, 50, 0, 20, now() FROM generate_series(1, %s) AS n",
        [NOW - ago, count],
    )
    rows.execute(
        "INSERT INTO rollup_due (stream, devices, hours)"
        " SELECT 'vehicle', array_agg('v-' || n), array_agg(%s::integer)"
        " FROM generate_series(1, %s) AS n",
        [int((NOW - ago).timestamp() // 3_600), count],
    )


async def roll_all_up(url: str) -> None:
    """Work off all notes, as a replica would."""
    async with await psycopg.AsyncConnection.connect(
        url, row_factory=dict_row, autocommit=True
    ) as connection:
        load_arrays(connection)
        while not await roll_up(connection, NOW):
            pass


async def waiting(rows: Rows, count: int) -> None:
    """Return once so many sessions of the API wait for a lock."""
    asked_for: dict[str, Any] | None = None
    while asked_for is None or asked_for["n"] < count:
        await asyncio.sleep(0.01)
        asked_for = rows.execute(
            "SELECT count(*) AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND application_name = 'wattline-api' AND datname = current_database()"
        ).fetchone()
