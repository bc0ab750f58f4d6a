"""Commands: `python -m consumer --help`."""

import sys

import typer
import uvloop

from consumer import service
from consumer.commands import dead_letters, devices, history, offsets, partitions, schema
from consumer.settings import SECTIONS, Settings
from runtime.http.server import PortTaken
from runtime.logs import configure_logs
from runtime.settings import SettingsError, settings_help
from runtime.terminal import fail

app = typer.Typer(
    help="Readings of smart meters and vehicles from Kafka into PostgreSQL, each exactly once.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong use or a wrong setting.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for noun, commands in {
    "schema": schema.app,
    "partitions": partitions.app,
    "dead-letters": dead_letters.app,
    "offsets": offsets.app,
    "devices": devices.app,
    "history": history.app,
}.items():
    app.add_typer(commands, name=noun)


@app.command(epilog=settings_help(SECTIONS))
def run() -> None:
    """Run the service until SIGTERM; several replicas share the partitions."""
    settings = Settings()
    configure_logs(settings.log)
    sys.exit(uvloop.run(service.run(settings)))


def main() -> None:
    """Run a command; a wrong setting or a server that refuses is one line, not a traceback."""
    try:
        app()
    except (SettingsError, PortTaken) as error:
        fail(str(error), code=2)


if __name__ == "__main__":
    main()
