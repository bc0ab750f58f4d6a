"""Both servers together: start those that do not run, stop those that do.

    addresses = up(folder)
    down(folder, purge=True)      with `purge`, removes data and logs

A folder holds one stack: kafka/, postgres/, logs/ and the state file. Stacks in different
folders are independent.
"""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local import closed
from deploy.local.addresses import DATABASE, KAFKA, Addresses, given, logins_of
from deploy.local.errors import LocalStackError
from deploy.local.kafka import node as kafka
from deploy.local.postgres import server as postgres
from deploy.local.postgres.unprivileged import remove_data
from deploy.local.progress import Progress, Silence
from deploy.local.startup import Startup, kafka_process, postgres_process
from deploy.local.state import FILE, LOCK, KafkaState, PostgresState, State, held, read, write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["FOLDER", "Addresses", "Progress", "addresses", "down", "up"]

FOLDER = Path(__file__).parents[2] / ".local"
OWN_NAMES = {"kafka", "postgres", "logs", FILE, f"{FILE}.new", LOCK}
LEAST_FREE_BYTES = 1024**3


def up(
    folder: Path = FOLDER,
    *,
    environment: Mapping[str, str] = os.environ,
    progress: Progress | None = None,
    jvm: Sequence[str] = (),
    settings: Mapping[str, str] | None = None,
) -> Addresses:
    """Start the servers of `folder` that do not run, both at once, and wait until they answer.

    For an address in `environment` no server is started. Does nothing if both run already, and is
    safe beside another run. `jvm` adds options of Kafka's JVM, and `settings` settings of
    PostgreSQL. Raises LocalStackError, OSError.
    """
    folder, progress = folder.resolve(), progress or Silence()
    _open_folder(folder)
    with held(folder):
        startup = Startup(folder=folder, progress=progress, jvm=jvm, settings=settings)
        elsewhere = given(environment, startup.state)
        for name in elsewhere:
            progress.say(f"{name} is set: that server is used, none is started")
        missing = [name for name in (KAFKA, DATABASE) if name not in elsewhere]
        if missing:
            _check_room(folder)
        write(folder, startup.state)  # tells `down` that the folder is ours
        with ThreadPoolExecutor(2) as both:
            start = {KAFKA: startup.kafka, DATABASE: startup.postgres}
            started = {name: both.submit(start[name]) for name in missing}
        found = elsewhere | {name: future.result() for name, future in started.items()}
        return _addresses(found, elsewhere, startup.state)


def _open_folder(folder: Path) -> None:
    """Make the folder, or close an existing one unless it holds files that are not ours."""
    strange = folder.exists() and any(one.name not in OWN_NAMES for one in folder.iterdir())
    if folder == FOLDER or not strange:
        closed.make(folder)
    for name in ("kafka", "logs"):
        closed.make(folder / name)


def _check_room(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        raise LocalStackError(
            f"the disk of {folder} is nearly full: {free // 1024**2} MiB are free, "
            f"{LEAST_FREE_BYTES // 1024**2} MiB are needed"
        )


def down(folder: Path = FOLDER, *, purge: bool = False, progress: Progress | None = None) -> None:
    """Stop the servers of `folder`, both at once; with `purge`, remove their data and logs.

    Does nothing if nothing runs. Only our own processes are stopped, and only our own files
    are removed. Raises LocalStackError, OSError.
    """
    folder, progress = folder.resolve(), progress or Silence()
    if read(folder) is None:
        progress.say(f"nothing to stop in {folder}")
        return
    with held(folder):
        state = read(folder) or State()
        with ThreadPoolExecutor(2) as both:
            jobs = (
                both.submit(_stop_kafka, folder, state.kafka),
                both.submit(_stop_postgres, folder, state.postgres),
            )
        for job in jobs:
            progress.say(job.result())
        write(folder, _without_processes(state))
        if purge:
            _remove(folder)
            progress.say(f"removed the data and logs in {folder}")


def _stop_kafka(folder: Path, state: KafkaState | None) -> str:
    process = kafka_process(folder, state)
    if process is None:
        return "Kafka was not running"
    return "Kafka stopped" if kafka.stop(process) else "Kafka did not stop in time: killed"


def _stop_postgres(folder: Path, state: PostgresState | None) -> str:
    process = postgres_process(folder, state)
    if process is None:
        return "PostgreSQL was not running"
    stopped = postgres.stop(process)
    return "PostgreSQL stopped" if stopped else "PostgreSQL did not stop in time: killed"


def _without_processes(state: State) -> State:
    return State(
        kafka=replace(state.kafka, process=None) if state.kafka else None,
        postgres=replace(state.postgres, process=None) if state.postgres else None,
    )


def _remove(folder: Path) -> None:
    """Remove what `up` has made, and the folder unless it holds something else."""
    remove_data(folder / "postgres")
    for name in ("kafka", "logs"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (FILE, LOCK):
        (folder / name).unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def addresses(
    folder: Path = FOLDER, *, environment: Mapping[str, str] = os.environ
) -> Addresses | None:
    """Return the addresses of the running servers, without asking them; None if one is missing."""
    state = read(folder.resolve()) or State()
    elsewhere = given(environment, state)
    found = dict(elsewhere)
    for name, own in ((KAFKA, state.kafka), (DATABASE, state.postgres)):
        if name not in found and own and own.process and own.process.is_alive():
            found[name] = own.address
    if KAFKA not in found or DATABASE not in found:
        return None
    return _addresses(found, elsewhere, state)


def _addresses(found: dict[str, str], elsewhere: dict[str, str], state: State) -> Addresses:
    return Addresses(
        kafka_bootstrap_servers=found[KAFKA],
        database_url=found[DATABASE],
        logins={} if DATABASE in elsewhere else logins_of(state),
    )
