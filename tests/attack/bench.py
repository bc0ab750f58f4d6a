"""Runs an attack on a site, and judges what it came to."""

import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from deploy.replica import ROOT
from tests.attack.attack import Attack
from tests.attack.fleet import Fleet
from tests.attack.result import IDLE, Result, faults_of_memory, missed_aims
from tests.attack.sight import Seen
from tests.attack.site import Site
from tests.faults.servers import Servers

PAIRS, PAIRS_BRIEF = 5_000, 1_200
_IDLE_S, _LEAST_S = 3.0, 1.0


@contextmanager
def fleet_of(
    folder: Path, *, code: Path = ROOT, pairs: int = PAIRS
) -> Iterator[tuple[Servers, Fleet]]:
    """Lend servers of the bench's own, and a fleet on them."""
    with Servers(folder) as servers:
        with ThreadPoolExecutor(1) as beside:
            broker = beside.submit(lambda: servers.kafka)
            fleet = Fleet(url=servers.postgres.url("postgres"), pairs=pairs)
            fleet.write(code)
        broker.result()
        yield servers, fleet


def nothing(site: Site) -> Result:
    """Look at the site while it is not attacked."""
    site.sight.begin()
    time.sleep(_IDLE_S)
    return Result(name=IDLE, who="", seen=site.sight.end(), seconds=_IDLE_S)


def run_attack(attack: Attack, site: Site, *, idle: Seen | None = None) -> Result:
    """Attack the site and judge; whatever goes wrong in the attack itself is a fault, too.

    Without `idle` no aim of speed is judged. A site may be attacked again.
    """
    site.begin()
    site.sight.begin()
    begun = time.monotonic()
    try:
        attack.run(site)
    except Exception as error:  # noqa: BLE001  an attack that does not end well is a find
        (site.folder / f"{site.name}-{attack.name}.txt").write_text(traceback.format_exc())
        site.faults.append(f"{type(error).__name__}: {error}")
    seconds = time.monotonic() - begun
    if not site.brief:  # else there would be too few looks to say anything
        time.sleep(max(0.0, _LEAST_S - seconds))
    site.check_alive()
    seen = site.sight.end()
    return Result(
        name=attack.name,
        who=attack.who,
        seen=seen,
        said=dict(site.said),
        faults=[*site.faults, *faults_of_memory(attack.who, seen)],
        missed=[] if idle is None else missed_aims(attack.who, seen, idle),
        remarks=site.remarks,
        seconds=seconds,
    )
