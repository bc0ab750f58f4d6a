"""`python -m consumer schema`: create or check tables, views, types and functions."""

import time

import typer

from consumer.commands.servers import with_database
from consumer.commands.terminal import out
from consumer.errors import UnfitDatabase
from consumer.postgres import schema
from consumer.postgres.connection import Connection
from consumer.settings import HistorySettings
from consumer.upkeep import retention
from runtime.settings import load
from runtime.terminal import errors, fail

app = typer.Typer(help="Create or check tables, views, types and functions.", no_args_is_help=True)


@app.command("apply")
def apply() -> None:
    """Create what is missing, partitions of the days ahead included; safe to repeat."""
    history = load(HistorySettings)

    async def work(connection: Connection) -> list[str]:
        await schema.apply_schema(connection)
        differences = await schema.check_schema(connection)
        if not differences:
            await retention.maintain(connection, history, now_us=time.time_ns() // 1_000)
        return differences

    try:
        _report_differences(with_database(work))
    except UnfitDatabase as error:
        fail(str(error), code=1)


@app.command("check")
def check() -> None:
    """Compare the database with the schema's files; exit 1 where they differ."""
    _report_differences(with_database(schema.check_schema))


def _report_differences(differences: list[str]) -> None:
    for line in differences:
        errors.print(line)
    if differences:
        fail(f"the schema differs from its files in {len(differences)} places", code=1)
    out.print("the schema is as it should be")
