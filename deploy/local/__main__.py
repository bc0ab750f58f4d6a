"""Commands of the local stack: up, down, status, env."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table
from rich.text import Text

from deploy.local import stack
from deploy.local.addresses import psql_environment
from deploy.local.errors import LocalStackError
from deploy.local.postgres.unprivileged import programs
from deploy.local.process import tail
from deploy.local.status import status
from runtime.terminal import Terminal, errors

app = typer.Typer(
    help="A real Apache Kafka and a real PostgreSQL on this machine, without containers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
Folder = Annotated[
    Path,
    typer.Option(
        "--dir",
        envvar="WATTLINE_LOCAL_DIR",
        file_okay=False,
        help="Where data, logs and state are kept.",
        show_default=".local in the repository",
    ),
]
Role = Literal["owner", "consumer", "api", "reader"]
Purge = Annotated[bool, typer.Option("--purge", help="Remove data and logs too.")]


class Progress:
    """Tells a person what happens: results on stdout, progress on stderr."""

    def __init__(self) -> None:
        self._status = errors.status("")

    def say(self, line: str) -> None:
        """Print one result."""
        typer.echo(line)

    def jars(self, done: int, total: int) -> None:
        """Show how far the download is; without a terminal, only that it begins."""
        if errors.is_terminal:
            self._status.update(f"downloading Kafka: {done} of {total} jars")
        elif done == 0:
            typer.echo(f"downloading Kafka: {total} jars", err=True)

    @contextmanager
    def busy(self, text: str) -> Iterator[None]:
        """Show the text with a spinner, on a terminal."""
        self._status.update(text)
        with self._status:
            yield


@app.command("up")
def up_(folder: Folder = stack.FOLDER) -> None:
    """Start the servers that do not run, and wait until they answer."""
    progress = Progress()
    with progress.busy("starting Kafka and PostgreSQL"):
        stack.up(folder, progress=progress)


@app.command("down")
def down_(folder: Folder = stack.FOLDER, *, purge: Purge = False) -> None:
    """Stop the servers; keep data and logs."""
    progress = Progress()
    with progress.busy("stopping"):
        stack.down(folder, purge=purge, progress=progress)


@app.command("status")
def status_(folder: Folder = stack.FOLDER) -> None:
    """Show what runs; exit code 0 when both servers run."""
    servers = status(folder)
    table = Table("server", "state", "address", "pid", "version", "data", "log")
    for server in servers:
        state = Text(server.state, style="green" if server.good else "red")
        rest = (server.address, server.pid, server.version, server.data, server.log)
        table.add_row(server.server, state, *rest)
    for column in table.columns:
        column.overflow = "fold"  # a path must not be cut off
    # In a pipe, wide enough for one line a server.
    Terminal(width=None if sys.stdout.isatty() else 1_000).print(table)
    if not all(server.good for server in servers):
        raise typer.Exit(1)


@app.command("env")
def env_(
    folder: Folder = stack.FOLDER,
    *,
    role: Annotated[
        Role | None,
        typer.Option(
            help="Wattline's role that DATABASE_URL logs in to.", show_default="the superuser"
        ),
    ] = None,
) -> None:
    """Print the addresses as export lines for eval "$(python -m deploy.local env)"."""
    addresses = stack.addresses(folder)
    if addresses is None:
        raise LocalStackError("the local stack is not running: python -m deploy.local up")
    typer.echo((addresses.under(role) if role else addresses).exports(), nl=False)


@app.command("psql", context_settings={"ignore_unknown_options": True})
def psql_(
    folder: Folder = stack.FOLDER,
    arguments: Annotated[list[str] | None, typer.Argument(help="Passed on to psql.")] = None,
) -> None:
    """Open psql, which comes with PostgreSQL, on the database."""
    addresses = stack.addresses(folder)
    if addresses is None:
        raise LocalStackError("the local stack is not running: python -m deploy.local up")
    psql = programs(None) / "psql"
    environment = {**os.environ, **psql_environment(addresses.database_url)}
    os.execve(psql, [str(psql), *(arguments or [])], environment)  # noqa: S606  no shell on purpose


def main() -> None:
    """Run a command; an expected failure is one line and exit code 1."""
    try:
        app()
    except LocalStackError as error:
        _print_error(str(error))
        if error.log:
            for line in tail(error.log):
                errors.print(f"  {line}", style="dim")
            errors.print(f"log: {error.log}")
        sys.exit(1)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        _print_error(f"{error.strerror or error}{where}")
        sys.exit(1)


def _print_error(message: str) -> None:
    errors.print(Text("error:", style="red"), message)


if __name__ == "__main__":
    main()
