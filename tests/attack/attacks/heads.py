"""Request heads that are too large, or do not come to an end."""

from tests.attack.attack import ANYBODY, attack
from tests.attack.line import CLOSED, HOST, Line
from tests.attack.site import Site
from tests.attack.trickle import expect_ends

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
    timeout = site.brief_or(_TIMEOUT_BRIEF_S, _TIMEOUT_S)
    lines = [Line(site.port) for _ in range(50)]
    for line in lines:
        line.send(_BEGIN + b"X-Slow: ")
    expect_ends(site, lines, b"a", seconds=timeout + _SPARE_S, what="heads")


def _send(site: Site, message: bytes) -> None:
    with Line(site.port, patience=20.0) as line:
        taken = line.send(message)
        answer = site.note(line.answer())
    site.remarks.append(f"{taken / _MIB:.1f} of {len(message) / _MIB:.1f} MiB were taken")
    site.expect(answer.said in _REFUSED, f"was told {answer.said}")
