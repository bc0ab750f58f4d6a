"""Ways around the keys: a page of another site, a proxy, an empty key, a foreign host."""

import hashlib

from deploy.replica import ReplicaError
from tests.api.readings import encode, meter
from tests.attack.attack import ANYBODY, attack
from tests.attack.line import ask, request
from tests.attack.site import Site

_FORWARDED = (
    {"X-Forwarded-For": "203.0.113.9"},
    {"Forwarded": "for=203.0.113.9;host=wattline.example"},
    {"X-Forwarded-Host": "wattline.example"},
    {"X-Real-IP": "203.0.113.9"},
    {"Via": "1.1 proxy.example"},
)
_WRONG_SETTING = 2


@attack(ANYBODY, short=True)
def forwarded_without_keys(site: Site) -> None:
    """Requests to an API without keys, through a proxy that names a loopback host."""
    body = encode(meter("mtr-1"))
    with site.started("open", "-m", "api", "run", API_KEYS="") as api:
        port = site.port_of(api)
        near = ask(port, request("POST", "/v1/telemetry/meter", body=body))
        site.expect(near.said in {"202", "503"}, f"who is near was told {near.said}")
        for headers in _FORWARDED:
            message = request("POST", "/v1/telemetry/meter", body=body, headers=headers)
            answer = site.note(ask(port, message))
            site.expect(answer.said == "403", f"{next(iter(headers))}: was told {answer.said}")


@attack(ANYBODY)
def empty_credential(site: Site) -> None:
    """The digest of an empty key in `API_KEYS`, and requests with an empty key."""
    message = request("GET", "/v1/devices/meters", headers={"Authorization": "Bearer "})
    nothing = hashlib.sha256(b"").hexdigest()
    with site.started("empty", "-m", "api", "run", API_KEYS=nothing) as api:
        try:
            port = site.port_of(api)
        except ReplicaError:
            code = api.process.returncode
            site.said[f"exit code {code}"] += 1
            site.expect(code == _WRONG_SETTING, f"it ended with {code}")
        else:
            answer = site.note(ask(port, message))
            site.expect(answer.said == "401", f"nothing was a key: was told {answer.said}")
    for scheme in ("Bearer ", "Basic ", "Basic Og=="):
        said = request("GET", "/v1/devices/meters", headers={"Authorization": scheme})
        answer = site.note(ask(site.port, said))
        site.expect(answer.said == "401", f"{scheme!r} was told {answer.said}")


@attack(ANYBODY, short=True)
def foreign_form(site: Site) -> None:
    """A form of another site, sent by a browser without Sec-Fetch-Site and without a body."""
    started = site.ask(
        "POST", "/v1/sessions/start", {"vehicleId": "veh-9", "meterId": "mtr-9"}, number=1
    )
    site.expect(started.said == "201", f"no session was started: {started.said}")
    if started.said != "201":
        return
    path = f"/v1/sessions/{started.json()['sessionId']}"
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://evil.example", "Content-Type": "application/x-www-form-urlencoded"},
        {"Origin": "http://evil.example", "Content-Length": "0", "Content-Type": "text/plain"},
        {},
    ):
        answer = site.note(
            ask(site.port, request("POST", f"{path}/end", key=site.keys[1], headers=headers))
        )
        site.expect(answer.said in {"403", "415"}, f"{headers} was told {answer.said}")
    still = site.ask("GET", path, number=1)
    site.expect(still.json().get("endedAt") is None, "the session was ended")


@attack(ANYBODY, short=True)
def foreign_host(site: Site) -> None:
    """Requests that name a foreign host: no redirect leads there."""
    for path in ("/vehicles?q=veh-1", "/vehicles/", "//evil.example/..", "/docs/"):
        headers = {"Host": "evil.example"}
        answer = site.note(ask(site.port, request("GET", path, key=site.keys[1], headers=headers)))
        leads = answer.headers.get("location", "")
        site.expect("evil.example" not in leads, f"{path} leads to {leads}")
        site.expect(not leads.startswith("//"), f"{path} leads to {leads}")
