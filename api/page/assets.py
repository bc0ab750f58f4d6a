"""The style sheet, the script and the icon, each under an address that changes with it."""

from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import NamedTuple

_KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class Asset(NamedTuple):
    """A file as it is sent; `version` is of its content."""

    content: bytes
    media_type: str
    version: str


@cache
def assets() -> dict[str, Asset]:
    """Return the files of `static/` by their names: these and no others are sent."""
    found = {}
    for file in (files("api.page") / "static").iterdir():
        media_type = _KINDS.get("." + file.name.rpartition(".")[2])
        if media_type is not None:
            content = file.read_bytes()
            found[file.name] = Asset(content, media_type, sha256(content).hexdigest()[:12])
    return found


def address(name: str) -> str:
    """Return the address of a file, for as long as it stays as it is."""
    return f"/static/{name}?v={assets()[name].version}"
