"""Performance over HTTP: its shape, sums that add up, windows that are refused."""

from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

from tests.api.conftest import Client, Rows, problem
from tests.api.paging import pages
from tests.api.readings import MINUTE, NOW, stamp, store_meter, store_vehicle

PATHS = "/v1/analytics"
END = NOW.replace(minute=0, second=0) - timedelta(hours=1)
START = END - timedelta(hours=3)
WINDOW = {"start": stamp(START), "end": stamp(END)}


def charge(rows: Rows, number: int, ratio: float, *, meter: str = "", minutes: int = 180) -> None:
    """Let a vehicle charge for three hours from a meter of its own, 0.1 kWh AC a minute."""
    vehicle, meter = f"v-{number}", meter or f"m-{number}"
    times = [START + (n + 1) * MINUTE for n in range(minutes)]
    store_meter(rows, meter, [(at, 0.1) for at in times])
    store_vehicle(rows, vehicle, [(at, round(0.1 * ratio, 9)) for at in times])
    rows.execute(
        "INSERT INTO vehicle_meter_assignment (vehicle_id, meter_id, started_at)"
        " VALUES (%s, %s, %s)",
        [vehicle, meter, START],
    )


async def test_an_answer_has_the_promised_shape(client: Client, rows: Rows) -> None:
    charge(rows, 1, 0.918273)
    rows.execute(
        "INSERT INTO charging_session (vehicle_id, meter_id, started_at, ended_at)"
        " VALUES ('v-1', 'm-1', %s, %s), ('v-1', 'm-1', %s, %s), ('v-1', 'm-1', %s, %s)",
        [
            *(START - 5 * MINUTE, START),  # not in the window, as the third
            *(START + MINUTE, START + 5 * MINUTE),
            *(END + MINUTE, END + 5 * MINUTE),
        ],
    )
    answer = await client.get(f"{PATHS}/performance/v-1", params=WINDOW)
    assert answer.status_code == 200
    found = answer.json()
    as_of = found["window"].pop("asOf")
    assert as_of > stamp(NOW)[:19]
    hours = found.pop("hourly")
    assert found == {
        "vehicleId": "v-1",
        "window": WINDOW,
        "energy": {"acKwh": 18.0, "dcKwh": 16.528914, "lossKwh": 1.471086},
        "efficiency": {
            "ratio": 0.918273,
            "percentage": 91.8,
            "status": "optimal",
            "message": "91.8 % of the AC drawn was delivered as DC",
        },
        "battery": {"averageTemperatureC": 30.5},
        "meters": [{"meterId": "m-1", **WINDOW}],
        "quality": {
            "vehicleReadings": 180,
            "meterReadings": 180,
            "vehicleCoverage": 1.0,
            "meterCoverage": 1.0,
            "reasons": [],
        },
        "sessions": 1,
    }
    assert [hour["start"] for hour in hours] == [
        stamp(START + timedelta(hours=n)) for n in range(3)
    ]
    assert hours[0] == {
        "start": stamp(START),
        "end": stamp(START + timedelta(hours=1)),
        "acKwh": 6.0,
        "dcKwh": 5.509638,
        "ratio": 0.918273,
        "averageTemperatureC": 30.5,
        "readings": 60,
    }


async def test_hours_are_clipped_and_add_up_exactly(client: Client, rows: Rows) -> None:
    charge(rows, 1, 0.7777777)
    window = {"start": stamp(START + 7 * MINUTE), "end": stamp(END - 11 * MINUTE)}
    found = (await client.get(f"{PATHS}/performance/v-1", params=window)).json()
    hours: list[dict[str, Any]] = found["hourly"]
    assert (hours[0]["start"], hours[-1]["end"]) == (window["start"], window["end"])
    assert all(one["end"] == other["start"] for one, other in pairwise(hours))
    for side in ("acKwh", "dcKwh"):
        total = sum(Decimal(str(hour[side])) for hour in hours)
        assert total == Decimal(str(found["energy"][side]))
    assert sum(hour["readings"] for hour in hours) == found["quality"]["vehicleReadings"] == 162


async def test_a_vehicle_is_found_if_it_is_registered_or_has_sent(
    client: Client, rows: Rows
) -> None:
    problem(await client.get(f"{PATHS}/performance/nobody"), 404)
    await client.post("/v1/devices/vehicles", json={"vehicleId": "registered"})
    store_vehicle(rows, "seen", [(START + MINUTE, 1.0)])
    for vehicle in ("registered", "seen"):
        found = (await client.get(f"{PATHS}/performance/{vehicle}", params=WINDOW)).json()
        assert found["efficiency"]["status"] == "no_meter"
        assert (found["energy"]["acKwh"], found["efficiency"]["ratio"]) == (None, None)
        assert found["meters"] == []
    assert found["battery"] == {"averageTemperatureC": 30.5}


