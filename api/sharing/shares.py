"""What there is so much of for all, and so much for each who asks. Pure."""

from collections import Counter


class NoneLeft(Exception):  # noqa: N818  what there is
    """All of it is taken."""


class ShareTaken(Exception):  # noqa: N818  what a caller has done
    """The caller has as much of it as one may have."""


class Shares:
    """Counts what is taken, and by whom."""

    def __init__(self, *, most: int, most_each: int) -> None:
        self._most = most
        self._most_each = most_each
        self._taken: Counter[str] = Counter()

    def __len__(self) -> int:
        """How many callers have some of it."""
        return len(self._taken)

    @property
    def taken(self) -> int:
        return self._taken.total()

    def take(self, caller: str, amount: int = 1) -> None:
        """Take so much for the caller, or nothing; raises ShareTaken and NoneLeft."""
        if self._taken[caller] + amount > self._most_each:
            raise ShareTaken
        if self.taken + amount > self._most:
            raise NoneLeft
        if amount:
            self._taken[caller] += amount

    def free(self, caller: str, amount: int = 1) -> None:
        """Give back what was taken."""
        self._taken[caller] -= amount
        if not self._taken[caller]:
            del self._taken[caller]  # so that no more is remembered than is taken
