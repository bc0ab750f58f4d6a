"""How long to wait between two tries. Pure, except for chance."""

import random
from collections.abc import Callable

from tenacity import RetryCallState

_SHORTEST_S = 0.05
_FIRST_S = 0.1
_DOUBLINGS = 32  # beyond any cap, and long before a float overflows


def pause(failures: int, *, longest: float) -> float:
    """Return the seconds to wait after this many failures in a row: doubling, capped, at random.

    The jitter keeps replicas that lost one server from coming back in step: "Full Jitter" of
    M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    most = min(longest, _FIRST_S * 2 ** min(failures - 1, _DOUBLINGS))
    return random.uniform(_SHORTEST_S, most)  # noqa: S311  jitter guards no secret


def backoff(longest: float) -> Callable[[RetryCallState], float]:
    """Return the same pauses, as tenacity asks for them."""
    return lambda state: pause(state.attempt_number, longest=longest)
