"""Where the logs end, asked of a broker whose topics come and go."""

import asyncio

import pytest
from aiokafka import TopicPartition

from consumer.kafka import ends
from consumer.kafka.ends import Ends, Look
from telemetry.streams import METER, VEHICLE
from tests.acceptance.conftest import Environment
from tests.acceptance.member import kafka
from tests.acceptance.own_broker.topics import delete_topics, make_topics
from tests.kafka_clients import delete_topic

pytestmark = pytest.mark.usefixtures("topics")
OF_METERS, OF_VEHICLES = (TopicPartition(one.topic, 0) for one in (METER, VEHICLE))


async def test_a_replica_that_still_owns_a_topic_that_is_gone_sees_the_others_ends(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The group shares the partitions anew only some seconds later."""
    monkeypatch.setattr(ends, "_PATIENCE_S", 2.0)  # what is asked for in vain ends sooner
    looks = Ends(kafka=kafka(environment), interval_s=0.01, owned=lambda: [OF_METERS, OF_VEHICLES])
    running = asyncio.create_task(looks.run())
    try:
        assert await missing(looks, ends_of={OF_METERS, OF_VEHICLES}) == set()
        await asyncio.to_thread(delete_topic, environment["KAFKA_BOOTSTRAP_SERVERS"], METER.topic)
        for _ in range(3):
            assert await missing(looks, ends_of={OF_VEHICLES}) == {METER.topic}
        await asyncio.to_thread(delete_topics, environment)
        assert await missing(looks, ends_of=set()) == {METER.topic, VEHICLE.topic}
        await asyncio.to_thread(make_topics, environment)
        assert await missing(looks, ends_of={OF_METERS, OF_VEHICLES}) == set()
    finally:
        running.cancel()
        await asyncio.wait([running])
        await looks.aclose()


async def missing(looks: Ends, *, ends_of: set[TopicPartition]) -> frozenset[str]:
    """Return the topics that are missing at the next look that begins from now on."""
    await looks.next()  # it may be under way
    look = await looks.next()
    assert isinstance(look, Look), look
    assert look.high.keys() == look.stable.keys() == ends_of
    return look.missing
