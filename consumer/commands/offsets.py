"""`python -m consumer offsets`: how far each partition is stored."""

import typer

from consumer import offsets
from consumer.commands.terminal import out, table, with_database
from consumer.settings import GroupSettings
from telemetry.settings import load

app = typer.Typer(help="How far each partition is stored.", no_args_is_help=True)


@app.command("show")
def show() -> None:
    """Show the next offset of each partition as PostgreSQL has it."""
    group = load(GroupSettings).consumer_group
    stored = with_database(lambda connection: offsets.read_offsets(connection, group))
    rows = table("topic", "partition", "next offset")
    for place, offset in sorted(stored.items()):
        rows.add_row(place.topic, str(place.partition), str(offset))
    out.print(rows)
