"""The group's lag on a Kafka of two brokers, one of which dies."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from confluent_kafka.admin import NewTopic

from consumer.group_lag import GroupLag
from consumer.kafka import admin
from consumer.kafka.ends import Ends
from consumer.metrics import Metrics
from consumer.postgres.database import Database
from consumer.schedule import Schedule
from consumer.settings import FlushSettings
from deploy.local.errors import LocalStackError
from deploy.local.kafka import node
from deploy.local.kafka.node import KafkaNode
from deploy.local.ports import free_ports, started_on
from deploy.local.process import ServerProcess
from runtime.kafka.settings import KafkaSettings
from telemetry.streams import STREAMS
from tests import brief_jvm, kafka_clients
from tests.integration.conftest import GROUP

METER = "telemetry.meter"
# A broker that was killed is missed when its session has run out.
SESSION = {"broker.session.timeout.ms": "2000", "broker.heartbeat.interval.ms": "500"}


class Brokers:
    """The first is the controller too; of each topic, each broker has a partition to itself."""

    def __init__(self, folder: Path, ports: Sequence[int]) -> None:
        self.processes: list[ServerProcess] = []
        cluster_id = node.new_cluster_id()
        self._nodes = [
            KafkaNode(
                folder=folder / str(number),
                log=folder / f"{number}.log",
                port=ports[number],
                controller_port=ports[0],
                node_id=number,
                voters={1: ports[0]},
                cluster_id=cluster_id,
                settings=settings,
                jvm=brief_jvm.options(),
            )
            for number, settings in (
                (1, SESSION),
                (2, {"process.roles": "broker", "listeners": f"PLAINTEXT://127.0.0.1:{ports[2]}"}),
            )
        ]
        self.address = self._nodes[0].address

    def start_next(self) -> None:
        starting = self._nodes[len(self.processes)]
        self.processes.append(node.start(starting))
        node.wait_ready(self._nodes[0], self.processes[0], brokers=len(self.processes))

    def make_topics(self) -> None:
        topics = [NewTopic(one.topic, 2, replica_assignment=[[1], [2]]) for one in STREAMS]
        with kafka_clients.admin(self.address) as client:
            for made in client.create_topics(topics).values():
                made.result(kafka_clients.PATIENCE_S)

    def kill(self, number: int) -> None:
        self.processes[number - 1].send(signal.SIGKILL)
        assert self.processes[number - 1].wait(20)

    def kill_all(self) -> None:
        for number in range(1, 1 + len(self.processes)):
            self.kill(number)


@pytest.fixture
def brokers(tmp_path: Path) -> Iterator[Brokers]:
    """One that runs, and one to be started."""

    def start(ports: Sequence[int]) -> Brokers:
        brokers = Brokers(tmp_path, ports)
        try:
            brokers.start_next()
        except LocalStackError:
            brokers.kill_all()
            raise
        return brokers

    brokers = started_on(lambda: free_ports(3), start)
    yield brokers
    brokers.kill_all()


@pytest.fixture
async def kafka(brokers: Brokers) -> KafkaSettings:
    kafka = KafkaSettings(bootstrap_servers=brokers.address)
    await admin.read_group(kafka, GROUP)  # Kafka's own topic is made, on the broker that is there
    await asyncio.to_thread(brokers.start_next)
    await asyncio.to_thread(brokers.make_topics)
    return kafka


@pytest.fixture
async def shown(
    kafka: KafkaSettings, database: Database, metrics: Metrics
) -> AsyncIterator[Callable[[int], float | None]]:
    """What a replica that owns no partition shows of one."""
    ends = Ends(kafka=kafka, interval_s=0.2, owned=list)
    lag = GroupLag(
        ends=ends,
        kafka=kafka,
        consumer_group=GROUP,
        source=cast("Any", None),  # knows only of what the replica owns
        schedule=Schedule(FlushSettings()),
        open_forgotten=lambda _: None,  # the same
        database=database,
        metrics=metrics,
    )

    def shown(partition: int) -> float | None:
        labels = {"topic": METER, "partition": str(partition)}
        return metrics.registry.get_sample_value("telemetry_group_lag_messages", labels)

    running = [asyncio.create_task(one.run()) for one in (ends, lag)]
    yield shown
    for task in running:
        task.cancel()
    await asyncio.wait(running)
    await ends.aclose()


async def test_a_partition_without_a_leader_keeps_no_other_from_being_shown(
    shown: Callable[[int], float | None], brokers: Brokers
) -> None:
    async with asyncio.timeout(kafka_clients.PATIENCE_S):
        while [shown(0), shown(1)] != [0, 0]:
            await asyncio.sleep(0.05)
        brokers.kill(2)
        with kafka_clients.producer(brokers.address) as producer:
            producer.produce(METER, value=b"{}", partition=0)
            assert producer.flush(kafka_clients.PATIENCE_S) == 0
        while shown(0) != 1:
            await asyncio.sleep(0.05)
