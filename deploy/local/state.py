"""What a stack remembers between two commands, in a file that only its user can read."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pydantic

from deploy.local.errors import StateError
from deploy.local.process import ServerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE, LOCK = "state.json", "lock"
SECONDS_TO_WAIT = 300.0


@dataclass(frozen=True, kw_only=True)
class KafkaState:
    """Kafka's ports, which it keeps after a stop, and the process that was started last."""

    address: str
    port: int
    controller_port: int
    version: str
    process: ServerProcess | None = None


@dataclass(frozen=True, kw_only=True)
class PostgresState:
    """PostgreSQL's port and process, as of Kafka, and the password of its data folder."""

    address: str
    port: int
    password: str
    version: str
    process: ServerProcess | None = None


@dataclass(frozen=True, kw_only=True)
class State:
    """The servers that have been started in a folder."""

    kafka: KafkaState | None = None
    postgres: PostgresState | None = None


STATE = pydantic.TypeAdapter(State)


def read(folder: Path) -> State | None:
    """Return the state of the stack in `folder`, None if there is none; raises StateError."""
    file = folder / FILE
    try:
        return STATE.validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except pydantic.ValidationError as error:
        raise StateError(f"{file} is not a state file of this stack: remove it") from error


def write(folder: Path, state: State) -> None:
    """Replace the state in one step; raises OSError."""
    file, new = folder / FILE, folder / f"{FILE}.new"
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_bytes(STATE.dump_json(state, indent=2) + b"\n")
    new.replace(file)


@contextlib.contextmanager
def held(folder: Path, *, seconds: float = SECONDS_TO_WAIT) -> Iterator[None]:
    """Hold the folder against other runs, once no other run holds it; raises StateError."""
    path, deadline = folder / LOCK, time.monotonic() + seconds
    while True:
        with path.open("a") as file:
            if _try_lock(file.fileno(), path):
                yield
                return
        if time.monotonic() > deadline:
            raise StateError(f"another run has held {folder} for {seconds:.0f} s")
        time.sleep(0.05)


def _try_lock(handle: int, path: Path) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    # The other run may have purged the folder: then the locked file has been removed.
    return path.exists() and os.path.samestat(os.fstat(handle), path.stat())
