"""Ctrl-C and SIGTERM: the first asks for a clean end, the second for one without waiting."""

import signal
from types import FrameType
from typing import Self


class Stop:
    """Counts the signals that arrive while this context is entered."""

    def __init__(self) -> None:
        self._signals = 0
        self._before: dict[signal.Signals, object] = {}

    @property
    def requested(self) -> bool:
        return self._signals > 0

    @property
    def urgent(self) -> bool:
        return self._signals > 1

    def request(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        self._signals += 1

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self.request)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # the value that signal.signal returned
