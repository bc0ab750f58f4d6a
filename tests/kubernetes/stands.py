"""How long partitions stand: the gaps between the moves of their stored offsets."""

import threading
import time
from dataclasses import dataclass

from deploy.stored_offsets import Offsets, Place
from tests.kubernetes.errors import ClusterError

LOOK_S = 0.1
"""Between two looks at the offsets: a gap is known to so much."""


@dataclass(frozen=True)
class Stand:
    """The longest gaps of a time, in seconds."""

    of_one: float
    """Of the partition that stood longest."""
    of_all: float
    """In which no partition moved at all."""


class Stands:
    """What an onlooker sees of the stored offsets, while every partition gets messages."""

    def __init__(self) -> None:
        self._looked = threading.Condition()
        self._offsets: Offsets = {}
        self._moved: dict[Place, float] = {}
        self._gaps: dict[Place, float] = {}
        self._any_moved, self._gap = 0.0, 0.0

    def note(self, offsets: Offsets) -> None:
        """Take what was just seen."""
        now = time.monotonic()
        with self._looked:
            for place, offset in offsets.items():
                if offset != self._offsets.get(place):
                    gap = now - self._moved.get(place, now)
                    self._gaps[place] = max(self._gaps.get(place, 0.0), gap)
                    self._gap = max(self._gap, now - (self._any_moved or now))
                    self._moved[place] = self._any_moved = now
            self._offsets = offsets
            self._looked.notify_all()

    def begin(self) -> None:
        """Forget the gaps so far; one that is open counts from now."""
        now = time.monotonic()
        with self._looked:
            self._gaps.clear()
            self._moved = dict.fromkeys(self._moved, now)
            self._any_moved, self._gap = now, 0.0

    def end(self) -> Stand:
        """Return the longest gaps since `begin`, with those that are still open."""
        now = time.monotonic()
        with self._looked:
            open_gaps = [now - moved for moved in self._moved.values()]
            return Stand(
                of_one=max(*self._gaps.values(), *open_gaps),
                of_all=max(self._gap, now - self._any_moved),
            )

    def wait_for_all(self, partitions: int, *, seconds: float) -> None:
        """Return once that many partitions have moved since now; raises ClusterError."""
        since = time.monotonic()

        def moved() -> bool:
            return sum(at > since for at in self._moved.values()) >= partitions

        with self._looked:
            if not self._looked.wait_for(moved, timeout=seconds):
                count = sum(at > since for at in self._moved.values())
                raise ClusterError(
                    f"only {count} of {partitions} partitions moved on in {seconds:.0f} s"
                )
