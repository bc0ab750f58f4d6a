"""The charges of a pair: one after another at constant power, and nothing between them.

Power is whole nanokilowatt-hours a microsecond (1 is 3.6 kW), so that the energy up to any time is
a whole number of nanokilowatt-hours. Times are microseconds since 1970.
"""

from dataclasses import dataclass

from producer_sim.devices.quirks.chance import drawn

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
SECOND_US = 1_000_000
CALM_US = HOUR_US + 10 * MINUTE_US
"""No charge begins so near to the start or the end of a run: there, nothing could settle."""
KW = 3.6
"""Kilowatts of a nanokilowatt-hour a microsecond."""

_POWERS = (1, 2, 3, 6)
_MOST_NANO = 50_000_000_000  # of a charge: less than a battery holds
_EFFICIENCIES = ((880, 950), (880, 950), (880, 950), (880, 950), (790, 820), (640, 720))
"""Ranges in thousandths; one is drawn, each as likely as the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charges:
    """They begin at `first_at` and every `cycle_us` from then on, before `until`."""

    power: int
    efficiency: int
    """Of 1,000 nanokilowatt-hours from the mains, so many reach the battery."""
    first_at: int
    cycle_us: int
    length_us: int
    until: int

    @classmethod
    def of(cls, seed: int, pair: int, *, start: int, end: int) -> "Charges":
        """Draw the charges of a pair in a run: at most 60 % of cycles of 3 to 6 hours."""

        def draw(what: str, lowest: int, highest: int) -> int:
            return drawn(seed, pair, what, lowest, highest)

        cycle = draw("cycle", 3 * 3_600, 6 * 3_600)
        lowest, highest = _EFFICIENCIES[draw("condition", 0, len(_EFFICIENCIES))]
        power = _POWERS[draw("power", 0, len(_POWERS))]
        length = draw("length", 4 * cycle // 10, 6 * cycle // 10) * SECOND_US
        return cls(
            power=power,
            efficiency=draw("efficiency", lowest, highest),
            first_at=start + CALM_US + draw("first", 0, cycle) * SECOND_US,
            cycle_us=cycle * SECOND_US,
            length_us=min(length, _MOST_NANO // power // SECOND_US * SECOND_US),
            until=end - CALM_US,
        )

    @property
    def kw(self) -> float:
        """The power from the mains."""
        return round(self.power * KW, 1)

    @property
    def count(self) -> int:
        """How many charges there are."""
        return max(0, -((self.first_at - self.until) // self.cycle_us))

    def begun(self, at: int) -> int:
        """Return how many charges have begun at or before a time."""
        return min(max(0, (at - self.first_at) // self.cycle_us + 1), self.count)

    def begins(self, number: int) -> int:
        """Return when a charge begins; they are numbered from 0."""
        return self.first_at + number * self.cycle_us

    def ends(self, number: int) -> int:
        return self.begins(number) + self.length_us

    def drawn(self, at: int) -> int:
        """Return the nanokilowatt-hours drawn from the mains up to a time."""
        begun = self.begun(at)
        if not begun:
            return 0
        running = min(at - self.begins(begun - 1), self.length_us)
        return self.power * ((begun - 1) * self.length_us + running)

    def taken(self, at: int) -> int:
        """Return the nanokilowatt-hours that reached the battery up to a time."""
        return self.drawn(at) * self.efficiency // 1_000
