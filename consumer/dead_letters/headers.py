"""The headers of a dead letter: Kafka's, and the column of JSON that holds them. Pure.

A stored header is [name, value in base64 or null]. PostgreSQL's text holds neither a NUL nor bytes
that are not UTF-8. A name with either shows U+FFFD in their place, and a third element holds the
bytes of the name in base64.
"""

import base64
from collections.abc import Sequence

from consumer.kafka.records import Headers

StoredHeader = list[str | None]

# What the JSON of a header takes beside its name and value: brackets, quotes, commas.
_PUNCTUATION_BYTES = 10


def stored(headers: Headers) -> list[StoredHeader]:
    """Return the headers as JSON holds them."""
    return [_stored(name, value) for name, value in headers]


def restored(headers: Sequence[StoredHeader]) -> list[tuple[str, bytes | None]]:
    """Return the headers as they came: what `stored` was given."""
    return [_restored(*header) for header in headers]


def stored_bytes(header: StoredHeader) -> int:
    """Return about how many bytes of JSON a stored header takes."""
    return _PUNCTUATION_BYTES + sum(len(part) for part in header if part)


def _stored(name: str, value: bytes | None) -> StoredHeader:
    raw = name.encode(errors="surrogateescape")
    shown = raw.decode(errors="replace").replace("\0", "\ufffd")
    header = [shown, None if value is None else base64.b64encode(value).decode()]
    if shown != name:
        header.append(base64.b64encode(raw).decode())
    return header


def _restored(
    shown: str | None, value: str | None, raw: str | None = None
) -> tuple[str, bytes | None]:
    name = shown or "" if raw is None else base64.b64decode(raw).decode(errors="surrogateescape")
    return name, None if value is None else base64.b64decode(value)
