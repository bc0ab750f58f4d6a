"""Devices, assignments and sessions that a key can enter, and what answers cost after it."""

import time
from datetime import UTC, datetime, timedelta

from tests.api.readings import encode, stamp, vehicle
from tests.attack.attack import ANY_KEY, attack
from tests.attack.line import CLOSED, REFUSED, Answer, request
from tests.attack.site import Site

_BATCH = 5_000
_MOST_PAGE = 512 << 10
_UNTIL_STORED_S = 20.0
_SECOND = timedelta(seconds=1)


@attack(ANY_KEY, short=True)
def assignments_of_a_second(site: Site) -> None:
    """Assignments of one vehicle that last a second, as many as ten seconds allow."""
    begin = datetime(2024, 1, 1, tzinfo=UTC)

    def ask(number: int, asked: int) -> bytes:
        # All connections fill the same day, and more of it than may be entered: then the next.
        # None is asked for twice, so a 409 is never for an overlap.
        day, place = divmod(asked, 40)
        start = begin + timedelta(days=day, seconds=2 * (4 * place + number))
        body = {"meterId": "mtr-3", "start": stamp(start), "end": stamp(start + _SECOND)}
        path = "/v1/devices/vehicles/veh-2/assignments"
        return request("POST", path, key=site.keys[0], body=encode(body))

    said = site.flood(ask, size=4, seconds=site.brief_or(1, 10), until=lambda said: said["409"] > 0)
    site.expect_only(said, "201", "409", "429", "503", CLOSED)
    site.expect(said["409"], f"nothing limits them: {said['201']:,} were taken")
    window = f"start={stamp(begin)}&end={stamp(begin + timedelta(days=20))}"
    answer = site.note(site.ask("GET", f"/v1/analytics/performance/veh-2?{window}", number=1))
    site.expect(answer.said == "200", f"the vehicle's energy was told {answer.said}")
    _expect_fleet(site)


@attack(ANY_KEY, short=True)
def invented_ids(site: Site) -> None:
    """Readings of 100,000 unregistered vehicles, with REGISTERED_DEVICES_ONLY."""
    count = site.brief_or(1, 20)
    for batch in range(count):
        body = {"data": [vehicle(f"made-up-{batch}-{one}") for one in range(_BATCH)]}
        answer = site.note(site.ask("POST", "/v1/telemetry/vehicle/batch", body, number=0))
        site.expect(answer.said in {"202", "422"}, f"was told {answer.said}")
    site.topics.expect_progress(seconds=_UNTIL_STORED_S)
    query = "SELECT count(*) FROM vehicle_current_state WHERE vehicle_id LIKE 'made-up-%%'"
    stored = site.count(query)
    site.expect(not stored, f"{stored:,} of them have a current state")
    _expect_fleet(site)


@attack(ANY_KEY)
def late_devices(site: Site) -> None:
    """Readings of 1,000 vehicles that are up to a month late, from fifty hours each."""
    now = datetime.now(UTC)
    for batch in range(10):
        late = [timedelta(hours=13 * (5 * batch + one) + 24) for one in range(5)]
        readings = [
            vehicle(f"veh-{pair}", timestamp=stamp(now - by))
            for pair in range(1, 1_001)
            for by in late
        ]
        site.note(site.ask("POST", "/v1/telemetry/vehicle/batch", {"data": readings}, number=0))
    site.topics.expect_progress(seconds=_UNTIL_STORED_S)
    window = f"start={stamp(now - timedelta(days=30))}&end={stamp(now)}"
    _expect_fleet(site, f"?{window}")


@attack(ANY_KEY)
def sessions_never_ended(site: Site) -> None:
    """A session of each of 1,000 vehicles that began a month ago and does not end."""
    began = stamp(datetime.now(UTC) - timedelta(days=30))
    count = site.brief_or(100, 1_000)

    def ask(number: int, asked: int) -> bytes:
        one = 1_000 + (number * count // 4 + asked) % count
        pair = 1 + one % site.fleet.pairs
        body = {"vehicleId": f"veh-{pair}", "meterId": f"mtr-{pair}", "startedAt": began}
        return request("POST", "/v1/sessions/start", key=site.keys[0], body=encode(body))

    said = site.flood(ask, size=4, seconds=site.brief_or(1, 8))
    site.expect_only(said, "201", "409", "429", "503", CLOSED, REFUSED)
    for path in ("/v1/sessions/active?limit=1000", "/vehicles/veh-1001"):
        answer = site.note(site.ask("GET", path, number=1, patience=20.0))
        site.expect(answer.said == "200", f"{path} was told {answer.said}")
    _expect_fleet(site)


@attack(ANY_KEY, short=True)
def page_of_milliseconds(site: Site) -> None:
    """The page of a vehicle that is registered as sending every millisecond."""
    changed = {"readingIntervalSeconds": 0.001, "validFrom": "2000-01-01T00:00:00Z"}
    site.note(site.ask("PATCH", "/v1/devices/vehicles/veh-5", changed, number=0))
    now = datetime.now(UTC) - timedelta(seconds=5)
    count = site.brief_or(1, 12)
    step = timedelta(hours=20) / (count * _BATCH)
    for batch in range(count):
        readings = [
            vehicle("veh-5", timestamp=stamp(now - step * (batch * _BATCH + one)))
            for one in range(_BATCH)
        ]
        body = {"data": readings}
        site.note(site.ask("POST", "/v1/telemetry/vehicle/batch", body, number=0))
    query = "SELECT count(*) FROM vehicle_history WHERE vehicle_id = 'veh-5'"
    deadline = time.monotonic() + _UNTIL_STORED_S
    while site.count(query) < count * _BATCH and time.monotonic() < deadline:
        time.sleep(0.1)
    page = site.note(site.ask("GET", "/vehicles/veh-5", number=1, patience=25.0))
    size = len(page.body)
    site.expect(page.said in {"200", "503"}, f"the page was told {page.said}")
    site.expect(size <= _MOST_PAGE, f"the page has {size:,} bytes")


def _expect_fleet(site: Site, window: str = "") -> Answer:
    """The fleet's answer comes."""
    path = f"/v1/analytics/fleet/performance{window}"
    begun = time.monotonic()
    answer = site.note(site.ask("GET", path, number=1, patience=25.0))
    site.remarks.append(f"the fleet was answered in {time.monotonic() - begun:.1f} s")
    site.expect(answer.said == "200", f"the fleet's answer was told {answer.said}")
    return answer
