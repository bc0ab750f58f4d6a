"""The live stream."""

import time

from tests.attack.attack import ANY_KEY, attack
from tests.attack.line import Line, request
from tests.attack.site import Site

_ALL_SEATS = 500


@attack(ANY_KEY, short=True)
def live_from_the_beginning(site: Site) -> None:
    """Fifty listeners that ask for all events since 1970, and read them slowly."""
    message = request("GET", "/v1/live", key=site.keys[0], headers={"Last-Event-ID": "0"})
    count = site.brief_or(20, 50)
    lines = [Line(site.port, receives=4_096) for _ in range(count)]
    with site.session() as session:  # a fleet of which much is new
        for state in ("vehicle_current_state", "meter_current_state"):
            session.execute(f"UPDATE {state} SET updated_at = now() - interval '1 day'")
    try:
        for line in lines:
            line.send(message)
        time.sleep(site.brief_or(2, 5))
        received = _received(lines[0])
        site.remarks.append(f"one of them got {received:,} bytes")
        answer = site.note(site.ask("GET", "/v1/devices/meters?limit=1", number=1))
        site.expect(answer.said == "200", f"another client was told {answer.said}")
        site.expect(received < site.fleet.pairs * 20, "all was sent, from the beginning on")
    finally:
        for line in lines:
            line.reset()


@attack(ANY_KEY, short=True)
def live_seats(site: Site) -> None:
    """One key takes all its seats of the live stream, and another key asks for one."""
    message = request("GET", "/v1/live", key=site.keys[0])
    lines = [Line(site.port) for _ in range(_ALL_SEATS)]
    try:
        for line in lines:
            line.send(message)
        time.sleep(2)
        with Line(site.port, patience=5.0) as line:
            line.send(request("GET", "/v1/live", key=site.keys[1]))
            status = line.status()
        site.said[status] += 1
        site.expect(status == "200", f"another key was told {status}")
    finally:
        for line in lines:
            line.reset()


def _received(line: Line) -> int:
    """Return how much comes until nothing has come for a moment."""
    size = 0
    deadline = time.monotonic() + 3
    line.socket.settimeout(0.5)
    while time.monotonic() < deadline:
        try:
            data = line.socket.recv(1 << 20)
        except OSError:
            break
        if not data:
            break
        size += len(data)
    return size
