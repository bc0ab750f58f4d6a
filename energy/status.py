"""How well a vehicle was charged: what follows from its energy and what is known of it."""

from enum import StrEnum

LEAST_AC = 100_000_000


class Status(StrEnum):
    """In this order; the first that applies counts."""

    NO_METER = "no_meter"
    INSUFFICIENT_DATA = "insufficient_data"
    IMPLAUSIBLE = "implausible"
    OPTIMAL = "optimal"
    DEGRADED = "degraded"
    CRITICAL = "critical"

    @property
    def is_band(self) -> bool:
        """Whether the ratio was judged."""
        return self in {Status.OPTIMAL, Status.DEGRADED, Status.CRITICAL}


def judge(ac: int, dc: int, *, has_meter: bool, is_covered: bool) -> Status:
    """Return the status of energies in nanokilowatt-hours; the bands are half open.

    `is_covered`: at least half of what is judged is known, of the vehicle and of its meters.
    """
    if not has_meter:
        return Status.NO_METER
    if ac < LEAST_AC or not is_covered:
        return Status.INSUFFICIENT_DATA
    if dc > ac:
        return Status.IMPLAUSIBLE
    if 100 * dc >= 85 * ac:
        return Status.OPTIMAL
    return Status.DEGRADED if 100 * dc >= 75 * ac else Status.CRITICAL
