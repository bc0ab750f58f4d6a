"""One Kafka node in a folder: its configuration, its start, whether it answers, its stop.

A node is broker and controller in one process (KRaft). Several nodes make a cluster when they
share a cluster id and name each other as voters:

    voters = {1: 21001, 2: 21002, 3: 21003}                     node id → controller port
    nodes = [KafkaNode(folder=…, log=…, port=…, controller_port=voters[i], node_id=i,
                       voters=voters, cluster_id=same) for i in voters]
    processes = [start(node) for node in nodes]
    wait_ready(nodes[0], processes[0], brokers=3)
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import os
import signal
import subprocess
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy.local import jars, java
from deploy.local.errors import ServerError
from deploy.local.ports import HOST, answers
from deploy.local.process import ServerProcess, check_alive, environment_of_servers, spawn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

PROGRAM = "java"
VERSION = jars.KAFKA_VERSION
SECONDS_TO_START = 90.0
SECONDS_TO_STOP = 30.0
SECONDS_TO_FORMAT = 60.0
JVM = (
    "-Xms128m",
    "-Xmx384m",
    # Beside a database on a small machine: 200 MB resident where G1 takes 240, and no threads
    # of its own between the pauses.
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",  # no files in the system's temporary folder
    "-Djava.awt.headless=true",
    "-Djava.net.preferIPv4Stack=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS",
    "-Dorg.slf4j.simpleLogger.showThreadName=false",
    # Four hundred settings at each start would bury what matters.
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config=warn",
)
# For a JVM that lives for seconds: a start takes half the work without the second compiler.
BRIEF = ("-XX:TieredStopAtLevel=1",)


def new_cluster_id() -> str:
    """A random id as Kafka writes them: 22 characters, the first no dash."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[:22]).startswith("-"):
        pass
    return text


@dataclass(frozen=True, kw_only=True)
class KafkaNode:
    """Where a node lives and listens; `settings` add to or override its configuration, and
    `jvm` adds to its JVM's options.

    `voters` maps the id of every node of the cluster to its controller's port; none stands for
    a cluster of this node alone. `cluster_id` matters when the folder is formatted.
    """

    folder: Path
    log: Path
    port: int
    controller_port: int
    node_id: int = 1
    voters: Mapping[int, int] | None = None
    cluster_id: str = field(default_factory=new_cluster_id)
    settings: Mapping[str, str] = field(default_factory=dict)
    jvm: Sequence[str] = ()

    @property
    def address(self) -> str:
        """What a client's bootstrap.servers takes."""
        return f"{HOST}:{self.port}"

    @property
    def properties(self) -> Path:
        """The configuration file, and what the node's process is known by."""
        return self.folder / "server.properties"

    @property
    def data(self) -> Path:
        """Where topics and metadata are kept."""
        return self.folder / "data"


def configuration(node: KafkaNode) -> dict[str, str]:
    """The node's settings, by Kafka's names."""
    voters = node.voters or {node.node_id: node.controller_port}
    replicas, in_sync = str(min(3, len(voters))), str(2 if len(voters) > 2 else 1)  # noqa: PLR2004
    return {
        "process.roles": "broker,controller",
        "node.id": str(node.node_id),
        "controller.quorum.voters": ",".join(
            f"{number}@{HOST}:{port}" for number, port in voters.items()
        ),
        "listeners": f"PLAINTEXT://{node.address},CONTROLLER://{HOST}:{node.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{node.address}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(node.data),
        # Topics are made on purpose, with the right number of partitions, or not at all.
        "auto.create.topics.enable": "false",
        # Readings are kept until they are purged by hand: a consumer may start years behind.
        "log.retention.ms": "-1",
        "log.retention.bytes": "-1",
        "log.segment.bytes": str(128 * 1024 * 1024),
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
        "share.coordinator.state.topic.num.partitions": "4",
        "log.cleaner.dedupe.buffer.size": "2097152",  # 128 MiB of a 384 MiB heap by default
        # Tests join and leave groups all the time and evict members on purpose.
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        # After a kill the node is let in again only when its last session has run out: 9 s.
        "broker.session.timeout.ms": "5000",
        "broker.heartbeat.interval.ms": "1000",
        **node.settings,
    }


