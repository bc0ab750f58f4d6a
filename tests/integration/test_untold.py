"""Readings of devices that tell no voltage, no state of charge or no temperature."""

from datetime import timedelta

import pytest

from consumer.flush.sink import Sink
from consumer.postgres.connection import Connection
from telemetry.reasons import Reason
from telemetry.streams import VEHICLE
from tests.corpus.readings import enveloped
from tests.integration.conftest import NOW, flush_of, meter_value, rows

MINUTE = timedelta(minutes=1)
STATE = "SELECT meter_id, kwh_consumed_ac, voltage FROM meter_current_state ORDER BY 1"


async def test_what_was_not_told_is_stored_as_null_beside_what_was(
    sink: Sink, connection: Connection
) -> None:
    values = [
        meter_value("mtr-1", ago=2 * MINUTE, kwh=0.1),
        meter_value("mtr-1", ago=MINUTE, kwh=0.2, voltage=None),
        meter_value("a-longer-name", kwh=0.3, voltage=None),
        meter_value("mtr-2", kwh=0.4),
    ]
    outcome = await sink.flush(flush_of(values))
    assert (outcome.stored, outcome.dead_letters) == (4, [])
    history = "SELECT meter_id, kwh_consumed_ac, voltage FROM meter_history ORDER BY 2"
    assert await rows(connection, history) == [
        ("mtr-1", 0.1, 229.8),
        ("mtr-1", 0.2, None),
        ("a-longer-name", 0.3, None),
        ("mtr-2", 0.4, 229.8),
    ]
    assert await rows(connection, STATE) == [
        ("a-longer-name", 0.3, None),
        ("mtr-1", 0.2, None),
        ("mtr-2", 0.4, 229.8),
    ]


@pytest.mark.parametrize(
    ("told", "stored"),
    [
        ((None, None), (None, None)),
        ((57.3, None), (57.3, None)),
        ((None, -3.5), (None, -3.5)),
        ((57.3, -3.5), (57.3, -3.5)),
    ],
)
async def test_a_vehicle_may_leave_out_either_or_both(
    sink: Sink,
    connection: Connection,
    told: tuple[float | None, float | None],
    stored: tuple[float | None, float | None],
) -> None:
    soc, temperature = ("null" if one is None else one for one in told)
    value = (
        f'{{"vehicleId":"veh-1","soc":{soc},"kwhDeliveredDc":0.5,"batteryTemp":{temperature},'
        f'"timestamp":"{NOW.isoformat()}"}}'
    ).encode()
    await sink.flush(flush_of([value, enveloped(value, VEHICLE)], stream=VEHICLE))
    for table in ("vehicle_history", "vehicle_current_state"):
        query = f"SELECT soc, battery_temp, kwh_delivered_dc FROM {table}"
        assert await rows(connection, query) == [(*stored, 0.5)]


@pytest.mark.parametrize("in_one_batch", [True, False])
async def test_a_copy_has_the_same_gaps_and_a_conflict_has_others(
    sink: Sink, connection: Connection, *, in_one_batch: bool
) -> None:
    first = [meter_value("mtr-1", voltage=None), meter_value("mtr-2")]
    then = [
        meter_value("mtr-1", voltage=None),  # a copy
        meter_value("mtr-1"),  # it tells more than what is stored
        meter_value("mtr-2", voltage=None),  # it tells less
        meter_value("mtr-2"),  # a copy
    ]
    if in_one_batch:
        outcome = await sink.flush(flush_of(first + then))
        assert outcome.stored == 2
        positions = [3, 4]
    else:
        await sink.flush(flush_of(first))
        outcome = await sink.flush(flush_of(then, believed=2))
        assert outcome.stored == 0
        positions = [1, 2]
    assert outcome.duplicates == 2
    assert sorted((one.position, one.reason) for one in outcome.dead_letters) == [
        (place, Reason.CONFLICTING_DUPLICATE) for place in positions
    ]
    assert await rows(connection, STATE) == [("mtr-1", 0.5, None), ("mtr-2", 0.5, 229.8)]
