"""How well all vehicles were charged together: by status, and as one answer."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from api.models.energy import STATUSES, Anomaly, Counts, Energy, Fleet, Share, WindowOut
from api.postgres.database import Connection
from api.queries.performance import energy_of
from api.queries.refusals import backlog_explained
from api.queries.rows import only_row
from api.queries.statements import statement
from api.queries.windows import Window
from energy.fleet import Charge
from energy.ratio import ratio
from energy.stored.fleet import read_fleet

# Of a vehicle with its meter, an hour has some 120 readings: that is 250,000 readings a second.
_VEHICLE_HOURS_PER_S = 2_000
_WORST = 10


@dataclass(frozen=True, slots=True)
class FleetCharges:
    """How well each vehicle was charged in a window, and when that was computed."""

    charges: Sequence[Charge]
    as_of: datetime

    @property
    def judged(self) -> list[Charge]:
        """The vehicles that have a band."""
        return [one for one in self.charges if one.status.is_band]

    @property
    def worst(self) -> list[Charge]:
        """The ten that stand out most, in their order."""
        found = [one for one in self.charges if one.is_anomaly]
        return sorted(found, key=lambda one: one.place)[:_WORST]


async def fleet_charges(connection: Connection, start: datetime, end: datetime) -> FleetCharges:
    """Return how well each vehicle was charged in start < t <= end.

    The connection is in a snapshot. Raises Problem (503) while too much is not rolled up to be
    read in time.
    """
    now = await only_row(connection, statement("now"))
    with backlog_explained():
        charges = await read_fleet(
            connection,
            start,
            end,
            now["as_of"],
            most_vehicle_hours=_VEHICLE_HOURS_PER_S * now["timeout_s"] or float("inf"),
        )
    return FleetCharges(charges, now["as_of"])


async def fleet_performance(connection: Connection, window: Window) -> Fleet:
    """Return the fleet's energy and ratio in a window, its vehicles by status, and the worst.

    The connection is in a snapshot. Raises Problem (503), as `fleet_charges` does.
    """
    found = await fleet_charges(connection, window.start, window.end)
    judged = found.judged
    vehicles = Counter(one.status.value for one in found.charges)
    ac, dc = _sum(one.ac for one in judged), _sum(one.dc for one in judged)
    return Fleet(
        window=WindowOut(start=window.start, end=window.end, as_of=found.as_of),
        energy=energy_of(ac, dc),
        efficiency=Share(ratio=ratio(ac, dc)),
        unjudged=_unjudged(found.charges),
        vehicles=Counts(
            total=len(found.charges), **dict.fromkeys(STATUSES, 0) | dict(vehicles.items())
        ),
        worst=[anomaly_of(one) for one in found.worst],
    )


def anomaly_of(charge: Charge) -> Anomaly:
    """Return a vehicle that has a ratio as it is shown."""
    energy = energy_of(charge.ac, charge.dc)
    return Anomaly.model_validate(
        {
            "vehicle_id": charge.vehicle_id,
            "status": charge.status.value,
            "ratio": charge.ratio,
            "percentage": charge.percentage,
            "ac_kwh": energy.ac_kwh,
            "dc_kwh": energy.dc_kwh,
            "vehicle_coverage": charge.vehicle_coverage,
            "meter_coverage": charge.meter_coverage,
        }
    )


def _unjudged(charges: Iterable[Charge]) -> Energy:
    left = [one for one in charges if not one.status.is_band]
    return energy_of(_sum(one.ac for one in left), _sum(one.dc for one in left))


def _sum(energies: Iterable[int | None]) -> int | None:
    """Return the sum of what is known; None if there is something, and nothing of it is known."""
    all_of_them = list(energies)
    known = [one for one in all_of_them if one is not None]
    return sum(known) if known or not all_of_them else None