def render(settings: Mapping[str, str]) -> str:
    """A Java properties file, which is ASCII with escapes."""

    def escape(text: str) -> str:
        units = text.replace("\\", "\\\\").encode("utf-16-be")
        codes = (int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2))
        return "".join(chr(code) if code < 128 else f"\\u{code:04x}" for code in codes)  # noqa: PLR2004

    return "".join(f"{name}={escape(value)}\n" for name, value in settings.items())


def start(node: KafkaNode, *, class_path: Sequence[Path] | None = None) -> ServerProcess:
    """Start the node, after formatting its folder the first time; it is not ready yet.

    `class_path` defaults to the locked jars, which are downloaded when missing. Raises
    MissingPartError, JarError, ServerError, OSError.
    """
    class_path = class_path or jars.class_path()
    temporary = node.folder / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    node.log.parent.mkdir(parents=True, exist_ok=True)
    node.properties.write_text(render(configuration(node)))
    program = [
        str(java.find()),
        *JVM,
        *node.jvm,
        f"-Djava.io.tmpdir={temporary}",  # codecs unpack their native libraries here
        f"-XX:ErrorFile={node.log.with_suffix('')}-crash-%p.log",
    ]
    environment = environment_of_servers() | {"CLASSPATH": os.pathsep.join(map(str, class_path))}
    if not (node.data / "meta.properties").exists():
        _format(node, program, environment)
    return spawn(
        [*program, "kafka.Kafka", str(node.properties)],
        argument=str(node.properties),
        log=node.log,
        folder=node.folder,
        environment=environment,
    )


def _format(node: KafkaNode, program: list[str], environment: dict[str, str]) -> None:
    words = [*program, *BRIEF, "kafka.tools.StorageTool", "format", "--ignore-formatted"]
    words += ["--cluster-id", node.cluster_id, "--config", str(node.properties)]
    with node.log.open("ab") as log:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            timeout=SECONDS_TO_FORMAT,
            check=False,
        )
    if done.returncode != 0:
        raise ServerError("Kafka's storage folder cannot be formatted", log=node.log)


def wait_ready(
    node: KafkaNode,
    process: ServerProcess,
    *,
    brokers: int = 1,
    seconds: float = SECONDS_TO_START,
) -> None:
    """Return once the node answers and knows `brokers` live brokers; raises ServerError.

    Another Kafka may have taken its port: what counts is the answer of the node's own cluster.
    """
    deadline = time.monotonic() + seconds
    with _quiet():
        while _brokers_of(node.port, cluster_id=_cluster_id(node)) < brokers:
            check_alive(process, name="Kafka", log=node.log)
            if time.monotonic() > deadline:
                raise ServerError(f"Kafka did not answer within {seconds:.0f} s", log=node.log)
            time.sleep(0.1)


def _cluster_id(node: KafkaNode) -> str:
    """The id that the node's folder was formatted with."""
    lines = (node.data / "meta.properties").read_text().splitlines()
    return next(line.removeprefix("cluster.id=") for line in lines if line.startswith("cluster.id"))


def _brokers_of(port: int, *, cluster_id: str) -> int:
    """How many live brokers the node knows; 0 while it does not answer."""

    async def ask() -> int:
        client = AIOKafkaAdminClient(bootstrap_servers=f"{HOST}:{port}", request_timeout_ms=2_000)
        try:
            await client.start()
            cluster = await client.describe_cluster()
            return len(cluster["brokers"]) if cluster["cluster_id"] == cluster_id else 0
        except (KafkaError, OSError, TimeoutError):
            return 0
        finally:
            await client.close()

    if not answers(HOST, port):
        return 0
    # In a thread, for the caller may have a running event loop of its own.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, ask()).result()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """While a server starts, aiokafka's complaints that it is not there yet tell nothing."""
    logger = logging.getLogger("aiokafka")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def stop(process: ServerProcess, *, seconds: float = SECONDS_TO_STOP) -> bool:
    """Stop in order, so that no log needs recovery; False when it had to be killed."""
    return process.stop(signal.SIGTERM, seconds=seconds)
