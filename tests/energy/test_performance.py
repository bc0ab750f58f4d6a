"""`vehicle_performance` says what the slow reference says, and what it must, whatever is asked."""

from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.energy.reference import (
    Answer,
    World,
    performance,
)
from tests.energy.worlds import METERS, VEHICLES, Connection, as_datetime, store, windows, worlds


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(world=worlds, window=windows, meter=st.one_of(st.none(), st.sampled_from(METERS)))
def test_the_answer_is_that_of_the_reference(
    connection: Connection, world: World, window: list[int], meter: str | None
) -> None:
    start, end = window
    with connection.transaction(force_rollback=True):
        store(connection, world)
        answers = {name: ask(connection, name, start, end, meter) for name in VEHICLES}
    for name, answer in answers.items():
        check(answer, performance(world, name, start, end, meter))


def check(answer: dict[str, Any], wanted: Answer) -> None:
    """Compare an answer of the database with one of the reference."""
    assert answer["ac_kwh"] == pytest.approx(float(wanted.ac), abs=1e-9)
    assert answer["dc_kwh"] == pytest.approx(float(wanted.dc), abs=1e-9)
    assert answer["loss_kwh"] == pytest.approx(float(wanted.ac - wanted.dc), abs=1e-9)
    if wanted.ratio is None:
        assert answer["ratio"] is None
    else:
        assert answer["ratio"] == pytest.approx(float(wanted.ratio), rel=1e-12)
    assert answer["status"] == wanted.status
    assert answer["vehicle_readings"] == wanted.vehicle_readings
    assert answer["meter_readings"] == wanted.meter_readings
    assert answer["vehicle_coverage"] == pytest.approx(float(wanted.vehicle_coverage), abs=1e-12)
    assert answer["meter_coverage"] == pytest.approx(float(wanted.meter_coverage), abs=1e-12)
    assert set(answer["reasons"]) == wanted.reasons
    assert answer["sessions"] == wanted.sessions
    hours = answer["hourly"]
    assert [datetime.fromisoformat(hour["start"]) for hour in hours] == [
        as_datetime(hour.start) for hour in wanted.hours
    ]
    for hour, expected in zip(hours, wanted.hours, strict=True):
        assert datetime.fromisoformat(hour["end"]) == as_datetime(expected.end)
        assert hour["ac_kwh"] == pytest.approx(float(expected.ac), abs=1e-9)
        assert hour["dc_kwh"] == pytest.approx(float(expected.dc), abs=1e-9)
        assert hour["readings"] == expected.readings
        assert hour["average_temperature_c"] == pytest.approx(expected.temperature)
    assert _added(hours, "ac_kwh") == answer["ac_kwh"]
    assert _added(hours, "dc_kwh") == answer["dc_kwh"]


def _added(hours: list[dict[str, Any]], side: str) -> float:
    total = 0.0
    for hour in hours:
        total += hour[side]
    return total


def ask(
    connection: Connection, vehicle: str, start: int, end: int, meter: str | None = None
) -> dict[str, Any]:
    """Return the database's answer."""
    answer = connection.execute(
        "SELECT * FROM vehicle_performance(%s, %s, %s, %s)",
        [vehicle, as_datetime(start), as_datetime(end), meter],
    ).fetchone()
    assert answer is not None
    return answer
