"""What was sent is what is stored, by value, with a replica killed in mid-flow."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psycopg

from deploy.replica import ROOT, Replica
from tests.acceptance.conftest import Environment, query, until
from tests.acceptance.group import share_partitions
from tests.acceptance.simulator import simulate, verify

RECORDING = ROOT / "data" / "uci_household_power_2007-02-01_02.csv"
CONSUMED = "telemetry_messages_total{"
ONE_OF = "({0}_id, recorded_at) IN (SELECT {0}_id, recorded_at FROM {0}_history LIMIT 1)"
DAMAGES = [
    f"DELETE FROM meter_history WHERE {ONE_OF.format('meter')}",
    f"UPDATE vehicle_history SET soc = soc + 0.01 WHERE {ONE_OF.format('vehicle')}",
    "UPDATE vehicle_current_state SET battery_temp = 0 WHERE vehicle_id = 'veh-00001'",
]


def test_real_and_chaotic_readings_survive_the_death_of_a_replica(
    start: Callable[..., Replica], environment: Environment, tmp_path: Path
) -> None:
    # Few letters are kept whole, so that the others are compared too.
    settings = {"BATCH_MAX_ROWS": "500", "DEAD_LETTERS_WHOLE_PER_HOUR": "1"}
    settings |= {"KAFKA_SESSION_TIMEOUT_MS": "3000"}  # until the dead one is missed
    doomed, survivor = start(**settings), start(**settings)
    ledgers = [tmp_path / "recorded", tmp_path / "live"]
    share_partitions(doomed, survivor)
    replay = ["replay", str(RECORDING), "--shift-to-now", "--quiet", "--ledger", str(ledgers[0])]
    assert simulate(environment, *replay).wait(60) == 0
    live = ["run", "--devices", "1000", "--duration", "25m", "--rate", "15000", "--quiet"]
    live += ["--chaos", "0.05", "--ledger", str(ledgers[1])]
    simulator = simulate(environment, *live)
    until(lambda: doomed.metric(CONSUMED) > 5_000, what="the flow is under way")
    doomed.kill()
    assert simulator.wait(120) == 0
    assert verify(environment, ledgers) == 0
    assert survivor.metric("telemetry_dead_letters_cut_total") > 0
    assert survivor.metric("telemetry_dead_letter_table_bytes") > 0
    until(lambda: survivor.metric("telemetry_assigned_partitions") == 24, what="taken over")
    assert survivor.stop() == 0


def test_a_lost_and_an_altered_reading_are_found(
    start: Callable[..., Replica], environment: Environment, tmp_path: Path
) -> None:
    """The proof above is worth something only if it can fail."""
    left = f"FROM dead_letter WHERE consumer_group = '{environment['CONSUMER_GROUP']}'"
    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        connection.execute(
            "INSERT INTO dead_letter (consumer_group, topic, partition, record_offset, reason,"
            " detail, dead_lettered_at) VALUES (%s, 'a', 0, 0, 'too_old', '', now() - %s)",
            [environment["CONSUMER_GROUP"], timedelta(days=91)],
        )
    replica = start()
    until(lambda: query(environment, f"SELECT count(*) {left}") == [(0,)], what="it is expired")
    ledger = tmp_path / "ledger"
    live = ["run", "--devices", "50", "--duration", "10m", "--rate", "max", "--quiet"]
    assert simulate(environment, *live, "--ledger", str(ledger)).wait(60) == 0
    assert verify(environment, [ledger]) == 0
    assert replica.stop() == 0
    for damage in DAMAGES:
        assert query(environment, f"{damage} RETURNING 1") == [(1,)]
        assert verify(environment, [ledger]) == 1
