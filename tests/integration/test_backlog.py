"""What upkeep has yet to do, as its metrics show it."""

from datetime import timedelta

from consumer.flush.sink import Sink
from consumer.metrics import Metrics
from consumer.postgres.connection import Connection
from consumer.postgres.days import make_days
from consumer.upkeep.backlog import measure
from telemetry.streams import METER
from tests.integration.conftest import NOW, flush_of, meter_value
from tests.integration.days import EPOCH, TODAY, number

NOW_US = int(NOW.timestamp()) * 1_000_000


async def test_notes_and_vehicles_that_wait_are_counted_but_not_those_of_this_hour(
    sink: Sink, connection: Connection, metrics: Metrics
) -> None:
    await sink.flush(flush_of([meter_value()]))
    for vehicle, hours_ago in (("veh-1", 0), ("veh-2", 2), ("veh-3", 30)):
        await connection.execute(
            "INSERT INTO vehicle_due (vehicle_id, since, noted_at)"
            " SELECT %s, hour, hour FROM date_trunc('hour', now() - %s) AS hour",
            [vehicle, timedelta(hours=hours_ago)],
        )
    await measure(connection, metrics, now_us=NOW_US)
    assert metrics.registry.get_sample_value("telemetry_rollup_due", {"kind": "notes"}) == 1
    assert metrics.registry.get_sample_value("telemetry_rollup_due", {"kind": "vehicles"}) == 2


async def test_days_count_from_today_up_to_the_first_gap(
    connection: Connection, metrics: Metrics
) -> None:
    async def days_left() -> float:
        await measure(connection, metrics, now_us=NOW_US)
        labels = {"topic": METER.topic}
        until = metrics.registry.get_sample_value("telemetry_history_made_until_seconds", labels)
        assert until is not None
        return until / 86_400 - number(TODAY)

    tomorrow, third = (number(TODAY + timedelta(days=n)) for n in (1, 3))
    await make_days(connection, METER, [tomorrow, third])
    assert await days_left() == 0
    await make_days(connection, METER, [number(TODAY) - 5, number(TODAY)])
    assert await days_left() == 2
    await make_days(connection, METER, [third - 1])
    assert await days_left() == 4
    name = f"meter_history_{EPOCH + timedelta(days=tomorrow):%Y%m%d}"
    await connection.execute(f"ALTER TABLE meter_history DETACH PARTITION {name}")
    assert await days_left() == 1
