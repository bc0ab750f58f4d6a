"""Many connections that ask at once, each again as soon as it is answered."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tests.attack.line import HOST, PATIENCE_S, REFUSED, Line

Ask = Callable[[int, int], bytes]
"""What a connection sends, by its number and by how often it has asked."""
_PAUSE_S = 0.05


def crowd(
    port: int,
    ask: Ask,
    *,
    size: int,
    seconds: float,
    source: str = HOST,
    patience: float = PATIENCE_S,
    pause: float = 0.0,
) -> Counter[str]:
    """Ask for `seconds` over `size` connections, and return how often each answer came.

    After a 429 or 503 a connection waits for the `pause`, which is 0 for an attacker.
    """
    deadline = time.monotonic() + seconds
    said: list[Counter[str]] = [Counter() for _ in range(size)]

    def one(number: int) -> None:
        asked = 0
        while time.monotonic() < deadline:
            try:
                with Line(port, source=source, patience=patience) as line:
                    while time.monotonic() < deadline:
                        line.send(ask(number, asked))
                        asked += 1
                        answer = line.answer()
                        said[number][answer.said] += 1
                        if not answer.headers:
                            break
                        if answer.said in {"429", "503"}:
                            time.sleep(pause)
            except OSError:
                said[number][REFUSED] += 1
                time.sleep(_PAUSE_S)

    at_once([partial(one, number) for number in range(size)])
    return sum(said, Counter())


def at_once(works: Sequence[Callable[[], object]]) -> None:
    """Do all of it at the same time, and return when all is done; raises what one of them does."""
    with ThreadPoolExecutor(len(works)) as threads:
        done = [threads.submit(work) for work in works]
    for one in done:
        one.result()
