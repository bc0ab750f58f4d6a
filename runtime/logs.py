"""Logs: one JSON object a line on standard error, a constant event name and its fields."""

import logging
import sys

import structlog

from runtime.printable import printable
from runtime.settings import LogSettings


def configure_logs(settings: LogSettings) -> None:
    """Send structlog's events, and what the libraries log, to standard error."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderers: list[structlog.typing.Processor] = (
        [structlog.processors.JSONRenderer()]
        if settings.log_format == "json"
        else [_printable, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                *renderers,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=settings.log_level, force=True)
    # The clients log every failed attempt at a server that is away; this service logs the
    # change of state instead (`availability`, `lag`).
    for chatty in ("aiokafka", "psycopg", "uvicorn"):
        logging.getLogger(chatty).setLevel(
            logging.DEBUG if settings.log_level == "DEBUG" else logging.CRITICAL
        )


def _printable(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Escape what a terminal would act on, as JSON does; a trace keeps its lines.

    What is no string is shown by its `repr`, which escapes too.
    """
    for name, value in event.items():
        if isinstance(value, str):
            lines = value.split("\n") if name in {"exception", "stack"} else [value]
            event[name] = "\n".join(map(printable, lines))
    return event
