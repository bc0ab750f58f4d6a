"""A meter's performance over HTTP: what it drew, whom it served, and what of it arrived."""

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from deploy.replica import ROOT
from tests.api.conftest import Client, Rows, problem
from tests.api.readings import MINUTE, NOW, stamp, store_meter, store_vehicle

METERS = "/v1/analytics/meters"
HOUR = timedelta(hours=1)
END = NOW.replace(minute=0, second=0) - HOUR
START = END - 2 * HOUR
WINDOW = {"start": stamp(START), "end": stamp(END)}
_API = (ROOT / "docs" / "api.md").read_text()
EXAMPLE = re.search(
    r"#### A meter's answer\n\n`GET ([^`]+)`.*?^```json\n(.*?)^```$", _API, re.MULTILINE | re.DOTALL
)


def each_minute(kwh: float, start: datetime = START, end: datetime = END) -> Any:
    """Return readings of one energy, a minute apart."""
    return [(start + (n + 1) * MINUTE, kwh) for n in range((end - start) // MINUTE)]


def bind(rows: Rows, vehicle: str, start: datetime = START, *, meter: str = "m") -> None:
    """Assign a vehicle to the meter."""
    rows.execute(
        "INSERT INTO vehicle_meter_assignment (vehicle_id, meter_id, started_at)"
        " VALUES (%s, %s, %s)",
        [vehicle, meter, start],
    )


def charge(rows: Rows, vehicle: str, start: datetime, end: datetime, *, meter: str = "m") -> None:
    """Let a session of the vehicle run on the meter."""
    rows.execute(
        "INSERT INTO charging_session (vehicle_id, meter_id, started_at, ended_at)"
        " VALUES (%s, %s, %s, %s)",
        [vehicle, meter, start, end],
    )


async def ask(client: Client, **query: str) -> dict[str, Any]:
    answer = await client.get(f"{METERS}/m/performance", params=query or WINDOW)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_an_answer_has_the_promised_shape(client: Client, rows: Rows) -> None:
    store_meter(rows, "m", each_minute(0.1))
    store_vehicle(rows, "v", each_minute(0.09))
    bind(rows, "v")
    found = await ask(client)
    assert found["window"].pop("asOf") > stamp(NOW)[:19]
    assert found == {
        "meterId": "m",
        "window": WINDOW,
        "energy": {"acKwh": 12.0, "dcKwh": 10.8, "lossKwh": 1.2},
        "efficiency": {"ratio": 0.9},
        "vehicles": [{"vehicleId": "v", "acKwh": 12.0, "dcKwh": 10.8}],
        "quality": {
            "vehicleReadings": 120,
            "meterReadings": 120,
            "vehicleCoverage": 1.0,
            "meterCoverage": 1.0,
            "reasons": [],
        },
        "hourly": [
            {
                "start": stamp(start),
                "end": stamp(start + HOUR),
                "acKwh": 6.0,
                "dcKwh": 5.4,
                "ratio": 0.9,
            }
            for start in (START, START + HOUR)
        ],
    }


async def test_vehicles_that_share_a_meter_have_a_joint_ratio(client: Client, rows: Rows) -> None:
    store_meter(rows, "m", each_minute(0.2))
    for vehicle, kwh in (("v", 0.1), ("w", 0.06)):
        store_vehicle(rows, vehicle, each_minute(kwh))
        bind(rows, vehicle)
    found = await ask(client)
    assert found["vehicles"] == [
        {"vehicleId": "v", "acKwh": None, "dcKwh": 12.0},
        {"vehicleId": "w", "acKwh": None, "dcKwh": 7.2},
    ]
    assert found["energy"] == {"acKwh": 24.0, "dcKwh": 19.2, "lossKwh": 4.8}
    assert found["efficiency"] == {"ratio": 0.8}
    assert found["quality"]["reasons"] == ["shared_meter"]


async def test_sessions_tell_whose_the_energy_of_a_shared_meter_is(
    client: Client, rows: Rows
) -> None:
    middle = START + HOUR
    store_meter(rows, "m", each_minute(0.2))
    store_vehicle(rows, "v", each_minute(0.18, START, middle))
    store_vehicle(rows, "w", each_minute(0.16, middle, END))
    for vehicle, start, end in (("v", START, middle), ("w", middle, END)):
        bind(rows, vehicle)
        charge(rows, vehicle, start, end)
    found = await ask(client)
    assert found["vehicles"] == [
        {"vehicleId": "v", "acKwh": 12.0, "dcKwh": 10.8},
        {"vehicleId": "w", "acKwh": 12.0, "dcKwh": 9.6},
    ]
    assert found["efficiency"] == {"ratio": 0.85}
    assert [hour["ratio"] for hour in found["hourly"]] == [0.9, 0.8]
    assert found["quality"] == {
        "vehicleReadings": 120,
        "meterReadings": 120,
        "vehicleCoverage": 1.0,
        "meterCoverage": 1.0,
        "reasons": [],
    }


async def test_a_vehicle_that_was_assigned_only_while_others_charged_was_not_served(
    client: Client, rows: Rows
) -> None:
    store_meter(rows, "m", each_minute(0.1))
    store_vehicle(rows, "w", each_minute(0.09))
    bind(rows, "v")
    charge(rows, "w", START, END)
    found = await ask(client)
    assert [one["vehicleId"] for one in found["vehicles"]] == ["w"]
    assert found["quality"]["reasons"] == []


async def test_what_a_vehicle_takes_in_a_session_elsewhere_is_not_this_meters(
    client: Client, rows: Rows
) -> None:
    """It is assigned here for good, and charges for an hour at another meter."""
    store_meter(rows, "m", each_minute(0.1, START + HOUR))
    store_meter(rows, "n", each_minute(0.1, START, START + HOUR))
    store_vehicle(rows, "v", each_minute(0.09))
    bind(rows, "v")
    charge(rows, "v", START, START + HOUR, meter="n")
    found = await ask(client)
    assert found["energy"] == {"acKwh": 6.0, "dcKwh": 5.4, "lossKwh": 0.6}
    assert found["vehicles"] == [{"vehicleId": "v", "acKwh": 6.0, "dcKwh": 5.4}]
    assert (found["quality"]["vehicleCoverage"], found["quality"]["vehicleReadings"]) == (1.0, 60)


async def test_the_energy_of_a_meter_that_served_nobody_is_its_own(
    client: Client, rows: Rows
) -> None:
    store_meter(rows, "m", each_minute(0.1))
    found = await ask(client)
    assert found["energy"] == {"acKwh": 12.0, "dcKwh": None, "lossKwh": None}
    assert (found["efficiency"], found["vehicles"]) == ({"ratio": None}, [])
    assert found["quality"]["vehicleCoverage"] == 0.0


async def test_hours_are_clipped_and_add_up_exactly(client: Client, rows: Rows) -> None:
    store_meter(rows, "m", each_minute(0.1234567))
    store_vehicle(rows, "v", each_minute(0.0987654))
    bind(rows, "v")
    window = {"start": stamp(START + 7 * MINUTE), "end": stamp(END - 11 * MINUTE)}
    found = await ask(client, **window)
    hours: list[dict[str, Any]] = found["hourly"]
    assert (hours[0]["start"], hours[-1]["end"]) == (window["start"], window["end"])
    assert all(one["end"] == other["start"] for one, other in pairwise(hours))
    for side in ("acKwh", "dcKwh"):
        total = sum(Decimal(str(hour[side])) for hour in hours)
        assert total == Decimal(str(found["energy"][side]))
    assert found["quality"]["meterReadings"] == 102


async def test_an_hour_of_which_nothing_is_known_has_no_energy(client: Client, rows: Rows) -> None:
    store_meter(rows, "m", each_minute(0.1, START, START + HOUR))
    store_vehicle(rows, "v", each_minute(0.09))
    bind(rows, "v")
    found = await ask(client)
    assert [hour["acKwh"] for hour in found["hourly"]] == [6.0, None]
    assert [hour["ratio"] for hour in found["hourly"]] == [0.9, None]
    assert found["quality"]["meterCoverage"] == 0.5


async def test_a_meter_is_found_if_anything_is_known_of_it(client: Client, rows: Rows) -> None:
    problem(await client.get(f"{METERS}/m/performance", params=WINDOW), 404)
    problem(await client.get(f"{METERS}/m/performance"), 404)
    await client.post("/v1/devices/meters", json={"meterId": "m"})
    found = await ask(client)
    assert found["energy"] == {"acKwh": None, "dcKwh": None, "lossKwh": None}
    assert found["quality"]["meterCoverage"] == 0.0
    problem(await client.get(f"{METERS}/m 2/performance"), 422, "meter_id")


async def test_a_meter_that_is_only_assigned_is_found(client: Client, rows: Rows) -> None:
    store_vehicle(rows, "v", each_minute(0.09))
    bind(rows, "v")
    found = await ask(client)
    assert found["vehicles"] == [{"vehicleId": "v", "acKwh": None, "dcKwh": 10.8}]
    assert found["efficiency"] == {"ratio": None}


async def test_by_default_an_answer_begins_with_the_hour_of_the_first_reading(
    client: Client, rows: Rows
) -> None:
    store_meter(rows, "m", each_minute(0.1, END - 59 * MINUTE))
    assert (await ask(client, end=stamp(END)))["window"]["start"] == stamp(END - HOUR)
    store_meter(rows, "m", [(END - 25 * HOUR, 0.1)])
    assert (await ask(client, end=stamp(END)))["window"]["start"] == stamp(END - 24 * HOUR)


async def test_the_example_of_the_documentation_is_answered_as_it_stands(
    client: Client, rows: Rows
) -> None:
    assert EXAMPLE is not None
    address, example = EXAMPLE.groups()
    expected = json.loads(example)
    start = datetime(2026, 2, 10, 18, tzinfo=UTC)
    middle, end = start + HOUR, start + 2 * HOUR
    store_meter(rows, "mtr-00042", each_minute(0.1, start, end))
    first = [*each_minute(0.09, start, middle), *each_minute(0.0, middle, end)]
    store_vehicle(rows, "veh-00042", first)
    store_vehicle(rows, "veh-00043", each_minute(0.08, middle, end))
    for vehicle in ("veh-00042", "veh-00043"):
        bind(rows, vehicle, start, meter="mtr-00042")
    charge(rows, "veh-00042", start, middle, meter="mtr-00042")
    found = (await client.get(address)).json()
    assert found["window"].pop("asOf") > expected["window"].pop("asOf")
    assert found == expected


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"start": stamp(END), "end": stamp(START)}, "start"),
        ({"start": stamp(START), "end": stamp(START)}, "start"),
        ({"start": stamp(END - (31 * 24 + 1) * HOUR - MINUTE), "end": stamp(END)}, "start"),
        ({"start": stamp(START)[:-1], "end": stamp(END)}, "start"),
        ({"end": "yesterday"}, "end"),
        ({"end": "9999-12-31T23:59:59Z"}, "end"),
        ({"begin": stamp(START)}, "begin"),
    ],
)
async def test_an_invalid_window_is_refused_with_its_field(
    client: Client, rows: Rows, query: dict[str, str], field: str
) -> None:
    store_meter(rows, "m", each_minute(0.1))
    problem(await client.get(f"{METERS}/m/performance", params=query), 422, field)
