"""The consumers and the API that the demo starts, and leaves running to be looked at."""

import json
import signal
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.local.ports import free_port
from deploy.local.process import ServerProcess, birth
from deploy.replica import Replica

_SECONDS_TO_STOP = 20.0
_API_PORT = 8000
_OF_THE_API = {
    # Open to whoever is on this machine, whatever keys the caller's environment names.
    "HTTP_HOST": "127.0.0.1",
    "API_KEYS": "",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """What runs once it is started."""

    consumers: list[Replica]
    api: Replica


def start_processes(environment: Mapping[str, str], *, consumers: int, folder: Path) -> Processes:
    """Start processes that outlive this one, and remember them in the folder.

    Those of an earlier demo are stopped before. The API listens on port 8000, where that is free.
    Raises ReplicaError where one does not start, OSError where no port is free.
    """
    stop_processes(folder)
    logs = folder / "logs"
    started = Processes(
        consumers=[
            Replica(environment, log_file=logs / f"consumer-{number}.log")
            for number in range(1, consumers + 1)
        ],
        api=Replica(
            {**environment, **_OF_THE_API},
            log_file=logs / "api.log",
            command=("-m", "api", "run"),
            port=free_port(preferred=_API_PORT),
        ),
    )
    running = [_remembered(one, "consumer") for one in started.consumers]
    running.append(_remembered(started.api, "api"))
    _file(folder).write_text(json.dumps([asdict(process) for process in running]))
    for consumer in started.consumers:
        consumer.wait_for("partitions_opened")
    started.api.wait_for("http_listening")
    return started


def stop_processes(folder: Path) -> list[str]:
    """Stop what is remembered in the folder; return what still ran: `consumer`, `api`."""
    file = _file(folder)
    if not file.exists():
        return []
    processes = [ServerProcess(**fields) for fields in json.loads(file.read_text())]
    running = [process for process in processes if process.is_alive()]
    for process in running:
        process.stop(signal.SIGTERM, seconds=_SECONDS_TO_STOP)
    file.unlink()
    return [process.argument for process in running]


def _remembered(replica: Replica, module: str) -> ServerProcess:
    pid = replica.process.pid
    return ServerProcess(pid=pid, born=birth(pid), started_at=time.time(), argument=module)


def _file(folder: Path) -> Path:
    return folder / "demo-processes.json"
