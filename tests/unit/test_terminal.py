"""Text from outside is only shown, never acted on: on a terminal, and in a log for people."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from consumer.commands import terminal
from consumer.kafka.admin import _owned
from runtime.logs import LogSettings, configure_logs
from runtime.printable import printable
from runtime.terminal import Terminal, errors

# A title for the window, a colour, a cleared screen, another direction, a forged line, half a
# character, and what rich takes for markup.
HOSTILE = "\x1b]0;t\x07\x1b[31m\x1b[2J\u202e\r\nforged\x9b1m\ud800\x00[red]x[/red][/]:smile:"
SHOWN = r"\x1b]0;t\x07\x1b[31m\x1b[2J\u202e\r\nforged\x9b1m\ud800\x00[red]x[/red][/]:smile:"


@given(st.text(st.characters()))
def test_text_becomes_one_line_of_what_can_be_shown(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    shown.encode()
    assert shown == text or not text.isprintable()


def test_letters_of_all_languages_stay_as_they_are() -> None:
    assert printable("Zähler 7 - メーター 😀") == "Zähler 7 - メーター 😀"
    assert printable(HOSTILE) == SHOWN


def printed(*things: object) -> str:
    screen = io.StringIO()
    Terminal(file=screen, force_terminal=True, color_system="truecolor", width=300).print(*things)
    return screen.getvalue()


def test_a_hostile_name_is_shown_as_text_on_a_terminal() -> None:
    assert printed(HOSTILE) == SHOWN + "\n"


def test_a_hostile_name_in_a_table_is_one_cell_and_styles_of_our_own_stay() -> None:
    table = Table("name", "state")
    table.add_row(HOSTILE, Text("bad", style="red"))
    [row] = [line for line in printed(table).splitlines() if "forged" in line]
    assert SHOWN in row
    assert row.count("\x1b[31m") == 1
    assert len(printed(table).splitlines()) == 5


def test_the_commands_print_to_such_terminals() -> None:
    assert isinstance(terminal.out, Terminal)
    assert isinstance(errors, Terminal)


@pytest.fixture
def log_for_people(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    yield from _log(monkeypatch, "console")


@pytest.fixture
def log_for_machines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    yield from _log(monkeypatch, "json")


# A report of the tests' own cannot hold half a character.
TO_LOG = HOSTILE.replace("\ud800", "")


def _log(monkeypatch: pytest.MonkeyPatch, log_format: str) -> Iterator[io.StringIO]:
    screen, root = io.StringIO(), logging.getLogger()
    before = root.handlers[:], root.level
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr(root, "handlers", [])
    configure_logs(LogSettings(log_format=log_format))
    yield screen
    root.handlers[:], root.level = before
    structlog.reset_defaults()


def test_a_log_for_people_has_no_line_and_no_escape_that_is_not_ours(
    log_for_people: io.StringIO,
) -> None:
    structlog.get_logger().warning("met", name=TO_LOG, names=[TO_LOG], short="\x1b[31m")
    logging.getLogger("library").warning("met %s", TO_LOG)
    lines = log_for_people.getvalue().splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


def test_a_trace_in_a_log_for_people_keeps_its_lines_and_loses_its_escapes(
    log_for_people: io.StringIO,
) -> None:
    try:
        raise ValueError("\x1b[31mred")  # noqa: TRY301  as a library's
    except ValueError:
        logging.getLogger("library").exception("failed")
    lines = log_for_people.getvalue().splitlines()
    assert len(lines) > 3
    assert all(line.isprintable() for line in lines)


def test_a_log_for_machines_escapes_by_itself(log_for_machines: io.StringIO) -> None:
    structlog.get_logger().warning("met", name=TO_LOG)
    [line] = log_for_machines.getvalue().splitlines()
    assert line.isprintable()
    assert json.loads(line)["name"] == TO_LOG


@pytest.mark.parametrize("assignment", [b"", b"\x00", b"\x00\x00\x7f\xff\xff\xff", b"\xff" * 40])
def test_an_assignment_in_another_protocol_has_no_partitions(assignment: bytes) -> None:
    assert _owned(assignment) == frozenset()
