"""A vehicle's page stays small, however many readings and assignments it has."""

from datetime import timedelta

from psycopg.types.range import TimestamptzRange

from api.page.day import MOST_METERS, MOST_ROWS
from api.queries.statements import statement
from tests.api.conftest import Client, Rows
from tests.api.readings import NOW

ODD = "/vehicles/odd"
HOUR = timedelta(hours=1)


def send(rows: Rows, every: timedelta) -> None:
    """Write a vehicle's day of readings, each of which covers a millisecond."""
    rows.execute("INSERT INTO vehicle (vehicle_id, reading_interval_seconds) VALUES ('odd', 0.001)")
    rows.execute(
        "INSERT INTO vehicle_history (vehicle_id, recorded_at, soc, kwh_delivered_dc)"
        " SELECT 'odd', at, 50, 0.1 FROM generate_series(%s::timestamptz, %s, %s) AS at",
        [NOW - 24 * HOUR, NOW - timedelta(minutes=1), every],
    )


async def test_spans_less_than_a_pixel_apart_are_joined(client: Client, rows: Rows) -> None:
    send(rows, timedelta(seconds=30))
    page = (await client.get(ODD)).text
    assert page.count("<title>readings of odd") == 2  # one in each drawing
    assert f"the first {MOST_ROWS}" not in page
    assert len(page) < 100_000


async def test_a_long_table_is_cut_and_says_so(client: Client, rows: Rows) -> None:
    send(rows, timedelta(seconds=100))
    page = (await client.get(ODD)).text
    assert page.count('<tr><th scope="row">odd</th>') == MOST_ROWS
    assert f"(the first {MOST_ROWS} times)" in page
    assert page.count("<rect") < 2 * MOST_ROWS + 300
    assert len(page) < 500_000


async def test_a_thousand_meters_take_a_few_rows_and_strips(client: Client, rows: Rows) -> None:
    send(rows, HOUR)
    spans = [
        (f"m-{number:04}", TimestamptzRange(begin, begin + timedelta(seconds=1)))
        for number in range(1_000)
        for begin in [NOW - HOUR + number * timedelta(seconds=1)]
    ]
    with rows.cursor() as cursor, rows.transaction():
        cursor.executemany(
            "INSERT INTO vehicle_meter_assignment (vehicle_id, meter_id, started_at, ended_at)"
            " VALUES ('odd', %s, %s, %s)",
            [(meter, span.lower, span.upper) for meter, span in spans],
        )
        cursor.execute(
            "INSERT INTO meter_history (meter_id, recorded_at, kwh_consumed_ac)"
            " SELECT meter_id, ended_at, 0.1 FROM vehicle_meter_assignment"
        )
    page = (await client.get(ODD)).text
    assert page.count('<tr><th scope="row">m-') <= MOST_ROWS + MOST_METERS
    assert f"(the first {MOST_ROWS} times)" in page
    assert f"The readings of {1_000 - MOST_METERS:,} more meters are not shown" in page
    assert page.count(">Readings of m-") == 2 * MOST_METERS
    assert "meter m-0000 and " in page
    assert len(page) < 500_000
    # On the page of the fleet, too, only a few of them are named.
    asked = {"vehicle_ids": ["odd"], "start": NOW - 24 * HOUR, "end": NOW, "most_meters": 5}
    found = rows.execute(statement("vehicles_meters"), asked).fetchone()
    assert found is not None
    assert (len(found["meters"]), found["known"]) == (5, 1_000)
