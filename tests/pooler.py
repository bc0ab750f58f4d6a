"""A real PgBouncer in front of a test's database, which it offers in each of its modes."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from deploy.local.ports import HOST, free_port
from tests.needed import program

MODES = ("session", "transaction", "statement")
_PATIENCE_S = 20.0


@contextmanager
def pgbouncer(database_url: str, folder: Path) -> Iterator[dict[str, str]]:
    """Run PgBouncer during the block; yield the URL of the database in each mode.

    It asks for no password, because it knows the server's and listens on loopback only.
    """
    server = conninfo_to_dict(database_url)
    place = " ".join(f"{name}={server[name]}" for name in ("host", "port", "user", "password"))
    port = free_port()
    file, log = folder / "pgbouncer.ini", folder / "pgbouncer.log"
    file.write_text(
        "\n".join(
            [
                "[databases]",
                *(f"{one} = {place} dbname={server['dbname']} pool_mode={one}" for one in MODES),
                "[pgbouncer]",
                f"listen_addr = {HOST}",
                f"listen_port = {port}",
                "unix_socket_dir =",
                "auth_type = any",
                "",
            ]
        )
    )
    command = [program("pgbouncer", package="pgbouncer"), str(file)]
    if os.geteuid() == 0:  # as which it does not run
        command[1:1] = ["-u", "nobody"]
    with log.open("ab") as written:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=written, stderr=written
        )
    try:
        deadline = time.monotonic() + _PATIENCE_S
        while "process up" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield {one: f"postgresql://{server['user']}@{HOST}:{port}/{one}" for one in MODES}
    finally:
        process.kill()
        process.wait()
