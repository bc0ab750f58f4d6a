"""A standby: a server with a copy of another's data, which it follows until it is promoted.

copy(primary, standby, name="second")
process = start(standby)
wait_ready(standby, process)
"""

from __future__ import annotations

from deploy.local.ports import HOST
from deploy.local.postgres.server import NAME, PostgresServer, make_data
from deploy.local.postgres.unprivileged import account_for, place_data, programs


def copy(primary: PostgresServer, standby: PostgresServer, *, name: str) -> None:
    """Copy the data of a running primary; the standby will follow it under this name.

    `synchronous_standby_names` of the primary may have that name. Both have the same password.
    Raises MissingPartError, StateError, ServerError, OSError.
    """
    place_data(standby.folder)
    standby.log.parent.mkdir(parents=True, exist_ok=True)
    account = account_for(standby.data)
    words = (
        str(programs(account) / "pg_basebackup"),
        f"--pgdata={standby.unfinished}",
        f"--dbname=host={HOST} port={primary.port} user={NAME} application_name={name}",
        "--write-recovery-conf",
        "--checkpoint=fast",
        "--no-sync",
    )
    # Not on the command line, which every user of the machine can read.
    make_data(standby, words, account, PGPASSWORD=primary.password)
