"""Thousands of devices and assignments in a request: all are entered, or none."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from fastapi import FastAPI

from tests.api.conftest import Client, Rows, problem
from tests.api.paging import pages
from tests.api.readings import encode
from tests.asked import asked

DEVICES = "/v1/devices"
PATHS = {kind: f"{DEVICES}/{kind}/batch" for kind in ("meters", "vehicles", "assignments")}
VIN = "WVWZZZE1ZMP000042"
START = "2026-01-01T00:00:00Z"
MOST = 5_000
Items = list[dict[str, Any]]


def meters(count: int) -> Items:
    return [{"meterId": f"m-{number:05}", "capacityKw": 11} for number in range(count)]


def assignments(count: int) -> Items:
    return [
        {"vehicleId": f"v-{number:05}", "meterId": f"m-{number:05}", "start": START}
        for number in range(count)
    ]


def faults(document: dict[str, object]) -> list[str]:
    return [one["field"] for one in cast("list[dict[str, str]]", document["errors"])]


async def test_a_batch_is_answered_as_its_items_would_be_by_themselves(client: Client) -> None:
    items: Items = [
        {"vehicleId": "v-2", "vin": VIN, "reportsOnlyWhileCharging": True},
        {"vehicleId": "v-1"},
    ]
    made = await client.post(PATHS["vehicles"], json={"items": items})
    assert made.status_code == 201
    assert made.json()["items"] == [
        (await client.get(f"{DEVICES}/vehicles/{one['vehicleId']}")).json() for one in items
    ]
    items = [
        {"vehicleId": "v-1", "meterId": "m-1", "start": START, "end": None},
        {"vehicleId": "v-2", "meterId": "m-1", "start": START, "end": "2026-01-02T00:00:00Z"},
    ]
    made = await client.post(PATHS["assignments"], json={"items": items})
    assert made.status_code == 201
    assert [one["vehicleId"] for one in made.json()["items"]] == ["v-1", "v-2"]
    assert await pages(client, f"{DEVICES}/meters/m-1/assignments", limit=1) == made.json()["items"]


async def test_thousands_of_pairs_are_a_request_for_each_kind(client: Client) -> None:
    for kind, items in (("meters", meters(MOST)), ("assignments", assignments(MOST))):
        made = await client.post(PATHS[kind], json={"items": items})
        assert made.status_code == 201, made.text
        assert [one["meterId"] for one in made.json()["items"]] == [one["meterId"] for one in items]


async def test_what_is_wrong_with_each_item_is_told_with_its_place_and_nothing_is_entered(
    client: Client,
) -> None:
    items: list[object] = [*meters(9)]
    items[2] = {"meterId": "a b"}
    items[4] = {"meterId": "m", "colour": "red", "registerStepKwh": 0}
    items[7] = []
    document = problem(await client.post(PATHS["meters"], json={"items": items}), 422)
    assert faults(document) == [
        "items[2].meterId",
        "items[4].registerStepKwh",
        "items[4].colour",
        "items[7]",
    ]
    body = b'{"items":[{"meterId":"m"},nope,{"meterId":NaN}]}'
    document = problem(await client.post(PATHS["meters"], content=body), 422)
    assert faults(document) == ["items[1]", "items[2]"]
    assert await pages(client, f"{DEVICES}/meters", limit=100) == []
    timed = assignments(3)
    timed[1]["start"], timed[2]["end"] = "soon", START
    document = problem(await client.post(PATHS["assignments"], json={"items": timed}), 422)
    assert faults(document) == ["items[1].start", "items[2].end"]


async def test_what_is_registered_already_or_twice_is_told_and_nothing_is_entered(
    client: Client,
) -> None:
    path = f"{DEVICES}/vehicles"
    await client.post(path, json={"vehicleId": "v-3", "vin": VIN})
    items: Items = [{"vehicleId": f"v-{number}"} for number in range(6)]
    items[5]["vin"] = VIN
    refused = problem(await client.post(PATHS["vehicles"], json={"items": items}), 409)
    assert faults(refused) == ["items[3].vehicleId", "items[5].vin"]
    items = [{"vehicleId": f"w-{number % 4}"} for number in range(6)]
    refused = problem(await client.post(PATHS["vehicles"], json={"items": items}), 409)
    assert faults(refused) == ["items[4].vehicleId", "items[5].vehicleId"]
    items = [{"vehicleId": f"w-{number}", "vin": VIN[:-1] + "7"} for number in range(2)]
    refused = problem(await client.post(PATHS["vehicles"], json={"items": items}), 409)
    assert faults(refused) == ["items[1].vin"]
    assert [one["vehicleId"] for one in await pages(client, path, limit=9)] == ["v-3"]


async def test_assignments_of_a_batch_overlap_neither_each_other_nor_others(
    client: Client, rows: Rows
) -> None:
    path = f"{DEVICES}/vehicles/v-00001/assignments"
    await client.post(path, json={"meterId": "m", "start": "2026-01-02T00:00:00Z"})
    refused = problem(await client.post(PATHS["assignments"], json={"items": assignments(3)}), 409)
    assert faults(refused) == ["items[1].start"]
    items = assignments(1) * 2 + assignments(1)
    items[0] = items[0] | {"start": "2026-02-01T00:00:00Z"}
    items[2] = items[2] | {"start": "2025-01-01T00:00:00Z", "end": START}
    refused = problem(await client.post(PATHS["assignments"], json={"items": items}), 409)
    assert faults(refused) == ["items[0].start"]
    items[1] = items[1] | {"end": "2026-02-01T00:00:00Z"}
    assert (await client.post(PATHS["assignments"], json={"items": items})).status_code == 201
    assert rows.execute("SELECT count(*) AS n FROM vehicle_meter_assignment").fetchone() == {"n": 4}


async def test_a_batch_keeps_to_the_assignments_of_a_day(make_app: Callable[..., FastAPI]) -> None:
    async with asked(make_app(ASSIGNMENT_CHANGES_PER_DAY="3")) as client:

        def of_seconds(*seconds: int) -> dict[str, object]:
            times = [
                {"start": f"2026-01-02T00:00:0{one}Z", "end": f"2026-01-02T00:00:0{one + 1}Z"}
                for one in seconds
            ]
            return {"items": [{"vehicleId": "v", "meterId": "m"} | one for one in times]}

        assert (await client.post(PATHS["assignments"], json=of_seconds(0))).status_code == 201
        refused = await client.post(PATHS["assignments"], json=of_seconds(2, 4, 6))
        document = problem(refused, 409, "items[2].start")
        assert "ASSIGNMENT_CHANGES_PER_DAY" in str(document["detail"])
        assert (await client.post(PATHS["assignments"], json=of_seconds(2, 4))).status_code == 201


async def test_one_of_several_batches_about_the_same_vehicles_is_entered(client: Client) -> None:
    bodies = [{"items": assignments(50)[:: 1 if turn % 2 else -1]} for turn in range(6)]
    answers = await asyncio.gather(
        *(client.post(PATHS["assignments"], json=body) for body in bodies)
    )
    assert sorted(one.status_code for one in answers) == [201] + [409] * 5
    bodies = [{"items": meters(50)[:: 1 if turn % 2 else -1]} for turn in range(6)]
    answers = await asyncio.gather(*(client.post(PATHS["meters"], json=body) for body in bodies))
    assert sorted(one.status_code for one in answers) == [201] + [409] * 5


@pytest.mark.parametrize("path", PATHS.values())
async def test_the_body_of_a_batch_is_bounded_and_has_items_alone(
    client: Client, path: str
) -> None:
    problem(await client.post(path, json={"items": [{}] * (MOST + 1)}), 413)
    assert 'refused_total{bound="batch"} 1.0' in (await client.get("/metrics")).text
    problem(await client.post(path, content=b" " * ((8 << 20) + 1)), 413)
    for body, field in (
        (b"{}", "items"),
        (b'{"items":[]}', "items"),
        (b'{"items":[{}],"colour":"red"}', "items"),
        (b'{"items":{}}', "items"),
        (b'{"items":[{}', "body"),
        (b"[]", "items"),
        (b"", "body"),
        (b'{"items":[{"x":"' + b"x" * (17 << 10) + b'"}]}', "items[0]"),
        (b'{"items":[' + b"[" * 100 + b"]" * 100 + b"]}", "items[0]"),
    ):
        problem(await client.post(path, content=body), 422, field)
    many = encode({"items": [{f"f{number}": 1 for number in range(500)}] * 1_000})
    document = problem(await client.post(path, content=many), 422)
    assert len(faults(document)) == 20
    assert cast("int", document["moreErrors"]) >= 500 * 1_000 - 20
