"""A broker that dies in mid-flow and comes back: nothing exits, nothing is lost or read twice."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.replica import Replica
from tests.acceptance.broker import Broker
from tests.acceptance.conftest import Environment, produce, query, until
from tests.acceptance.readings import meter_messages
from tests.acceptance.series import DEAD, DUPLICATES, STORED


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker.started(tmp_path)
    yield broker
    broker.kill()


@pytest.fixture
def environment(broker: Broker, database_url: str, group: str) -> Environment:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": broker.node.address,
        "DATABASE_URL": database_url,
        "CONSUMER_GROUP": group,
        "LAG_INTERVAL_S": "0.5",
    }


def test_a_broker_that_dies_and_comes_back_costs_nothing(
    broker: Broker, start: Callable[..., Replica], environment: Environment
) -> None:
    replica = start()
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
