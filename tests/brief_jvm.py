"""The JVM of a Kafka that only tests use, and that lives for seconds or minutes.

It has the first compiler only, and an archive of Kafka's classes as they are once they are loaded
and linked. A start takes a third of the CPU. The archive is made before the first test, which takes
as much as three starts, and belongs to one Java and one set of jars.
"""

import fcntl
import functools
import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from deploy.local.kafka import jars, java
from deploy.local.kafka import node as kafka
from deploy.local.kafka.node import KafkaNode
from deploy.local.ports import free_ports, started_on

FOLDER = Path(__file__).parents[1] / ".local" / "java"
OLDEST = 25  # the first Java that makes such an archive in one run
SECONDS_TO_WRITE = 300.0


@functools.cache
def options() -> tuple[str, ...]:
    """Return the options, for a node's `jvm`; the first time, make the archive."""
    program = java.find()
    if java.major(program) < OLDEST:
        return kafka.BRIEF
    FOLDER.mkdir(parents=True, exist_ok=True)
    archive = FOLDER / f"kafka-{_key(program)}.aot"
    with (FOLDER / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not archive.exists():
            _make(archive)
    return (*kafka.BRIEF, f"-XX:AOTCache={archive}")


def _key(program: Path) -> str:
    """Return what changes with Java or a jar. Java does not use an archive of other files."""
    files = [program.resolve(), *jars.class_path()]
    seen = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]


def _make(archive: Path) -> None:
    """Run a node for a moment; as it ends, Java writes down what it has loaded."""
    for old in FOLDER.glob("*.aot"):
        old.unlink()
    folder = FOLDER / "unfinished"
    shutil.rmtree(folder, ignore_errors=True)
    written = folder / archive.name
    _run(folder)  # formats the folder, in a Java of its own that is not to write an archive
    _run(folder, f"-XX:AOTCacheOutput={written}")
    written.replace(archive)
    shutil.rmtree(folder)


def _run(folder: Path, *more: str) -> None:
    started_on(lambda: free_ports(2), lambda ports: _run_on(ports, folder, more))


def _run_on(ports: Sequence[int], folder: Path, more: tuple[str, ...]) -> None:
    node = KafkaNode(
        folder=folder,
        log=folder / "kafka.log",
        port=ports[0],
        controller_port=ports[1],
        jvm=(*kafka.BRIEF, *more),
    )
    process = kafka.start(node)
    try:
        kafka.wait_ready(node, process)
    finally:
        kafka.stop(process, seconds=SECONDS_TO_WRITE)
