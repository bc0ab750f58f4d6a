"""Where the commands print: tables, notes, and the one line of a failure."""

import shutil
import sys

from rich import box
from rich.table import Table

from runtime.terminal import Terminal, errors

# Columns of figures stand at the right.
NUMERIC = {"messages", "redriven", "not whole", "next offset", "rows, about", "size"}
NUMERIC |= {"readings", "UTC days", "lowest kWh", "highest kWh"}

# A narrow terminal wraps lines, which loses less than cut columns; in a pipe a row is a line.
LEAST_WIDTH = 120 if sys.stdout.isatty() else 200
out = Terminal(width=max(shutil.get_terminal_size().columns, LEAST_WIDTH))


def table(*headers: str) -> Table:
    """Return a table without rows."""
    made = Table(box=box.SIMPLE_HEAD)
    for header in headers:
        numeric = header in NUMERIC
        made.add_column(header, justify="right" if numeric else "left", no_wrap=header != "detail")
    return made


def note(line: str) -> None:
    """Print a line on standard error; an empty one is left out."""
    if line:
        errors.print(line)
