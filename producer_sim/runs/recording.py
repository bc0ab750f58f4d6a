"""Recorded readings from a file: household power in UCI's format, or JSON lines of the contract.

The UCI format is that of: G. Hebrail and A. Berard, "Individual household electric power
consumption", UCI Machine Learning Repository, 2006, DOI 10.24432/C58K54, licensed CC BY 4.0.
Its times have no zone and are read as UTC. Spreadsheets save it with commas; both are read.
"""

import codecs
import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

from producer_sim.devices.kinds import READING, RECORDED_LINE
from producer_sim.devices.messages import canonical
from producer_sim.devices.records import Record, Records
from telemetry.decode import Rejected, TimeLimits, decode
from telemetry.envelope import STREAM_TYPE, is_envelope
from telemetry.json_text import parse_json
from telemetry.readings import Reading
from telemetry.streams import METER, STREAMS, Stream
from telemetry.timestamps import EARLIEST_US, as_instant

_POWER, _VOLTAGE = "Global_active_power", "Voltage"
_TIMES = ("DateTime",), ("Date", "Time")
_SEPARATORS = (";", ",")
_MISSING = {"", "?"}
_LONGEST_HEADER, _SHOWN_HEADER = 65_536, 200
_ROWS_AT_ONCE = 8_192
_ANY_TIME = TimeLimits(earliest=EARLIEST_US, latest=2**62)


class ReplayError(Exception):
    """The file cannot be replayed. The message is one line."""


@dataclass(frozen=True, slots=True)
class Line:
    """A reading from a file; `value` are its bytes if the file holds them."""

    stream: Stream
    reading: Reading
    value: bytes | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """A line whose reading is marked as missing."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A line that is not a reading, by its number, and why."""

    number: int
    problem: str


class Recording:
    """A file of readings, read line by line; `latest` reads it once more."""

    def __init__(self, *, path: Path, meter_id: str) -> None:
        """Read the first line; raises ReplayError for an unreadable file or an unknown format."""
        self._path = path
        self._meter_id = meter_id
        try:
            with path.open("rb") as file:
                first = file.readline(_LONGEST_HEADER).removeprefix(codecs.BOM_UTF8)
        except OSError as error:
            raise ReplayError(f"{path}: {error.strerror}") from error
        self._separator: str | None = None
        """Between the columns of UCI's format; None for JSON lines."""
        if not first.lstrip().startswith(b"{"):
            try:
                self._separator = uci_separator(first.decode(errors="replace"))
            except ReplayError as error:
                raise ReplayError(f"{path}: {error}") from None
        self.gaps = 0
        self.faults: list[Fault] = []

    def latest(self) -> int | None:
        """Return the newest reading's time in microseconds since 1970, None without readings."""
        times = (line.reading.recorded_at for line in self._lines() if isinstance(line, Line))
        return max(times, default=None)

    def chunks(self, *, shift_us: int) -> Iterator[Records]:
        """Yield all readings, shifted by this many microseconds, and collect gaps and faults."""
        rows = self._rows(shift_us)
        while chunk := list(islice(rows, _ROWS_AT_ONCE)):
            yield Records.of(chunk)

    def _rows(self, shift_us: int) -> Iterator[Record]:
        self.gaps, self.faults = 0, []
        for line in self._lines():
            if isinstance(line, Line):
                yield _record(line, shift_us)
            elif isinstance(line, Fault):
                self.faults.append(line)
            else:
                self.gaps += 1

    def _lines(self) -> Iterator[Line | Gap | Fault]:
        if self._separator is None:
            with self._path.open("rb") as file:
                yield from json_lines(file)
        else:
            with self._path.open(newline="", encoding="utf-8-sig", errors="replace") as text:
                yield from uci_lines(text, self._meter_id, separator=self._separator)


def uci_separator(header: str) -> str:
    """Return the separator of a header that names the needed columns.

    Raises ReplayError, which says what was expected.
    """
    if _POWER not in header:
        raise ReplayError("neither JSON lines nor UCI's household power")
    for separator in _SEPARATORS:
        names = next(csv.reader([header], delimiter=separator))
        if {_POWER, _VOLTAGE} <= {*names} and any({*times} <= {*names} for times in _TIMES):
            return separator
    raise ReplayError(
        f"its header must name {_POWER}, {_VOLTAGE} and DateTime, or Date and Time, separated by"
        f" semicolons or commas; it is {header.strip()[:_SHOWN_HEADER]!r}"
    )


def uci_lines(
    text: Iterable[str], meter_id: str, *, separator: str
) -> Iterator[Line | Gap | Fault]:
    """Read lines of UCI's format: kW averaged over a minute become kWh; volts stay volts."""
    reader = csv.DictReader(text, delimiter=separator)
    for row in reader:
        if row[_POWER] in _MISSING or row[_VOLTAGE] in _MISSING:
            yield Gap()
            continue
        try:
            energy, voltage = round(float(row[_POWER]) / 60, 6), float(row[_VOLTAGE])
            recorded_at = _uci_time(row)
        except TypeError:  # a missing column is None
            yield Fault(reader.line_num, "has fewer columns than the header")
            continue
        except (KeyError, ValueError) as error:
            yield Fault(reader.line_num, f"{type(error).__name__}: {error}")
            continue
        value = canonical(METER, meter_id, (energy, voltage), recorded_at)
        yield _judged(reader.line_num, value, METER, keep=False)


def json_lines(lines: Iterable[bytes]) -> Iterator[Line | Gap | Fault]:
    """Read each line as the value to send; its fields say which topic it belongs to."""
    for number, line in enumerate(lines, start=1):
        value = line.rstrip(b"\r\n")
        if number == 1:
            value = value.removeprefix(codecs.BOM_UTF8)
        if not value:
            continue
        try:
            document = parse_json(value.decode())
        except ValueError as error:
            yield Fault(number, f"malformed_json: {error}")
            continue
        streams = _streams_of(document if isinstance(document, dict) else {})
        if len(streams) == 1:
            yield _judged(number, value, streams[0], keep=True)
        else:
            yield Fault(number, "must have either meterId or vehicleId, or be a gateway's envelope")


def _streams_of(document: dict[str, object]) -> list[Stream]:
    if is_envelope(document):
        return [stream for stream in STREAMS if stream.name == document.get(STREAM_TYPE)]
    return [stream for stream in STREAMS if stream.id_field in document]


def _judged(number: int, value: bytes, stream: Stream, *, keep: bool) -> Line | Fault:
    result = decode(value, stream, _ANY_TIME)
    if isinstance(result, Rejected):
        return Fault(number, f"{result.reason}: {result.detail}")
    return Line(stream, result, value if keep else None)


def _uci_time(row: dict[str, str]) -> int:
    if row.get("DateTime"):
        instant = datetime.strptime(f"{row['DateTime']} +0000", "%Y-%m-%d %H:%M:%S %z")
    else:
        instant = datetime.strptime(f"{row['Date']} {row['Time']} +0000", "%d/%m/%Y %H:%M:%S %z")
    return as_instant(instant)


def _record(line: Line, shift_us: int) -> Record:
    device_id, before, measures = line.reading
    recorded_at = before + shift_us
    value = plain = canonical(line.stream, device_id, measures, recorded_at)
    if line.value is not None and not shift_us:
        value = line.value
    return Record(
        stream=STREAMS.index(line.stream),
        device_id=device_id,
        key=device_id.encode(),
        value=value,
        recorded_at=recorded_at,
        measures=measures,
        kind=READING if value == plain else RECORDED_LINE,
        due=recorded_at,
    )
