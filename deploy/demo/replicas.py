"""The consumers that the demo starts, and leaves running to be looked at."""

import json
import signal
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from deploy.local.process import ServerProcess, birth
from deploy.replica import Replica

_SECONDS_TO_STOP = 20.0


def start_replicas(count: int, environment: Mapping[str, str], *, folder: Path) -> list[Replica]:
    """Start consumers that outlive this process, and remember them in the folder.

    Those of an earlier demo are stopped before. Raises ReplicaError where one does not start.
    """
    stop_replicas(folder)
    replicas = [
        Replica(environment, log_file=folder / "logs" / f"consumer-{number}.log")
        for number in range(1, count + 1)
    ]
    processes = [
        ServerProcess(
            pid=replica.process.pid,
            born=birth(replica.process.pid),
            started_at=time.time(),
            argument="consumer",
        )
        for replica in replicas
    ]
    _file(folder).write_text(json.dumps([asdict(process) for process in processes]))
    for replica in replicas:
        replica.wait_for("partitions_opened")
    return replicas


def stop_replicas(folder: Path) -> int:
    """Stop the consumers remembered in the folder and return how many still ran."""
    file = _file(folder)
    if not file.exists():
        return 0
    processes = [ServerProcess(**fields) for fields in json.loads(file.read_text())]
    running = [process for process in processes if process.is_alive()]
    for process in running:
        process.stop(signal.SIGTERM, seconds=_SECONDS_TO_STOP)
    file.unlink()
    return len(running)


def _file(folder: Path) -> Path:
    return folder / "demo-consumers.json"
