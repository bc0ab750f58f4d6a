"""How the pairs with quirks are registered, assigned and entered. Pure."""

from dataclasses import dataclass

from producer_sim.devices.quirks import device as quirks
from producer_sim.devices.quirks.pairs import BATTERY_KWH, Pair, Pairs
from producer_sim.oracle.truth import Bond, Device


@dataclass(frozen=True, slots=True, kw_only=True)
class QuirkyDevice(Device):
    """A device of which more is registered, as its quirk demands."""

    interval_us: int
    register_step_kwh: float | None
    reports_only_while_charging: bool | None


def devices_of(pairs: Pairs | None) -> tuple[QuirkyDevice, ...]:
    """Return all meters, then all vehicles."""
    some = pairs.pairs if pairs is not None else []
    return (
        *(_device(pair, "meter", pair.meter_id, pair.meter) for pair in some),
        *(_device(pair, "vehicle", pair.vehicle_id, pair.vehicle) for pair in some),
    )


def assignments_of(pairs: Pairs | None) -> tuple[Bond, ...]:
    """Return the assignments: each vehicle's to its own meter, from before the run on."""
    if pairs is None:
        return ()
    start = pairs.start_us - pairs.interval_us
    return tuple(_bond("assignment", pair, start, None) for pair in pairs.pairs)


def sessions_of(pairs: Pairs | None) -> tuple[Bond, ...]:
    """Return the charges that are entered."""
    if pairs is None:
        return ()
    return tuple(
        _bond("session", pair, start, end)
        for pair in pairs.pairs
        for start, end in pair.sessions(pairs.end_us)
    )


def _device(pair: Pair, stream: str, device_id: str, device: quirks.Device) -> QuirkyDevice:
    facts = device.facts()
    is_meter = stream == "meter"
    return QuirkyDevice(
        stream=stream,
        device_id=device_id,
        reading_kind=device.reading_kind,
        register_modulus_kwh=None,
        capacity_kw=facts.get("capacityKw", pair.charges.kw) if is_meter else None,
        battery_capacity_kwh=None if is_meter else BATTERY_KWH,
        first_at=device.life.start,
        planted=None,
        jumped_at=None,
        interval_us=device.interval_us,
        register_step_kwh=facts.get("registerStepKwh"),
        reports_only_while_charging=facts.get("reportsOnlyWhileCharging"),
    )


def _bond(kind: str, pair: Pair, start: int, end: int | None) -> Bond:
    return Bond(kind=kind, vehicle_id=pair.vehicle_id, meter_id=pair.meter_id, start=start, end=end)
