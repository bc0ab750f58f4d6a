"""docs/energy.md lists every reason, and every figure of its table is what is computed."""

import re

from deploy.replica import ROOT
from energy.performance import Reason
from energy.ratio import ratio
from energy.status import Status
from energy.units import as_kwh
from tests.energy.page_worlds import CASES, Case
from tests.energy.pure import ask

PAGE = (ROOT / "docs" / "energy.md").read_text()


def rows_of(section: str) -> list[list[str]]:
    """Return the cells of the section's first table, without its head."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    table = re.findall(r"^\| (.+) \|$", text, re.MULTILINE)
    return [row.split(" | ") for row in table if not row.startswith("-")][1:]


def test_every_figure_of_the_table_is_what_is_computed() -> None:
    listed = {cells[0]: cells[1:6] for cells in rows_of("What your device does, what you will see")}
    assert listed == {name: said_of(case) for name, case in CASES.items()}


def test_every_reason_that_is_said_and_every_status_is_listed() -> None:
    listed = [cells[0].strip("`") for cells in rows_of("Reasons")]
    assert set(listed) == set(Reason)
    assert [cells[0].strip("`") for cells in rows_of("Status")] == list(Status)


def said_of(case: Case) -> list[str]:
    """Return AC, ratio, status, both coverages and the reasons, as the table has them."""
    said = ask(case.world, case.start, case.end, [case.vehicle])[case.vehicle]
    ac, dc = _total(said.ac), _total(said.dc)
    found = ratio(ac, dc)
    meter, vehicle = (
        _short(known / max(asked, 1)) for known, asked in zip(said.known, said.asked, strict=True)
    )
    return [
        "null" if ac is None else _short(as_kwh(ac) or 0),
        "null" if found is None else _short(found),
        f"`{said.status}`",
        f"{meter}, {vehicle}",
        ", ".join(f"`{reason}`" for reason in sorted(said.reasons)),
    ]


def _total(side: list[int | None]) -> int | None:
    known = [hour for hour in side if hour is not None]
    return sum(known) if known else None


def _short(number: float) -> str:
    return f"{number:.3f}".rstrip("0").rstrip(".")
