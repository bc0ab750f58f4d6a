"""The truth of a run: the real energies, and those that the sent readings account for."""

from collections import defaultdict
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from producer_sim.devices.chaos import Fault, Shares
from producer_sim.devices.quirks.device import NANO
from producer_sim.devices.records import NO_TIME
from producer_sim.ledger.ledger import Ledger, LedgerError
from producer_sim.oracle.truth import Figures, Truth, read_truth, read_truths, write_truth
from tests.unit.worlds import HOUR_US, START_US, lived

AC, DC, AC_LIVED, DC_LIVED, METER_READINGS, VEHICLE_READINGS = range(6)


def closed(directory: Path, metadata: dict[str, Any], truth: Truth | None = None) -> Path:
    """Return a ledger that holds no messages, and a truth if one is given."""
    ledger = Ledger(directory=directory, metadata=metadata, now_us=START_US)
    if truth is not None:
        ledger.note(truth=write_truth(directory, truth))
    ledger.close()
    return directory


def total(truth: Truth) -> Figures:
    """Return the figures of each vehicle over the whole run, (6, n)."""
    figures: Figures = np.sum(list(truth.hours.values()), axis=0)
    return figures


def test_interval_readings_account_for_all_energy_if_nothing_is_withheld() -> None:
    truth, sent = lived(registers=0.0)
    figures = total(truth)
    assert np.array_equal(figures[AC], figures[AC_LIVED])
    assert np.array_equal(figures[DC], figures[DC_LIVED])
    for vehicle, dc, readings in zip(
        truth.vehicles, figures[DC].tolist(), figures[VEHICLE_READINGS].tolist(), strict=True
    ):
        mine = [row.measures[1] for row in sent if row.device_id == vehicle.device_id]
        assert sum(map(Fraction, map(repr, mine))) == Fraction(dc, NANO)
        assert readings == len(mine)


def test_the_energy_of_each_meter_belongs_to_one_vehicle_or_to_none() -> None:
    truth, sent = lived(registers=0.0)
    meters = {device.device_id for device in truth.devices if device.stream == "meter"}
    drawn = sum(Fraction(repr(row.measures[0])) for row in sent if row.device_id in meters)
    told = Fraction(int(total(truth)[AC].sum()), NANO)
    # The standby of shared, spare and unassigned chargers belongs to no vehicle.
    assert 0.9 * float(drawn) < float(told) < float(drawn)


def test_a_register_accounts_for_all_but_its_first_interval_and_a_replacement() -> None:
    truth, _ = lived(registers=1.0)
    figures = total(truth)
    unseen = (figures[AC_LIVED] - figures[AC]) / NANO
    jumped = {device.device_id for device in truth.devices if device.jumped_at is not None}
    assert jumped
    assert (unseen >= 0).all()
    assert unseen.max() < 4.0  # two intervals of five minutes at 22 kW


def test_withheld_readings_are_those_that_were_not_sent() -> None:
    shares = Shares(gaps=0.05, malformed=0.05, late=0.1, duplicates=0.1, conflicts=0.05)
    truth, sent = lived(shares=shares)
    got = {(row.device_id, row.recorded_at) for row in sent if row.recorded_at != NO_TIME}
    withheld = {(one.device_id, one.recorded_at) for one in truth.withheld}
    assert not got & withheld
    assert {one.fault for one in truth.withheld} == {Fault.GAPS, Fault.MALFORMED}
    calm, undisturbed = lived()
    assert got | withheld == {(row.device_id, row.recorded_at) for row in undisturbed}
    assert np.array_equal(total(truth)[DC_LIVED], total(calm)[DC_LIVED])
    readings = total(truth)[VEHICLE_READINGS]
    vehicles = {vehicle.device_id for vehicle in truth.vehicles}
    assert readings.sum() == sum(device in vehicles for device, _ in got)


def test_sessions_of_a_meter_and_of_a_vehicle_do_not_overlap() -> None:
    truth, _ = lived(devices=200)
    sessions = [bond for bond in truth.bonds if bond.kind == "session"]
    assert sessions
    for key in ("meter_id", "vehicle_id"):
        groups = defaultdict(list)
        for bond in sorted(sessions, key=lambda bond: bond.start):
            groups[getattr(bond, key)].append(bond)
        for group in groups.values():
            for one, later in pairwise(group):
                assert one.end is not None
                assert one.end <= later.start
    assert all(START_US - 300_000_000 <= one.start < (one.end or 0) for one in sessions)


def test_the_files_hold_the_whole_truth(tmp_path: Path) -> None:
    truth, _ = lived(shares=Shares.of(0.1))
    again = read_truth(closed(tmp_path / "ledger", {}, truth))
    assert replace(again, hours={}) == replace(truth, hours={})
    assert again.hours.keys() == truth.hours.keys()
    for hour, figures in truth.hours.items():
        assert np.array_equal(again.hours[hour], figures)


def test_truths_are_read_from_ledgers_of_worlds_of_which_there_must_be_one(tmp_path: Path) -> None:
    truth, _ = lived()
    world = closed(tmp_path / "world", {"registers": 0.2}, truth)
    others = [closed(tmp_path / "run", {"registers": None}), closed(tmp_path / "replay", {})]
    assert [one.devices for one in read_truths([*others, world])] == [truth.devices]
    with pytest.raises(LedgerError, match="replay: holds no truth: only"):
        read_truths(others)


def test_a_world_that_was_stopped_is_refused(tmp_path: Path) -> None:
    stopped = closed(tmp_path / "stopped", {"registers": 0.2})
    with pytest.raises(LedgerError, match="the run was stopped"):
        read_truths([stopped])


def test_some_readings_fall_on_the_edge_of_an_hour() -> None:
    _, sent = lived()
    assert any(row.recorded_at % HOUR_US == 0 for row in sent)
