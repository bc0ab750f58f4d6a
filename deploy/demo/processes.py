"""The consumers and the API that the demo starts and leaves running."""

import json
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.local.process import ServerProcess, birth
from deploy.replica import Replica, ReplicaError, ReplicaLateError

_SECONDS_TO_STOP = 20.0
API_PORT = 8000
_OF_THE_API = {
    # Open to every user of this machine, without the keys of the caller's environment.
    "HTTP_HOST": "127.0.0.1",
    "API_KEYS": "",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """The running consumers and the running API."""

    consumers: list[Replica]
    api: Replica


class Counted:
    """A counter summed over several processes."""

    def __init__(self, replicas: Sequence[Replica], series: str) -> None:
        self._replicas = replicas
        self._series = series
        self._seen = [0.0] * len(replicas)

    def total(self) -> int:
        """Return the sum; for a process that does not answer now, its last answer counts."""
        for number, replica in enumerate(self._replicas):
            with suppress(OSError):
                self._seen[number] = replica.metric(self._series)
        return int(sum(self._seen))


def start_processes(
    environment: Mapping[str, str],
    api_environment: Mapping[str, str],
    *,
    consumers: int,
    folder: Path,
) -> Processes:
    """Start processes that outlive this one, and remember them in the folder.

    Those of an earlier demo are stopped first. The API listens on port 8000 if that is free.
    Raises ReplicaError if a process does not start, OSError.
    """
    stop_processes(folder)
    logs = folder / "logs"
    replicas = [
        Replica(environment, log_file=logs / f"consumer-{number}.log")
        for number in range(1, consumers + 1)
    ]
    api = _api(api_environment, logs, port=API_PORT)
    _remember(folder, replicas, api)
    try:
        api.wait_for("http_listening")
    except ReplicaLateError:
        raise
    except ReplicaError:  # most likely the port is taken: use any other
        api = _api(api_environment, logs, port=0)
        _remember(folder, replicas, api)
        api.wait_for("http_listening")
    for replica in replicas:
        replica.wait_for("partitions_opened")
    return Processes(consumers=replicas, api=api)


def stop_processes(folder: Path) -> list[str]:
    """Stop the processes remembered in the folder; return which still ran: `consumer`, `api`."""
    file = _file(folder)
    if not file.exists():
        return []
    processes = [ServerProcess(**fields) for fields in json.loads(file.read_text())]
    running = [process for process in processes if process.is_alive()]
    for process in running:
        process.stop(signal.SIGTERM, seconds=_SECONDS_TO_STOP)
    file.unlink()
    return [process.argument for process in running]


def _api(environment: Mapping[str, str], logs: Path, *, port: int) -> Replica:
    return Replica(
        {**environment, **_OF_THE_API},
        log_file=logs / "api.log",
        command=("-m", "api", "run"),
        port=port,
    )


def _remember(folder: Path, consumers: list[Replica], api: Replica) -> None:
    running = [_remembered(one, "consumer") for one in consumers] + [_remembered(api, "api")]
    _file(folder).write_text(json.dumps([asdict(process) for process in running]))


def _remembered(replica: Replica, module: str) -> ServerProcess:
    pid = replica.process.pid
    return ServerProcess(pid=pid, born=birth(pid), started_at=time.time(), argument=module)


def _file(folder: Path) -> Path:
    return folder / "demo-processes.json"
