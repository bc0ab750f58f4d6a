"""`make demo`'s own code, at a small size."""

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import psycopg
import pytest

from consumer.postgres.migrations import schema_text
from deploy.demo.processes import API_PORT, stop_processes
from deploy.local import stack
from deploy.local.stack import Addresses
from producer_sim.oracle.verdict import CLEAN, TOO_SLOW
from tests.acceptance.conftest import Environment, query
from tests.acceptance.program import Ended, run
from tests.at_the_end import start_at_the_end
from tests.conftest import NO_POWER_CUT

ROLES = (
    "SELECT DISTINCT application_name, usename FROM pg_stat_activity"
    " WHERE application_name IN ('wattline-consumer', 'wattline-api')"
)


@pytest.fixture
def environment(servers: Addresses, group: str, tmp_path: Path) -> Iterator[Environment]:
    """The settings of a demo with a PostgreSQL of its own; the group starts at the topics' ends."""
    kafka = {"KAFKA_BOOTSTRAP_SERVERS": servers.kafka_bootstrap_servers}
    own = stack.up(tmp_path, environment=kafka, settings=NO_POWER_CUT)
    with psycopg.connect(own.database_url) as connection:
        connection.execute(schema_text().encode())
    start_at_the_end(servers.kafka_bootstrap_servers, own.database_url, group)
    yield kafka | {"DATABASE_URL": own.database_url, "CONSUMER_GROUP": group}
    stop_processes(tmp_path)
    stack.down(tmp_path)


def demo(environment: Environment, *arguments: str) -> Ended:
    return run(environment, "deploy.demo", *arguments, patience_s=300)


@pytest.mark.timeout(330)
def test_the_demo_ends_clean_on_another_port_and_down_stops_what_it_left(
    environment: Environment, tmp_path: Path
) -> None:
    small = ["run", "--devices", "200", "--minutes", "5", "--dir", str(tmp_path)]
    with ExitStack() as taken:
        with suppress(OSError):  # somebody else has it
            taken.enter_context(socket.create_server(("127.0.0.1", API_PORT)))
        ended = demo(environment, *small)
    # How fast this machine is decides whether all is answered in time, not whether it is right.
    assert ended.returncode in (CLEAN, TOO_SLOW), ended.stdout + ended.stderr
    assert "what is stored is what was sent" in ended.stdout
    assert "answers about vehicles" in ended.stdout
    assert ("what is answered is true" in ended.stdout) == (ended.returncode == CLEAN)
    [page] = re.findall(r"^open (http://127\.0\.0\.1:\d+/)$", ended.stdout, re.MULTILINE)
    assert f":{API_PORT}/" not in page
    assert "Wattline" in httpx.get(page).text
    stored = "SELECT count(*) FROM vehicle_history"
    assert query(environment, stored)[0][0] > 950
    assert query(environment, ROLES + " ORDER BY 1") == [
        ("wattline-api", "local_api"),
        ("wattline-consumer", "local_consumer"),
    ]
    stopped = demo(environment, "down", "--dir", str(tmp_path))
    assert "2 consumers stopped" in stopped.stdout
    assert "the API stopped" in stopped.stdout
    with pytest.raises(httpx.ConnectError):
        httpx.get(page)
    assert stopped.returncode == 0
