"""Bodies that cost more than they weigh."""

import time
from functools import partial

import cramjam

from tests.api.readings import encode, meter
from tests.attack.attack import ANY_KEY, attack
from tests.attack.crowd import at_once
from tests.attack.line import CLOSED, Answer, Line, ask, head, request
from tests.attack.site import Site

_MIB = 1 << 20
_MOST_ANSWER = 64 << 10
_LARGEST = 8 * _MIB
_MOST_GROWTH_MIB = 192
_TOO_LARGE = {"413", "422", CLOSED}


@attack(ANY_KEY, short=True)
def body_many_fields(site: Site) -> None:
    """A vehicle with 740,000 unknown fields."""
    count = site.brief_or(60_000, 740_000)
    fields = ",".join(f'"{number:x}":0' for number in range(count))
    answer = _post(site, "/v1/devices/vehicles", f'{{"vehicleId":"veh-x",{fields}}}'.encode())
    _expect_short(site, answer)
    site.expect(
        site.ask("GET", "/v1/devices/vehicles/veh-x", number=1).said == "404", "it is there"
    )


@attack(ANY_KEY)
def batch_many_readings(site: Site) -> None:
    """A batch of 8 MB with 4.1 million elements of one digit."""
    count = site.brief_or(1_000_000, 4_100_000)
    answer = _post(site, "/v1/telemetry/meter/batch", b'{"data":[' + b"1," * count + b"1]}")
    _expect_short(site, answer)
    _expect_little_memory(site)


@attack(ANY_KEY, short=True)
def batch_inflated(site: Site) -> None:
    """Eight batches of 8 MB at once, each compressed to less than a kilobyte."""
    body = bytes(cramjam.zstd.compress(b'{"data":[' + b"1," * 4_000_000 + b"1]}"))
    coded = {"Content-Encoding": "zstd"}
    message = request(
        "POST", "/v1/telemetry/meter/batch", key=site.keys[0], body=body, headers=coded
    )
    answers: list[Answer] = []
    size = site.brief_or(2, 8)
    at_once([lambda: answers.append(ask(site.port, message, patience=25.0))] * size)
    for answer in answers:
        site.note(answer)
        site.expect(answer.said in {*_TOO_LARGE, "429", "503"}, f"was told {answer.said}")
    _expect_little_memory(site)


@attack(ANY_KEY, short=True)
def bodies_in_flight(site: Site) -> None:
    """Forty bodies of 8 MB without their last byte; then the clients disconnect."""
    count = site.brief_or(24, 40)
    lines = [Line(site.port, patience=5.0) for _ in range(count)]
    own = {"Authorization": f"Bearer {site.keys[0]}", "Content-Type": "application/json"}
    message = head("POST", "/v1/telemetry/meter/batch", own | {"Content-Length": str(_LARGEST)})
    message += b" " * (_LARGEST - 1)
    try:
        at_once([partial(line.send, message) for line in lines])
        time.sleep(1)
        for line in lines:
            line.socket.settimeout(0.05)
            site.note(line.answer())
    finally:
        for line in lines:
            line.reset()
    refused = site.said["429"] + site.said["503"] + site.said[CLOSED]
    site.expect(refused, "all of them were kept")
    # What they held is given back: another client's batch is taken.
    body = b'{"data":[' + encode(meter("mtr-1")) + b"]}" + b" " * _MIB
    deadline = time.monotonic() + 10
    while (said := _post(site, "/v1/telemetry/meter/batch", body, number=1).said) != "202":
        if time.monotonic() > deadline:
            break
        time.sleep(0.2)
    site.expect(said == "202", f"another client's batch was told {said} after it")
    _expect_little_memory(site)


@attack(ANY_KEY, short=True)
def hang_ups(site: Site) -> None:
    """Fifty clients that disconnect during their body, and fifty before their answer."""
    own = {"Authorization": f"Bearer {site.keys[0]}", "Content-Type": "application/json"}
    half = head("POST", "/v1/telemetry/meter", own | {"Content-Length": "1000"}) + b"{"
    whole = request("GET", "/v1/analytics/fleet/performance", key=site.keys[0])
    for message in (half, whole):
        for _ in range(50):
            with Line(site.port) as line:
                line.send(message)
                time.sleep(0.005)
                line.reset()
    time.sleep(0.5)
    failed = site.logged("request_failed")
    site.expect(not failed, f"{len(failed)} are logged with a traceback")
    told = [line for line in site.logged("request_answered") if line.get("status") == 500]
    site.expect(not told, f"{len(told)} are counted as 500")


def _post(site: Site, path: str, body: bytes, *, number: int = 0) -> Answer:
    message = request("POST", path, key=site.keys[number], body=body)
    return site.note(ask(site.port, message, patience=25.0))


def _expect_short(site: Site, answer: Answer) -> None:
    site.expect(answer.said in _TOO_LARGE, f"was told {answer.said}")
    size = len(answer.body)
    site.expect(size <= _MOST_ANSWER, f"the answer has {size:,} bytes")


def _expect_little_memory(site: Site) -> None:
    """Less than the bodies themselves would take, were they all kept and taken apart."""
    growth = site.growth_of_api() >> 20
    site.expect(growth <= _MOST_GROWTH_MIB, f"the API took {growth} MiB more")
