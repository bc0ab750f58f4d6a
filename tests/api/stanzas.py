"""A file of clients for the API, made by a test that knows their keys."""

import json
from hashlib import sha256


def stanza(name: str, *keys: str, **fields: object) -> str:
    """Return the stanza of a client that has these keys."""
    fields = {"keys": [sha256(key.encode()).hexdigest() for key in keys], **fields}
    said = [f"{field} = {json.dumps(value)}" for field, value in fields.items()]
    return "\n".join([f"[clients.{name}]", *said, ""])


def by(key: str) -> dict[str, str]:
    """Return the header that shows the key."""
    return {"Authorization": f"Bearer {key}"}
