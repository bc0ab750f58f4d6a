"""Worlds of devices as they are: coarse, dipping, sagging, silent, late to be registered."""

from collections.abc import Iterator
from fractions import Fraction
from random import Random

from hypothesis import strategies as st

from tests.energy.slow_world import (
    EVER,
    HOUR,
    KWH,
    MINUTE,
    SECOND,
    Device,
    Facts,
    Reading,
    Stay,
    World,
)
from tests.energy.table import T0

# Odd seconds are for edges that lie within a reading's time.
MOMENTS = st.one_of(
    st.integers(-60, 360).map(lambda minute: T0 + minute * MINUTE),
    st.integers(-10, 200_000).map(lambda tenth: T0 + tenth * 100_003),
)


@st.composite
def facts(draw: st.DrawFn, name: str, since: int = -EVER) -> Facts:
    """What a device is, from a time on; only vehicles can be silent while nothing flows."""
    return Facts(
        since=since,
        register=draw(st.sampled_from((True, True, False))),
        interval=draw(st.sampled_from((15, 60, 60, 300, 900, 3600, 10_800))) * SECOND,
        capacity_kw=draw(st.sampled_from((None, None, Fraction(11), Fraction("7.4")))),
        modulus=draw(st.sampled_from((None, None, 100 * KWH))),
        step=draw(st.sampled_from((KWH, KWH, KWH // 10, KWH // 1000))),
        only_while_charging=name.startswith("V") and draw(st.sampled_from((False, False, True))),
    )


@st.composite
def devices(draw: st.DrawFn, name: str) -> Device:
    """A device that mostly works, and some things that happen to it."""
    dates = draw(st.lists(MOMENTS, max_size=2, unique=True))
    bare = Device(name, tuple(draw(facts(name, since)) for since in (-EVER, *dates)))
    noise = Random(draw(st.integers(0, 2**16)))
    events = draw(st.lists(st.tuples(st.integers(1, 60), st.sampled_from(HAPPENS)), max_size=4))
    happens = [""] * draw(st.integers(0, 60))
    for first, what in events:
        last = first + noise.choice((1, 1, 2, 3, 20 if what in LONG else 1))
        happens[first:last] = [what] * len(happens[first:last])
    readings = _Counter(bare, noise, draw(MOMENTS)).readings(happens)
    return Device(name, bare.facts, tuple(readings))


LONG = ("dip", "rest", "copy", "late")
HAPPENS = (*LONG, "spike", "sag", "gap", "jump", "fall", "reset")


class _Counter:
    """What a device counts, and what it shows of that."""

    def __init__(self, device: Device, noise: Random, at: int) -> None:
        self.device, self.noise, self.at = device, noise, at
        self.every = noise.choice((20, 60, 60, 60, 180, 300, 900, 3600)) * SECOND
        self.grain = noise.choice((KWH, KWH // 10, KWH // 1000, KWH // 1000, 1))
        self.kw = noise.choice((0, 4, 7, 11, 11))
        self.shows_every = noise.choice((1, 1, 1, 7))
        self.counted = noise.choice((0, 300, 4_711_300, 97_000, 99_500)) * (KWH // 1000)
        self.low = noise.choice((0, 0, 300, 5_000, 40_000)) * (KWH // 1000)
        self.shown = 0

    def readings(self, happens: list[str]) -> Iterator[Reading]:
        for i, what in enumerate(happens):
            gained = self._count(what)
            if i % self.shows_every == 0:
                self.shown = self.counted // self.grain * self.grain
            is_register = self.device.facts_at(self.at).register
            value = self._value(what) if is_register else self._gain(what, gained)
            yield Reading(self.at, max(0, value))
            if what == "copy":
                yield Reading(self.at + SECOND, max(0, value))

    def _count(self, what: str) -> int:
        """Let time pass, and return what was counted in it."""
        passed = {
            "gap": self.noise.choice((7 * MINUTE, 65 * MINUTE, 5 * HOUR)),
            "late": self.every + self.noise.randrange(1, 30 * SECOND),
        }.get(what, self.every)
        self.at += passed
        gained = 0 if what == "rest" else self.kw * KWH * passed // HOUR
        self.counted += gained
        if what == "jump":
            self.counted += self.noise.choice((1, 3, 50, 7000)) * KWH
        elif what == "fall":
            self.counted -= self.noise.choice((KWH // 9, KWH // 5, 3 * KWH, 90 * KWH))
        elif what == "reset":
            self.counted = self.noise.choice((0, gained))
        modulus = self.device.facts_at(self.at).modulus
        self.counted = max(0, self.counted)
        if modulus is not None and self.noise.random() < 0.9:
            self.counted %= modulus
        return gained

    def _value(self, what: str) -> int:
        """Return what a register shows."""
        if what == "dip":
            lows = (self.low, self.low, self.low + KWH // 5, self.shown * 9 // 10)
            return self.noise.choice(lows)
        if what == "spike":
            return self.shown + self.noise.choice((1, 2, 60, 99_999)) * KWH
        sagging = self.noise.choice((2, 9, 10, 11, 32)) * (KWH // 100) if what == "sag" else 0
        return self.shown - sagging

    def _gain(self, what: str, gained: int) -> int:
        """Return what an interval device sends."""
        return self.noise.choice((2, 90, 20_000)) * KWH if what == "spike" else gained


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A few meters and vehicles, and who charged where."""
    meters = tuple(draw(devices(f"M{i}")) for i in range(draw(st.integers(1, 3))))
    vehicles = tuple(draw(devices(f"V{i}")) for i in range(draw(st.integers(1, 3))))
    stays = st.tuples(
        st.sampled_from([meter.name for meter in meters]),
        st.sampled_from([vehicle.name for vehicle in vehicles]),
        MOMENTS,
        st.one_of(MOMENTS, st.just(EVER)),
    )
    sessions: list[Stay] = []
    for meter, vehicle, start, end in draw(st.lists(stays, max_size=4)):
        clashes = any(
            (other.meter == meter or other.vehicle == vehicle)
            and start < other.end
            and other.start < end
            for other in sessions
        )
        if start < end and not clashes:
            sessions.append(Stay(meter, vehicle, start, end))
    assignments = [
        Stay(meter, vehicle, start, end)
        for meter, vehicle, start, end in draw(st.lists(stays, max_size=4))
        if start < end
    ]
    last = max((one.at for device in meters + vehicles for one in device.readings), default=T0)
    as_of = draw(st.sampled_from((EVER, last, last - HOUR, last + 20 * MINUTE)))
    return World(meters, vehicles, tuple(sessions), tuple(assignments), as_of)


@st.composite
def windows(draw: st.DrawFn) -> tuple[int, int]:
    """Start and end of a window."""
    one, other = draw(MOMENTS), draw(MOMENTS)
    return (min(one, other), max(one, other)) if one != other else (T0, T0 + 3 * HOUR)
