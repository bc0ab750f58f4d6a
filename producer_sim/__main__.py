"""The command line."""

from collections.abc import Callable

import typer

from producer_sim.commands.replay import replay
from producer_sim.commands.run import run
from producer_sim.commands.verify import verify

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="A fleet of meters and electric vehicles: sends readings to Kafka, keeps a ledger of"
    " every message, and checks the database against it.",
)
for command in (run, replay, verify):
    app.command()(command)

main: Callable[[], None] = app

if __name__ == "__main__":
    main()
