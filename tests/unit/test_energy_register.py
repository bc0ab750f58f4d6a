"""A register read in a few operations is worth what it is worth read one by one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from energy import register
from energy.device import Facts, Kind
from energy.readings import Readings
from energy.register import Register
from energy.units import HOUR_US, MINUTE_US, NANO, Ints

KINDS = [
    Facts(kind=Kind.REGISTER),
    Facts(kind=Kind.REGISTER, capacity_kw=11),
    Facts(kind=Kind.REGISTER, capacity_kw=11, modulus_kwh=10, step_kwh=0.1),
]
AS_OF = 10**15


@st.composite
def counters(draw: st.DrawFn) -> tuple[Ints, Ints]:
    """Counters that mostly rise a little, and sometimes do anything."""
    size = draw(st.integers(1, 60))
    steps = st.sampled_from((1, 1, 1, 5, 30, 61, 1_000))
    gains = st.one_of(
        st.sampled_from((0, 0, 120, 180, 366, 367)),
        st.sampled_from((-50, -100, -101, 1_000, -4_000, 9_000, 99_000, -99_000)),
    )
    at = np.cumsum([draw(steps) * MINUTE_US for _ in range(size)])
    value, values = draw(st.sampled_from((0, 5_000, 9_990))), []
    for _ in range(size):
        if draw(st.booleans()):
            value = max(0, value + draw(gains))
            values.append(value)
        else:
            values.append(max(0, value + draw(gains)) if draw(st.booleans()) else value)
    return at, np.array(values, np.int64) * (NANO // 1_000)


@given(st.lists(st.tuples(counters(), st.sampled_from(KINDS)), min_size=1, max_size=3), st.data())
def test_many_at_once_are_worth_what_they_are_one_by_one(
    devices: list[tuple[tuple[Ints, Ints], Facts]], data: st.DataObject
) -> None:
    as_of, expected = [], []
    for (at, value), facts in devices:
        as_of.append(int(at[-1]) + data.draw(st.integers(0, 120)) * MINUTE_US)
        one_by_one = Register(at.tolist(), value.tolist(), [facts] * len(at), as_of[-1])
        expected += [one_by_one.read(place) for place in range(len(at))]
    worth = register.worth(_readings(devices), np.array(as_of))
    assert list(zip(worth.energy.tolist(), worth.doubts.tolist(), strict=True)) == expected


@given(counters(), counters(), st.sampled_from(KINDS))
def test_what_was_before_does_not_matter_after_an_hours_rise(
    before: tuple[Ints, Ints], after: tuple[Ints, Ints], facts: Facts
) -> None:
    run = np.arange(1, 64)
    rising = before[0][-1] + run * MINUTE_US, after[1][0] + run * (NANO // 10)
    later = after[0] + rising[0][-1], after[1] + rising[1][-1] - after[1][0]
    part = _readings([(_joined(rising, later), facts)])
    whole = _readings([(_joined(before, rising, later), facts)])
    known = register.first_known(part)
    assert known is not None
    from_all = register.worth(whole, np.array([AS_OF]))
    from_part = register.worth(part, np.array([AS_OF]))
    begin = len(before[0])
    for column in ("energy", "doubts"):
        of_all, of_part = getattr(from_all, column), getattr(from_part, column)
        assert np.array_equal(of_all[begin:][known + 1 :], of_part[known + 1 :])
    assert part.at[known] - part.at[0] > HOUR_US


def _readings(devices: list[tuple[tuple[Ints, Ints], Facts]]) -> Readings:
    """Return readings of devices, each on the times that it was read."""
    counts = [len(at) for (at, _), _ in devices]
    at, value = _joined(*(columns for columns, _ in devices))
    facts = [one for _, one in devices]
    device = np.repeat(np.arange(len(devices)), counts)
    return Readings(at, value, device, device, facts)


def _joined(*parts: tuple[Ints, Ints]) -> tuple[Ints, Ints]:
    return np.concatenate([at for at, _ in parts]), np.concatenate([value for _, value in parts])
