"""The bench's short form, as part of the tests: `make faults` runs the long one."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import scenarios  # noqa: F401  registers them
from tests.faults.bench import run_scenario
from tests.faults.scenario import SCENARIOS, Scenario
from tests.faults.servers import Servers
from tests.faults.world import Flow, World

SHORT = [scenario for scenario in SCENARIOS.values() if scenario.short]


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Servers that may be killed, and are nobody else's."""
    with Servers(tmp_path_factory.mktemp("faults")) as servers:
        yield servers


@pytest.mark.timeout(400)
@pytest.mark.parametrize("scenario", SHORT, ids=lambda scenario: scenario.name)
def test_no_fault_violates_an_invariant(scenario: Scenario, faulty: Servers) -> None:
    seed = secrets.randbelow(1_000_000)
    result = run_scenario(scenario, faulty, cycles=scenario.short, seed=seed)
    assert not result.violations, f"seed {seed}; logs and ledger in {faulty.folder}"


def test_a_reader_that_disagrees_is_heard(faulty: Servers, tmp_path: Path) -> None:
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