async def test_a_named_meter_replaces_all_others(client: Client, rows: Rows) -> None:
    charge(rows, 1, 0.9)
    charge(rows, 2, 0.8)
    path = f"{PATHS}/performance/v-1"
    found = (await client.get(path, params=WINDOW | {"meterId": "m-2"})).json()
    assert found["meters"] == [{"meterId": "m-2", **WINDOW}]
    found = (await client.get(path, params=WINDOW | {"meterId": "unheard-of"})).json()
    assert found["efficiency"]["status"] == "insufficient_data"
    problem(await client.get(path, params={"meterId": "m 2"}), 422, "meterId")
    problem(await client.get(path, params={"meterId": ""}), 422, "meterId")


async def test_an_invalid_window_is_refused_with_its_field(client: Client, rows: Rows) -> None:
    store_vehicle(rows, "v", [(START, 1.0)])
    later = stamp(END + timedelta(days=40))
    for start, end, field in (
        (stamp(END), stamp(START), "start"),
        (stamp(START), stamp(START), "start"),
        (stamp(START)[:-1], stamp(END), "start"),
        (stamp(START), stamp(END)[:-1], "end"),
        (stamp(END - timedelta(days=31, hours=1, milliseconds=1)), stamp(END), "start"),
        ("1999-12-31T23:59:59Z", stamp(END), "start"),
        ("9999-12-31T23:59:59-01:00", None, "start"),
        (None, "9999-12-31T23:59:59Z", "end"),
        ("1770000000", None, "start"),
        ("2026-02-30T00:00:00Z", None, "start"),
        ("now", None, "start"),
        ("\0", None, "start"),
        ("'; DROP TABLE meter; --", None, "start"),
        (None, "", "end"),
        (later, None, "start"),
    ):
        for path in ("performance/v", "fleet/performance", "anomalies"):
            query = {"start": start, "end": end}
            given = {name: text for name, text in query.items() if text is not None}
            problem(await client.get(f"{PATHS}/{path}", params=given), 422, field)
    longest = {"start": stamp(END - timedelta(days=31, hours=1)), "end": stamp(END)}
    assert (await client.get(f"{PATHS}/performance/v", params=longest)).status_code == 200


async def test_by_default_an_answer_is_about_the_24_hours_before_its_end(
    client: Client, rows: Rows
) -> None:
    first = END - timedelta(hours=2, minutes=59)
    store_vehicle(rows, "young", [(first, 1.0)])
    store_vehicle(rows, "old", [(END - timedelta(hours=25), 1.0), (first, 1.0)])
    starts = {}
    for vehicle in ("young", "old"):
        path = f"{PATHS}/performance/{vehicle}"
        found = (await client.get(path, params={"end": stamp(END)})).json()
        starts[vehicle] = found["window"]["start"]
    # Not before the hour of the first reading that is stored.
    assert starts == {
        "young": stamp(END - timedelta(hours=3)),
        "old": stamp(END - timedelta(hours=24)),
    }


async def test_the_fleets_sums_are_over_the_vehicles_that_have_a_band(
    client: Client, rows: Rows
) -> None:
    for number, ratio in enumerate((0.85, 0.8, 0.75, 0.5, 1.5)):
        charge(rows, number, ratio)
    charge(rows, 5, 0.9, minutes=20)
    store_vehicle(rows, "v-6", [(START + MINUTE, 1.0)])
    await client.post("/v1/devices/vehicles", json={"vehicleId": "v-7"})
    answer = await client.get(f"{PATHS}/fleet/performance", params=WINDOW)
    assert answer.status_code == 200
    found = answer.json()
    assert found["window"].pop("asOf")
    assert found["window"] == WINDOW
    assert found["vehicles"] == {
        "total": 8,
        "optimal": 1,
        "degraded": 2,
        "critical": 1,
        "implausible": 1,
        "insufficient_data": 1,
        "no_meter": 2,
    }
    assert set(found) == {"window", "energy", "efficiency", "unjudged", "vehicles", "worst"}
    assert set(found["energy"]) == {"acKwh", "dcKwh", "lossKwh"}
    assert round(found["energy"]["acKwh"], 9) == 72.0
    assert round(found["energy"]["dcKwh"], 9) == 52.2
    assert found["efficiency"] == {"ratio": 0.725}
    # Of the implausible, of the one of twenty minutes, and of the one without a meter.
    assert found["unjudged"] == {"acKwh": 20.0, "dcKwh": 29.8, "lossKwh": -9.8}
    assert [one["vehicleId"] for one in found["worst"]] == ["v-4", "v-3", "v-2", "v-1"]
    anomalies = await client.get(f"{PATHS}/anomalies", params=WINDOW)
    assert anomalies.json() == {"items": found["worst"], "next": None}
    assert found["worst"][1] == {
        "vehicleId": "v-3",
        "status": "critical",
        "ratio": 0.5,
        "percentage": 50.0,
        "acKwh": 18.0,
        "dcKwh": 9.0,
        "vehicleCoverage": 1.0,
        "meterCoverage": 1.0,
    }


async def test_an_empty_fleet_has_no_ratio(client: Client, rows: Rows) -> None:
    found = (await client.get(f"{PATHS}/fleet/performance")).json()
    assert found["energy"] == found["unjudged"] == {"acKwh": 0.0, "dcKwh": 0.0, "lossKwh": 0.0}
    assert (found["efficiency"], found["worst"]) == ({"ratio": None}, [])
    assert set(found["vehicles"].values()) == {0}


