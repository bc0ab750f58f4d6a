"""A server's process is recognised later, and no other process is taken for it."""

import dataclasses
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.process import ServerProcess, find, spawn, tail

SLEEP = "import sys, time; print('up', flush=True); time.sleep(60)"


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[ServerProcess]:
    mark = f"mark-of-{tmp_path}"
    process = spawn(
        [sys.executable, "-c", SLEEP, mark],
        argument=mark,
        log=tmp_path / "logs" / "sleeper.log",
        folder=tmp_path,
        environment={},
    )
    # Until its program is loaded, it has no command line to recognise it by.
    while tail(tmp_path / "logs" / "sleeper.log") != ["up"]:
        time.sleep(0.01)
    yield process
    process.stop(signal.SIGKILL, seconds=5)


def test_a_process_is_ours_by_pid_and_birth_and_command(sleeper: ServerProcess) -> None:
    assert sleeper.is_alive()
    assert not dataclasses.replace(sleeper, born="another time").is_alive()
    assert not dataclasses.replace(sleeper, argument="another command").is_alive()


def test_a_stop_never_reaches_a_process_that_is_not_ours(sleeper: ServerProcess) -> None:
    foreign = dataclasses.replace(sleeper, argument="another command")
    foreign.send(signal.SIGKILL)
    assert sleeper.is_alive()


def test_a_process_whose_pid_was_never_written_down_is_found_by_its_command(
    sleeper: ServerProcess,
) -> None:
    found = find(sys.executable.rpartition("/")[2], sleeper.argument)
    assert found is not None
    assert (found.pid, found.born) == (sleeper.pid, sleeper.born)
    assert find("another-program", sleeper.argument) is None


def test_a_suspended_process_is_stopped_too(sleeper: ServerProcess) -> None:
    sleeper.send(signal.SIGSTOP)
    assert sleeper.stop(signal.SIGTERM, seconds=5)
    assert not sleeper.is_alive()


def test_the_tail_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert tail(log) == []
    log.write_text("\n".join(map(str, range(100))))
    assert tail(log)[-2:] == ["98", "99"]
    assert len(tail(log)) == 12
