"""The scenarios, by what is at fault."""

from tests.faults.scenarios import (  # noqa: F401  each registers its scenarios
    answers,
    broker,
    crashes,
    group,
    messages,
    outages,
    refusals,
)
