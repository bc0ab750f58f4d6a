"""Many connections that ask at once, each again as soon as it is answered."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tests.attack.line import HOST, PATIENCE_S, REFUSED, Line

Ask = Callable[[int, int], bytes]
"""What a connection sends, by its number and by how often it has asked."""
Until = Callable[[Counter[str]], object]
"""Whether enough has been said."""
_PAUSE_S = 0.05
_MOST_TIMES_LONGER = 20


def crowd(
    port: int,
    ask: Ask,
    *,
    size: int,
    seconds: float,
    source: str = HOST,
    patience: float = PATIENCE_S,
    pause: float = 0.0,
    until: Until = bool,
) -> Counter[str]:
    """Ask for `seconds` over `size` connections, and return how often each answer came.

    After a 429 or 503 a connection waits for the `pause`, which is 0 for an attacker. On a slow
    machine the crowd goes on for up to twenty times as long, until `until` is true of what was
    said: by default, until anything was.
    """
    begun = time.monotonic()
    said: Counter[str] = Counter()
    counting = threading.Lock()

    def count(answer: str) -> None:
        with counting:
            said[answer] += 1

    def goes_on() -> bool:
        gone = time.monotonic() - begun
        return gone < seconds or (gone < _MOST_TIMES_LONGER * seconds and not until(said))

    def one(number: int) -> None:
        asked = 0
        while goes_on():
            try:
                with Line(port, source=source, patience=patience) as line:
                    while goes_on():
                        line.send(ask(number, asked))
                        asked += 1
                        answer = line.answer()
                        count(answer.said)
                        if not answer.headers:
                            break
                        if answer.said in {"429", "503"}:
                            time.sleep(pause)
            except OSError:
                count(REFUSED)
                time.sleep(_PAUSE_S)

    at_once([partial(one, number) for number in range(size)])
    return said


def at_once(works: Sequence[Callable[[], object]]) -> None:
    """Do all of it at the same time, and return when all is done; raises what one of them does."""
    with ThreadPoolExecutor(len(works)) as threads:
        done = [threads.submit(work) for work in works]
    for one in done:
        one.result()
