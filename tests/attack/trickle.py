"""Requests that are sent a byte at a time, and do not come to an end."""

import time

from tests.attack.line import Line
from tests.attack.site import Site


def expect_ends(site: Site, lines: list[Line], byte: bytes, *, seconds: float, what: str) -> None:
    """Send the byte on every line again and again; expect the API to end all of them in time."""
    deadline, count = time.monotonic() + seconds, len(lines)
    try:
        while lines and time.monotonic() < deadline:
            for line in list(lines):
                if not line.send(byte) or line.ends_within(0.01):
                    line.socket.close()
                    lines.remove(line)
                    site.said["ended"] += 1
        site.expect(not lines, f"{len(lines)} of {count} {what} are still waited for")
    finally:
        for line in lines:
            line.socket.close()
