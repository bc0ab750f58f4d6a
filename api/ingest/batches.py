"""The bodies of batches, `{"data": […]}` and the like → their elements. Pure."""

import re
from collections.abc import Sequence

import msgspec

from api.ingest.elements import Container, NotSplit, containers
from telemetry.decode import MAX_VALUE_BYTES
from telemetry.foreign_bytes import name_foreign
from telemetry.json_text import MOST_LEVELS, is_too_deep, parse_json

MOST_READINGS = 5_000

_is_object = re.compile(rb"[ \t\r\n]*\{").match
# Decoders of a body whose arrays have been replaced by their numbers, see `_without`. Unknown
# fields are ignored beside readings, as they are within readings.
_decode = {
    name: msgspec.json.Decoder(
        msgspec.defstruct("Batch", [(name, list[int])], forbid_unknown_fields=name == "items")
    ).decode
    for name in ("data", "records", "items")
}


class NotABatch(ValueError):  # noqa: N818  what the body is
    """The body does not have the form that its path takes; `field` is the part at fault."""

    def __init__(self, detail: str, field: str) -> None:
        super().__init__(detail)
        self.field = field


def elements(body: bytes, name: str) -> list[bytes]:
    """Return the elements of the array of this name as they came, whether they are JSON or not.

    Raises NotABatch unless everything around them is JSON, and TooMany.
    """
    try:
        found = containers(body, most=MOST_READINGS) if _is_object(body) else []
        [number] = getattr(_decode[name](_without(body, found).decode()), name)
        _check_beside(body, found, number)
        items = list(found[number].elements(body))
    except msgspec.ValidationError as error:
        raise NotABatch(str(error).split(" - ")[0], name) from error
    except (msgspec.DecodeError, ValueError) as error:  # UnicodeDecodeError is one, too
        said = str(error) if isinstance(error, NotSplit) else "is not JSON"
        raise NotABatch(name_foreign(body) or said, "body") from error
    if items == [b""]:
        raise NotABatch("is empty", name)
    if b"" in items:
        raise NotABatch("is not JSON", "body")
    return items


def _without(body: bytes, left_out: Sequence[Container]) -> bytes:
    """Return the body with its number in each array instead of the elements, and empty objects."""
    parts, at = [], 0
    for number, one in enumerate(left_out):
        begin, end = body[one.begin : one.begin + 1], body[one.end - 1 : one.end]
        parts += [body[at : one.begin], begin, b"" if begin == b"{" else b"%d" % number, end]
        at = one.end
    return b"".join([*parts, body[at:]])


def _check_beside(body: bytes, found: Sequence[Container], number: int) -> None:
    """Raise ValueError unless the fields beside the array are JSON within the usual bounds."""
    beside = [one for place, one in enumerate(found) if place != number]
    if sum(one.end - one.begin for one in beside) > MAX_VALUE_BYTES:
        raise NotSplit(f"has over {MAX_VALUE_BYTES} bytes beside the readings")
    for one in beside:
        text = body[one.begin : one.end].decode()
        if is_too_deep(text):
            raise NotSplit(f"is more than {MOST_LEVELS} levels deep")
        parse_json(text)
