"""Both servers together: what is missing is started, what runs is left alone.

    addresses = up(folder)        starts, or finds running
    down(folder, purge=True)      stops, and with `purge` removes the data

A folder holds one stack: kafka/, postgres/, logs/ and the state file. Stacks in different
folders know nothing of each other.
"""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local import closed, kafka, postgres
from deploy.local.addresses import DATABASE, KAFKA, Addresses, given
from deploy.local.errors import LocalStackError
from deploy.local.progress import Progress, Silence
from deploy.local.startup import Startup, kafka_process, postgres_process
from deploy.local.state import FILE, LOCK, KafkaState, PostgresState, State, held, read, write
from deploy.local.unprivileged import remove_data

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FOLDER", "Addresses", "Progress", "addresses", "down", "up"]

FOLDER = Path(__file__).parents[2] / ".local"
OWN_NAMES = {"kafka", "postgres", "logs", FILE, f"{FILE}.new", LOCK}
LEAST_FREE_BYTES = 1024**3


def up(
    folder: Path = FOLDER,
    *,
    environment: Mapping[str, str] = os.environ,
    progress: Progress | None = None,
) -> Addresses:
    """Start what is missing in `folder`, both servers at once, and wait until they answer.

    An address in `environment` stands for that server. Harmless when all runs already, and
    safe when two runs meet. Raises LocalStackError, OSError.
    """
    folder, progress = folder.resolve(), progress or Silence()
    _open_folder(folder)
    with held(folder):
        startup = Startup(folder=folder, progress=progress)
        elsewhere = given(environment, startup.state)
        for name in elsewhere:
            progress.say(f"{name} is set: that server is used, none is started")
        missing = [name for name in (KAFKA, DATABASE) if name not in elsewhere]
        if missing:
            _check_room(folder)
        write(folder, startup.state)  # from here on `down` knows that the folder is ours
        with ThreadPoolExecutor(2) as both:
            start = {KAFKA: startup.kafka, DATABASE: startup.postgres}
            started = {name: both.submit(start[name]) for name in missing}
        found = elsewhere | {name: future.result() for name, future in started.items()}
        return Addresses(kafka_bootstrap_servers=found[KAFKA], database_url=found[DATABASE])


def _open_folder(folder: Path) -> None:
    """Make the folder, or close the one that is there: unless it holds what others put there."""
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
    """Stop what runs in `folder`, both servers at once, and with `purge` remove all it holds.

    Harmless when nothing runs. Only our own processes are stopped, and only our own files
    removed. Raises LocalStackError, OSError.
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
    """Remove what `up` has made; anything else in the folder stays, and so does the folder."""
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
    """The addresses of the running servers, without asking them; None when one is missing."""
    state = read(folder.resolve()) or State()
    found = given(environment, state)
    for name, own in ((KAFKA, state.kafka), (DATABASE, state.postgres)):
        if name not in found and own and own.process and own.process.is_alive():
            found[name] = own.address
    if KAFKA not in found or DATABASE not in found:
        return None
    return Addresses(kafka_bootstrap_servers=found[KAFKA], database_url=found[DATABASE])
