"""What the local stack remembers, and the lock around it."""

import threading
from pathlib import Path

import pytest

from deploy.local.errors import StateError
from deploy.local.postgres.server import new_password
from deploy.local.process import ServerProcess
from deploy.local.state import FILE, KafkaState, PostgresState, State, held, read, write

PROCESS = ServerProcess(pid=42, born="boot:7", started_at=1.5, argument="/somewhere/data")
STATE = State(
    kafka=KafkaState(
        address="127.0.0.1:1", port=1, controller_port=2, version="4.1.1", process=PROCESS
    ),
    postgres=PostgresState(
        address="postgresql://…", port=3, password=new_password(), version="18.4"
    ),
)


def test_a_state_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write(tmp_path, STATE)
    assert read(tmp_path) == STATE


def test_the_state_holds_the_password_and_only_its_user_reads_it(tmp_path: Path) -> None:
    write(tmp_path, STATE)
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_there_is_no_stack_in_a_folder_without_a_state(tmp_path: Path) -> None:
    assert read(tmp_path) is None
    assert read(tmp_path / "missing") is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"kafka": {"port": "many"}}'])
def test_a_file_that_is_not_a_state_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(StateError, match=FILE):
        read(tmp_path)


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with held(tmp_path), pytest.raises(StateError, match="another run"), held(tmp_path, seconds=0):
        pass


def test_a_run_that_waits_gets_the_folder_even_if_it_is_purged_meanwhile(tmp_path: Path) -> None:
    entered = threading.Event()

    def wait() -> None:
        with held(tmp_path, seconds=5):
            entered.set()

    waiting = threading.Thread(target=wait)
    with held(tmp_path):
        waiting.start()
        (tmp_path / "lock").unlink()
        assert entered.wait(5)  # on a new lock file: the old one guards nothing any more
    waiting.join()
