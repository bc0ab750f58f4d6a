"""Every link, anchor, path and function that the documentation names is there."""

import re
from pathlib import Path

import pytest

from deploy.replica import ROOT
from tests.unit.pages import PAGES, anchors_of, name_of, prose_of

# A path in backticks, from the root.
PATH = re.compile(r"`((?:[\w.-]+/)+[\w.-]*|[\w.-]+\.(?:py|sql|md|yml|toml|txt))`")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_and_anchor_resolves(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose_of(page)):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            broken.append(link)
    assert broken == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen, left = set[Path](), [ROOT / "README.md"]
    while left:
        page = left.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        files = re.findall(r"\]\(([^)#\s:]+)", prose_of(page))
        left += [(page.parent / file).resolve() for file in files]
    assert set(PAGES) <= seen


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_path_in_backticks_is_there(page: Path) -> None:
    named = PATH.findall(prose_of(page))
    assert [path for path in named if not is_there(path)] == []


def is_there(path: str) -> bool:
    """Return whether the path, from the root, is there or is made by a command."""
    return path.startswith((".venv/", ".local/")) or (ROOT / path).exists()


def test_the_way_of_a_message_names_functions_that_are_there() -> None:
    [way] = re.findall(
        r"^## The way of a message\n(.*?)(?=^## )",
        (ROOT / "docs" / "design.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
    steps = re.findall(r"^\|[^|]*\| `([^`|]+)` \| ([^|]+) \|$", way, re.MULTILINE)
    assert len(steps) > 10
    missing = [
        f"{file}: {function}"
        for file, functions in steps
        for function in re.findall(r"`([^`]+)`", functions)
        if not defines(ROOT / file, function)
    ]
    assert missing == []


def defines(file: Path, function: str) -> bool:
    """Return whether the file defines `function`, `Class` or `Class.method`."""
    if not file.exists():
        return False
    text = file.read_text()
    return all(
        re.search(rf"\b(?:def|class|FUNCTION) {re.escape(word)}\b", text)
        for word in function.split(".")
    )
