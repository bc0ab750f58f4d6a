"""Request heads that are too large, or do not come to an end."""

import time

from tests.attack.attack import ANYBODY, attack
from tests.attack.line import CLOSED, HOST, Line
from tests.attack.site import Site

_BEGIN = f"GET /health/live HTTP/1.1\r\nHost: {HOST}\r\n".encode()
_MIB = 1 << 20
_REFUSED = {"400", "408", "413", "431", CLOSED}
_TIMEOUT_S, _TIMEOUT_BRIEF_S = 10, 2
_SPARE_S = 6.0


@attack(ANYBODY, short=True)
def head_one_large(site: Site) -> None:
    """A head with one header of 40 MB."""
    size = site.brief_or(8, 40) * _MIB
    _send(site, _BEGIN + b"X-Large: " + b"a" * size + b"\r\n\r\n")


@attack(ANYBODY, short=True)
def head_many_small(site: Site) -> None:
    """A head of 50 MB of small headers."""
    lines = site.brief_or(8, 50) * _MIB // 16
    _send(
        site, _BEGIN + b"".join(b"x-%06x: abcd\r\n" % number for number in range(lines)) + b"\r\n"
    )


@attack(ANYBODY, short=True)
def head_trickled(site: Site) -> None:
    """Fifty heads that are sent a byte at a time."""
    lines = [Line(site.port) for _ in range(50)]
    deadline = time.monotonic() + site.brief_or(_TIMEOUT_BRIEF_S, _TIMEOUT_S) + _SPARE_S
    for line in lines:
        line.send(_BEGIN + b"X-Slow: ")
    count = len(lines)
    try:
        while lines and time.monotonic() < deadline:
            for line in list(lines):
                if not line.send(b"a") or line.ends_within(0.01):
                    line.socket.close()
                    lines.remove(line)
                    site.said["ended"] += 1
        site.expect(not lines, f"{len(lines)} of {count} heads are still waited for")
    finally:
        for line in lines:
            line.socket.close()


def _send(site: Site, message: bytes) -> None:
    with Line(site.port, patience=20.0) as line:
        taken = line.send(message)
        answer = site.note(line.answer())
    site.remarks.append(f"{taken / _MIB:.1f} of {len(message) / _MIB:.1f} MiB were taken")
    site.expect(answer.said in _REFUSED, f"was told {answer.said}")
