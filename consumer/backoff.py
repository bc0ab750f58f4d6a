"""How long to wait between two tries. Pure."""

from tenacity import AsyncRetrying, RetryCallState, wait_random_exponential


def backoff(longest: float) -> wait_random_exponential:
    """Return the pauses between tries: doubling from 0.1 s, capped, with full jitter.

    The jitter keeps replicas that lost one server from coming back in step; see M. Brooker,
    "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    return wait_random_exponential(multiplier=0.1, max=longest, min=0.05)


def pause(failures: int, *, longest: float) -> float:
    """Return one such pause in seconds, after this many failures in a row."""
    state = RetryCallState(AsyncRetrying(), None, (), {})
    state.attempt_number = max(1, failures)
    return backoff(longest)(state)
