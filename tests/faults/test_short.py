"""The bench's short form, as part of the tests: `make faults` runs the long one.

Crashes are in a file of their own: they take as long as all others, and files run side by side.
"""

from pathlib import Path

import pytest

from tests.faults.scenario import Scenario
from tests.faults.scenarios import crashes
from tests.faults.servers import Servers
from tests.faults.short import judge, short_forms
from tests.faults.world import Flow, World


@pytest.mark.timeout(400)
@pytest.mark.parametrize("scenario", short_forms(but=crashes), ids=lambda scenario: scenario.name)
def test_no_fault_violates_an_invariant(scenario: Scenario, faulty: Servers) -> None:
    judge(scenario, faulty)


def test_a_lost_row_is_found_by_the_ledger_and_by_the_reader(
    faulty: Servers, tmp_path: Path
) -> None:
    """The proof above is worth something only if it can fail: a lost row has to be found."""
    with World(faulty, folder=tmp_path / "world", seed=1, flow=Flow(rate=500)) as world:
        world.start_replica().wait_for("partitions_opened")
        world.begin_flow()
        world.progress.wait_for_more(500)
        with world.session() as session:
            session.execute(
                "DELETE FROM meter_history WHERE (meter_id, recorded_at) IN"
                " (SELECT meter_id, recorded_at FROM meter_history LIMIT 1)"
            )
        violations = world.judge()
    assert any(line.startswith("lost: 1") for line in violations)
    assert any("a reader saw" in line for line in violations)
