"""A command of the simulator that has done nothing does not say that all is well."""

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.replica import ROOT, Replica
from tests.acceptance.conftest import Environment, environ, query
from tests.acceptance.program import Ended, run

RECORDING = ROOT / "data" / "uci_household_power_2007-02-01_02.csv"
GAPS = "Date,Time,Global_active_power,Voltage\n" + "1/2/2007,00:00:00,?,?\n" * 3


def simulator(environment: Environment, *arguments: str) -> Ended:
    return run(environment, "producer_sim", *arguments, patience_s=120)


def assert_fails_in_a_line(ended: Ended, line: str) -> None:
    assert ended.returncode == 1
    assert line in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert ended.stdout == ""


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (GAPS, "nothing was sent, 3 gaps"),
        (GAPS.splitlines()[0], "nothing was sent"),
        ('{"meterId":"m","kwhConsumedAc":1\n', "nothing was sent, 1 bad lines"),
    ],
)
def test_a_replay_of_no_reading_fails_and_so_does_its_verification(
    environment: Environment, tmp_path: Path, text: str, line: str
) -> None:
    file, ledger = tmp_path / "power.csv", tmp_path / "ledger"
    file.write_text(text)
    ended = simulator(environment, "replay", str(file), "--quiet", "--ledger", str(ledger))
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[0] == line
    verified = simulator(environment, "verify", str(ledger), "--exact")
    assert_fails_in_a_line(verified, "holds no acknowledged message")


@pytest.mark.parametrize("nothing", [["--gaps", "1"], ["--world", "--gaps", "1"]])
def test_a_run_of_nothing_but_gaps_fails_and_keeps_no_truth(
    environment: Environment, tmp_path: Path, nothing: list[str]
) -> None:
    run = ["run", "--devices", "20", "--duration", "1m", "--rate", "max", "--quiet", *nothing]
    ended = simulator(environment, *run, "--ledger", str(tmp_path / "ledger"))
    assert_fails_in_a_line(ended, "nothing was sent, 40 gaps")
    assert list((tmp_path / "ledger").glob("*.parquet")) == []


def test_a_run_that_is_stopped_before_the_broker_answers_fails(environment: Environment) -> None:
    with socket.socket() as silent:  # the port is taken, and no server listens
        silent.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with subprocess.Popen(
            [sys.executable, "-m", "producer_sim", "run", "--no-ledger", "--quiet"],
            cwd=ROOT,
            env=environ(environment | {"KAFKA_BOOTSTRAP_SERVERS": address}),
            stderr=subprocess.PIPE,
            text=True,
        ) as running:
            assert running.stderr is not None
            assert "waiting for the broker" in running.stderr.readline()
            running.terminate()
            assert running.stderr.readlines()[-1] == "nothing was sent\n"
            assert running.wait(60) == 1


def test_the_real_recording_saved_with_commas_arrives_whole(
    start: Callable[..., Replica], environment: Environment, tmp_path: Path
) -> None:
    start()
    saved, ledger = tmp_path / "saved.csv", tmp_path / "ledger"
    saved.write_text(RECORDING.read_text().replace(";", ","), encoding="utf-8-sig")
    replay = ["replay", str(saved), "--shift-to-now", "--quiet", "--ledger", str(ledger)]
    assert simulator(environment, *replay).returncode == 0
    verified = simulator(environment, "verify", str(ledger), "--exact")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert query(environment, "SELECT count(*) FROM meter_history") == [(2_880,)]
