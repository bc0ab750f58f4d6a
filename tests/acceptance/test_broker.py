"""A broker that dies in mid-flow and comes back: nothing exits, nothing is lost or read twice."""

import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from deploy.local.errors import LocalStackError
from deploy.local.kafka import node as kafka
from deploy.local.kafka.node import KafkaNode
from deploy.local.ports import free_ports, started_on
from deploy.local.process import ServerProcess
from deploy.replica import Replica
from tests.acceptance.conftest import Environment, produce, query, until
from tests.acceptance.test_service import DEAD, DUPLICATES, STORED, meter_messages


class Broker:
    """A broker of the test's own, to be killed and started again in the same place."""

    def __init__(self, folder: Path, *, port: int, controller_port: int) -> None:
        self.node = KafkaNode(
            folder=folder / "kafka",
            log=folder / "kafka.log",
            port=port,
            controller_port=controller_port,
            # It comes back when its last session has run out, and the tests wait for that.
            settings={"broker.session.timeout.ms": "2000", "broker.heartbeat.interval.ms": "500"},
            jvm=kafka.BRIEF,
        )
        self.process: ServerProcess | None = None

    @classmethod
    def started(cls, folder: Path) -> "Broker":
        """Return one that runs, on ports that it could have."""

        def start(ports: Sequence[int]) -> Broker:
            broker = cls(folder, port=ports[0], controller_port=ports[1])
            try:
                broker.start()
            except LocalStackError:
                broker.kill()
                raise
            return broker

        return started_on(lambda: free_ports(2), start)

    def start(self) -> None:
        self.process = kafka.start(self.node)
        kafka.wait_ready(self.node, self.process)

    def kill(self) -> None:
        assert self.process is not None
        self.process.send(signal.SIGKILL)
        assert self.process.wait(20)


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
