"""Good readings as (key, value) pairs for `produce`."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta


def meter_message(device: str, at: datetime, kwh: float = 0.5) -> tuple[bytes, bytes]:
    reading = {
        "meterId": device,
        "kwhConsumedAc": kwh,
        "voltage": 230.0,
        "timestamp": at.isoformat(),
    }
    return device.encode(), json.dumps(reading).encode()


def meter_messages(count: int, *, devices: int = 100) -> Iterator[tuple[bytes, bytes]]:
    begin = datetime.now(UTC) - timedelta(minutes=count // devices + 1)
    for number in range(count):
        at = begin + timedelta(minutes=number // devices)
        yield meter_message(f"mtr-{number % devices:05d}", at, number / 1_000)


def vehicle_messages(count: int) -> Iterator[tuple[bytes, bytes]]:
    for number in range(count):
        device = f"veh-{number:05d}"
        reading = {
            "vehicleId": device,
            "soc": 57.3,
            "kwhDeliveredDc": 0.842,
            "batteryTemp": 31.4,
            "timestamp": datetime.now(UTC).isoformat(),
        }
        yield device.encode(), json.dumps(reading).encode()
