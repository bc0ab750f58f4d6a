"""The gateway's producer: it is replaced after a fatal error."""

import asyncio
import random
import uuid

import pytest
from structlog.testing import capture_logs

from api.ingest import gateway as gateway_module
from api.ingest.gateway import Gateway, Message, Unacknowledged
from api.settings import GatewaySettings
from deploy.local.stack import Addresses
from runtime.kafka.settings import KafkaSettings
from tests import kafka_clients

LIMIT = 1_000
SMALL = b"x"
# Random, so that compression does not make it small.
LARGE = random.Random(1).randbytes(2 * LIMIT)
RENEWED_S = 10.0


def make_topic(servers: Addresses) -> str:
    """Make a topic that takes no message above the limit."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    limit = {"max.message.bytes": str(LIMIT)}
    kafka_clients.create_topic(servers.kafka_bootstrap_servers, name, limit)
    return name


async def test_after_a_fatal_error_another_producer_takes_its_place(
    servers: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    # librdkafka then takes any message that the broker refuses for a fatal error.
    monkeypatch.setitem(gateway_module._CONFIGURATION, "enable.gapless.guarantee", True)
    name = make_topic(servers)
    kafka = KafkaSettings(bootstrap_servers=servers.kafka_bootstrap_servers)
    settings = GatewaySettings(gateway_timeout_ms=5_000)
    async with Gateway(kafka=kafka, settings=settings).running() as gateway:

        async def send(value: bytes) -> bool:
            try:
                await gateway.send([Message(name, b"key", value)])
            except Unacknowledged:
                return False
            return True

        async def renewed() -> None:
            async with asyncio.timeout(RENEWED_S):
                while not await send(SMALL):
                    await asyncio.sleep(0.05)

        await renewed()
        for _ in range(2):
            with capture_logs() as logged:
                assert not any(await asyncio.gather(*(send(LARGE) for _ in range(20))))
                await renewed()
            broken = [line for line in logged if line["event"] == "kafka_producer_broken"]
            assert ["gap-less" in line["error"] for line in broken] == [True]
            assert gateway.is_available
