"""Connections that are held: idle, with a body that trickles, with an answer that is not read."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from tests.api.readings import encode, meter
from tests.attack.attack import ANYBODY, attack
from tests.attack.crowd import at_once
from tests.attack.line import REFUSED, Line, ask, head, request
from tests.attack.site import MOST_DESCRIPTORS, Site
from tests.attack.trickle import expect_ends

_MORE_THAN_ALL = MOST_DESCRIPTORS + 200
_OTHERS = 20
_TIMEOUT_BRIEF_S, _TIMEOUT_S = 2, 10
_SPARE_S = 6.0


@attack(ANYBODY, short=True)
def idle_connections(site: Site) -> None:
    """More idle connections than the API has descriptors."""
    with _kept(site) as (line, reading), _idle(site, site.port):
        # Clients that are connected already still reach Kafka and PostgreSQL.
        line.send(reading)
        site.expect(site.note(line.answer()).said == "202", "no reading was taken meanwhile")
        line.send(request("GET", "/v1/devices/meters?limit=1", key=site.keys[1]))
        site.expect(site.note(line.answer()).said == "200", "no device was answered meanwhile")
        _expect_new_connections(site, site.port)
    _expect_no_blame(site)


@attack(ANYBODY, short=True)
def idle_on_the_replica(site: Site) -> None:
    """More idle connections than the replica has descriptors, to its health port."""
    port = site.port_of(site.replica)
    with _idle(site, port):
        site.topics.expect_progress()
        _expect_new_connections(site, port)
    _expect_no_blame(site)


@attack(ANYBODY, short=True)
def body_trickled(site: Site) -> None:
    """Fifty bodies that are sent a byte at a time, half of them with a key."""
    timeout = site.brief_or(_TIMEOUT_BRIEF_S, _TIMEOUT_S)
    lines = [Line(site.port) for _ in range(50)]
    for number, line in enumerate(lines):
        key = {"Authorization": f"Bearer {site.keys[0]}"} if number % 2 else {}
        said = {"Content-Type": "application/json", "Content-Length": "60000", **key}
        line.send(head("POST", "/v1/telemetry/meter", said))
    expect_ends(site, lines, b" ", seconds=timeout + _SPARE_S, what="bodies")


@attack(ANYBODY)
def unread_answer(site: Site) -> None:
    """Forty connections ask for the OpenAPI document again and again, and read no answer."""
    message = request("GET", "/openapi.json") * 50
    lines = [Line(site.port, receives=4_096, patience=1.0) for _ in range(40)]
    try:
        at_once([partial(line.send, message) for line in lines])
        time.sleep(site.brief_or(1, 3))
        site.note(site.ask("GET", "/v1/devices/meters?limit=1", number=1))
    finally:
        for line in lines:
            line.reset()


@contextmanager
def _idle(site: Site, port: int) -> Iterator[None]:
    """Hold as many connections as can be had."""
    lines: list[Line] = []
    try:
        for _ in range(_MORE_THAN_ALL):
            try:
                lines.append(Line(port, patience=2.0))
            except OSError:
                site.said[REFUSED] += 1
        time.sleep(site.brief_or(1, 3))
        yield
    finally:
        for line in lines:
            line.socket.close()


@contextmanager
def _kept(site: Site) -> Iterator[tuple[Line, bytes]]:
    """Lend an honest connection that was there before, and a reading to be sent."""
    body = encode(meter("mtr-1"))
    reading = request("POST", "/v1/telemetry/meter", key=site.keys[1], body=body)
    with Line(site.port) as line:
        line.send(reading)
        site.expect(site.note(line.answer()).said == "202", "no reading was taken before")
        yield line, reading


def _expect_new_connections(site: Site, port: int) -> None:
    """Expect that several new connections in a row are served once the idle ones have timed out.

    A single one may be lucky, because a descriptor becomes free now and then.
    """
    deadline = time.monotonic() + site.brief_or(_TIMEOUT_BRIEF_S, _TIMEOUT_S) + _SPARE_S
    served = 0
    while served < _OTHERS and time.monotonic() < deadline:
        message = request("GET", "/health/live", headers={"Connection": "close"})
        said = ask(port, message, source="127.0.3.2", patience=2.0).said
        served = served + 1 if said == "200" else 0
        time.sleep(0.02)
    site.expect(served == _OTHERS, "new connections are not served while they are held")


def _expect_no_blame(site: Site) -> None:
    """Expect that no process ran out of descriptors, and that no log blames Kafka for it."""
    for process in (site.api, site.replica):
        text = process.log_file.read_text()
        site.expect("Too many open files" not in text, "the descriptors were used up")
        site.expect("kafka_unavailable" not in text, "the log blames Kafka")
