"""The pages of the documentation."""

from pathlib import Path

from deploy.replica import ROOT

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))
