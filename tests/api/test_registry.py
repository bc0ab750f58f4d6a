"""Devices, assignments and sessions: what is entered, and what excludes what."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI

from tests.api.conftest import Client, Rows, problem
from tests.api.paging import pages
from tests.api.readings import MINUTE, NOW, stamp, store_meter, store_vehicle
from tests.asked import asked

DEVICES = "/v1/devices"
SESSIONS = "/v1/sessions"
METER = {
    "meterId": "mtr-1",
    "location": "Depot 3, bay 12",
    "site": "Depot 3",
    "label": "Bay 12",
    "capacityKw": 11.0,
    "readingKind": "register",
    "registerModulusKwh": 100_000.0,
    "registerStepKwh": 0.1,
    "readingIntervalSeconds": 900.0,
}
VEHICLE = {
    "vehicleId": "veh-1",
    "vin": "WVWZZZE1ZMP000042",
    "model": "e-Van",
    "label": "Van 42",
    "batteryCapacityKwh": 77.0,
    "maxAcKw": 11.0,
    "readingKind": "interval",
    "readingIntervalSeconds": 60.0,
    "reportsOnlyWhileCharging": True,
}


@pytest.mark.parametrize(("kind", "device"), [("meters", METER), ("vehicles", VEHICLE)])
async def test_a_device_is_registered_once_shown_and_changed(
    client: Client, kind: str, device: dict[str, Any]
) -> None:
    id_field = "meterId" if kind == "meters" else "vehicleId"
    path = f"{DEVICES}/{kind}"
    made = await client.post(path, json=device)
    assert made.status_code == 201
    created_at = made.json()["createdAt"]
    times = {"createdAt": created_at, "updatedAt": created_at}
    # A registration holds for all time.
    device = device | {"validFrom": None}
    assert made.json() == device | times
    again = {name: value for name, value in device.items() if name != "validFrom"}
    problem(await client.post(path, json=again), 409, id_field)
    one = f"{path}/{device[id_field]}"
    assert (await client.get(one)).json() == device | times
    changed = await client.patch(one, json={"readingIntervalSeconds": 30})
    times["updatedAt"] = changed.json()["updatedAt"]
    assert datetime.fromisoformat(times["updatedAt"]) > datetime.fromisoformat(created_at)
    times["validFrom"] = changed.json()["validFrom"]
    assert times["validFrom"] is not None
    wanted = device | times | {"readingIntervalSeconds": 30}
    assert (changed.status_code, changed.json()) == (200, wanted)
    assert (await client.get(one)).json() == wanted
    unchanged = await client.patch(one, json={})
    assert (unchanged.status_code, unchanged.json()) == (200, wanted)
    assert (await client.get(path)).json() == {"items": [changed.json()], "next": None}
    optional = "location" if kind == "meters" else "model"
    assert (await client.patch(one, json={optional: None})).json()[optional] is None
    problem(await client.patch(one, json={"readingKind": None}), 422, "readingKind")
    problem(await client.get(f"{path}/nobody"), 404)
    problem(await client.patch(f"{path}/nobody", json={}), 404)


async def test_a_property_that_is_not_sent_has_its_default(client: Client) -> None:
    meter = (await client.post(f"{DEVICES}/meters", json={"meterId": "m"})).json()
    assert (meter["readingKind"], meter["readingIntervalSeconds"]) == ("interval", 60)
    assert meter["capacityKw"] is None
    for number in range(5):
        body = {"vehicleId": f"v-{4 - number}"}
        assert (await client.post(f"{DEVICES}/vehicles", json=body)).status_code == 201
    listed = await pages(client, f"{DEVICES}/vehicles", limit=2)
    assert [one["vehicleId"] for one in listed] == [f"v-{number}" for number in range(5)]


NO_METERS = (
    (b'{"meterId":"m","readingIntervalSeconds":NaN}', "body"),
    (b'{"meterId":"m","readingIntervalSeconds":1e400}', "readingIntervalSeconds"),
    (b'{"meterId":"m","readingIntervalSeconds":0}', "readingIntervalSeconds"),
    (b'{"meterId":"m","capacityKw":1' + b"0" * 400 + b"}", "capacityKw"),
    (b'{"meterId":"m","capacityKw":' + b"9" * 5_000 + b"}", "capacityKw"),
    (b'{"meterId":"m","capacityKw":"11"}', "capacityKw"),
    (b'{"meterId":"m","capacityKw":true}', "capacityKw"),
    (b'{"meterId":"m","registerModulusKwh":-1}', "registerModulusKwh"),
    (b'{"meterId":"m","registerStepKwh":0}', "registerStepKwh"),
    (b'{"meterId":"m","registerStepKwh":1000.1}', "registerStepKwh"),
    (b'{"meterId":"m","registerStepKwh":null}', "registerStepKwh"),
    (b'{"meterId":"m","registerModulusKwh":10,"registerStepKwh":10}', "registerModulusKwh"),
    (b'{"meterId":"m","registerModulusKwh":0.5}', "registerModulusKwh"),
    (b'{"meterId":"m","validFrom":"2026-01-01T00:00:00Z"}', "validFrom"),
    (b'{"meterId":"m","site":"' + b"x" * 201 + b'"}', "site"),
    (b'{"meterId":"m","location":"a\\u0000b"}', "location"),
    (b'{"meterId":"m","location":"\\ud800"}', "location"),
    (b'{"meterId":"m","location":"' + b"x" * 201 + b'"}', "location"),
    (b'{"meterId":"m","readingKind":"guess"}', "readingKind"),
    (b'{"meterId":"m","colour":"red"}', "colour"),
    (b'{"meterId":"a b"}', "meterId"),
    (b'{"meterId":"a\\n"}', "meterId"),
    (b'{"meterId":"' + b"x" * 65 + b'"}', "meterId"),
    (b"{}", "meterId"),
    (b"{", "body"),
    (b"\xff", "body"),
    (b"", "body"),
    (b"[" * 10_000, "body"),
    (b"[]", "body"),
)


async def test_an_impossible_property_is_refused_with_its_field(client: Client) -> None:
    for body, field in NO_METERS:
        answer = await client.post(f"{DEVICES}/meters", content=body)
        problem(answer, 422, field)


async def test_assignments_do_not_overlap_for_a_vehicle(client: Client) -> None:
    path = f"{DEVICES}/vehicles/veh-1/assignments"

    async def assign(start: str, end: str | None, meter: str = "m-1") -> Any:
        return await client.post(path, json={"meterId": meter, "start": start, "end": end})

    first = await assign("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z")
    assert first.status_code == 201
    assert first.json() == {
        "assignmentId": first.json()["assignmentId"],
        "meterId": "m-1",
        "start": "2026-01-01T00:00:00.000Z",
        "end": "2026-02-01T00:00:00.000Z",
    }
    problem(await assign("2026-01-31T23:59:59.999999Z", None, "m-2"), 409)
    # Ranges are start < t ≤ end: what begins where the other ends does not overlap.
    second = await assign("2026-02-01T00:00:00Z", None, "m-2")
    assert (second.status_code, second.json()["end"]) == (201, None)
    problem(await assign("2026-03-01T00:00:00Z", None), 409)
    problem(await assign("2025-12-01T00:00:00Z", "2026-01-01T00:00:00.000001Z"), 409)
    assert (await assign("2025-12-01T00:00:00Z", "2026-01-01T00:00:00Z")).status_code == 201
    # A meter may serve several vehicles.
    other = f"{DEVICES}/vehicles/veh-2/assignments"
    body = {"meterId": "m-1", "start": "2026-01-01T00:00:00Z"}
    assert (await client.post(other, json=body)).status_code == 201
    listed = await pages(client, path, limit=1)
    assert [one["start"][:7] for one in listed] == ["2025-12", "2026-01", "2026-02"]


async def test_an_assignment_ends_after_its_start_and_may_be_opened_again(client: Client) -> None:
    path = f"{DEVICES}/vehicles/veh-1/assignments"
    body = {"meterId": "m", "start": "2026-01-01T00:00:00Z"}
    one = f"{path}/{(await client.post(path, json=body)).json()['assignmentId']}"
    for end in ("2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z"):
        problem(await client.patch(one, json={"end": end}), 422, "end")
    ended = await client.patch(one, json={"end": "2026-02-01T00:00:00+02:00"})
    assert (ended.status_code, ended.json()["end"]) == (200, "2026-01-31T22:00:00.000Z")
    opened = await client.patch(one, json={"end": None})
    assert (opened.status_code, opened.json()["end"]) == (200, None)
    await client.patch(one, json={"end": "2026-02-01T00:00:00Z"})
    body["start"] = "2026-02-01T00:00:00Z"
    assert (await client.post(path, json=body)).status_code == 201
    problem(await client.patch(one, json={"end": None}), 409)
    problem(await client.patch(f"{path}/999999", json={"end": None}), 404)
    elsewhere = one.replace("veh-1", "veh-2")
    problem(await client.patch(elsewhere, json={"end": None}), 404)
    problem(await client.patch(f"{path}/{2**63}", json={"end": None}), 422)


NO_TIMES: tuple[tuple[object, object, str], ...] = (
    ("2026-02-01T00:00:00Z", "2026-01-01T00:00:00Z", "end"),
    ("2026-02-01T00:00:00", None, "start"),
    ("1999-12-31T00:00:00Z", None, "start"),
    ("9999-12-31T23:59:59-23:59", None, "start"),
    ("2026-02-01T00:00:00Z", "2999-01-01T00:00:00Z", "end"),
    ("\0", None, "start"),
    (5, None, "start"),
)


async def test_invalid_times_are_refused_with_their_fields(client: Client) -> None:
    path = f"{DEVICES}/vehicles/veh-1/assignments"
    for start, end, field in NO_TIMES:
        body = {"meterId": "m", "start": start, "end": end}
        problem(await client.post(path, json=body), 422, field)


async def test_a_session_is_begun_shown_and_ended(client: Client, rows: Rows) -> None:
    begin = NOW - 10 * MINUTE
    store_meter(rows, "m", [(begin + n * MINUTE, 1.0) for n in range(9)])
    store_vehicle(rows, "v", [(begin + n * MINUTE, 0.9) for n in range(9)])
    body = {"vehicleId": "v", "meterId": "m", "startedAt": stamp(begin)}
    made = await client.post(f"{SESSIONS}/start", json=body)
    session = made.json()
    assert made.status_code == 201
    assert session == {
        "sessionId": session["sessionId"],
        "vehicleId": "v",
        "meterId": "m",
        "startedAt": stamp(begin),
        "endedAt": None,
        "acKwh": 8.0,
        "dcKwh": 7.2,
        "ratio": 0.9,
    }
    one = f"{SESSIONS}/{session['sessionId']}"
    assert (await client.get(one)).json() == session
    assert (await client.get(f"{SESSIONS}/active")).json() == {"items": [session], "next": None}
    problem(await client.post(f"{one}/end", json={"endedAt": stamp(begin)}), 422, "endedAt")
    early = stamp(begin - timedelta(microseconds=1000))
    problem(await client.post(f"{one}/end", json={"endedAt": early}), 422, "endedAt")
    ended = await client.post(f"{one}/end", json={"endedAt": stamp(begin + 2 * MINUTE)})
    assert ended.status_code == 200
    assert ended.json() == session | {
        "endedAt": stamp(begin + 2 * MINUTE),
        "acKwh": 2.0,
        "dcKwh": 1.8,
    }
    problem(await client.post(f"{one}/end"), 409)
    assert (await client.get(f"{SESSIONS}/active")).json()["items"] == []
    # The next one may begin where it ended, and without a time it ends now.
    body["startedAt"] = stamp(begin + 2 * MINUTE)
    following = (await client.post(f"{SESSIONS}/start", json=body)).json()
    ended = await client.post(f"{SESSIONS}/{following['sessionId']}/end")
    assert (ended.status_code, ended.json()["acKwh"]) == (200, 6.0)


async def test_sessions_of_the_past_are_entered_in_any_order(client: Client) -> None:
    body = {"vehicleId": "v", "meterId": "m"}
    times = [stamp(NOW - number * MINUTE) for number in range(8)]

    async def enter(first: int, last: int, **other: str) -> Any:
        session = {**body, "startedAt": times[first], "endedAt": times[last], **other}
        return await client.post(f"{SESSIONS}/start", json=session)

    for first, last in ((2, 0), (6, 4), (4, 2)):
        made = await enter(first, last)
        assert made.status_code == 201
        assert (made.json()["startedAt"], made.json()["endedAt"]) == (times[first], times[last])
    problem(await enter(5, 3), 409, "vehicleId")
    problem(await enter(5, 3, vehicleId="x"), 409, "meterId")
    assert (await client.get(f"{SESSIONS}/active")).json()["items"] == []
    for first, last in ((6, 7), (6, 6)):
        problem(await enter(first, last, vehicleId="x", meterId="x"), 422, "endedAt")
    problem(await client.post(f"{SESSIONS}/start", json=body | {"endedAt": times[7]}), 422)


async def test_a_session_does_not_start_or_end_in_the_future(client: Client) -> None:
    body = {"vehicleId": "v", "meterId": "m"}
    ahead = stamp(datetime.now(UTC) + 6 * MINUTE)
    for times, field in (
        ({"startedAt": ahead}, "startedAt"),
        ({"startedAt": stamp(NOW - MINUTE), "endedAt": ahead}, "endedAt"),
    ):
        problem(await client.post(f"{SESSIONS}/start", json=body | times), 422, field)
    # As with readings, clocks may differ a little.
    near = body | {"startedAt": stamp(datetime.now(UTC) + 4 * MINUTE)}
    begun = await client.post(f"{SESSIONS}/start", json=near)
    assert begun.status_code == 201
    end = f"{SESSIONS}/{begun.json()['sessionId']}/end"
    problem(await client.post(end, json={"endedAt": ahead}), 422, "endedAt")
    # An assignment may be planned.
    planned = {"meterId": "m", "start": ahead}
    path = f"{DEVICES}/vehicles/v/assignments"
    assert (await client.post(path, json=planned)).status_code == 201


async def test_sessions_are_listed_by_vehicle_and_meter(client: Client, rows: Rows) -> None:
    begin = NOW - 60 * MINUTE
    store_meter(rows, "m-0", [(begin + n * MINUTE, 1.0) for n in range(60)])
    made = []
    for number in range(12):
        body = {"vehicleId": f"v-{number % 2}", "meterId": f"m-{number % 3}"}
        body["startedAt"] = stamp(begin + number * MINUTE)
        if number < 11:
            body["endedAt"] = stamp(begin + (number + 1) * MINUTE)
        made.append((await client.post(f"{SESSIONS}/start", json=body)).json())
    # A session on a page is the same as the session by itself.
    assert made[0]["acKwh"] == 1.0
    for limit in (1, 5, 1000):
        assert await pages(client, SESSIONS, limit=limit) == made
        assert await pages(client, SESSIONS, limit=limit, vehicleId="v-1") == made[1::2]
        assert await pages(client, SESSIONS, limit=limit, meterId="m-0") == made[::3]
        both = {"vehicleId": "v-1", "meterId": "m-0"}
        assert await pages(client, SESSIONS, limit=limit, **both) == made[3::6]
    assert await pages(client, f"{SESSIONS}/active", limit=1) == made[11:]
    assert await pages(client, SESSIONS, limit=1, vehicleId="nobody") == []
    for field in ("vehicleId", "meterId"):
        for wrong in ("", "a b", "é", "a\n", "\0", "x" * 65):
            problem(await client.get(SESSIONS, params={field: wrong}), 422, field)


async def test_neither_a_vehicle_nor_a_meter_is_in_two_sessions(client: Client) -> None:
    start = f"{SESSIONS}/start"
    assert (await client.post(start, json={"vehicleId": "v", "meterId": "m"})).status_code == 201
    problem(await client.post(start, json={"vehicleId": "v", "meterId": "x"}), 409, "vehicleId")
    problem(await client.post(start, json={"vehicleId": "x", "meterId": "m"}), 409, "meterId")
    assert (await client.post(start, json={"vehicleId": "x", "meterId": "x"})).status_code == 201


async def test_a_session_that_does_not_exist_is_not_found(client: Client) -> None:
    for path in (f"{SESSIONS}/999999", f"{SESSIONS}/999999/end"):
        method = client.post if path.endswith("end") else client.get
        problem(await method(path), 404)
    for wrong in ("0", "-1", "x", str(2**63), "1.5", "9" * 5000, "1%00"):
        problem(await client.get(f"{SESSIONS}/{wrong}"), 422)
        problem(await client.post(f"{SESSIONS}/{wrong}/end"), 422)
    problem(await client.post(f"{SESSIONS}/start", json={"vehicleId": "v"}), 422, "meterId")


@pytest.mark.parametrize("same", ["vehicleId", "meterId"])
async def test_one_of_several_sessions_that_start_at_once_is_entered(
    make_app: Callable[..., FastAPI], same: str
) -> None:
    async with asked(make_app(DATABASE_POOL_SIZE="8")) as client:
        bodies = [{"vehicleId": f"v-{n}", "meterId": f"m-{n}", same: "the-one"} for n in range(16)]
        answers = await asyncio.gather(
            *(client.post(f"{SESSIONS}/start", json=body) for body in bodies)
        )
        assert sorted(one.status_code for one in answers) == [201] + [409] * 15


async def test_one_of_several_assignments_that_are_made_at_once_is_entered(client: Client) -> None:
    path = f"{DEVICES}/vehicles/v/assignments"
    bodies = [{"meterId": f"m-{n}", "start": stamp(NOW - n * MINUTE)} for n in range(16)]
    answers = await asyncio.gather(*(client.post(path, json=body) for body in bodies))
    assert sorted(one.status_code for one in answers) == [201] + [409] * 15
