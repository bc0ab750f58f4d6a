"""The terminal that every command prints to: text is text, whoever wrote it."""

from typing import Any

from rich.console import Console
from rich.text import Text

from runtime.printable import printable


class Terminal(Console):
    """A console to which strings are nothing but text: no markup, no emoji, no control characters.

    Each is one line. What is to have a style is a Text of our own.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **settings)

    def render_str(self, text: str, **how: Any) -> Text:
        plain = {"markup": False, "emoji": False, "highlight": False, "highlighter": None}
        return super().render_str(printable(text), **(how | plain))
