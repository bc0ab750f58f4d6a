"""What a device is, and since when: changes from a time on, removal, lists by site and label."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.api.conftest import Client, Rows, problem
from tests.api.paging import pages
from tests.api.readings import MINUTE, NOW, stamp, store_meter

METERS, VEHICLES = "/v1/devices/meters", "/v1/devices/vehicles"
VIN = "WVWZZZE1ZMP000042"
DAY = timedelta(days=1)


async def register(client: Client, path: str, **device: object) -> dict[str, Any]:
    answer = await client.post(path, json=device)
    assert answer.status_code == 201, answer.text
    registered: dict[str, Any] = answer.json()
    return registered


def facts(rows: Rows) -> list[tuple[str, str | None, bool]]:
    """Return since when which kind of reading and which capacity held."""
    found = rows.execute(
        "SELECT reading_kind, nullif(valid_from, '-infinity') AS valid_from, capacity_kw"
        " FROM device_facts ORDER BY device_facts.valid_from"
    ).fetchall()
    return [
        (one["reading_kind"], one["valid_from"] and stamp(one["valid_from"]), one["capacity_kw"])
        for one in found
    ]


async def test_a_change_holds_from_its_time_on_and_what_was_before_is_kept(
    client: Client, rows: Rows
) -> None:
    await register(client, METERS, meterId="m", capacityKw=11.0)
    one, first, second = f"{METERS}/m", stamp(NOW - 2 * DAY), stamp(NOW - DAY)
    changed = await client.patch(one, json={"readingKind": "register", "validFrom": first})
    assert (changed.status_code, changed.json()["validFrom"]) == (200, first)
    changed = await client.patch(one, json={"capacityKw": 22, "validFrom": second})
    assert changed.json()["validFrom"] == second
    assert facts(rows) == [
        ("interval", None, 11.0),
        ("register", first, 11.0),
        ("register", second, 22.0),
    ]


async def test_a_change_holds_from_now_on_if_no_time_is_given(client: Client) -> None:
    await register(client, VEHICLES, vehicleId="v")
    before = datetime.now(UTC)
    changed = await client.patch(f"{VEHICLES}/v", json={"reportsOnlyWhileCharging": True})
    assert before <= datetime.fromisoformat(changed.json()["validFrom"]) <= datetime.now(UTC)


async def test_what_energy_does_not_depend_on_changes_without_a_time(
    client: Client, rows: Rows
) -> None:
    registered = await register(client, METERS, meterId="m", capacityKw=11.0)
    body = {"label": "Bay 1", "site": "Depot", "capacityKw": 11, "validFrom": stamp(NOW)}
    changed = (await client.patch(f"{METERS}/m", json=body)).json()
    assert (changed["label"], changed["site"]) == ("Bay 1", "Depot")
    assert changed["validFrom"] is registered["validFrom"] is None
    assert facts(rows) == [("interval", None, 11.0)]


async def test_a_change_that_is_sent_twice_is_made_once(client: Client, rows: Rows) -> None:
    await register(client, METERS, meterId="m")
    body = {"readingKind": "register", "validFrom": stamp(NOW)}
    answers = [await client.patch(f"{METERS}/m", json=body) for _ in range(2)]
    assert [one.status_code for one in answers] == [200, 200]
    assert len(facts(rows)) == 2


async def test_a_change_is_later_than_the_last_one(client: Client, rows: Rows) -> None:
    await register(client, METERS, meterId="m")
    await client.patch(f"{METERS}/m", json={"capacityKw": 22, "validFrom": stamp(NOW)})
    for since in (NOW, NOW - MINUTE):
        body = {"capacityKw": 11, "validFrom": stamp(since)}
        problem(await client.patch(f"{METERS}/m", json=body), 409, "validFrom")
    assert facts(rows) == [("interval", None, None), ("interval", stamp(NOW), 22.0)]


@pytest.mark.parametrize(
    "since",
    [
        "soon",
        "2026-01-01T00:00:00",
        # Of one text in every process: the cases are collected in each.
        pytest.param(stamp(datetime.now(UTC) + 60 * MINUTE), id="in an hour"),
    ],
)
async def test_a_change_does_not_hold_from_the_future_on_or_from_no_time(
    client: Client, since: str
) -> None:
    await register(client, METERS, meterId="m")
    body = {"capacityKw": 11, "validFrom": since}
    problem(await client.patch(f"{METERS}/m", json=body), 422, "validFrom")


async def test_a_step_fits_the_modulus_after_a_change_too(client: Client) -> None:
    await register(client, METERS, meterId="m", registerModulusKwh=100.0, registerStepKwh=10.0)
    for field, value in (
        ("registerStepKwh", 100),
        ("registerModulusKwh", 10),
        ("registerStepKwh", 0),
        ("registerStepKwh", 1001),
        ("registerStepKwh", None),
    ):
        problem(await client.patch(f"{METERS}/m", json={field: value}), 422, field)
    body = {"registerStepKwh": 500, "registerModulusKwh": None}
    assert (await client.patch(f"{METERS}/m", json=body)).status_code == 200


async def test_a_vin_has_17_characters_and_one_vehicle(client: Client) -> None:
    await register(client, VEHICLES, vehicleId="v", vin=VIN)
    for wrong in (VIN[:16], VIN + "1", VIN.lower(), VIN[:16] + "O", VIN[:16] + "\n", ""):
        problem(await client.post(VEHICLES, json={"vehicleId": "w", "vin": wrong}), 422, "vin")
    problem(await client.post(VEHICLES, json={"vehicleId": "w", "vin": VIN}), 409, "vin")
    await register(client, VEHICLES, vehicleId="w")
    problem(await client.patch(f"{VEHICLES}/w", json={"vin": VIN}), 409, "vin")
    await client.patch(f"{VEHICLES}/v", json={"vin": None})
    assert (await client.patch(f"{VEHICLES}/w", json={"vin": VIN})).json()["vin"] == VIN


async def test_a_registration_is_removed_and_its_readings_stay(client: Client, rows: Rows) -> None:
    store_meter(rows, "m", [(NOW, 1.0)])
    await register(client, METERS, meterId="m", capacityKw=11.0)
    await client.patch(f"{METERS}/m", json={"capacityKw": 22})
    removed = await client.delete(f"{METERS}/m")
    assert (removed.status_code, removed.content) == (204, b"")
    problem(await client.get(f"{METERS}/m"), 404)
    problem(await client.delete(f"{METERS}/m"), 404)
    problem(await client.delete(f"{VEHICLES}/nobody"), 404)
    assert facts(rows) == []
    assert (await client.get("/v1/telemetry/meter/m/current")).status_code == 200
    # What it is registered as next holds for all time.
    assert (await register(client, METERS, meterId="m"))["validFrom"] is None


async def test_devices_are_listed_by_site_and_label(client: Client) -> None:
    for number in range(6):
        site, label = f"site {number % 2}", f"label {number % 3}"
        await register(client, METERS, meterId=f"m-{number}", site=site, label=label)
        await register(client, VEHICLES, vehicleId=f"v-{number}", label=label)
    await register(client, METERS, meterId="m-6")

    async def listed(path: str, **query: str) -> list[str]:
        found = await pages(client, path, limit=1, **query)
        return [one.get("meterId") or one["vehicleId"] for one in found]

    assert await listed(METERS, site="site 1") == ["m-1", "m-3", "m-5"]
    assert await listed(METERS, label="label 0") == ["m-0", "m-3"]
    assert await listed(METERS, site="site 1", label="label 0") == ["m-3"]
    assert await listed(METERS, site="SITE 1") == []
    assert len(await listed(METERS)) == 7
    assert await listed(VEHICLES, label="label 2") == ["v-2", "v-5"]
    problem(await client.get(VEHICLES, params={"site": "site 1"}), 422, "site")
    problem(await client.get(METERS, params={"site": "\0"}), 422, "site")
