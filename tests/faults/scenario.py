"""A scenario: a fault, how often it is provoked, and in what kind of world."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.faults.world import Flow, World


class LeftOut(Exception):  # noqa: N818  an outcome more than an error
    """This machine lacks what the scenario needs; the text says what."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """`run` is given a world and the number of cycles, and provokes the fault that often.

    `short` and `long` are the cycles of the two forms, 0 if that form leaves it out.
    """

    name: str
    about: str
    run: Callable[[World, int], None]
    short: int
    long: int
    flow: Flow
    settings: dict[str, Any] = field(default_factory=dict)


SCENARIOS: dict[str, Scenario] = {}


def scenario(
    *, short: int, long: int, flow: Flow | None = None, **settings: Any
) -> Callable[[Callable[[World, int], None]], Callable[[World, int], None]]:
    """Register a function as a scenario, with its name and the first line of its docstring.

    The settings are those of the World.
    """

    def register(run: Callable[[World, int], None]) -> Callable[[World, int], None]:
        name = run.__name__
        SCENARIOS[name] = Scenario(
            name=name,
            about=(run.__doc__ or "").strip().splitlines()[0],
            run=run,
            short=short,
            long=long,
            flow=flow or Flow(),
            settings=settings,
        )
        return run

    return register
