"""Logs on standard error: one JSON object a line, with a constant event name and its fields."""

import logging
import sys
from typing import Literal

import structlog
from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

from runtime.printable import printable
from runtime.settings import ENVIRONMENT


class LogSettings(BaseSettings):
    """What is logged, and in which format."""

    model_config = ENVIRONMENT

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="lowest level that is logged"
    )
    log_format: Literal["json", "console"] = Field("json", description="json or console")

    @field_validator("log_level", mode="before")
    @classmethod
    def _any_case(cls, level: object) -> object:
        return level.upper() if isinstance(level, str) else level


def configure_logs(settings: LogSettings) -> None:
    """Send structlog's events and the libraries' log records to standard error."""
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
    # The clients log every failed attempt to reach a server that is away. The services log the
    # change of state instead.
    for chatty in ("aiokafka", "psycopg", "uvicorn"):
        logging.getLogger(chatty).setLevel(
            logging.DEBUG if settings.log_level == "DEBUG" else logging.CRITICAL
        )


def _printable(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Escape characters that a terminal would act on, as JSON does; a traceback keeps its lines.

    Values that are not strings are shown by their `repr`, which escapes too.
    """
    for name, value in event.items():
        if isinstance(value, str):
            lines = value.split("\n") if name in {"exception", "stack"} else [value]
            event[name] = "\n".join(map(printable, lines))
    return event
