"""A broker that tests may kill."""

import signal
from collections.abc import Sequence
from pathlib import Path

from deploy.local.errors import LocalStackError
from deploy.local.kafka import node as kafka
from deploy.local.kafka.node import KafkaNode
from deploy.local.ports import free_ports, started_on
from deploy.local.process import ServerProcess
from tests import brief_jvm


class Broker:
    """A broker that is killed and started again in the same place."""

    def __init__(self, folder: Path, *, port: int, controller_port: int) -> None:
        self.node = KafkaNode(
            folder=folder / "kafka",
            log=folder / "kafka.log",
            port=port,
            controller_port=controller_port,
            # It comes back when its last session has run out, and the tests wait for that.
            settings={"broker.session.timeout.ms": "2000", "broker.heartbeat.interval.ms": "500"},
            jvm=brief_jvm.options(),
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

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.is_alive()

    def kill(self) -> None:
        assert self.process is not None
        self.process.send(signal.SIGKILL)
        assert self.process.wait(20)
