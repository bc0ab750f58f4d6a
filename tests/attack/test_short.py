"""The bench's short form, as part of the tests: `make attack` runs the long one.

No speed is asserted here: what is answered, what is stored, who lives, and what memory it took.
"""

import resource
import signal
import time
from collections.abc import Iterator

import pytest

from tests.attack import attacks  # noqa: F401  registers them
from tests.attack.attack import ATTACKS, Attack
from tests.attack.bench import PAIRS_BRIEF, fleet_of, run_attack
from tests.attack.site import Site

SHORT = [attack for attack in ATTACKS.values() if attack.short]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for all of them, each after the other."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    folder = tmp_path_factory.mktemp("attack")
    try:
        with (
            fleet_of(folder, pairs=PAIRS_BRIEF) as (servers, fleet),
            Site(servers, fleet, folder=folder, brief=True) as one,
        ):
            yield one
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("attack", SHORT, ids=lambda attack: attack.name)
def test_an_attack_breaks_nothing(attack: Attack, site: Site) -> None:
    result = run_attack(attack, site)
    assert not result.faults, f"told {dict(result.said)}; logs in {site.folder}"


def test_the_onlooker_sees_an_api_that_stands_still(site: Site) -> None:
    """What is above is worth something only if it can fail."""
    site.sight.begin()
    site.api.process.send_signal(signal.SIGSTOP)
    time.sleep(0.5)
    site.api.process.send_signal(signal.SIGCONT)
    assert site.sight.wait_for_life() == "200"
    assert site.sight.end().live.worst >= 400
