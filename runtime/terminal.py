"""The terminal that every command prints to: no string in it can change how it is shown."""

import sys
from typing import Any, NoReturn

from rich.console import Console
from rich.text import Text

from runtime.printable import printable


class Terminal(Console):
    """A console that shows strings without markup, emoji or control characters.

    Each string is one line. A `Text` may have a style and is printed with it.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **settings)

    def render_str(self, text: str, **how: Any) -> Text:
        plain = {"markup": False, "emoji": False, "highlight": False, "highlighter": None}
        return super().render_str(printable(text), **(how | plain))


errors = Terminal(stderr=True, soft_wrap=True)


def fail(message: str, *, code: int) -> NoReturn:
    """End the command with this exit code and one line on standard error."""
    errors.print(f"error: {message}")
    sys.exit(code)
