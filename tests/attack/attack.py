"""An attack: who can do it, what it does, and in which forms it is run."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.attack.site import Site

ANYBODY, ANY_KEY, PRODUCER, MEMBER = "anybody", "any key", "a producer", "a group member"
"""Who attacks: a client without a key, one with a key, a producer, a member of the group."""


@dataclass(frozen=True, kw_only=True)
class Attack:
    """`run` attacks the site for seconds; `short` says whether the tests run it, too."""

    name: str
    about: str
    who: str
    run: Callable[[Site], None]
    short: bool


ATTACKS: dict[str, Attack] = {}


def attack(who: str, *, short: bool = False) -> Callable[[Callable[[Site], None]], None]:
    """Register a function as an attack, with its name and the first line of its docstring."""

    def register(run: Callable[[Site], None]) -> None:
        ATTACKS[run.__name__] = Attack(
            name=run.__name__,
            about=(run.__doc__ or "").strip().splitlines()[0],
            who=who,
            run=run,
            short=short,
        )

    return register
