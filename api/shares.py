"""Shares of what is scarce: a bound for all callers together, and one for each caller. Pure."""

from collections import Counter


class NoneLeft(Exception):  # noqa: N818  what there is
    """All of it is taken."""


class ShareTaken(Exception):  # noqa: N818  what a caller has done
    """The caller has taken as much as one caller may."""


class Shares:
    """Counts how much is taken, and by which caller."""

    def __init__(self, *, most: int, most_each: int) -> None:
        self._most = most
        self._most_each = most_each
        self._taken: Counter[str] = Counter()

    def __len__(self) -> int:
        """How many callers have taken some."""
        return len(self._taken)

    @property
    def taken(self) -> int:
        return self._taken.total()

    def take(self, caller: str, amount: int = 1) -> None:
        """Take this amount for the caller; raises ShareTaken or NoneLeft and takes nothing then."""
        if self._taken[caller] + amount > self._most_each:
            raise ShareTaken
        if self.taken + amount > self._most:
            raise NoneLeft
        if amount:
            self._taken[caller] += amount

    def free(self, caller: str, amount: int = 1) -> None:
        """Give back this amount."""
        self._taken[caller] -= amount
        if not self._taken[caller]:
            del self._taken[caller]  # callers that hold nothing take no memory
