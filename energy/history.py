"""The stored readings of some devices, what they are worth, and when."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from energy import interval, register
from energy.coverage import Known
from energy.device import BEGINNING, Device, Kind
from energy.line import Line, Row
from energy.readings import Readings
from energy.spans import Spans
from energy.spread import Spread
from energy.units import Ints
from energy.worth import Worth


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """The readings of n devices, judged.

    They reach as far back as `is_complete_at` asks for, and as far on as the first reading at or
    after the end of what is asked, and an hour more. Of `removed_until` (µs since 1970) and before
    there are none any more.
    """

    line: Line
    readings: Readings
    worth: Worth
    spread: Spread
    known: Known
    removed_until: int = BEGINNING

    @classmethod
    def of(
        cls,
        line: Line,
        devices: Sequence[Device],
        readings: Readings,
        sessions: Sequence[Row],
        as_of: int,
        *,
        removed_until: int = BEGINNING,
    ) -> Self:
        """Judge readings.

        `sessions`: (place of the device, start, end) of when one ran; `as_of` is now. Both in
        microseconds since 1970.
        """
        charging = line.spans(sessions)
        worth = judge(readings, as_of + line.shift)
        known = Known.of(worth, readings, _telling_silence(line, devices, charging, removed_until))
        return cls(line, readings, worth, Spread(worth, charging), known, removed_until)

    def first_gap(self, time: int) -> int:
        """Return when the first long gap of a register begins that ends after a time.

        `time` if none begins before it. Both are microseconds since 1970.
        """
        devices = self.line.stretch(self.known.gap_ends)
        shift = self.line.shift[devices]
        starts, ends = self.known.gap_starts - shift, self.known.gap_ends - shift
        return int(starts[ends > time].min(initial=time))

    def covered(self, device: int, start: int, end: int) -> Spans:
        """Return when the energy of one device is known in start < t <= end (µs since 1970)."""
        shift = int(self.line.shift[device])
        found = self.known.spans_within(start + shift, end + shift)
        return Spans(found.starts - shift, found.ends - shift)


def judge(readings: Readings, as_of: Ints) -> Worth:
    """Return what readings are worth; `as_of` (one a device) is now, on the line."""
    is_register = readings.is_register()
    if not is_register.any():
        return interval.worth(readings)
    counted = register.worth(readings, as_of)
    if is_register.all():
        return counted
    worth = interval.worth(readings)
    for column in ("since", "energy", "doubts"):
        getattr(worth, column)[is_register] = getattr(counted, column)[is_register]
    return worth


def _telling_silence(
    line: Line, devices: Sequence[Device], charging: Spans, removed_until: int
) -> Spans:
    """Return when silence of devices means that nothing flowed, on the line."""
    periods = [
        (place, max(start, removed_until), end)
        for place, device in enumerate(devices)
        for start, end in device.reporting_only_while_charging()
        if end > removed_until
    ]
    return line.spans(periods).without(charging)


def is_complete_at(readings: Readings, device: Device, time: int, shift: int) -> bool:
    """Return whether a device's worth after a time depends on these readings alone.

    They are all from somewhere on: from an hour and an interval before the time at least. `time`
    is in microseconds since 1970, and `shift` puts it on the line.
    """
    periods = device.periods()
    place = next(place for place, (_, end, _) in enumerate(periods) if time < end)
    if periods[place][2].kind is Kind.INTERVAL:
        return True
    while place and periods[place - 1][2].kind is Kind.REGISTER:
        place -= 1
    begins = periods[place][0]
    if len(readings) and readings.at[0] < begins + shift:
        return True  # the counter began within them
    return register.first_known(readings.take(readings.at <= time + shift)) is not None
