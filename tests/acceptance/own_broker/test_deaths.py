"""A broker that dies in mid-flow: what can go on goes on, and nothing is lost or doubled."""

import asyncio
from collections import Counter

import pytest
from aiokafka.errors import KafkaError
from pydantic import SecretStr

from consumer.dead_letters import delivery
from consumer.dead_letters.delivery import Tally
from consumer.dead_letters.redrive import Redrive
from consumer.dead_letters.table import READ_AT_ONCE, Choice
from consumer.postgres.connection import connect
from consumer.settings import DatabaseSettings
from runtime.kafka.settings import KafkaSettings
from tests import kafka_clients
from tests.acceptance.conftest import Environment, Start, produce, query, until
from tests.acceptance.dead_letters import MARKED, command, received, write_letters
from tests.acceptance.own_broker.broker import Broker
from tests.acceptance.readings import meter_messages
from tests.acceptance.series import DEAD, DUPLICATES, STORED


def test_a_broker_that_dies_and_comes_back_costs_nothing(
    broker: Broker, start_attentive: Start, environment: Environment
) -> None:
    replica = start_attentive()
    replica.wait_for("partitions_opened")
    messages = list(meter_messages(20_000))
    produce(environment, "telemetry.meter", messages[:10_000])
    until(lambda: replica.metric(STORED) > 0, what="the flow is under way")
    broker.kill()
    replica.wait_for("kafka_unavailable")
    assert replica.get("/health/live")[0] == 200
    broker.start()
    produce(environment, "telemetry.meter", messages[10_000:])
    until(lambda: replica.metric(STORED) == 20_000, what="all stored")
    assert query(environment, "SELECT count(*) FROM meter_history") == [(20_000,)]
    assert replica.metric(DUPLICATES) == replica.metric(DEAD) == 0
    replica.wait_for("kafka_available", times=2)
    assert len(replica.events("kafka_unavailable")) == 1
    assert len(replica.log()) < 20, "a line a change of state, not a line a try"
    assert replica.stop() == 0


def test_a_broker_that_dies_in_mid_redrive_leaves_the_rest_unmarked(
    broker: Broker, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka_clients.create_topic(broker.node.address, "own")
    write_letters(environment, "own", 500)
    tally = Tally()

    def die() -> None:
        broker.kill()
        # Nobody will answer: to wait for that any longer shows nothing more.
        monkeypatch.setattr(delivery, "PAGE_PATIENCE_S", 0.5)
        monkeypatch.setattr(delivery, "STOP_PATIENCE_S", 0.5)

    async def run() -> None:
        database = DatabaseSettings(database_url=SecretStr(environment["DATABASE_URL"]))
        async with await connect(database) as session:
            await Redrive(
                connection=session,
                kafka=KafkaSettings(bootstrap_servers=broker.node.address),
                choice=Choice(consumer_group=environment["CONSUMER_GROUP"]),
                again=False,
                rate=None,
                stopping=asyncio.Event(),
                tally=tally,
            ).run(on_page=die)

    with pytest.raises(KafkaError):
        asyncio.run(run())
    assert tally.sent == READ_AT_ONCE
    assert query(environment, MARKED) == [(READ_AT_ONCE,)]
    broker.start()
    assert command(environment, "redrive").returncode == 0
    assert query(environment, MARKED) == [(500,)]
    assert received(environment, "own") == Counter(range(1, 501))