async def test_unjudged_energy_of_which_nothing_is_known_is_null(
    client: Client, rows: Rows
) -> None:
    charge(rows, 1, 0.9)
    await client.post("/v1/devices/vehicles", json={"vehicleId": "v-7"})
    found = (await client.get(f"{PATHS}/fleet/performance", params=WINDOW)).json()
    assert found["unjudged"] == {"acKwh": None, "dcKwh": None, "lossKwh": None}
    assert found["energy"]["acKwh"] == 18.0


async def test_without_a_start_the_fleet_is_asked_about_from_its_first_readings_hour(
    client: Client, rows: Rows
) -> None:
    first = NOW - timedelta(hours=3)
    store_vehicle(rows, "v-1", [(first, 1.0), (NOW - MINUTE, 1.0)])
    found = (await client.get(f"{PATHS}/fleet/performance")).json()
    begin = (first - timedelta(microseconds=1)).replace(minute=0, second=0, microsecond=0)
    assert found["window"]["start"] == stamp(begin)
    store_vehicle(rows, "v-1", [(NOW - timedelta(hours=30), 1.0)])
    found = (await client.get(f"{PATHS}/fleet/performance")).json()
    whole = (NOW - timedelta(hours=24)).replace(minute=0, second=0, microsecond=0)
    assert found["window"]["start"] in {stamp(whole), stamp(whole + timedelta(hours=1))}


async def test_what_the_retention_has_removed_is_unknown_and_said(
    client: Client, rows: Rows
) -> None:
    charge(rows, 1, 0.9)
    body = {"vehicleId": "v-1", "reportsOnlyWhileCharging": True}
    assert (await client.post("/v1/devices/vehicles", json=body)).status_code == 201
    before = {"start": stamp(START - timedelta(days=2)), "end": stamp(START - timedelta(days=1))}
    rows.execute(
        "INSERT INTO vehicle_meter_assignment (vehicle_id, meter_id, started_at, ended_at)"
        " VALUES ('v-1', 'm-1', %s, %s)",
        [START - timedelta(days=3), START],
    )
    known = (await client.get(f"{PATHS}/performance/v-1", params=before)).json()
    assert (known["energy"]["dcKwh"], known["quality"]["vehicleCoverage"]) == (0.0, 1.0)
    for stream in ("meter", "vehicle"):
        rows.execute("INSERT INTO history_removed VALUES (%s, %s)", [stream, START])
    for path in ("performance/v-1", "meters/m-1/performance"):
        found = (await client.get(f"{PATHS}/{path}", params=before)).json()
        assert found["energy"] == {"acKwh": None, "dcKwh": None, "lossKwh": None}
        assert found["quality"]["reasons"] == ["history_removed"]
        assert found["quality"]["vehicleCoverage"] == 0.0
        after = (await client.get(f"{PATHS}/{path}", params=WINDOW)).json()
        assert after["quality"]["reasons"] == []
        assert after["energy"]["acKwh"] == 18.0
    fleet = (await client.get(f"{PATHS}/fleet/performance", params=before)).json()
    assert fleet["unjudged"]["dcKwh"] is None


async def test_anomalies_keep_their_order_on_pages_of_any_length(
    client: Client, rows: Rows
) -> None:
    ratios = (0.3, 2.0, 0.57, 0.3, 3.0, 0.7, 2.0, 0.84, 0.9)
    for number, ratio in enumerate(ratios):
        charge(rows, number, ratio)
    path = f"{PATHS}/anomalies"
    whole = await pages(client, path, limit=1000, **WINDOW)
    assert [one["vehicleId"] for one in whole] == [
        *("v-4", "v-1", "v-6"),  # implausible, by falling ratio, then id
        *("v-0", "v-3", "v-2", "v-5", "v-7"),
    ]
    for limit in (1, 2, 3):
        assert await pages(client, path, limit=limit, **WINDOW) == whole
    # The pages that follow are of the first one's window, which need not be said again.
    first = (await client.get(path, params={**WINDOW, "limit": 5})).json()
    rest = (await client.get(path, params={"after": first["next"], "limit": 5})).json()
    assert first["items"] + rest["items"] == whole


async def test_the_threshold_is_compared_with_the_unrounded_ratio(
    client: Client, rows: Rows
) -> None:
    charge(rows, 1, 0.57)
    path = f"{PATHS}/anomalies"

    async def stand_out(threshold: str) -> bool:
        answer = await client.get(path, params={**WINDOW, "threshold": threshold})
        assert answer.status_code == 200, answer.text
        return bool(answer.json()["items"])

    assert not await stand_out("57")  # a hundred times 0.57 is 56.99999999999999
    assert await stand_out("57.00000000000001")
    assert not await stand_out("0")
    assert await stand_out("1000")
    for wrong in ("NaN", "inf", "-1", "1e400", "x", "1001"):
        query = {**WINDOW, "threshold": wrong}
        problem(await client.get(path, params=query), 422, "threshold")
