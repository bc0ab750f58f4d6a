"""What the onlooker has seen between two instants."""

import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from deploy.replica import ROOT
from tests.attack.line import ask, request
from tests.attack.onlooker import KILLED, LIVE, MEMORY, READY, STATE, forget_most, memory

MOST_BYTES = 1_536 << 20
"""More than any defence allows: what takes it is killed, so that the machine survives."""
_FIRST_S, _LIFE_S = 10.0, 15.0


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from when a request was due to when it ended; `failed` were not answered 200."""

    count: int
    failed: int
    p50: float
    p99: float
    worst: float


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of a process, before and the most during."""

    before: int
    most: int
    was_killed: bool

    @property
    def growth(self) -> int:
        return max(0, self.most - self.before)


@dataclass(frozen=True, slots=True)
class Seen:
    """The answers to each probe, and the memory of each process."""

    live: Latency
    state: Latency
    ready: Latency
    memory: dict[str, Memory]


class Sight:
    """Runs an onlooker, and reads what it writes."""

    def __init__(
        self, file: Path, *, port: int, key: str, device: str, pids: Mapping[str, int]
    ) -> None:
        self._file = file
        self._port = port
        self._pids = pids
        self._words = [str(file), str(port), key, device, str(MOST_BYTES)]
        self._words += [str(pid) for pid in pids.values()]
        self._before: dict[str, int] = {}
        self._begun = 0.0

    def __enter__(self) -> Self:
        self._file.touch()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.attack.onlooker", *self._words], cwd=ROOT
        )
        deadline = time.monotonic() + _FIRST_S
        while f" {STATE} " not in self._file.read_text() and time.monotonic() < deadline:
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def begin(self) -> None:
        """Begin to look; memory is measured from here on."""
        for name, pid in self._pids.items():
            forget_most(pid)
            self._before[name] = memory(pid)
        self._begun = time.monotonic()

    def end(self) -> Seen:
        """Return what was seen since the beginning, of requests that were due since then."""
        figures: dict[str, list[tuple[float, str]]] = {}
        for line in self._file.read_text().splitlines():
            at, what, figure, said = line.split()
            if float(at) >= self._begun:
                figures.setdefault(what, []).append((float(figure), said))
        return Seen(
            live=_latency(figures.get(LIVE, [])),
            state=_latency(figures.get(STATE, [])),
            ready=_latency(figures.get(READY, [])),
            memory={
                name: Memory(
                    self._before[name],
                    int(max((figure for figure, _ in looks), default=0)),
                    any(said == KILLED for _, said in looks),
                )
                for name, pid in self._pids.items()
                for looks in [figures.get(f"{MEMORY}:{pid}", [])]
            },
        )

    def growth(self, name: str) -> int:
        """Return the bytes that a process has taken more at the most, since the beginning."""
        return max(0, memory(self._pids[name]) - self._before[name])

    def wait_for_life(self) -> str:
        """Ask until it is answered 200 that the API lives, and return what was said last."""
        deadline = time.monotonic() + _LIFE_S
        message = request("GET", "/health/live", headers={"Connection": "close"})
        said = ""
        while said != "200" and time.monotonic() < deadline:
            said = ask(self._port, message, source="127.0.3.1", patience=_LIFE_S).said
            time.sleep(0.02)
        return said


def _latency(looks: list[tuple[float, str]]) -> Latency:
    taken = sorted(figure for figure, _ in looks) or [0.0]

    def quantile(share: float) -> float:
        return taken[min(len(taken) - 1, int(share * len(taken)))]

    failed = sum(said != "200" for _, said in looks)
    return Latency(len(looks), failed, quantile(0.5), quantile(0.99), taken[-1])
