"""Keys and rates: which requests are admitted, which are refused how, and which paths are open."""

import base64
import hashlib
from collections.abc import Callable

import pytest
from fastapi import FastAPI

from tests.api.conftest import Client, problem
from tests.asked import asked

KEYS = ("first-key", "zweiter Schlüssel", "   ")
DIGESTS = ", ".join(hashlib.sha256(key.encode()).hexdigest().upper() for key in KEYS)
PATH = "/v1/telemetry/meters/current"


def basic(user: str, password: str) -> dict[str, str]:
    text = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {text}"}


async def test_a_key_is_a_bearer_token_or_the_password_of_basic(
    make_app: Callable[..., FastAPI],
) -> None:
    async with asked(make_app(API_KEYS=DIGESTS)) as client:
        good = [
            {"Authorization": "Bearer first-key"},
            {"Authorization": "bearer  first-key"},
            basic("anyone", "first-key"),
            basic("", "first-key"),
            basic("x", KEYS[1]),
        ]
        for headers in good:
            assert (await client.get(PATH, headers=headers)).status_code == 200
        bad: list[dict[str, str]] = [
            {},
            {"Authorization": ""},
            {"Authorization": "Bearer"},
            {"Authorization": "Bearer "},
            {"Authorization": "Bearer    "},
            {"Authorization": "Bearer wrong"},
            {"Authorization": "first-key"},
            {"Authorization": f"Bearer {DIGESTS.split(', ', maxsplit=1)[0].lower()}"},
            {"Authorization": "Digest first-key"},
            {"Authorization": "Basic !!!"},
            {"Authorization": "Basic Zmlyc3Qta2V5"},
            basic("first-key", ""),
            basic("", ""),
            # This blank key has a digest, but a blank key is never accepted.
            basic("", KEYS[2]),
        ]
        for headers in bad:
            answer = await client.get(PATH, headers=headers)
            document = problem(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
            assert "first" not in str(document)
        # Of two, a proxy may have checked the other one.
        twice = [("Authorization", "Bearer first-key"), ("Authorization", "Bearer first-key")]
        problem(await client.get(PATH, headers=twice), 401)
        # Unknown paths ask for a key, too, so that a stranger does not learn which exist.
        answer = await client.get("/nothing")
        problem(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Basic")
        for path in ("/health", "/health/live", "/health/ready", "/docs", "/openapi.json"):
            assert (await client.get(path)).status_code == 200


async def test_a_client_has_a_rate_of_its_own(make_app: Callable[..., FastAPI]) -> None:
    async with asked(make_app(API_KEYS=DIGESTS, RATE_LIMIT_PER_MINUTE="3")) as client:
        one, other = ({"Authorization": f"Bearer {key}"} for key in ("first-key", "wrong"))
        for _ in range(3):
            assert (await client.get(PATH, headers=one)).status_code == 200
        # The rate is that of a sliding minute: its edge may lie between any two of these.
        answer = [await client.get(PATH, headers=one) for _ in range(4)][-1]
        problem(answer, 429)
        assert int(answer.headers["retry-after"]) > 0
        problem(await client.post("/v1/telemetry/meter", headers=one), 429)
        assert (await client.get(PATH, headers=basic("", KEYS[1]))).status_code == 200
        problem(await client.get(PATH, headers=other), 401)
        # Health checks are not counted.
        for _ in range(5):
            assert (await client.get("/health/live")).status_code == 200


async def test_without_keys_a_client_is_its_address(make_app: Callable[..., FastAPI]) -> None:
    async with asked(make_app(RATE_LIMIT_PER_MINUTE="1")) as client:
        assert (await client.get(PATH)).status_code == 200
        problem([await client.get(PATH) for _ in range(3)][-1], 429)


async def test_a_rate_of_0_is_unbounded(client: Client) -> None:
    for _ in range(20):
        assert (await client.get(PATH)).status_code == 200


async def test_requests_without_a_key_have_a_rate_by_address(
    make_app: Callable[..., FastAPI], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.middleware.access._PAUSE_S", 0)
    settings = {"API_KEYS": DIGESTS, "ADDRESS_RATE_LIMIT_PER_MINUTE": "3"}
    async with asked(make_app(**settings, TRUSTED_PROXIES="127.0.0.1")) as client:

        async def refused(path: str, address: str, **headers: str) -> None:
            """Check that the address gets no further, be it by a sliding minute's edge later."""
            headers |= {"X-Forwarded-For": address}
            answers = [await client.get(path, headers=headers) for _ in range(10)]
            problem(answers[-1], 429)
            assert answers[-1].headers["retry-after"]

        await refused(PATH, "192.0.2.1", Authorization="Bearer wrong")
        for path in (
            PATH,
            "/docs",
            "/openapi.json",
            "/static/wattline.css",
            "/metrics",
            "/nothing",
        ):
            await refused(path, "192.0.2.1")
        # All addresses of one /64 of IPv6 share a rate.
        await refused("/docs", "2001:db8::1")
        problem(await client.get("/docs", headers={"X-Forwarded-For": "2001:db8::2"}), 429)
        # Other addresses have their own rate; a known key and health are not counted by address.
        for address, headers in (
            ("192.0.2.2", {}),
            ("2001:db8:0:1::1", {}),
            ("192.0.2.1", {"Authorization": "Bearer first-key"}),
        ):
            answer = await client.get("/docs", headers=headers | {"X-Forwarded-For": address})
            assert answer.status_code == 200
        for path in ("/health/live", "/health/ready", "/health") * 5:
            answer = await client.get(path, headers={"X-Forwarded-For": "192.0.2.1"})
            assert answer.status_code == 200
        page = (await client.get("/metrics", headers=basic("", "first-key"))).text
    assert 'telemetry_http_refused_total{bound="address_rate"}' in page


async def test_a_forwarded_address_counts_only_from_a_trusted_proxy(
    make_app: Callable[..., FastAPI], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.middleware.access._PAUSE_S", 0)
    async with asked(make_app(API_KEYS=DIGESTS, ADDRESS_RATE_LIMIT_PER_MINUTE="1")) as client:
        answers = [
            await client.get(PATH, headers={"X-Forwarded-For": f"192.0.2.{number}"})
            for number in range(3)
        ]
    problem(answers[-1], 429)


async def test_metrics_take_a_key_if_there_are_keys(make_app: Callable[..., FastAPI]) -> None:
    async with asked(make_app(API_KEYS=DIGESTS)) as client:
        answer = await client.get("/metrics")
        problem(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Basic")
        for headers in ({"Authorization": "Bearer first-key"}, basic("", "first-key")):
            assert (await client.get("/metrics", headers=headers)).status_code == 200
