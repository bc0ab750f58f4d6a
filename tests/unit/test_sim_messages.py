"""Readings as bytes in the contract's canonical form."""

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from producer_sim.devices.fleet import Fleet
from producer_sim.devices.kinds import READING
from producer_sim.devices.messages import FleetMessages, canonical
from producer_sim.devices.records import Records
from telemetry.decode import TimeLimits, decode
from telemetry.readings import Reading
from telemetry.streams import METER, STREAMS, VEHICLE
from telemetry.timestamps import EARLIEST_US, SECOND_US

START_US = 1_770_717_600_000_000
ANY_TIME = TimeLimits(earliest=EARLIEST_US, latest=2**62)


def test_the_canonical_form_is_that_of_the_contract() -> None:
    assert (
        canonical(METER, "mtr-00042", (0.913, 229.8), START_US)
        == b'{"meterId":"mtr-00042","kwhConsumedAc":0.913,"voltage":229.8,'
        b'"timestamp":"2026-02-10T10:00:00.000Z"}'
    )
    assert (
        canonical(VEHICLE, "veh-00042", (57.3, 0.842, 31.4), START_US)
        == b'{"vehicleId":"veh-00042","soc":57.3,"kwhDeliveredDc":0.842,"batteryTemp":31.4,'
        b'"timestamp":"2026-02-10T10:00:00.000Z"}'
    )


@given(st.floats(0, 1e7), st.floats(0, 1e3), st.integers(EARLIEST_US, START_US * 2))
def test_the_canonical_form_keeps_every_double_and_microsecond(
    energy: float, voltage: float, recorded_at: int
) -> None:
    value = canonical(METER, "m", (energy, voltage), recorded_at)
    assert decode(value, METER, ANY_TIME) == Reading("m", recorded_at, (energy, voltage))


def test_a_ticks_messages_are_canonical_and_in_the_order_of_time() -> None:
    records = tick_of(500)
    assert len(records) == 1_000
    assert np.all(np.diff(records.due) >= 0)
    for index in range(len(records)):
        row = records.row(index)
        stream = STREAMS[row.stream]
        assert row.value == canonical(stream, row.device_id, row.measures, row.recorded_at)
        assert row.key == row.device_id.encode()
        assert row.kind is READING
        assert decode(row.value, stream, ANY_TIME) == Reading(
            row.device_id, row.recorded_at, row.measures
        )
    meters = {json.loads(value or b"")["meterId"] for value in records.values[0::2]}
    vehicles = {json.loads(value or b"")["vehicleId"] for value in records.values[1::2]}
    assert meters == {f"mtr-{number:05d}" for number in range(500)}
    assert vehicles == {f"veh-{number:05d}" for number in range(500)}


def test_a_meter_and_its_vehicle_are_read_at_the_same_instant() -> None:
    records = tick_of(50)
    for meter, vehicle in zip(records.values[0::2], records.values[1::2], strict=True):
        first, second = json.loads(meter or b""), json.loads(vehicle or b"")
        assert first["meterId"][4:] == second["vehicleId"][4:]
        assert first["timestamp"] == second["timestamp"]


def test_a_fleets_name_is_in_its_ids() -> None:
    records = tick_of(2, fleet_name="north")
    assert set(records.device_ids) == {
        "mtr-north-00000",
        "mtr-north-00001",
        "veh-north-00000",
        "veh-north-00001",
    }


def test_the_last_tick_is_cut_at_the_end_of_the_run() -> None:
    fleet = Fleet(size=100, seed=1, start_us=START_US, interval_us=60 * SECOND_US)
    messages = FleetMessages(numbers=fleet.numbers, fleet_name=None)
    end = START_US + 20 * SECOND_US
    tick = fleet.advance()
    (records,) = messages.of(tick, until_us=end)
    assert len(records) == 2 * np.count_nonzero(tick.recorded_at < end)
    assert records.recorded_at.max() < end


def tick_of(size: int, fleet_name: str | None = None) -> Records:
    fleet = Fleet(size=size, seed=1, start_us=START_US, interval_us=60 * SECOND_US)
    messages = FleetMessages(numbers=fleet.numbers, fleet_name=fleet_name)
    (records,) = messages.of(fleet.advance(), until_us=None)
    return records
