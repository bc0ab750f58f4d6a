"""Connections that ask nothing do not take a replica's descriptors away from it."""

import socket
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack

from deploy.replica import Replica
from runtime.http.problem import SECURITY_HEADERS
from tests.acceptance.conftest import Environment, produce, query, until
from tests.acceptance.readings import meter_messages
from tests.acceptance.series import STORED

FEW = ("sh", "-c", 'ulimit -n 100 && exec "$0" "$@"')
REFUSED = 'telemetry_http_refused_total{bound="connections"}'
END_ALL = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


def test_a_replica_reaches_postgresql_however_many_connections_idle_at_its_pages(
    start: Callable[..., Replica], environment: Environment
) -> None:
    replica = start(under=FEW)
    replica.wait_for("partitions_opened")
    with urllib.request.urlopen(replica.address + "/health/live") as page:  # noqa: S310  ours
        headers = {name.lower(): value for name, value in page.headers.items()}
    assert {name.lower() for name in SECURITY_HEADERS} <= headers.keys()
    port = int(replica.address.rpartition(":")[2])
    with ExitStack() as idle:
        for _ in range(150):  # more than it may have descriptors
            idle.enter_context(socket.create_connection(("127.0.0.1", port)))
        until(lambda: replica.metric(REFUSED) >= 100, what="those past the bound refused")
        assert replica.metric("telemetry_http_connections") <= 50
        query(environment, END_ALL)
        produce(environment, "telemetry.meter", meter_messages(200))
        until(lambda: replica.metric(STORED) == 200, what="all stored")
        assert replica.get("/health/ready")[0] == 200
    assert query(environment, "SELECT count(*) FROM meter_history") == [(200,)]
