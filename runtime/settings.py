"""Settings in sections, read from the environment and described for `--help`."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import Field, SecretStr, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as UnreadableSetting

from runtime.secret_file import SecretFile, SecretFileError

LAST_PORT = 65_535

ENVIRONMENT = SettingsConfigDict(frozen=True, env_ignore_empty=True)

RetentionDays = Annotated[int, Field(ge=1, le=36_500)]
DEFAULT_RETENTION_DAYS = 400
"""Shared: the API refuses the readings that are too old for the consumer to keep."""

Section = TypeVar("Section", bound=BaseSettings)


class SettingsError(Exception):
    """A setting is missing or cannot be used; the message is one line that names it."""


def load(section: type[Section]) -> Section:
    """Read one section from the environment; raises SettingsError.

    A secret whose setting is given as `NAME_FILE` is a SecretFile.
    """
    files = _secret_files(section)
    given: dict[str, Any] = {name: file.get_secret_value() for name, file in files.items()}
    try:
        loaded = section(**given)
    except UnreadableSetting as error:
        raise SettingsError(str(error)) from error
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False)[0]
        name = _name_of(section, "_".join(map(str, fault["loc"])))
        if files.keys() & set(fault["loc"]):
            name += "_FILE"
        problem = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "missing":
            problem = "is not set"
        raise SettingsError(f"{name}: {problem}" if fault["loc"] else problem) from None
    return loaded.model_copy(update=files) if files else loaded


def _secret_files(section: type[BaseSettings]) -> dict[str, SecretFile]:
    """Return the secrets of the section that are in files, by field; raises SettingsError."""
    given = {name.upper(): text for name, text in os.environ.items() if text}
    files = {}
    for field, information in section.model_fields.items():
        name = _name_of(section, field)
        path = given.get(f"{name}_FILE")
        if path is None or not _is_secret(information.annotation):
            continue
        if name in given:
            raise SettingsError(f"{name}, {name}_FILE: both are set; set one of them")
        try:
            files[field] = SecretFile(
                Path(path), setting=f"{name}_FILE", check=_check_of(information)
            )
        except SecretFileError as error:
            raise SettingsError(f"{name}_FILE: {error}") from error
    return files


def _name_of(section: type[BaseSettings], field: str) -> str:
    prefix = section.model_config.get("env_prefix", "")
    return f"{prefix}{field}".upper()


def _is_secret(annotation: Any) -> bool:
    """Return whether a field of this type holds a secret, or may."""
    return annotation is SecretStr or any(_is_secret(one) for one in get_args(annotation))


def _check_of(field: FieldInfo) -> Any:
    """Return what raises ValueError for a text that the field does not take."""
    kind: Any = field.annotation
    for rule in field.metadata:
        kind = Annotated[kind, rule]
    return TypeAdapter(kind).validate_python


def describe(sections: Iterable[type[BaseSettings]]) -> list[tuple[str, str, str]]:
    """Return (name, default, description) of every setting, for `--help` and the docs."""
    rows = []
    for section in sections:
        for name, field in section.model_fields.items():
            default = "required" if field.is_required() else str(field.default)
            shown = "" if field.default is None else default
            rows.append((_name_of(section, name), shown, field.description or ""))
    return rows


def settings_help(sections: Iterable[type[BaseSettings]]) -> str:
    """Return what `--help` says about every setting."""
    sections = list(sections)
    secrets = [
        _name_of(section, name)
        for section in sections
        for name, field in section.model_fields.items()
        if _is_secret(field.annotation)
    ]
    files = f"In a file instead, which NAME_FILE names: {', '.join(secrets)}."
    return f"Settings (environment):\n\n{files}\n\n" + "\n\n".join(
        f"{name}{f' [{default}]' if default else ''}: {text}"
        for name, default, text in describe(sections)
    )
