"""`python -m consumer offsets` as a process of its own."""

from tests.acceptance.conftest import Environment
from tests.acceptance.program import Ended, run


def command(environment: Environment, *arguments: str, **settings: str) -> Ended:
    return run(environment | settings, "consumer", "offsets", *arguments)
