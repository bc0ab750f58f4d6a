"""Keys and rates: who is let in, who is told what, and what is open to all."""

import base64
import hashlib
from collections.abc import Callable

from fastapi import FastAPI

from tests.api.conftest import Client, asked, problem

KEYS = ("first-key", "zweiter Schlüssel")
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
            {"Authorization": "Bearer wrong"},
            {"Authorization": "first-key"},
            {"Authorization": f"Bearer {DIGESTS.split(', ', maxsplit=1)[0].lower()}"},
            {"Authorization": "Digest first-key"},
            {"Authorization": "Basic !!!"},
            {"Authorization": "Basic Zmlyc3Qta2V5"},
            basic("first-key", ""),
        ]
        for headers in bad:
            answer = await client.get(PATH, headers=headers)
            document = problem(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
            assert "first" not in str(document)
        # Nobody is told what there is: an unknown path asks for a key, too.
        answer = await client.get("/nothing")
        problem(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Basic")
        for path in ("/health", "/health/live", "/health/ready", "/metrics", "/openapi.json"):
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
        # Those who watch are not counted.
        for _ in range(5):
            assert (await client.get("/health/live")).status_code == 200


async def test_without_keys_a_client_is_its_address(make_app: Callable[..., FastAPI]) -> None:
    async with asked(make_app(RATE_LIMIT_PER_MINUTE="1")) as client:
        assert (await client.get(PATH)).status_code == 200
        problem([await client.get(PATH) for _ in range(3)][-1], 429)


async def test_without_a_bound_there_is_none(client: Client) -> None:
    for _ in range(20):
        assert (await client.get(PATH)).status_code == 200
