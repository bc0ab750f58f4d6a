"""Readings as the contract's canonical JSON: one reading, or all of a tick. Pure."""

from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import TypeVar

import numpy as np

from producer_sim.devices.fleet import Tick
from producer_sim.devices.kinds import READING
from producer_sim.devices.records import MOST_MEASURES, Integers, Records
from telemetry.streams import METER, STREAMS, VEHICLE, Stream
from telemetry.timestamps import format_timestamp

PAIRS_AT_ONCE = 8_192
"""Bounds the memory that one step takes, whatever the size of the fleet."""

T = TypeVar("T")

_METER, _VEHICLE = STREAMS.index(METER), STREAMS.index(VEHICLE)


def timestamps(instants: Integers) -> list[str]:
    """Return each instant as RFC 3339 in UTC, to the millisecond."""
    milliseconds = (instants // 1_000).view("datetime64[ms]")
    return [f"{text}Z" for text in np.datetime_as_string(milliseconds).tolist()]


def canonical(
    stream: Stream, device_id: str, measures: Sequence[float | None], recorded_at: int
) -> bytes:
    """Return one reading in the form that the fleet sends.

    A measure that is None is left out. The time has microseconds only if it is not a millisecond.
    """
    stamp = format_timestamp(recorded_at).removesuffix("+00:00")
    if recorded_at % 1_000 == 0:
        stamp = stamp[: -len("000")]
    fields = [f'"{stream.id_field}":"{device_id}"']
    fields += [
        f'"{name}":{value!r}'
        for name, value in zip(stream.fields, measures, strict=True)
        if value is not None
    ]
    return f'{{{",".join(fields)},"timestamp":"{stamp}Z"}}'.encode()


class FleetMessages:
    """Makes the messages of one fleet; names and the constant parts of the JSON are made once."""

    def __init__(self, *, numbers: Integers, fleet_name: str | None) -> None:
        infix = f"{fleet_name}-" if fleet_name else ""
        self.meter_ids = [f"mtr-{infix}{number:05d}" for number in numbers.tolist()]
        self.vehicle_ids = [f"veh-{infix}{number:05d}" for number in numbers.tolist()]
        self._meter_keys: list[bytes | None] = [name.encode() for name in self.meter_ids]
        self._vehicle_keys: list[bytes | None] = [name.encode() for name in self.vehicle_ids]
        self._meter_heads = [f'{{"meterId":"{name}","kwhConsumedAc":' for name in self.meter_ids]
        self._vehicle_heads = [f'{{"vehicleId":"{name}","soc":' for name in self.vehicle_ids]

    def of(self, tick: Tick, *, until_us: int | None) -> Iterator[Records]:
        """Yield the tick's readings before `until_us`, in bounded steps, in the order of time."""
        end = len(tick.recorded_at)
        if until_us is not None:
            end = int(np.searchsorted(tick.recorded_at, until_us))
        for start in range(0, end, PAIRS_AT_ONCE):
            yield self._step(tick, slice(start, min(start + PAIRS_AT_ONCE, end)))

    def _step(self, tick: Tick, rows: slice) -> Records:
        recorded_at = tick.recorded_at[rows]
        count = 2 * len(recorded_at)
        stamps = timestamps(recorded_at)
        measures = np.full((count, MOST_MEASURES), np.nan)
        measures[0::2, 0] = tick.kwh_consumed_ac[rows]
        measures[0::2, 1] = tick.voltage[rows]
        measures[1::2, 0] = tick.soc[rows]
        measures[1::2, 1] = tick.kwh_delivered_dc[rows]
        measures[1::2, 2] = tick.battery_temp[rows]
        instants = np.repeat(recorded_at, 2)
        stream = np.empty(count, dtype=np.int64)
        stream[0::2], stream[1::2] = _METER, _VEHICLE
        return Records(
            stream=stream,
            device_ids=_alternating(self.meter_ids[rows], self.vehicle_ids[rows]),
            keys=_alternating(self._meter_keys[rows], self._vehicle_keys[rows]),
            values=_alternating(
                self._meter_values(tick, rows, stamps), self._vehicle_values(tick, rows, stamps)
            ),
            recorded_at=instants,
            measures=measures,
            kinds=list(repeat(READING, count)),
            due=instants,
        )

    def _meter_values(self, tick: Tick, rows: slice, stamps: list[str]) -> list[bytes | None]:
        return [
            f'{head}{energy},"voltage":{voltage},"timestamp":"{stamp}"}}'.encode()
            for head, energy, voltage, stamp in zip(
                self._meter_heads[rows],
                tick.kwh_consumed_ac[rows].tolist(),
                tick.voltage[rows].tolist(),
                stamps,
                strict=True,
            )
        ]

    def _vehicle_values(self, tick: Tick, rows: slice, stamps: list[str]) -> list[bytes | None]:
        return [
            (
                f'{head}{soc},"kwhDeliveredDc":{energy},"batteryTemp":{temperature}'
                f',"timestamp":"{stamp}"}}'
            ).encode()
            for head, soc, energy, temperature, stamp in zip(
                self._vehicle_heads[rows],
                tick.soc[rows].tolist(),
                tick.kwh_delivered_dc[rows].tolist(),
                tick.battery_temp[rows].tolist(),
                stamps,
                strict=True,
            )
        ]


def _alternating(first: list[T], second: list[T]) -> list[T]:
    both = first + second
    both[0::2], both[1::2] = first, second
    return both
