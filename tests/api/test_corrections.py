"""Assignments and sessions that were entered wrong: changed, removed, found."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI

from tests.api.conftest import Client, Rows, problem
from tests.api.paging import pages
from tests.api.readings import MINUTE, NOW, stamp, store_meter, store_vehicle
from tests.asked import asked

DEVICES, SESSIONS = "/v1/devices", "/v1/sessions"
ASSIGNMENTS = f"{DEVICES}/vehicles/v/assignments"


async def assign(client: Client, start: str, end: str | None = None, vehicle: str = "v") -> str:
    """Assign the vehicle, and return the assignment's path."""
    path = f"{DEVICES}/vehicles/{vehicle}/assignments"
    made = await client.post(path, json={"meterId": "m", "start": start, "end": end})
    assert made.status_code == 201, made.text
    return f"{path}/{made.json()['assignmentId']}"


async def charge(client: Client, begin: int, end: int | None, **devices: str) -> dict[str, Any]:
    """Enter a session that began and ended so many minutes ago."""
    body: dict[str, Any] = {"vehicleId": "v", "meterId": "m", **devices}
    body["startedAt"] = stamp(NOW - begin * MINUTE)
    if end is not None:
        body["endedAt"] = stamp(NOW - end * MINUTE)
    made = await client.post(f"{SESSIONS}/start", json=body)
    assert made.status_code == 201, made.text
    session: dict[str, Any] = made.json()
    return session


async def test_an_assignment_is_moved_where_no_other_is(client: Client) -> None:
    first = await assign(client, "2026-01-01T00:00:00Z", "2026-01-10T00:00:00Z")
    await assign(client, "2026-02-01T00:00:00Z")
    moved = await client.patch(first, json={"start": "2026-01-05T00:00:00Z"})
    assert (moved.status_code, moved.json()["start"]) == (200, "2026-01-05T00:00:00.000Z")
    assert moved.json()["end"] == "2026-01-10T00:00:00.000Z"
    both = {"start": "2025-12-01T00:00:00Z", "end": "2026-02-01T00:00:00Z"}
    assert (await client.patch(first, json=both)).json()["end"] == "2026-02-01T00:00:00.000Z"
    assert (await client.patch(first, json={})).json()["start"] == "2025-12-01T00:00:00.000Z"
    problem(await client.patch(first, json={"end": "2026-02-01T00:00:00.001Z"}), 409, "end")
    problem(await client.patch(first, json={"start": both["end"]}), 422, "start")
    problem(await client.patch(first, json={"start": None}), 422, "start")
    problem(await client.patch(first, json={"start": "2026-03-01T00:00:00Z", "end": None}), 409)


async def test_an_assignment_does_not_move_to_a_day_that_is_full(
    make_app: Callable[..., FastAPI],
) -> None:
    async with asked(make_app(ASSIGNMENT_CHANGES_PER_DAY="1")) as client:
        await assign(client, "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z")
        other = await assign(client, "2026-01-02T00:00:00Z", "2026-01-02T01:00:00Z")
        within = await client.patch(other, json={"start": "2026-01-02T00:30:00Z"})
        assert within.status_code == 200
        problem(await client.patch(other, json={"start": "2026-01-01T02:00:00Z"}), 409, "start")


async def test_an_assignment_is_removed_once(client: Client) -> None:
    one = await assign(client, "2026-01-01T00:00:00Z")
    problem(await client.delete(one.replace("/v/", "/w/")), 404)
    removed = await client.delete(one)
    assert (removed.status_code, removed.content) == (204, b"")
    problem(await client.delete(one), 404)
    assert await pages(client, ASSIGNMENTS, limit=1) == []
    await assign(client, "2026-01-01T00:00:00Z")


async def test_the_assignments_of_a_meter_are_listed_with_their_vehicles(client: Client) -> None:
    for vehicle in ("v", "w", "x"):
        await assign(client, "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", vehicle)
    await assign(client, "2025-01-01T00:00:00.000001Z", "2025-01-02T00:00:00Z")
    for limit in (1, 2, 10):
        listed = await pages(client, f"{DEVICES}/meters/m/assignments", limit=limit)
        assert [one["vehicleId"] for one in listed] == ["v", "v", "w", "x"]
    assert listed[0]["start"] == "2025-01-01T00:00:00.000001Z"
    assert set(listed[0]) == {"assignmentId", "vehicleId", "meterId", "start", "end"}
    assert await pages(client, f"{DEVICES}/meters/nobody/assignments", limit=1) == []
    problem(await client.get(f"{DEVICES}/meters/m/assignments", params={"after": "x"}), 422)


