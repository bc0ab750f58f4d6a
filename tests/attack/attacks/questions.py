"""Questions that take PostgreSQL long, and many clients that ask at once."""

import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from tests.api.readings import stamp
from tests.attack.attack import ANY_KEY, attack
from tests.attack.crowd import at_once
from tests.attack.line import Line, request
from tests.attack.site import Site

_CROWD = 200
_PATIENCE_S = 20.0
"""An honest client waits for an answer as long as a browser or a program would."""
_AT_WORK = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name LIKE 'wattline-api%%' AND state = 'active'"
    " AND clock_timestamp() - query_start > interval '1 s'"
)
"""A question about the fleet is many statements, of which one waits; no other takes so long."""


@attack(ANY_KEY, short=True)
def slow_questions(site: Site) -> None:
    """Nine long questions about the whole fleet at once, whose client then disconnects."""
    lines = [Line(site.port) for _ in range(9)]
    # The slowest that there is: PostgreSQL itself is made to wait.
    with site.session() as other, other.transaction():
        other.execute("LOCK TABLE vehicle_meter_assignment IN ACCESS EXCLUSIVE MODE")
        for number, line in enumerate(lines):
            line.send(request("GET", _anomalies(number), key=site.keys[0]))
        time.sleep(0.5)
        for path in ("/v1/telemetry/vehicle/veh-2/current", "/v1/devices/meters?limit=1"):
            answer = site.note(site.ask("GET", path, number=1, patience=5.0))
            site.expect(answer.said == "200", f"{path}: another client was told {answer.said}")
        ready = site.note(site.ask("GET", "/health/ready"))
        site.expect(ready.said == "200", f"/health/ready was told {ready.said}")
        for line in lines:
            line.reset()
        deadline = time.monotonic() + 5
        time.sleep(1.2)
        while (left := site.count(_AT_WORK)) and time.monotonic() < deadline:
            time.sleep(0.1)
        site.expect(not left, f"{left} go on after their asker has left")


@attack(ANY_KEY, short=True)
def crowd_of_200(site: Site) -> None:
    """Two hundred honest clients, ten for each key, ask how vehicles charged in a month."""
    ready: list[str] = []
    over = threading.Event()
    seconds = site.brief_or(3, 10)
    now = datetime.now(UTC)
    month = urlencode({"start": stamp(now - timedelta(days=31)), "end": stamp(now)})

    def ask(number: int, asked: int) -> bytes:
        vehicle = f"veh-{1 + (number * 7919 + asked) % site.fleet.pairs}"
        key = site.keys[1 + number % 20]
        return request("GET", f"/v1/analytics/performance/{vehicle}?{month}", key=key)

    def look() -> None:
        while not over.wait(0.5):
            ready.append(site.ask("GET", "/health/ready").said)

    def attack_and_end() -> None:
        said = site.flood(
            ask,
            size=_CROWD,
            seconds=seconds,
            patience=_PATIENCE_S,
            pause=0.5,
            until=_are_answered,
        )
        over.set()
        site.expect_only(said, "200", "429", "503")
        site.expect(_are_answered(said), f"only {said['200']} were answered")

    at_once([attack_and_end, look, lambda: site.topics.expect_progress(seconds=seconds + 10)])
    site.expect(set(ready) <= {"200"}, f"/health/ready was told {sorted(set(ready))}")


def _are_answered(said: Counter[str]) -> bool:
    return said["200"] > _CROWD // 10


def _anomalies(number: int) -> str:
    """Return a question that has not been asked before."""
    end = datetime.now(UTC) - timedelta(seconds=17 + number)
    window = {"start": stamp(end - timedelta(hours=20)), "end": stamp(end)}
    return f"/v1/analytics/anomalies?{urlencode(window)}"
