"""The scenarios, by what is at fault."""

from tests.faults.scenarios import (  # noqa: F401  each registers its scenarios
    broker,
    crashes,
    database,
    group,
    messages,
)
