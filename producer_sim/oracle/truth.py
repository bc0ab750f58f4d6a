"""The truth of a run: its energies, devices and bonds, as files beside its ledger.

Energies are whole nanokilowatt-hours in memory and kWh in the files. Times are microseconds since
1970. docs/simulator.md describes the columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from producer_sim.devices.quirks.device import NANO
from producer_sim.devices.quirks.pairs import Pairs
from producer_sim.ledger.ledger import LedgerError, read_metadata

HOUR_US = 3_600_000_000
ENERGIES = ("ac_kwh", "dc_kwh", "ac_lived_kwh", "dc_lived_kwh")
COUNTS = ("meter_readings", "vehicle_readings")
FIGURES = (*ENERGIES, *COUNTS)
"""Of a vehicle in an hour: energies by the sent readings, real energies, counts of readings."""

Row = TypeVar("Row")
Figures = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A meter or a vehicle. A field that does not apply is None."""

    stream: str
    """`meter` or `vehicle`."""
    device_id: str
    reading_kind: str
    """`interval` or `register`."""
    register_modulus_kwh: float | None
    capacity_kw: float | None
    battery_capacity_kwh: float | None
    first_at: int
    """The time of its first reading; the others follow at the run's interval."""
    planted: str | None
    """The condition of the charger: `sound`, `degraded` or `critical`."""
    jumped_at: int | None
    """The time of the first reading after a used meter replaced this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bond:
    """A time during which a vehicle charges at a meter; `end` None: it has no end."""

    kind: str
    """`assignment` or `session`."""
    vehicle_id: str
    meter_id: str
    start: int
    end: int | None

    def overlaps(self, start: int, end: int) -> bool:
        """Return whether the bond and the span from start to end have time in common."""
        return self.start < end and (self.end is None or self.end > start)


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld:
    """A reading that was never sent, and the fault that withheld it."""

    device_id: str
    recorded_at: int
    fault: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The truth of one run. All readings lie within start < recorded_at <= end."""

    start_us: int
    end_us: int
    interval_us: int
    devices: tuple[Device, ...]
    bonds: tuple[Bond, ...]
    withheld: tuple[Withheld, ...]
    hours: dict[int, Figures]
    """Start of the UTC hour → the `FIGURES` of the n `vehicles` in their order, (6, n)."""
    quirks: Pairs | None = None
    """The pairs with quirks; they are not among `devices`, `bonds` and `hours`."""

    @property
    def vehicles(self) -> list[Device]:
        return [device for device in self.devices if device.stream == "vehicle"]


_TABLES: tuple[tuple[str, type[Device] | type[Bond] | type[Withheld]], ...] = (
    ("devices", Device),
    ("bonds", Bond),
    ("withheld", Withheld),
)
_TYPES: dict[Any, Any] = {int: pa.int64(), float: pa.float64(), str: pa.string()}


def write_truth(directory: Path, truth: Truth) -> dict[str, Any]:
    """Write the files, and return their entry in `ledger.json`."""
    for name, kind in _TABLES:
        _write(directory, name, _table(kind, getattr(truth, name)))
    vehicles = [device.device_id for device in truth.vehicles]
    hours = sorted(truth.hours)
    columns: dict[str, Any] = {
        "hour": np.repeat(np.array(hours, dtype=np.int64), len(vehicles)),
        "vehicle_id": pa.array(vehicles * len(hours), pa.string()),
    }
    for row, name in enumerate(FIGURES):
        figures = [truth.hours[hour][row] for hour in hours]
        column = np.concatenate(figures) if figures else np.zeros(0, dtype=np.int64)
        columns[name] = column / NANO if name in ENERGIES else column
    _write(directory, "hours", pa.table(columns))
    return {
        "start_us": truth.start_us,
        "end_us": truth.end_us,
        "interval_us": truth.interval_us,
        "files": [_file(name) for name in (*(name for name, _ in _TABLES), "hours")],
        "registers": sum(device.reading_kind == "register" for device in truth.devices),
        "sessions": sum(bond.kind == "session" for bond in truth.bonds),
        "planted": {
            condition: sum(vehicle.planted == condition for vehicle in truth.vehicles)
            for condition in ("degraded", "critical")
        },
        "withheld": len(truth.withheld),
    } | ({} if truth.quirks is None else {"quirks": truth.quirks.described()})


def read_truths(directories: Sequence[Path]) -> list[Truth]:
    """Return the truth of every ledger of a world; `replay` and other runs have none.

    Raises LedgerError if a world's truth is missing, or if no ledger is of a world.
    """
    truths = [read_truth(one) for one in directories if _is_of_a_world(read_metadata(one))]
    if not truths:
        names = ", ".join(map(str, directories))
        raise LedgerError(f"{names}: holds no truth: only a ledger of `run --world` does")
    return truths


def read_truth(directory: Path) -> Truth:
    """Return the truth beside a world's ledger; raises LedgerError if there is none."""
    said = read_metadata(directory).get("truth")
    if said is None:
        raise LedgerError(
            f"{directory}: holds no truth: the run was stopped, or not all of its messages were"
            " acknowledged"
        )
    try:
        table = _read(directory, "hours")
        hours = np.unique(table["hour"].to_numpy())
        figures = np.array(
            [
                np.rint(table[name].to_numpy() * (NANO if name in ENERGIES else 1))
                for name in FIGURES
            ]
        ).astype(np.int64)
        by_hour = figures.reshape(len(FIGURES), len(hours), -1)
        return Truth(
            start_us=said["start_us"],
            end_us=said["end_us"],
            interval_us=said["interval_us"],
            devices=_rows(directory, "devices", Device),
            bonds=_rows(directory, "bonds", Bond),
            withheld=_rows(directory, "withheld", Withheld),
            hours={int(hour): by_hour[:, index] for index, hour in enumerate(hours)},
            quirks=Pairs.of(said["quirks"]) if "quirks" in said else None,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:  # pyarrow's errors are subclasses
        raise LedgerError(f"{directory}: its truth cannot be read: {error}") from error


def _is_of_a_world(metadata: dict[str, Any]) -> bool:
    return metadata.get("registers") is not None


def _file(name: str) -> str:
    return f"truth-{name}.parquet"


def _table(kind: type[Any], rows: tuple[Any, ...]) -> pa.Table:
    columns = {}
    for field in fields(kind):
        held, *_ = get_args(field.type) or (field.type,)  # of `int | None`, int
        columns[field.name] = pa.array([getattr(row, field.name) for row in rows], _TYPES[held])
    return pa.table(columns)


def _rows(directory: Path, name: str, kind: type[Row]) -> tuple[Row, ...]:
    return tuple(kind(**row) for row in _read(directory, name).to_pylist())


def _write(directory: Path, name: str, table: pa.Table) -> None:
    path = directory / _file(name)
    unfinished = path.with_suffix(".unfinished")
    pq.write_table(table, unfinished, compression="zstd")
    unfinished.rename(path)


def _read(directory: Path, name: str) -> pa.Table:
    return pq.read_table(directory / _file(name))
