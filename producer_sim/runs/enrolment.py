"""Registers a world's devices, assignments and sessions with the API. May be repeated."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from rich.console import Console

from producer_sim.oracle.quirky import QuirkyDevice, assignments_of, devices_of, sessions_of
from producer_sim.oracle.truth import Bond, Device
from producer_sim.oracle.witness import Witness
from producer_sim.parallel import all_of
from producer_sim.product import Product, ProductError
from telemetry.timestamps import format_timestamp, parse_timestamp

# Devices, or vehicles with the few assignments of each; the API takes 5,000 at a time.
_BATCH = 1_000

Item = TypeVar("Item")


class Enrolment:
    """Registers a world with an API: devices and assignments before its readings, sessions after.

    Both raise ProductError.
    """

    def __init__(
        self,
        witness: Witness,
        *,
        url: str,
        api_key: str | None,
        interval_us: int,
        console: Console | None,
    ) -> None:
        self._witness = witness
        self._url = url
        self._api_key = api_key
        self._interval_us = interval_us
        self._console = console

    def before(self) -> None:
        """Register the devices and assign the vehicles."""
        witness = self._witness
        devices = (*witness.devices(), *devices_of(witness.quirks))
        assignments = (*witness.assignments(), *assignments_of(witness.quirks))
        self._tell(
            lambda product: enrol(
                product,
                devices,
                assignments,
                interval_us=self._interval_us,
                console=self._console,
            )
        )

    def after(self) -> None:
        """Enter the sessions."""
        witness = self._witness
        sessions = [bond for bond in witness.truth().bonds if bond.kind == "session"]
        sessions += sessions_of(witness.quirks)
        self._tell(lambda product: enter_sessions(product, sessions, console=self._console))

    def _tell(self, what: Callable[[Product], Coroutine[Any, Any, None]]) -> None:
        async def told() -> None:
            async with Product(url=self._url, api_key=self._api_key) as product:
                await what(product)

        asyncio.run(told())


async def enrol(
    product: Product,
    devices: Sequence[Device],
    assignments: Sequence[Bond],
    *,
    interval_us: int,
    console: Console | None = None,
) -> None:
    """Register devices, then assign vehicles; what exists already must be the same.

    Raises ProductError.
    """
    batches = [
        (stream, batch)
        for stream in ("meter", "vehicle")
        for batch in _batches([device for device in devices if device.stream == stream])
    ]
    registered = (_register(product, stream, batch, interval_us) for stream, batch in batches)
    await all_of(registered, total=len(batches), what="batches of devices", console=console)
    vehicles = _batches(_grouped(assignments, lambda bond: bond.vehicle_id))
    assigned = (_assign(product, batch) for batch in vehicles)
    await all_of(assigned, total=len(vehicles), what="batches of assignments", console=console)


async def enter_sessions(
    product: Product, sessions: Sequence[Bond], *, console: Console | None = None
) -> None:
    """Enter sessions of the past; what exists already must be the same.

    Raises ProductError.
    """
    entered = (_enter(product, session) for session in sessions)
    await all_of(entered, total=len(sessions), what="sessions", console=console)


async def _register(
    product: Product, stream: str, devices: Sequence[Device], interval_us: int
) -> None:
    """Register devices of a stream at once, or one by one if some exist already."""
    path = f"/v1/devices/{stream}s"
    bodies = [described(device, interval_us) for device in devices]
    if await product.post(f"{path}/batch", {"items": bodies}) is None:
        for body in bodies:
            await _register_one(product, path, body[f"{stream}Id"], body)


def described(device: Device, interval_us: int) -> dict[str, Any]:
    """Return the body that registers a device; what is not known of it is left out."""
    body = {
        f"{device.stream}Id": device.device_id,
        "readingKind": device.reading_kind,
        "readingIntervalSeconds": interval_us / 1_000_000,
        "capacityKw": device.capacity_kw,
        "registerModulusKwh": device.register_modulus_kwh,
        "batteryCapacityKwh": device.battery_capacity_kwh,
    }
    if isinstance(device, QuirkyDevice):
        body |= {
            "readingIntervalSeconds": device.interval_us / 1_000_000,
            "registerStepKwh": device.register_step_kwh,
            "reportsOnlyWhileCharging": device.reports_only_while_charging,
        }
    return {name: value for name, value in body.items() if value is not None}


async def _register_one(product: Product, path: str, device_id: str, body: dict[str, Any]) -> None:
    if await product.post(path, body) is None:
        there = await product.get(f"{path}/{device_id}")
        differing = [name for name, value in body.items() if there.get(name) != value]
        if differing:
            raise ProductError(
                f"{device_id} is registered already, with another {differing[0]}:"
                " give each run a --fleet of its own"
            )


async def _assign(product: Product, vehicles: Sequence[tuple[str, list[Bond]]]) -> None:
    """Assign vehicles at once, or one by one if some assignments exist already."""
    items = [
        {"vehicleId": vehicle, **_assignment(bond)} for vehicle, bonds in vehicles for bond in bonds
    ]
    if await product.post("/v1/devices/assignments/batch", {"items": items}) is None:
        for vehicle, bonds in vehicles:
            await _assign_one(product, vehicle, bonds)


def _assignment(bond: Bond) -> dict[str, Any]:
    end = None if bond.end is None else format_timestamp(bond.end)
    return {"meterId": bond.meter_id, "start": format_timestamp(bond.start), "end": end}


async def _assign_one(product: Product, vehicle: str, bonds: list[Bond]) -> None:
    path = f"/v1/devices/vehicles/{vehicle}/assignments"
    there: set[tuple[str, int, int | None]] | None = None
    for bond in bonds:
        if await product.post(path, _assignment(bond)) is not None:
            continue
        if there is None:
            there = {
                (
                    one["meterId"],
                    parse_timestamp(one["start"]),
                    one["end"] and parse_timestamp(one["end"]),
                )
                for one in await product.pages(path)
            }
        if (bond.meter_id, bond.start, bond.end) not in there:
            raise ProductError(
                f"{vehicle} is assigned to another meter already: give each run a --fleet of its"
                " own"
            )


async def _enter(product: Product, session: Bond) -> None:
    assert session.end is not None  # noqa: S101  a session ends with the last reading at the latest
    body = {
        "vehicleId": session.vehicle_id,
        "meterId": session.meter_id,
        "startedAt": format_timestamp(session.start),
        "endedAt": format_timestamp(session.end),
    }
    if await product.post("/v1/sessions/start", body) is not None:
        return
    there = {
        (parse_timestamp(one["startedAt"]), one["endedAt"] and parse_timestamp(one["endedAt"]))
        for one in await product.pages(
            "/v1/sessions", vehicleId=session.vehicle_id, meterId=session.meter_id
        )
    }
    if (session.start, session.end) not in there:
        raise ProductError(
            f"{session.vehicle_id} or {session.meter_id} is in another session already: give each"
            " run a --fleet of its own"
        )


def _batches(items: Sequence[Item]) -> list[Sequence[Item]]:
    return [items[first : first + _BATCH] for first in range(0, len(items), _BATCH)]


def _grouped(bonds: Sequence[Bond], key: Callable[[Bond], str]) -> list[tuple[str, list[Bond]]]:
    """Return the bonds grouped by a key, each group in the order of time."""
    groups: dict[str, list[Bond]] = {}
    for bond in sorted(bonds, key=lambda bond: bond.start):
        groups.setdefault(key(bond), []).append(bond)
    return list(groups.items())
