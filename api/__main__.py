"""Commands: `python -m api --help`."""

import gc
import hashlib
import json
import secrets
import signal
import socket
import sys
from types import FrameType

import structlog
import typer
import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.commands import keys
from api.live.stream import Live
from api.parts import Parts
from api.postgres.probe import Probes
from api.settings import SECTIONS, Settings
from runtime.http.server import PortTaken, announce, configuration, listen
from runtime.http.settings import HttpSettings
from runtime.logs import configure_logs
from runtime.postgres.settings import warn_if_unchecked
from runtime.settings import SettingsError, settings_help
from runtime.terminal import fail

log = structlog.get_logger()

app = typer.Typer(
    help="The HTTP API: takes readings for Kafka; answers with state, history and energy.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong use or a wrong setting.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(keys.app, name="keys")


class _Server(uvicorn.Server):
    """uvicorn that ends the live streams first: at its end it waits for every answer.

    It ends by itself once this code is too old for the schema.
    """

    def __init__(self, config: uvicorn.Config, *, live: Live, probes: Probes) -> None:
        super().__init__(config)
        self._live = live
        self._probes = probes

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._probes.outdated is not None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._live.end()
        await super().shutdown(sockets)


def _leave(_: int, __: FrameType | None) -> None:
    # uvicorn drains at the signal and then raises it again, which would kill this process.
    raise SystemExit(0)


@app.command(epilog=settings_help(SECTIONS))
def run() -> None:
    """Serve until SIGTERM, or until the schema is too new for this code.

    Requests that have begun by then are answered first.
    """
    settings = Settings()
    configure_logs(settings.log)
    signal.signal(signal.SIGTERM, _leave)
    listening = listen(settings.listen)
    for_metrics = _listen_for_metrics(settings)
    pool = settings.pool
    warn_if_unchecked(database_url=pool.database_url, database_read_url=pool.database_read_url)
    application: FastAPI = create_app(settings, for_metrics=for_metrics)
    announce(listening)
    # Describing all paths takes a tenth of a second or more; no request should wait for that.
    application.openapi()
    parts: Parts = application.state.parts
    server = _Server(
        configuration(
            application,
            settings=settings.listen,
            refused=parts.metrics.refused,
            connections=parts.metrics.connections,
            certificate=parts.certificate,
            timeout_graceful_shutdown=round(settings.listen.drain_timeout_s),
        ),
        live=parts.live,
        probes=parts.probes,
    )
    # What exists now stays. Looking for cycles in all of it would keep answers waiting.
    gc.collect()
    gc.freeze()
    server.run(sockets=[listening])
    if (line := parts.probes.outdated) is not None:
        log.error("service_failed", error=line)
        sys.exit(1)


def _listen_for_metrics(settings: Settings) -> socket.socket | None:
    port = settings.metrics.metrics_port
    if port is None:
        return None
    host = settings.metrics.metrics_host or settings.listen.http_host
    return listen(HttpSettings(http_host=host, http_port=port), setting="METRICS_PORT")


@app.command()
def new_key() -> None:
    """Make an API key that may do everything: its digest is for API_KEYS, the key for a client."""
    key = secrets.token_urlsafe(32)
    typer.echo(f"key:    {key}")
    typer.echo(f"digest: {hashlib.sha256(key.encode()).hexdigest()}")


@app.command()
def openapi() -> None:
    """Print the OpenAPI document of the API, as /openapi.json serves it."""
    json.dump(create_app(Settings()).openapi(), sys.stdout, indent=2)
    typer.echo()


def main() -> None:
    """Run a command; a wrong setting is one line and exit code 2."""
    try:
        app()
    except (SettingsError, PortTaken) as error:
        fail(str(error), code=2)


if __name__ == "__main__":
    main()
