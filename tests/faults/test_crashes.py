"""The short form of the scenarios in which replicas die or are suspended."""

import pytest

from tests.faults.scenario import Scenario
from tests.faults.scenarios import crashes
from tests.faults.servers import Servers
from tests.faults.short import judge, short_forms


@pytest.mark.timeout(400)
@pytest.mark.parametrize("scenario", short_forms(of=crashes), ids=lambda scenario: scenario.name)
def test_no_crash_violates_an_invariant(scenario: Scenario, faulty: Servers) -> None:
    judge(scenario, faulty)
