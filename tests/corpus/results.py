"""Results of decoding in a form that can be compared to the bit."""

import struct

from telemetry.decode import Rejected
from telemetry.readings import Reading


def bits(result: Reading | Rejected) -> object:
    """Return the result in a form that tells 0.0 from -0.0 and 1 from 1.0."""
    if isinstance(result, Rejected):
        return result.reason, result.field
    kinds = (type(result.recorded_at), *map(type, result.measures))
    return result.device_id, result.recorded_at, kinds, packed(result.measures)


def packed(measures: tuple[float | None, ...]) -> list[bytes | None]:
    return [None if one is None else struct.pack("d", one) for one in measures]
