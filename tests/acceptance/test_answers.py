"""What the API answers is what the simulator knows to be true, and a wrong answer is found."""

import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pytest

from deploy.replica import Replica
from producer_sim.devices.quirks.quirk import IN_SESSIONS, Quirk
from producer_sim.oracle.answers import CHECKS
from producer_sim.product import Product, ProductError
from producer_sim.runs.enrolment import enrol, enter_sessions
from tests.acceptance.conftest import API_KEY, Environment, query
from tests.acceptance.program import Ended, run
from tests.unit.worlds import MINUTE_US, lived

# A day, so that every charger is used and every kind of change happens, with readings withheld; and
# one pair of each quirk.
RUN = ["run", "--world", "--devices", "40", "--interval", "300", "--duration", "24h", "--seed", "1"]
RUN += ["--rate", "max", "--chaos", "0.01", "--quirks", "0.3", "--quiet"]
OLDEST = "assignment_id = (SELECT min(assignment_id) FROM vehicle_meter_assignment)"
ASSIGNED = "UPDATE vehicle_meter_assignment SET ended_at = {} WHERE " + OLDEST
# What is done behind the product's back, undone again, and the checks that it must violate.
DISTURBANCES: dict[str, tuple[str, str, set[str]]] = {
    "an assignment that ended early": (
        ASSIGNED.format("started_at + interval '2 hours'"),
        ASSIGNED.format("NULL"),
        {"wrong_energy"},
    ),
    "registers that are taken for intervals": (
        "UPDATE meter SET reading_kind = 'interval' WHERE reading_kind = 'register'",
        "UPDATE meter SET reading_kind = 'register' WHERE location = 'register'",
        {"wrong_energy", "wrong_hours", "wrong_fleet"},
    ),
    "sessions of other vehicles": (
        "UPDATE charging_session SET vehicle_id = vehicle_id || '-x'",
        "UPDATE charging_session SET vehicle_id = replace(vehicle_id, '-x', '')",
        {"wrong_energy", "wrong_status"},
    ),
    "coarse counters that are rated far too low": (
        "UPDATE meter SET capacity_kw = capacity_kw / 100 WHERE register_step_kwh IS NOT NULL",
        "UPDATE meter SET capacity_kw = capacity_kw * 100 WHERE register_step_kwh IS NOT NULL",
        {"wrong_energy", "wrong_hours"},
    ),
}


def simulator(environment: Environment, *arguments: str) -> Ended:
    return run(environment | {"API_KEY": API_KEY}, "producer_sim", *arguments, patience_s=120)


def verified(environment: Environment, ledger: Path, api: Replica) -> dict[str, Any]:
    ended = simulator(environment, "verify", str(ledger), "--answers", api.address, "--json")
    assert ended.stdout, ended.stderr
    report: dict[str, Any] = json.loads(ended.stdout)
    assert ended.returncode == (0 if report["clean"] else 1)
    return report


def violated(report: dict[str, Any]) -> dict[str, Any]:
    return {check["name"]: check for check in report["checks"] if check["violations"]}


@pytest.mark.timeout(300)
def test_every_answer_is_true_and_one_that_is_not_is_found(
    start: Callable[..., Replica], api: Replica, environment: Environment, tmp_path: Path
) -> None:
    start()
    ledger = tmp_path / "ledger"
    told = simulator(environment, *RUN, "--api", api.address, "--ledger", str(ledger))
    assert told.returncode == 0, told.stderr

    report = verified(environment, ledger, api)
    assert violated(report) == {}
    totals = report["totals"]
    assert totals["answers about vehicles"] == 4 * 40
    assert totals["answers about meters"] == 4 * len(Quirk)
    assert totals["answers about sessions"] > len(IN_SESSIONS)
    assert totals["answers about fleets"] == 4
    assert totals["chargers shown: degraded"] > 0
    assert totals["chargers shown: critical"] > 0

    query(environment, "UPDATE meter SET location = reading_kind RETURNING 1")
    for what, (disturb, undo, expected) in DISTURBANCES.items():
        assert query(environment, f"{disturb} RETURNING 1"), what
        assert expected <= violated(verified(environment, ledger, api)).keys(), what
        assert query(environment, f"{undo} RETURNING 1"), what
    assert violated(verified(environment, ledger, api)) == {}


def test_answers_that_do_not_come_in_time_are_told_from_wrong_data(
    start: Callable[..., Replica], environment: Environment, tmp_path: Path
) -> None:
    start()
    settings = environment | {"API_KEYS": sha256(API_KEY.encode()).hexdigest()}
    # It gives a statement up at once, as a busy one does in the end.
    settings |= {"DATABASE_STATEMENT_TIMEOUT_S": "0.5"}
    api = Replica(settings, log_file=tmp_path / "api.log", command=("-m", "api", "run"))
    ledger = tmp_path / "ledger"
    world = ["run", "--world", "--devices", "20", "--interval", "300", "--duration", "2h"]
    told = ["--rate", "max", "--quiet", "--api", api.address, "--ledger", str(ledger)]
    assert simulator(environment, *world, *told).returncode == 0

    def verified(*arguments: str) -> tuple[int, dict[str, Any]]:
        asked = ("verify", str(ledger), "--answers", api.address, "--json")
        ended = simulator(environment, *asked, *arguments)
        return ended.returncode, json.loads(ended.stdout)

    assert verified()[0] == 0
    with psycopg.connect(environment["DATABASE_URL"]) as other:
        other.execute("LOCK TABLE charging_session IN ACCESS EXCLUSIVE MODE")
        code, report = verified("--wait", "1")
        assert code == 3
        assert violated(report) == {}
        assert report["unasked"]["too_slow"]
        assert not report["clean"]
        assert {check["name"] for check in report["checks"] if not check["compared"]} == {*CHECKS}

        query(environment, "UPDATE vehicle_current_state SET soc = soc + 0.01 RETURNING 1")
        code, report = verified("--wait", "1")
        assert code == 1
        assert violated(report).keys() == {"current_state"}
    api.kill()
    code, report = verified("--wait", "1")
    assert code == 1
    assert not report["unasked"]["too_slow"]


async def test_telling_the_api_again_changes_nothing_and_another_fleet_is_refused(
    api: Replica, environment: Environment
) -> None:
    truth, _ = lived()
    assignments = [bond for bond in truth.bonds if bond.kind == "assignment"]
    sessions = [bond for bond in truth.bonds if bond.kind == "session"]
    counted = (
        "SELECT (SELECT count(*) FROM meter), (SELECT count(*) FROM vehicle),"
        " (SELECT count(*) FROM vehicle_meter_assignment),"
        " (SELECT count(*) FROM charging_session WHERE ended_at IS NOT NULL)"
    )
    async with Product(url=api.address, api_key=API_KEY) as product:
        for _ in range(2):
            await enrol(product, truth.devices, assignments, interval_us=truth.interval_us)
            await enter_sessions(product, sessions)
            assert query(environment, counted) == [(40, 40, len(assignments), len(sessions))]
        with pytest.raises(ProductError, match="readingIntervalSeconds"):
            await enrol(product, truth.devices, assignments, interval_us=MINUTE_US)
        moved = [replace(bond, start=bond.start - MINUTE_US) for bond in assignments]
        with pytest.raises(ProductError, match="another meter"):
            await enrol(product, truth.devices, moved, interval_us=truth.interval_us)
        later = [replace(bond, start=bond.start + MINUTE_US // 2) for bond in sessions]
        with pytest.raises(ProductError, match="another session"):
            await enter_sessions(product, later)
