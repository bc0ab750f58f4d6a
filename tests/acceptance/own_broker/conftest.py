"""A broker that these tests share with no other folder's: they kill it, and delete its topics."""

from collections.abc import Iterator
from functools import partial

import pytest

from tests.acceptance.conftest import Environment, Start
from tests.acceptance.own_broker.broker import Broker
from tests.acceptance.own_broker.topics import delete_topics, make_topics


@pytest.fixture(scope="package")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """One for all tests of the folder: a start takes seconds of CPU."""
    broker = Broker.started(tmp_path_factory.mktemp("broker"))
    yield broker
    broker.kill()


@pytest.fixture
def environment(broker: Broker, database_url: str, group: str) -> Iterator[Environment]:
    """The settings of a group on this broker, which has no topics yet; they go with the test."""
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": broker.node.address,
        "DATABASE_URL": database_url,
        "CONSUMER_GROUP": group,
        "KAFKA_SESSION_TIMEOUT_MS": "6000",
        "KAFKA_HEARTBEAT_INTERVAL_MS": "1000",
        "LAG_INTERVAL_S": "0.5",
    }
    yield environment
    if not broker.runs:
        broker.start()
    delete_topics(environment)


@pytest.fixture
def start_attentive(start: Start) -> Start:
    """Start replicas that see sooner than by default what has become of Kafka."""
    return partial(start, command=("-m", "tests.acceptance.own_broker.attentive", "run"))


@pytest.fixture
def topics(environment: Environment) -> None:
    """Both topics, with three partitions each."""
    make_topics(environment)
