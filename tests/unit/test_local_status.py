"""`status` of servers that are not the stack's own."""

import socket
from pathlib import Path

import pytest

from deploy.local.status import status


@pytest.mark.parametrize("url", ["{away},127.0.0.1:{there}", "{away},127.0.0.1:{away_port}"])
def test_a_database_of_several_hosts_is_reachable_if_one_answers(tmp_path: Path, url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        away_port = gone.getsockname()[1]
    with socket.create_server(("127.0.0.1", 0)) as server:
        there = server.getsockname()[1]
        hosts = url.format(away=f"127.0.0.1:{away_port}", away_port=away_port, there=there)
        _, database = status(tmp_path, environment={"DATABASE_URL": f"postgresql://u@{hosts}/d"})
    assert database.state == ("reachable" if str(there) in hosts else "unreachable")
