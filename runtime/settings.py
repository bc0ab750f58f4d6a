"""Settings in sections, read from the environment and described for `--help`."""

from collections.abc import Iterable
from typing import Annotated, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as UnreadableSetting

LAST_PORT = 65_535

ENVIRONMENT = SettingsConfigDict(frozen=True, env_ignore_empty=True)

RetentionDays = Annotated[int, Field(ge=1, le=36_500)]
DEFAULT_RETENTION_DAYS = 400
"""Shared: the API refuses the readings that are too old for the consumer to keep."""

Section = TypeVar("Section", bound=BaseSettings)


class SettingsError(Exception):
    """A setting is missing or cannot be used; the message is one line that names it."""


def load(section: type[Section]) -> Section:
    """Read one section from the environment; raises SettingsError."""
    try:
        return section()
    except UnreadableSetting as error:
        raise SettingsError(str(error)) from error
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False)[0]
        prefix = section.model_config.get("env_prefix", "")
        name = f"{prefix}{'_'.join(map(str, fault['loc']))}".upper()
        problem = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "missing":
            problem = "is not set"
        raise SettingsError(f"{name}: {problem}" if fault["loc"] else problem) from None


def describe(sections: Iterable[type[BaseSettings]]) -> list[tuple[str, str, str]]:
    """Return (name, default, description) of every setting, for `--help` and the docs."""
    rows = []
    for section in sections:
        prefix = section.model_config.get("env_prefix", "")
        for name, field in section.model_fields.items():
            default = "required" if field.is_required() else str(field.default)
            shown = "" if field.default is None else default
            rows.append((f"{prefix}{name}".upper(), shown, field.description or ""))
    return rows


def settings_help(sections: Iterable[type[BaseSettings]]) -> str:
    """Return what `--help` says about every setting."""
    return "Settings (environment):\n\n" + "\n\n".join(
        f"{name}{f' [{default}]' if default else ''}: {text}"
        for name, default, text in describe(sections)
    )
