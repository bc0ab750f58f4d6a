"""What replicas did, in a file: a line for each flush that began and each that ended.

An armed replica appends to the file without a buffer, so that a line outlives its writer.
"""

import os
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from consumer.flush.flush import Flush
from consumer.flush.outcome import Outcome
from consumer.flush.sink import Sink
from deploy.stored_offsets import Place

BEGUN, ENDED = "begun", "ended"


def testify(path: Path) -> None:
    """Write down this process's flushes from now on."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    original = Sink.flush
    last: dict[Place, Flush] = {}

    def say(event: str, flush: Flush, *numbers: int) -> None:
        words = (event, os.getpid(), flush.stream.topic, flush.partition)
        line = " ".join(map(str, (*words, flush.believed, flush.next_offset, *numbers)))
        os.write(file, f"{line}\n".encode())

    async def witnessed(sink: Sink, flush: Flush) -> Outcome:
        place = flush.stream.topic, flush.partition
        if flush is not last.get(place):  # else the same flush is tried again
            last[place] = flush
            say(BEGUN, flush)
        outcome = await original(sink, flush)
        say(ENDED, flush, outcome.stored, outcome.duplicates, len(outcome.dead_letters))
        return outcome

    setattr(Sink, "flush", witnessed)  # noqa: B010  mypy is right about plain assignments


@dataclass
class Testimony:
    """What the file says, added up."""

    redone: int = 0
    """Messages in flushes that were begun though another process had begun them before."""
    rewinds: list[str] = field(default_factory=list)
    """Flushes that went back: of one process, or such as were stored before.

    While a broker is away that coordinates the group, two processes may both believe that they own
    a partition; a flush that one of them begins, and that is refused, does not count.
    """

    @classmethod
    def read(cls, path: Path) -> "Testimony":
        """Read the file; its lines are in the order of writing, over all replicas."""
        testimony = cls()
        reached: defaultdict[Place, int] = defaultdict(int)
        begun: dict[tuple[str, Place], int] = {}
        stored: defaultdict[Place, int] = defaultdict(int)
        for line in path.read_text().splitlines() if path.exists() else ():
            event, pid, topic, *numbers = line.split()
            partition, first, end, *_ = map(int, numbers)
            place = topic, partition
            if event == BEGUN:
                testimony.redone += max(0, min(end, reached[place]) - first)
                went_back = first < begun.get((pid, place), 0)
                reached[place] = max(reached[place], end)
                begun[pid, place] = first
            else:
                went_back = first < stored[place]
                stored[place] = end
            if went_back:
                testimony.rewinds.append(f"{topic}/{partition} went back to {first}")
        return testimony
