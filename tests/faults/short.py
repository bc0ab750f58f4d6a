"""The short form of the scenarios: a cycle or a few of each."""

import secrets
from types import ModuleType

from tests.faults import scenarios  # noqa: F401  registers them
from tests.faults.bench import run_scenario
from tests.faults.scenario import SCENARIOS, Scenario
from tests.faults.servers import Servers


def short_forms(*, of: ModuleType | None = None, but: ModuleType | None = None) -> list[Scenario]:
    """Return the scenarios that have a short form, of one file of them or of all but one."""
    return [
        scenario
        for scenario in SCENARIOS.values()
        if scenario.short
        and (of is None or scenario.run.__module__ == of.__name__)
        and (but is None or scenario.run.__module__ != but.__name__)
    ]


def judge(scenario: Scenario, servers: Servers) -> None:
    """Run a scenario, and fail if it violates an invariant."""
    seed = secrets.randbelow(1_000_000)
    result = run_scenario(scenario, servers, cycles=scenario.short, seed=seed)
    assert not result.violations, f"seed {seed}; logs and ledger in {servers.folder}"
