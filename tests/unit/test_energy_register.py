"""A register read in a few operations is worth what it is worth read one by one."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from energy import register
from energy.device import Facts, Kind
from energy.register import Register
from energy.units import HOUR_US, MINUTE_US, NANO
from energy.worth import Readings

KINDS = [
    Facts(kind=Kind.REGISTER),
    Facts(kind=Kind.REGISTER, capacity_kw=11),
    Facts(kind=Kind.REGISTER, capacity_kw=11, modulus_kwh=10, step_kwh=0.1),
]
AS_OF = 10**15


@st.composite
def counters(draw: st.DrawFn) -> Readings:
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
    return Readings(at, np.array(values, np.int64) * (NANO // 1_000))


@given(counters(), st.sampled_from(KINDS), st.integers(0, 120))
@settings(max_examples=1_000)
def test_many_at_once_are_worth_what_they_are_one_by_one(
    readings: Readings, facts: Facts, minutes: int
) -> None:
    as_of = int(readings.at[-1]) + minutes * MINUTE_US
    places = np.zeros(len(readings), np.int64)
    one_by_one = Register(
        readings.at.tolist(), readings.value.tolist(), [facts] * len(readings), as_of
    )
    expected = [one_by_one.read(place) for place in range(len(readings))]
    worth = register.worth(readings, [facts], places, as_of)
    assert list(zip(worth.energy.tolist(), worth.doubts.tolist(), strict=True)) == expected


@given(counters(), counters(), st.sampled_from(KINDS))
@settings(max_examples=1_000)
def test_what_was_before_does_not_matter_after_an_hours_rise(
    before: Readings, after: Readings, facts: Facts
) -> None:
    run = np.arange(1, 64)
    start = int(before.at[-1])
    value = int(after.value[0])
    rising = Readings(start + run * MINUTE_US, value + run * (NANO // 10))
    later = Readings(after.at + rising.at[-1], after.value + rising.value[-1] - value)
    whole = _joined(before, rising, later)
    part = _joined(rising, later)
    places = np.zeros(len(whole), np.int64)
    known = register.first_known(part, [facts], places[: len(part)])
    assert known is not None
    from_all = register.worth(whole, [facts], places, AS_OF)
    from_part = register.worth(part, [facts], places[: len(part)], AS_OF)
    after_known = slice(known + 1, None)
    assert np.array_equal(
        from_all.energy[len(before) :][after_known], from_part.energy[after_known]
    )
    assert np.array_equal(
        from_all.doubts[len(before) :][after_known], from_part.doubts[after_known]
    )
    assert from_part.at[known] - part.at[0] > HOUR_US


def _joined(*parts: Readings) -> Readings:
    return Readings(
        np.concatenate([part.at for part in parts]),
        np.concatenate([part.value for part in parts]),
    )
