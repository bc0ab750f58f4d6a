"""Whatever a database sets for its sessions, the answers are the same."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from consumer.postgres.migrations import schema_text
from deploy.replica import ROOT, Replica
from tests.acceptance.conftest import Environment, environ, produce, query, until

RUN = ["run", "--world", "--devices", "12", "--interval", "300", "--duration", "6h", "--seed", "1"]
RUN += ["--rate", "max", "--chaos", "0.05", "--quiet"]

# Left as they are: what a program finds on the server's disk, what the server itself logs, dumps or
# refuses to spend, and a server that is read-only, which is an outage by contract.
LEFT = (
    "allow_%|backtrace_functions|createrole_self_grant|debug_discard_caches|debug_print_%"
    "|default_table_access_method|default_tablespace|default_toast_compression"
    "|default_transaction_read_only|dynamic_library_path|extension_control_path|jit_dump_bitcode"
    "|local_preload_libraries|log_%|max_stack_depth|session_preload_libraries|temp_file_limit"
    "|temp_tablespaces|trace_%|transaction_%|wal_consistency_checking"
)
# Numbers and texts: as far from the default as a session can still be.
STRANGE = {
    "application_name": "somebody",
    "client_encoding": "LATIN1",
    "commit_delay": "100",
    "cpu_index_tuple_cost": "0",
    "cpu_operator_cost": "1000",
    "cpu_tuple_cost": "0",
    "cursor_tuple_fraction": "1",
    "datestyle": "SQL, DMY",
    "deadlock_timeout": "1ms",
    "default_statistics_target": "1",
    "default_text_search_config": "pg_catalog.german",
    "effective_cache_size": "1",
    "effective_io_concurrency": "0",
    "extra_float_digits": "-15",
    "from_collapse_limit": "1",
    "geqo_threshold": "2",
    "gin_fuzzy_search_limit": "1",
    "hash_mem_multiplier": "1",
    "idle_in_transaction_session_timeout": "200ms",
    "idle_session_timeout": "200ms",
    "jit": "on",
    "jit_above_cost": "0",
    "join_collapse_limit": "1",
    "lc_messages": "POSIX",
    "lock_timeout": "1ms",
    "max_parallel_workers_per_gather": "4",
    "min_parallel_index_scan_size": "0",
    "min_parallel_table_scan_size": "0",
    "parallel_setup_cost": "0",
    "parallel_tuple_cost": "0",
    "plpgsql.extra_errors": "all",
    "plpgsql.variable_conflict": "use_variable",
    "random_page_cost": "1000",
    "restrict_nonsystem_relation_kind": "view",
    "seq_page_cost": "0",
    "statement_timeout": "200ms",
    "temp_buffers": "100",
    "timezone": "Asia/Kolkata",
    "timezone_abbreviations": "India",
    "transaction_timeout": "200ms",
    "vacuum_cost_delay": "100",
    "work_mem": "64",
}
PREFERRED = {"client_min_messages": "debug1", "debug_parallel_query": "regress"}
PREFERRED |= {"default_transaction_isolation": "serializable", "synchronous_commit": "off"}
PREFERRED |= {"intervalstyle": "sql_standard", "backslash_quote": "off"}


@pytest.fixture
def set_against_us(environment: Environment) -> set[str]:
    """Set all that a database can set for its sessions, each to what it is not; the names."""
    with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as connection:
        known = connection.execute(
            "SELECT lower(name), vartype, setting, enumvals FROM pg_settings"
            " WHERE context IN ('user', 'superuser') AND NOT name ~ ('^(' || %s || ')$')",
            [LEFT.replace("%", ".*")],
        ).fetchall()
        changed = {name: text for name, text in STRANGE.items() if "." in name}
        for name, kind, value, choices in known:
            if name in STRANGE:
                changed[name] = STRANGE[name]
            elif kind == "bool":
                changed[name] = "off" if value == "on" else "on"
            elif kind == "enum" and len(choices) > 1:
                other = next(one for one in choices if one != value)
                changed[name] = PREFERRED.get(name, other)
        database = sql.Identifier(connection.info.dbname)
        alter = sql.SQL("ALTER DATABASE {} SET {} TO {}")
        for name, text in changed.items():
            setting = sql.SQL(".").join(map(sql.Identifier, name.split(".")))
            connection.execute(alter.format(database, setting, sql.Literal(text)))
        connection.execute("CREATE SCHEMA elsewhere")
        connection.execute("SET search_path TO elsewhere")
        connection.execute(schema_text())
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET search_path TO elsewhere, pg_catalog").format(database)
        )
    return {*changed, "search_path"}


@pytest.fixture
def api(environment: Environment, tmp_path: Path) -> Iterator[Replica]:
    """The API as a process of its own, on the test's servers."""
    served = Replica(environment, log_file=tmp_path / "api.log", command=("-m", "api", "run"))
    yield served
    served.kill()


def run(environment: Environment, module: str, *arguments: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=environ(environment),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.timeout(300)
def test_no_setting_of_the_database_changes_an_answer(
    environment: Environment,
    set_against_us: set[str],
    start: Callable[..., Replica],
    api: Replica,
    tmp_path: Path,
) -> None:
    assert {"datestyle", "extra_float_digits", "search_path", "enable_sort"} <= set_against_us
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
    sent = {"meterId": "mtr-bits", "kwhConsumedAc": 0.1 + 0.2, "voltage": 229.8}
    sent["timestamp"] = f"{at:%Y-%m-%dT%H:%M:%S}.000Z"
    messages = [(b"mtr-bits", json.dumps(sent).encode()), (b"mtr-bits", b"{")]
    produce(environment, "telemetry.meter", messages)
    start()
    ledger = tmp_path / "ledger"
    run(environment, "producer_sim", *RUN, "--api", api.address, "--ledger", str(ledger))
    report = json.loads(
        run(environment, "producer_sim", "verify", str(ledger), "--answers", api.address, "--json")
    )
    assert report["clean"]

    path = "/v1/telemetry/meter/mtr-bits/current"
    until(lambda: api.get(path)[0] == 200, what="the reading is stored")
    _, answer = api.get(path)
    assert '"kwhConsumedAc":0.30000000000000004,' in answer
    assert f'"timestamp":"{sent["timestamp"]}"' in answer
    status, answer = api.get(f"/v1/telemetry/meter/mtr-bits/history?end={at:%Y-%m-%dT%H:%M:%SZ}")
    assert (status, len(json.loads(answer)["items"])) == (200, 1)
    assert api.get("/")[0] == 200

    run(environment, "consumer", "schema", "check")
    assert f"{at:%Y-%m-%d} 00:00:00+00 to" in run(environment, "consumer", "partitions", "list")
    assert "malformed_json" in run(environment, "consumer", "dead-letters", "list")
    counted = "SELECT count(*) FROM {}.meter_history"
    assert query(environment, counted.format("elsewhere")) == [(0,)]
    assert query(environment, counted.format("public")) > [(0,)]
