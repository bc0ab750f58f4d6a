"""The style sheet, the script and the icon, each at an address that changes with its content."""

from functools import cache
from importlib.resources import files

from api.rendered import Rendered

_KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@cache
def assets() -> dict[str, Rendered]:
    """Return the files of `static/` by their names; no other file is served."""
    found = {}
    for file in (files("api.page") / "static").iterdir():
        media_type = _KINDS.get("." + file.name.rpartition(".")[2])
        if media_type is not None:
            found[file.name] = Rendered(file.read_bytes(), media_type)
    return found


def address(name: str) -> str:
    """Return the address of a file with its version, which may be cached for ever."""
    return f"/static/{name}?v={assets()[name].version}"
