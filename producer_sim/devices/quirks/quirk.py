"""The quirks, and which devices of a pair have them."""

from enum import StrEnum

from producer_sim.devices.quirks.device import Device
from producer_sim.devices.quirks.dips import Dips, UnratedDips
from producer_sim.devices.quirks.hourly_total import HourlyTotal
from producer_sim.devices.quirks.only_while_charging import OnlyWhileCharging
from producer_sim.devices.quirks.quarter_hours import QuarterHours
from producer_sim.devices.quirks.sags import Sags
from producer_sim.devices.quirks.session_counter import SessionCounter
from producer_sim.devices.quirks.silences import Silences
from producer_sim.devices.quirks.spikes import Spikes
from producer_sim.devices.quirks.steps import Steps, Tenths
from producer_sim.devices.quirks.twice import Twice


class Quirk(StrEnum):
    """How a pair differs from one that behaves well."""

    WHOLE_STEPS = "whole_steps"
    TENTHS = "tenths"
    HOURLY_TOTAL = "hourly_total"
    DIPS = "dips"
    SPIKES = "spikes"
    SAGS = "sags"
    SESSION_COUNTER = "session_counter"
    QUARTER_HOURS = "quarter_hours"
    UNRATED = "unrated"
    SILENCES = "silences"
    TWICE = "twice"
    ONLY_WHILE_CHARGING = "only_while_charging"


METERS: dict[Quirk, type[Device]] = {
    Quirk.WHOLE_STEPS: Steps,
    Quirk.TENTHS: Tenths,
    Quirk.HOURLY_TOTAL: HourlyTotal,
    Quirk.DIPS: Dips,
    Quirk.SPIKES: Spikes,
    Quirk.SESSION_COUNTER: SessionCounter,
    Quirk.QUARTER_HOURS: QuarterHours,
    Quirk.UNRATED: UnratedDips,
    Quirk.SILENCES: Silences,
    Quirk.TWICE: Twice,
}
VEHICLES: dict[Quirk, type[Device]] = {
    Quirk.SAGS: Sags,
    Quirk.ONLY_WHILE_CHARGING: OnlyWhileCharging,
}
IN_SESSIONS = frozenset({Quirk.QUARTER_HOURS, Quirk.SILENCES, Quirk.ONLY_WHILE_CHARGING})
"""Their charges are entered as sessions; the other vehicles are only assigned to their meter."""
REASONS = {Quirk.TWICE: ("overlapping_readings",)}
"""What an answer must say about energy that the readings do not tell rightly."""
