"""Every command that the documentation shows is there, with every option that it shows."""

import importlib
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from deploy.replica import ROOT
from tests.unit.pages import PAGES, name_of

TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
PROGRAMS = {"consumer", "api", "producer_sim", "deploy.local", "deploy.demo", "deploy.images"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_that_is_shown_is_there(page: Path) -> None:
    shown = re.findall(r"python -m ([\w.]+)([^`#|\n]*)", page.read_text())
    assert [" ".join(one) for one in shown if not is_there(*one)] == []


def is_there(module: str, words: str) -> bool:
    """Return whether the module is there and, of a program of ours, the command and its options."""
    if importlib.util.find_spec(module) is None:
        return False
    if module not in PROGRAMS:
        return True
    command: Any = typer.main.get_command(importlib.import_module(f"{module}.__main__").app)
    for name in words.split():
        if isinstance(command, TyperGroup) and name in command.commands:
            command = command.commands[name]
        elif isinstance(command, TyperGroup) and re.fullmatch(r"[a-z-]+", name):
            return False
        elif name.startswith("--"):
            known = {option for parameter in command.params for option in parameter.opts}
            if name not in known:
                return False
    return True


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_target_of_make_that_is_shown_is_there(page: Path) -> None:
    shown = re.findall(r"(?:`|^ +|[a-z]`, `)make ([a-z-]+)", page.read_text(), re.MULTILINE)
    assert set(shown) <= TARGETS
