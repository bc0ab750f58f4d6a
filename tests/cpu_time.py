"""A pytest plugin that shows which tests take the processors' time.

    python -m pytest -p tests.cpu_time tests/acceptance

At the end it prints the tests that took the most CPU, and the totals by kind of process. It
measures CPU time, because other work of the machine hardly changes it. Run it without
xdist, or look at the lines of each worker in `--cpu-time-file`.
"""

import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

SHOWN = 50
Seconds = dict[str, float]
KINDS = {"java": "Kafka", "postgres": "PostgreSQL", "chrom": "Chromium", "python": "Python"}


class CpuTime:
    """Adds up the CPU seconds of this process and of all below it, test by test.

    What a process used that began and ended within one test is counted as `ended`.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._living: dict[int, tuple[str, float]] = {}
        self._gone: defaultdict[str, float] = defaultdict(float)
        self._before = self._look()
        self.tests: dict[str, Seconds] = {}

    def note(self, test: str) -> None:
        """Put down to this test what was used since the last one."""
        now = self._look()
        used = {kind: now[kind] - self._before[kind] for kind in now.keys() | self._before.keys()}
        self._before = now
        self.tests[test] = used
        if self._file is not None:
            worker = os.environ.get("PYTEST_XDIST_WORKER", "")
            line = {"test": test, "worker": worker, "at": time.time(), **used}
            with self._file.open("a") as file:
                file.write(json.dumps(line) + "\n")

    def _look(self) -> defaultdict[str, float]:
        """Return the CPU seconds so far, by kind of process."""
        own = os.times()
        ended = own.children_user + own.children_system
        living: dict[int, tuple[str, float]] = {}
        for process in psutil.Process().children(recursive=True):
            try:
                with process.oneshot():
                    times, kind, parent = process.cpu_times(), _kind(process.name()), process.ppid()
            except psutil.NoSuchProcess:
                continue
            took = times.user + times.system
            waited_for = times.children_user + times.children_system
            # A session of PostgreSQL is a process, too: all of them are their postmaster's.
            place = parent if kind == "PostgreSQL" and parent in living else process.pid
            if kind == "PostgreSQL":
                took += waited_for
            else:
                ended += waited_for
            living[place] = kind, living.get(place, (kind, 0.0))[1] + took
        for place in self._living.keys() - living.keys():
            kind, took = self._living[place]
            self._gone[kind] += took  # its parent has this now, among what has ended
        self._living = living
        used = defaultdict(float, self._gone)
        for kind, took in living.values():
            used[kind] += took
        used["own"] += own.user + own.system
        used["ended"] += ended - sum(self._gone.values())
        return used


def _kind(name: str) -> str:
    return next((kind for part, kind in KINDS.items() if part in name), "other")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cpu-time-file", type=Path, help="append a line of JSON for each test")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Plugin(CpuTime(config.getoption("--cpu-time-file"))))


class Plugin:
    """Looks after each test, its fixtures included."""

    def __init__(self, cpu_time: CpuTime) -> None:
        self._cpu_time = cpu_time

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        result = yield
        self._cpu_time.note(item.nodeid)
        return result

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        tests = self._cpu_time.tests
        if not tests:
            return
        longest = sorted(tests, key=lambda name: -sum(tests[name].values()))[:SHOWN]
        terminalreporter.section("CPU seconds")
        for name in longest:
            used = tests[name]
            parts = ", ".join(f"{kind} {took:.1f}" for kind, took in used.items() if took > 0.1)
            terminalreporter.write_line(f"{sum(used.values()):6.1f}  {name}  ({parts})")
        kinds = dict.fromkeys(kind for used in tests.values() for kind in used)
        totals = {kind: sum(used.get(kind, 0.0) for used in tests.values()) for kind in kinds}
        parts = ", ".join(f"{kind} {took:.1f}" for kind, took in totals.items())
        terminalreporter.write_line(f"{sum(totals.values()):6.1f}  in all  ({parts})")
