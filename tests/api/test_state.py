"""Current state and history: the readings as they were sent, in order, a page at a time."""

import base64
import json
from datetime import timedelta

from tests.api.conftest import Client, Rows, problem
from tests.api.paging import pages
from tests.api.readings import MINUTE, NOW, stamp, store_meter, store_vehicle

PATHS = "/v1/telemetry"


async def test_the_current_state_is_the_reading_as_it_was_sent(client: Client, rows: Rows) -> None:
    store_meter(rows, "mtr-1", [(NOW, 0.1 + 0.2)])
    store_vehicle(rows, "veh:1", [(NOW + timedelta(microseconds=1), 5e-324)])
    stored_at, ingested_at = NOW - MINUTE, NOW - 2 * MINUTE
    for kind in ("meter", "vehicle"):
        rows.execute(f"UPDATE {kind}_current_state SET updated_at = %s", [stored_at])
        rows.execute(f"UPDATE {kind}_history SET ingested_at = %s", [ingested_at])
    updated, ingested = {"updatedAt": stamp(stored_at)}, {"ingestedAt": stamp(ingested_at)}
    meter = {
        "meterId": "mtr-1",
        "kwhConsumedAc": 0.30000000000000004,
        "voltage": 230.0,
        "timestamp": stamp(NOW),
    }
    vehicle = {
        "vehicleId": "veh:1",
        "soc": 50.0,
        "kwhDeliveredDc": 5e-324,
        "batteryTemp": 30.5,
        "timestamp": stamp(NOW)[:-5] + ".000001Z",
    }
    for path, wanted in (
        (f"{PATHS}/meter/mtr-1/current", meter | updated),
        ("/v1/devices/meters/mtr-1/state", meter | updated),
        (f"{PATHS}/vehicle/veh:1/current", vehicle | updated),
        ("/v1/devices/vehicles/veh:1/state", vehicle | updated),
        (f"{PATHS}/meters/current", {"items": [meter | updated], "next": None}),
        (f"{PATHS}/vehicles/current", {"items": [vehicle | updated], "next": None}),
        (f"{PATHS}/meter/mtr-1/history", {"items": [meter | ingested], "next": None}),
        (f"{PATHS}/vehicle/veh:1/history", {"items": [vehicle | ingested], "next": None}),
    ):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()) == (200, wanted), path


async def test_a_measure_that_a_device_does_not_send_is_null(client: Client, rows: Rows) -> None:
    with rows.transaction():
        for table in ("history", "current_state"):
            updated = ", now()" if table == "current_state" else ""
            rows.execute(
                f"INSERT INTO meter_{table} VALUES ('mtr-1', %s, 0.5, NULL{updated})", [NOW]
            )
            rows.execute(
                f"INSERT INTO vehicle_{table} VALUES ('veh-1', %s, NULL, 0.5, NULL{updated})",
                [NOW],
            )
    for path in ("meter/mtr-1/current", "meter/mtr-1/history", "meters/current"):
        found = (await client.get(f"{PATHS}/{path}")).json()
        [item] = found.get("items", [found])
        assert (item["voltage"], item["kwhConsumedAc"]) == (None, 0.5), path
    for path in ("vehicle/veh-1/current", "vehicle/veh-1/history", "vehicles/current"):
        found = (await client.get(f"{PATHS}/{path}")).json()
        [item] = found.get("items", [found])
        assert (item["soc"], item["batteryTemp"], item["kwhDeliveredDc"]) == (None, None, 0.5), path


async def test_a_device_that_never_sent_is_not_found(client: Client) -> None:
    for kind in ("meter", "vehicle"):
        for rest in ("current", "history"):
            problem(await client.get(f"{PATHS}/{kind}/nobody/{rest}"), 404)
        problem(await client.get(f"/v1/devices/{kind}s/nobody/state"), 404)
    for path in (f"{PATHS}/meters/current", f"{PATHS}/vehicles/current"):
        assert (await client.get(path)).json() == {"items": [], "next": None}


async def test_pages_neither_skip_nor_repeat_while_rows_come_in(client: Client, rows: Rows) -> None:
    for number in range(0, 40, 2):
        store_meter(rows, f"m-{number:02}", [(NOW, 1.0)])
    seen: list[str] = []
    after: dict[str, str] = {}
    for turn in range(100):
        page = (await client.get(f"{PATHS}/meters/current", params={"limit": 3, **after})).json()
        seen += [item["meterId"] for item in page["items"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
        # One before the place where the reader is, one after it.
        store_meter(rows, f"m-{turn:02}x", [(NOW, 1.0)])
        store_meter(rows, f"m-3{turn}y", [(NOW, 1.0)])
    assert seen == sorted(set(seen))
    assert {f"m-{number:02}" for number in range(0, 40, 2)} <= set(seen)


async def test_history_is_a_half_open_window_in_order_of_time(client: Client, rows: Rows) -> None:
    times = [NOW - number * MINUTE for number in range(10)]
    store_vehicle(rows, "v", [(at, float(number)) for number, at in enumerate(times)])
    path = f"{PATHS}/vehicle/v/history"
    window = {"start": stamp(times[8]), "end": stamp(times[2])}
    items = await pages(client, path, limit=2, **window)
    assert [item["kwhDeliveredDc"] for item in items] == [7.0, 6.0, 5.0, 4.0, 3.0, 2.0]
    assert await pages(client, path, limit=1000, **window) == items
    shifted = {"start": window["start"].replace("Z", "+00:00"), "end": window["end"]}
    assert await pages(client, path, limit=3, **shifted) == items
    # A plus sign that is not escaped arrives as a blank.
    unescaped = f"{path}?start={window['start'].replace('Z', '+00:00')}&end={window['end']}"
    assert (await client.get(unescaped)).json()["items"] == items
    nothing = {"start": "2001-01-01T00:00:00Z", "end": "2001-01-02T00:00:00Z"}
    assert await pages(client, path, limit=2, **nothing) == []


def cursor(key: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()


LISTS = {
    f"{PATHS}/meters/current": [[], [1], ["a", "b"], [None], ["\0"], ["\ud800"], {}, "x"],
    f"{PATHS}/vehicle/v/history": [[""], ["x"], [1], ["9999-12-31T23:59:59-23:00"], ["\0"]],
    "/v1/devices/meters": [[1], ["\ud800"], [True]],
    "/v1/devices/vehicles/v/assignments": [["yesterday"], ["3000-01-01T00:00:00Z"], [2]],
    "/v1/sessions": [["1"], [1, 2], [10**30]],
    "/v1/sessions/active": [["1"], [1.5], [True], [10**30], [10**300]],
    "/v1/analytics/anomalies": [
        [1],
        [0, 1.0, "a"],
        [0, float("nan"), "a", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"],
        [0, float("inf"), "a", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"],
        [10**40, 1.0, "a", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"],
        [0, 1.0, "\0", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"],
        [0, 1.0, "a", "x", "y"],
    ],
}


async def test_a_forged_cursor_is_refused(client: Client, rows: Rows) -> None:
    store_vehicle(rows, "v", [(NOW, 1.0)])
    texts = ["", "!", "é", "=", "A", "' OR 1=1 --", "x" * 500, "bnVsbA", "[" * 300]
    for path, keys in LISTS.items():
        for after in [*texts, *map(cursor, keys)]:
            problem(await client.get(path, params={"after": after}), 422)


async def test_a_limit_is_a_number_from_1_to_1000(client: Client) -> None:
    for path in LISTS:
        for limit in ("0", "-1", "1001", "x", "1e3", "9" * 5000, "NaN"):
            problem(await client.get(path, params={"limit": limit}), 422, "limit")