async def test_a_session_is_put_right_and_its_energy_follows(client: Client, rows: Rows) -> None:
    store_meter(rows, "m", [(NOW - n * MINUTE, 1.0) for n in range(60)])
    store_vehicle(rows, "v", [(NOW - n * MINUTE, 0.9) for n in range(60)])
    session = await charge(client, 20, 10)
    one = f"{SESSIONS}/{session['sessionId']}"
    assert session["acKwh"] == 10.0
    changed = await client.patch(one, json={"startedAt": stamp(NOW - 30 * MINUTE)})
    wanted = session | {"startedAt": stamp(NOW - 30 * MINUTE), "acKwh": 20.0, "dcKwh": 18.0}
    assert (changed.status_code, changed.json()) == (200, wanted)
    changed = await client.patch(one, json={"endedAt": stamp(NOW - 25 * MINUTE)})
    assert (changed.json()["acKwh"], changed.json()["startedAt"]) == (5.0, wanted["startedAt"])
    assert (await client.get(one)).json() == changed.json()
    opened = await client.patch(one, json={"endedAt": None})
    assert (opened.status_code, opened.json()["endedAt"]) == (200, None)
    assert (await client.get(f"{SESSIONS}/active")).json()["items"] == [opened.json()]
    problem(await client.patch(one, json={"startedAt": None}), 422, "startedAt")
    problem(await client.patch(one, json={"endedAt": wanted["startedAt"]}), 422, "endedAt")
    problem(await client.patch(one, json={"endedAt": "2999-01-01T00:00:00Z"}), 422, "endedAt")
    problem(await client.patch(f"{SESSIONS}/999999", json={}), 404)


async def test_a_session_that_moves_energy_is_answered_with_what_it_has_then(
    client: Client, rows: Rows
) -> None:
    """A reading of a quarter of an hour lies in the part of it in which a session ran."""
    await client.post(f"{DEVICES}/meters", json={"meterId": "m", "readingIntervalSeconds": 900})
    store_meter(rows, "m", [(NOW - n * MINUTE, 3.0) for n in (60, 45, 30, 15)])
    session = await charge(client, 55, None)
    one = f"{SESSIONS}/{session['sessionId']}"
    assert session["acKwh"] == 9.0
    assert (await client.get(one)).json() == session
    ended = await client.post(f"{one}/end", json={"endedAt": stamp(NOW - 40 * MINUTE)})
    assert (ended.json()["acKwh"], ended.status_code) == (6.0, 200)
    assert (await client.get(one)).json() == ended.json()
    for ago, wanted in ((50, 6.0), (43, 3.0), (65, 9.0)):
        changed = await client.patch(one, json={"startedAt": stamp(NOW - ago * MINUTE)})
        assert changed.json()["acKwh"] == wanted
        assert (await client.get(one)).json() == changed.json()
    next_one = await charge(client, 40, 35, vehicleId="w")
    assert next_one["acKwh"] == 1.5
    assert (await client.get(one)).json()["acKwh"] == 7.5


@pytest.mark.parametrize("same", ["vehicleId", "meterId"])
async def test_a_session_is_not_moved_into_another_one(client: Client, same: str) -> None:
    session = await charge(client, 20, 10)
    other = {"vehicleId": "w", "meterId": "n"} | {same: session[same]}
    await charge(client, 10, 5, **other)
    one = f"{SESSIONS}/{session['sessionId']}"
    problem(await client.patch(one, json={"endedAt": stamp(NOW - 9 * MINUTE)}), 409, same)
    problem(await client.patch(one, json={"endedAt": None}), 409, same)


async def test_a_session_is_removed_once(client: Client) -> None:
    session = await charge(client, 20, 10)
    one = f"{SESSIONS}/{session['sessionId']}"
    removed = await client.delete(one)
    assert (removed.status_code, removed.content) == (204, b"")
    problem(await client.delete(one), 404)
    problem(await client.get(one), 404)
    await charge(client, 20, 10)


async def test_sessions_are_listed_that_overlap_a_time(client: Client) -> None:
    made = [await charge(client, begin, begin - 10) for begin in (40, 30, 20)]
    made.append(await charge(client, 10, None))

    async def listed(**query: int) -> list[dict[str, Any]]:
        times = {name: stamp(NOW - ago * MINUTE) for name, ago in query.items()}
        return await pages(client, SESSIONS, limit=1, **times)

    assert await listed(start=30) == made[1:]
    assert await listed(end=30) == made[:1]
    assert await listed(start=30, end=20) == made[1:2]
    assert await listed(start=31, end=19) == made[:3]
    assert await listed(start=5) == made[3:]
    problem(await client.get(SESSIONS, params={"start": "soon"}), 422, "start")
