"""TLS that is begun and not ended, or ended and not used."""

import ssl
import time
from contextlib import ExitStack, suppress

from deploy.replica import Replica
from tests.attack.attack import ANYBODY, attack
from tests.attack.line import HOST, PATIENCE_S, REFUSED, Line, request
from tests.attack.onlooker import forget_most, memory
from tests.attack.result import MOST_GROWTH
from tests.attack.site import MOST_DESCRIPTORS, Site
from tests.authority import Authority

_MORE_THAN_ALL = MOST_DESCRIPTORS // 2 + 200
"""The API has places for half of its descriptors."""
_WHOLE = 60
_IN_A_ROW = 20
_TIMEOUT_BRIEF_S, _TIMEOUT_S = 2, 10
_SPARE_S = 6.0


@attack(ANYBODY, short=True)
def handshakes_held(site: Site) -> None:
    """More handshakes of TLS than the API has places, most of them never ended."""
    authority = Authority(site.folder / f"{site.name}-authority")
    certificate, key = authority.sign("server")
    files = {"HTTP_TLS_CERTFILE": str(certificate), "HTTP_TLS_KEYFILE": str(key)}
    context = ssl.create_default_context(cafile=str(authority.certificate))
    with site.started("tls", "-m", "api", "run", **files) as process, ExitStack() as held:
        port = site.port_of(process)
        first = _asked(port, context, patience=PATIENCE_S)
        site.expect(first == "200", "TLS was not served before")
        forget_most(process.process.pid)
        before = memory(process.process.pid)
        hello = _hello(context)
        for number in range(_MORE_THAN_ALL):
            try:
                line = held.enter_context(Line(port, patience=2.0))
                if number % (_MORE_THAN_ALL // _WHOLE):
                    line.send(hello[:-1])
                else:
                    held.enter_context(context.wrap_socket(line.socket, server_hostname=HOST))
            except OSError:
                site.said[REFUSED] += 1
        _expect_served(site, port, context)
        growth = memory(process.process.pid) - before
        site.expect(growth < MOST_GROWTH, f"the API took {growth >> 20} MiB more")
        _expect_no_fault(site, process)


def _expect_served(site: Site, port: int, context: ssl.SSLContext) -> None:
    """Expect that several new connections in a row are served."""
    deadline = time.monotonic() + site.brief_or(_TIMEOUT_BRIEF_S, _TIMEOUT_S) + _SPARE_S
    served = 0
    while served < _IN_A_ROW and time.monotonic() < deadline:
        served = served + 1 if _asked(port, context) == "200" else 0
    site.expect(served == _IN_A_ROW, "new connections are not served while they are held")


def _asked(port: int, context: ssl.SSLContext, *, patience: float = 2.0) -> str:
    """Return what a new connection with TLS is told when it asks whether the API lives."""
    message = request("GET", "/health/live", headers={"Connection": "close"})
    try:
        with (
            Line(port, source="127.0.3.2", patience=patience) as line,
            context.wrap_socket(line.socket, server_hostname=HOST) as secured,
        ):
            secured.sendall(message)
            return secured.recv(1 << 12).split()[1].decode()
    except (OSError, IndexError):
        return REFUSED


def _hello(context: ssl.SSLContext) -> bytes:
    """Return the first message of a handshake."""
    sent = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=HOST).do_handshake()
    return sent.read()


def _expect_no_fault(site: Site, process: Replica) -> None:
    text = process.log_file.read_text()
    site.expect("Too many open files" not in text, "the descriptors were used up")
    site.expect("Traceback" not in text, "the log has a traceback")
