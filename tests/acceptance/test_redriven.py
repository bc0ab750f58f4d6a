"""`verify` follows readings that were dead-lettered, redriven, and stored as their copies."""

from pathlib import Path

from tests.acceptance.conftest import Environment, Start, query, until
from tests.acceptance.program import run

PER_DEVICE = 10
STORED = "SELECT (SELECT count(*) FROM meter_history), (SELECT count(*) FROM vehicle_history)"


def ended(environment: Environment, *command: str) -> int:
    """Run a command, and return its exit code."""
    return run(environment, *command, patience_s=120).returncode


def test_readings_refused_as_unregistered_are_right_once_redriven(
    start: Start, environment: Environment, tmp_path: Path
) -> None:
    ledger = str(tmp_path / "ledger")
    replica = start(REGISTERED_DEVICES_ONLY="true")
    load = ["run", "--devices", "2", "--duration", f"{PER_DEVICE}m", "--rate", "max", "--quiet"]
    assert ended(environment, "producer_sim", *load, "--ledger", ledger) == 0
    verify = ["producer_sim", "verify", ledger, "--json"]
    assert ended(environment, *verify) == 1
    for stream in ("meter", "vehicle"):
        query(
            environment,
            f"INSERT INTO {stream} ({stream}_id)"
            f" SELECT DISTINCT value::jsonb ->> '{stream}Id' FROM"
            " (SELECT convert_from(value, 'UTF8') AS value FROM dead_letter"
            f" WHERE topic = 'telemetry.{stream}') AS letter RETURNING 1",
        )
    assert ended(environment, "consumer", "dead-letters", "redrive") == 0
    until(
        lambda: query(environment, STORED) == [(2 * PER_DEVICE, 2 * PER_DEVICE)],
        what="the copies are stored",
    )
    assert ended(environment, *verify, "--exact") == 0
    assert replica.stop() == 0
