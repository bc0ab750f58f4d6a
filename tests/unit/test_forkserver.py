"""A forked process is what a new interpreter would be, to the one that started it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.replica import ROOT
from tests.forkserver.client import Popen

CONSUMER = [sys.executable, "-m", "consumer"]
# What only a new interpreter reads, so that none is forked.
NEW = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}

NOBODY = "127.0.0.1:1"
NOWHERE = {"KAFKA_BOOTSTRAP_SERVERS": NOBODY, "DATABASE_URL": f"postgresql://{NOBODY}/none"}


def ended(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Return exit code, output and errors of a command that was forked, or not."""
    done = subprocess.run(
        [*CONSUMER, *arguments],
        cwd=ROOT,
        env={name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        | {name: text for name, text in os.environ.items() if name.startswith("PYTHON")}
        | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"), [(("--help",), 0), (("run",), 2), (("offsets", "astray"), 2)]
)
def test_it_says_and_ends_as_a_new_one(arguments: tuple[str, ...], code: int) -> None:
    forked, new = ended(*arguments), ended(*arguments, **NEW)
    assert forked == new
    assert forked[0] == code


def test_it_has_the_environment_and_no_other() -> None:
    code, _, said = ended("run", KAFKA_BOOTSTRAP_SERVERS="localhost:1", DATABASE_URL="nonsense")
    assert (code, said.count("DATABASE_URL")) == (2, 1)
    assert "KAFKA_BOOTSTRAP_SERVERS" not in said


def test_it_runs_in_another_folder_if_it_is_told_of_our_modules(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*CONSUMER, "run"],
        cwd=tmp_path,
        env=os.environ | NOWHERE | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        itself = Path(f"/proc/{process.pid}")
        assert b"tests.forkserver" in (itself / "cmdline").read_bytes()
        assert (itself / "cwd").readlink() == tmp_path
        process.kill()


def test_a_program_of_the_same_name_in_its_folder_is_another_one(tmp_path: Path) -> None:
    (tmp_path / "consumer.py").write_text("print('another')")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    said = subprocess.check_output(CONSUMER, cwd=tmp_path, env=environment, text=True)
    assert said == "another\n"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGUSR1])
def test_it_is_a_child_in_a_session_of_its_own_and_ends_by_a_signal(number: int) -> None:
    with subprocess.Popen(
        [*CONSUMER, "run"],
        cwd=ROOT,
        env=os.environ | NOWHERE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        assert isinstance(process, Popen)
        assert os.getsid(process.pid) == process.pid
        parent = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[1]
        assert int(parent) == os.getpid()
        assert process.poll() is None
        process.send_signal(number)
    assert process.returncode == -number
