"""How the stored offsets move."""

import threading
import time

from deploy.stored_offsets import Offsets, Place

LOOK_S = 0.03
_PATIENCE_S = 90.0


class Stalled(Exception):  # noqa: N818  the field's word
    """Partitions did not move on in time."""


class Progress:
    """What an onlooker has seen of the offsets; another thread may wait for more."""

    def __init__(self) -> None:
        self._looked = threading.Condition()
        self.offsets: Offsets = {}
        self._moved_at: dict[Place, float] = {}
        self._last_move = time.monotonic()
        self._longest_stand = 0.0

    def note(self, offsets: Offsets) -> None:
        """Take what an onlooker has just seen."""
        now = time.monotonic()
        moved = [place for place in offsets if offsets[place] != self.offsets.get(place)]
        with self._looked:
            if moved:
                self._longest_stand = max(self._longest_stand, now - self._last_move)
                self._last_move = now
            self._moved_at |= dict.fromkeys(moved, now)
            self.offsets = offsets
            self._looked.notify_all()

    @property
    def stored(self) -> int:
        """How many messages the group has passed, by its offsets."""
        return sum(self.offsets.values())

    def begin_watch(self) -> None:
        """Forget the longest stand so far."""
        self._last_move, self._longest_stand = time.monotonic(), 0.0

    @property
    def longest_stand(self) -> float:
        """The longest time, in seconds, in which no offset moved."""
        return max(self._longest_stand, time.monotonic() - self._last_move)

    def wait_for_more(self, messages: int) -> None:
        """Return once this many more messages are stored; raises Stalled."""
        goal = self.stored + messages
        self._wait(lambda: self.stored >= goal, what=f"{messages} more messages")

    def wait_for_all(self, *, since: float) -> float:
        """Return the seconds from then until every partition had moved on; raises Stalled."""
        waited_for = set(self.offsets)
        self._wait(
            lambda: all(self._moved_at.get(place, 0.0) > since for place in waited_for),
            what="every partition to move on",
        )
        return max(self._moved_at[place] for place in waited_for) - since

    def _wait(self, condition: object, *, what: str) -> None:
        assert callable(condition)
        with self._looked:
            if not self._looked.wait_for(condition, timeout=_PATIENCE_S):
                raise Stalled(f"waited {_PATIENCE_S:.0f} s for {what}")
