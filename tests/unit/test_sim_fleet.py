"""The fleet's physics: SoC, power, temperature and the sent energies agree."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producer_sim.devices.fleet import RESERVE, TAPER_FROM, Fleet, Mode, Tick
from telemetry.readings import MeterReading, VehicleReading
from telemetry.timestamps import SECOND_US

START_US = 1_770_717_600_000_000
MINUTE_US = 60 * SECOND_US


def fleet_of(size: int, *, seed: int = 1, interval_us: int = MINUTE_US) -> Fleet:
    return Fleet(size=size, seed=seed, start_us=START_US, interval_us=interval_us)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32),
    minutes=st.sampled_from([0.1, 1, 5, 15, 60]),
)
def test_sent_energies_agree_with_the_batteries_to_half_a_rounding_step(
    seed: int, minutes: float
) -> None:
    fleet = fleet_of(40, seed=seed, interval_us=round(minutes * MINUTE_US))
    soc_before = fleet.soc.copy()
    delivered, consumed = np.zeros(40), np.zeros(40)
    ticks = 200
    for _ in range(ticks):
        tick = fleet.advance()
        delivered += tick.kwh_delivered_dc
        consumed += tick.kwh_consumed_ac

    stored = fleet.traits.capacity_kwh * (fleet.soc - soc_before) / 100
    gained = stored + fleet.driven_kwh
    hours = ticks * minutes / 60
    drawn = gained / fleet.traits.efficiency + fleet.traits.standby_kw * hours
    assert np.abs(delivered - gained).max() < 0.5e-4 + 1e-9
    assert np.abs(consumed - drawn).max() < 0.5e-4 + 1e-9


def test_a_day_of_sent_readings_adds_up_by_itself() -> None:
    fleet = fleet_of(200)
    capacity = fleet.traits.capacity_kwh
    first = fleet.advance()
    delivered, driven_before = np.zeros(200), fleet.driven_kwh.copy()
    for _ in range(24 * 60):
        last = fleet.advance()
        delivered += last.kwh_delivered_dc
    from_soc = capacity * (last.soc - first.soc) / 100 + fleet.driven_kwh - driven_before
    # Each SoC is rounded by at most 0.005 %, of a battery of up to 95 kWh.
    assert np.abs(delivered - from_soc).max() < 2 * 0.00005 * capacity.max() + 1e-4


def test_every_mode_occurs_within_a_day_and_soc_stays_in_range() -> None:
    fleet = fleet_of(100)
    lived = np.zeros((len(Mode), 100), dtype=bool)
    for _ in range(24 * 60):
        tick = fleet.advance()
        lived[fleet.mode, np.arange(100)] = True
        assert tick.soc.min() >= RESERVE - 0.01
        assert tick.soc.max() <= 100
    assert lived[Mode.DRIVING].mean() > 0.9
    assert lived[Mode.CHARGING].mean() > 0.8
    assert lived[Mode.PARKED].any()
    assert lived[Mode.PLUGGED_IN].any()


def test_charging_is_constant_up_to_80_per_cent_and_tapers_above() -> None:
    fleet = fleet_of(3_000)
    below, above = [], []
    for _ in range(300):
        charging, before = fleet.mode == Mode.CHARGING, fleet.soc.copy()
        fleet.advance()
        charging &= fleet.mode == Mode.CHARGING
        kilowatts = (fleet.soc - before) * fleet.traits.capacity_kwh / 100 * 60
        share = kilowatts / (fleet.traits.charger_kw * fleet.traits.efficiency)
        below.append(share[charging & (fleet.soc < TAPER_FROM)])
        late = charging & (before > 90) & (fleet.soc < fleet.traits.target_soc)
        above.append(share[late])
    steady, tapered = np.concatenate(below), np.concatenate(above)
    assert len(steady) > 1_000
    assert np.abs(steady - 1.0).max() <= 1e-6
    assert len(tapered) > 1_000
    assert tapered.max() < 0.56
    assert tapered.min() > 0.09


def test_one_long_interval_charges_as_much_as_many_short_ones() -> None:
    def charged(interval_us: int, intervals: int) -> dict[int, float]:
        fleet = fleet_of(2_000, interval_us=interval_us)
        begins = fleet.mode == Mode.CHARGING
        fleet.soc[:] = np.linspace(10.0, 79.0, 2_000)
        fleet.traits.target_soc[:] = 100.0
        gained = np.sum([fleet.advance().kwh_delivered_dc for _ in range(intervals)], axis=0)
        through = np.flatnonzero(begins & (fleet.mode == Mode.CHARGING)).tolist()
        return {vehicle: gained[vehicle] for vehicle in through}

    long, short = charged(60 * MINUTE_US, 1), charged(MINUTE_US, 60)
    both = long.keys() & short.keys()
    assert len(both) > 400
    assert [long[i] for i in both] == pytest.approx([short[i] for i in both], abs=1.1e-4)


def test_batteries_warm_up_when_they_charge() -> None:
    fleet = fleet_of(2_000)
    for _ in range(60):
        tick = fleet.advance()
    strong = (fleet.mode == Mode.CHARGING) & (tick.kwh_delivered_dc * 60 > 9)
    resting = fleet.mode == Mode.PARKED
    assert tick.battery_temp[strong].mean() > tick.battery_temp[resting].mean() + 2


def test_the_voltage_sags_under_load() -> None:
    tick = ticks(fleet_of(5_000), 1)[0]
    loaded, idle = tick.kwh_consumed_ac * 60 > 10, tick.kwh_consumed_ac < 0.001
    assert tick.voltage[loaded].mean() < tick.voltage[idle].mean() - 1


def test_times_rise_within_a_tick_are_whole_milliseconds_and_one_interval_apart() -> None:
    first, second = ticks(fleet_of(1_000), 2)
    assert np.all(np.diff(first.recorded_at) >= 0)
    assert np.all(first.recorded_at % 1_000 == 0)
    assert first.recorded_at.min() >= START_US
    assert first.recorded_at.max() < START_US + MINUTE_US
    assert np.all(second.recorded_at - first.recorded_at == MINUTE_US)
    assert len(np.unique(first.recorded_at)) > 900


def test_values_are_the_doubles_of_their_short_decimals() -> None:
    for tick in ticks(fleet_of(300), 30):
        for values, decimals in (
            (tick.kwh_consumed_ac, 4),
            (tick.kwh_delivered_dc, 4),
            (tick.voltage, 1),
            (tick.soc, 2),
            (tick.battery_temp, 1),
        ):
            for value in values.tolist():
                assert value == float(f"{value:.{decimals}f}")
                assert Fraction(repr(value)) * 10**decimals % 1 == 0


def test_values_are_in_the_contracts_ranges() -> None:
    for tick in ticks(fleet_of(50), 10):
        for ac, voltage, soc, dc, temperature in zip(*fields(tick), strict=True):
            good = {"meterId": "m", "vehicleId": "v", "timestamp": "2026-02-10T10:00:00Z"}
            MeterReading.model_validate(good | {"kwhConsumedAc": ac, "voltage": voltage})
            VehicleReading.model_validate(
                good | {"soc": soc, "kwhDeliveredDc": dc, "batteryTemp": temperature}
            )


def test_a_seed_repeats_the_readings_and_another_seed_does_not() -> None:
    one, same, other = (
        np.array([fields(tick) for tick in ticks(fleet_of(50, seed=seed), 20)])
        for seed in (7, 7, 8)
    )
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def ticks(fleet: Fleet, count: int) -> list[Tick]:
    return [fleet.advance() for _ in range(count)]


def fields(tick: Tick) -> tuple[list[float], ...]:
    return (
        tick.kwh_consumed_ac.tolist(),
        tick.voltage.tolist(),
        tick.soc.tolist(),
        tick.kwh_delivered_dc.tolist(),
        tick.battery_temp.tolist(),
    )
