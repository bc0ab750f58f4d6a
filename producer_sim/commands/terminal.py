"""What the commands share: exit codes, lines on standard error, settings."""

from typing import TypeVar

import typer
from pydantic_settings import BaseSettings

from runtime.printable import printable
from runtime.settings import SettingsError, load
from runtime.terminal import fail

LOST, WRONG_USE = 1, 2
"""Exit codes; `verdict` has those of a verification."""

Section = TypeVar("Section", bound=BaseSettings)


def say(line: str) -> None:
    """Print one line on standard error."""
    typer.echo(printable(line), err=True)


def settings_of(section: type[Section]) -> Section:
    """Read one section from the environment; an unusable one ends the command."""
    try:
        return load(section)
    except SettingsError as error:
        fail(str(error), code=WRONG_USE)
