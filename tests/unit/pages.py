"""The pages of the documentation."""

import re
from pathlib import Path

from deploy.replica import ROOT

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose_of(page: Path) -> str:
    """Return the text without blocks of code, in which a bracket is not a link."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors_of(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of the page's headings."""
    anchors: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        repeated = sum(anchor == slug or anchor.startswith(f"{slug}-~") for anchor in anchors)
        anchors.add(f"{slug}-~{repeated}" if repeated else slug)
    return {anchor.replace("-~", "-") for anchor in anchors}
