"""The pairs with quirks: vehicle and meter, what flowed between them, and what they send."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

from producer_sim.devices.kinds import READING
from producer_sim.devices.messages import canonical
from producer_sim.devices.quirks.chance import drawn
from producer_sim.devices.quirks.charges import SECOND_US, Charges
from producer_sim.devices.quirks.device import NANO, Device, Life
from producer_sim.devices.quirks.quarter_hours import QUARTER_US
from producer_sim.devices.quirks.quirk import IN_SESSIONS, METERS, VEHICLES, Quirk
from producer_sim.devices.records import Record, Records
from telemetry.streams import METER, STREAMS, VEHICLE, Stream

BATTERY_KWH = 77.0
_LEAST_SOC, _MOST_SOC = 10.0, 90.0
_DESCRIBED = ("seed", "start_us", "end_us", "interval_us", "fleet_name")
_AIR, _WARMS_PER_KW = 14.0, 0.7
_MAINS, _VOLTS_PER_KW = 231.0, 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A vehicle that charges at its own meter only, all run long."""

    number: int
    quirk: Quirk
    meter_id: str
    vehicle_id: str
    charges: Charges
    meter: Device
    vehicle: Device

    def drawn_nano(self, start: int, end: int) -> int:
        """Return the energy that the meter's charger drew in start < t <= end."""
        return self.charges.drawn(end) - self.charges.drawn(start)

    def taken_nano(self, start: int, end: int) -> int:
        """Return the energy that the vehicle's battery took in start < t <= end."""
        return self.charges.taken(end) - self.charges.taken(start)

    def meter_told(self, start: int, end: int) -> int:
        """Return the energy that the meter's readings account for in start < t <= end."""
        return self.meter.told(end) - self.meter.told(start)

    def vehicle_told(self, start: int, end: int) -> int:
        """Return the energy that the vehicle's readings account for in start < t <= end."""
        return self.vehicle.told(end) - self.vehicle.told(start)

    def sessions(self, end: int) -> Iterator[tuple[int, int]]:
        """Yield the charges that are entered as sessions; all of them have begun before `end`."""
        if self.quirk in IN_SESSIONS:
            for number in range(self.charges.count):
                yield self.charges.begins(number), min(self.charges.ends(number), end)

    def sent(self, at: int) -> Iterator[Record]:
        """Yield what the two send at a whole interval."""
        for time in self.meter.sent(at):
            power = self._power(at)
            yield _record(
                METER,
                self.meter_id,
                time,
                (self.meter.shows(time) / NANO, round(_MAINS - _VOLTS_PER_KW * power, 1)),
            )
        for time in self.vehicle.sent(at):
            temperature = round(_AIR + _WARMS_PER_KW * self._power(at), 1)
            energy = self.vehicle.shows(time) / NANO
            yield _record(VEHICLE, self.vehicle_id, time, (self._soc(time), energy, temperature))

    def _power(self, at: int) -> float:
        """Return the kilowatts from the mains, on average over the interval that ends then."""
        interval = self.vehicle.life.interval_us
        return self.drawn_nano(at - interval, at) / interval * 3.6

    def _soc(self, at: int) -> float:
        """Return a state that rises while it charges; between charges it is driven down again."""
        charges = self.charges
        begun = charges.begun(at)
        if not begun:
            return _LEAST_SOC
        since = at - charges.begins(begun - 1)
        full = min(
            _MOST_SOC,
            _LEAST_SOC + charges.taken(charges.ends(0)) / NANO / BATTERY_KWH * 100.0,
        )
        rest = charges.cycle_us - charges.length_us
        share = min(since / charges.length_us, max(0.0, (charges.cycle_us - since) / rest))
        return round(_LEAST_SOC + (full - _LEAST_SOC) * share, 2)


class Pairs:
    """All pairs with quirks of one run: each quirk as often as the others, but for one pair."""

    def __init__(
        self,
        *,
        numbers: range,
        seed: int,
        start_us: int,
        end_us: int,
        interval_us: int,
        fleet_name: str | None,
    ) -> None:
        """Raises ValueError unless the interval divides a quarter of an hour into whole seconds."""
        if interval_us % SECOND_US or QUARTER_US % interval_us:
            raise ValueError("quirks need an interval of whole seconds that divides 15 minutes")
        self.seed = seed
        self.fleet_name = fleet_name
        self.interval_us = interval_us
        self.start_us, self.end_us = start_us, end_us
        infix = f"{fleet_name}-" if fleet_name else ""
        quirks = list(Quirk)
        first = drawn(seed, 0, "first quirk", 0, len(quirks))
        self.pairs = [
            self._pair(seed, number, quirks[(first + number) % len(quirks)], infix)
            for number in numbers
        ]

    @classmethod
    def of(cls, described: dict[str, Any]) -> Self:
        """Return the pairs that `described` describes."""
        first, count = described["first"], described["count"]
        others = {name: described[name] for name in _DESCRIBED}
        return cls(numbers=range(first, first + count), **others)

    def described(self) -> dict[str, Any]:
        """Return what the pairs follow from, for the ledger's metadata."""
        others = {name: getattr(self, name) for name in _DESCRIBED}
        return {"first": self.pairs[0].number, "count": len(self.pairs), **others}

    def between(self, start: int, end: int) -> Records:
        """Return what is sent at start <= t < end, in the order of time."""
        interval = self.interval_us
        start = max(start, self.start_us)
        first = math.ceil(start / interval) * interval
        # A reading may be sent a second before the whole interval to which it belongs.
        until = min(end + SECOND_US, self.end_us)
        rows = [
            row
            for at in range(first, until, interval)
            for pair in self.pairs
            for row in pair.sent(at)
            if start <= row.due < end
        ]
        return Records.of(sorted(rows, key=lambda row: row.due))

    def _pair(self, seed: int, number: int, quirk: Quirk, infix: str) -> Pair:
        charges = Charges.of(seed, number, start=self.start_us, end=self.end_us)

        def life(energy: Callable[[int], int]) -> Life:
            return Life(
                seed=seed,
                pair=number,
                interval_us=self.interval_us,
                start=self.start_us,
                end=self.end_us,
                charges=charges,
                energy=energy,
            )

        return Pair(
            number=number,
            quirk=quirk,
            meter_id=f"mtr-{infix}{number:05d}",
            vehicle_id=f"veh-{infix}{number:05d}",
            charges=charges,
            meter=METERS.get(quirk, Device)(life(charges.drawn)),
            vehicle=VEHICLES.get(quirk, Device)(life(charges.taken)),
        )


def _record(stream: Stream, device_id: str, at: int, measures: tuple[float | None, ...]) -> Record:
    return Record(
        stream=STREAMS.index(stream),
        device_id=device_id,
        key=device_id.encode(),
        value=canonical(stream, device_id, measures, at),
        recorded_at=at,
        measures=measures,
        kind=READING,
        due=at,
    )
