"""One Kafka node in a folder: configure it, start it, wait until it answers, stop it.

A node is broker and controller in one process (KRaft). Several nodes form a cluster when they
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

from deploy.local.errors import ServerError
from deploy.local.kafka import jars, java
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
    # For a small machine, beside a database: 200 MB resident (G1: 240), and no threads that run
    # between the pauses.
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",  # no files in the system's temporary folder
    "-Djava.awt.headless=true",
    "-Djava.net.preferIPv4Stack=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS",
    "-Dorg.slf4j.simpleLogger.showThreadName=false",
    # Each start would log four hundred settings and hide what matters.
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config=warn",
)
# For a JVM that lives for seconds: without the second compiler a start takes half the CPU.
BRIEF = ("-XX:TieredStopAtLevel=1",)


def new_cluster_id() -> str:
    """Return a random id in Kafka's form: 22 characters, the first of them not a dash."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[:22]).startswith("-"):
        pass
    return text


@dataclass(frozen=True, kw_only=True)
class KafkaNode:
    """Where a node keeps its data and listens.

    `settings` add to its configuration or override it; `jvm` adds options of its JVM. `voters`
    maps the id of every node of the cluster to its controller's port; None means that this node
    is alone. `cluster_id` counts only when the folder is formatted.
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
        """The address for a client's bootstrap.servers."""
        return f"{HOST}:{self.port}"

    @property
    def properties(self) -> Path:
        """The configuration file; the node's process is found by it."""
        return self.folder / "server.properties"

    @property
    def data(self) -> Path:
        """The folder of topics and metadata."""
        return self.folder / "data"


def configuration(node: KafkaNode) -> dict[str, str]:
    """Return the node's settings by Kafka's names."""
    voters = node.voters or {node.node_id: node.controller_port}
    replicas, in_sync = str(min(3, len(voters))), str(2 if len(voters) > 2 else 1)  # noqa: PLR2004  of three
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
        # Topics are created explicitly, with the right number of partitions.
        "auto.create.topics.enable": "false",
        # Readings are kept until `down --purge`: a consumer may start years behind.
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
        # Or an idle node would write to its metadata twice a second, a third of its CPU.
        "metadata.max.idle.interval.ms": "0",
        # Tests join and leave groups often and evict members on purpose.
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        # After a kill the node is admitted only once its last session has ended: by default 9 s.
        "broker.session.timeout.ms": "5000",
        "broker.heartbeat.interval.ms": "1000",
        **node.settings,
    }


def render(settings: Mapping[str, str]) -> str:
    """Return the settings as a Java properties file, which is ASCII with escapes."""

    def escape(text: str) -> str:
        units = text.replace("\\", "\\\\").encode("utf-16-be")
        codes = (int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2))
        return "".join(chr(code) if code < 128 else f"\\u{code:04x}" for code in codes)  # noqa: PLR2004  ASCII

    return "".join(f"{name}={escape(value)}\n" for name, value in settings.items())


def start(node: KafkaNode, *, class_path: Sequence[Path] | None = None) -> ServerProcess:
    """Start the node; the first time, format its folder before. `wait_ready` waits for it.

    `class_path` defaults to the locked jars, which are downloaded if they are missing. Raises
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

    Another Kafka may have taken its port, so the answer must come from the node's own cluster.
    """
    deadline = time.monotonic() + seconds
    with _quiet():
        while _brokers_of(node.port, cluster_id=_cluster_id(node)) < brokers:
            check_alive(process, name="Kafka", log=node.log)
            if time.monotonic() > deadline:
                raise ServerError(f"Kafka did not answer within {seconds:.0f} s", log=node.log)
            time.sleep(0.1)


def _cluster_id(node: KafkaNode) -> str:
    """Return the id that the node's folder was formatted with."""
    lines = (node.data / "meta.properties").read_text().splitlines()
    return next(line.removeprefix("cluster.id=") for line in lines if line.startswith("cluster.id"))


def _brokers_of(port: int, *, cluster_id: str) -> int:
    """Return how many live brokers the node knows, 0 while it does not answer."""

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
    # In a thread, because the caller may have a running event loop.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, ask()).result()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence aiokafka, which logs every failed attempt while a server starts."""
    logger = logging.getLogger("aiokafka")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def stop(process: ServerProcess, *, seconds: float = SECONDS_TO_STOP) -> bool:
    """Stop cleanly, so that no log needs recovery; return False if it had to be killed."""
    return process.stop(signal.SIGTERM, seconds=seconds)
