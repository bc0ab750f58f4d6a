"""The question that a command asks before it changes something for good."""

import sys
from typing import Annotated

import typer

from runtime.terminal import fail

YesOption = Annotated[bool, typer.Option("--yes", help="do not ask")]


def need_an_answer(*, yes: bool, dry_run: bool) -> None:
    """End the command with exit code 2 if it has to ask and has no terminal."""
    if not (yes or dry_run or sys.stdin.isatty()):
        fail("--yes: needed without a terminal, because the command cannot ask", code=2)


def confirm(question: str, *, yes: bool, otherwise: str) -> None:
    """Ask, unless `yes`; end the command with exit code 1 and one line if the answer is no."""
    if not (yes or typer.confirm(question)):
        fail(otherwise, code=1)
