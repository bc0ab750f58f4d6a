"""Timestamps of a batch → microseconds, by column. Pure.

`telemetry.timestamps` is the definition. Here the form that nearly all devices write,
"2026-02-10T10:00:00.000Z", is read digit by digit for a whole batch at once. A timestamp in another
form takes longer itself, and costs the others nothing.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from telemetry.timestamps import parse_timestamp

UNREADABLE = np.iinfo(np.int64).min
"""Stands for a text that is not a timestamp."""

_HOUR, _HOURS = slice(8, 10), 24
_TIME_WORTH_US = [36e9, 36e8, 600e6, 60e6, 10e6, 1e6, 1e5, 1e4, 1e3, 100, 10, 1]


class _Form:
    """One way to write a timestamp, given as "0000-00-00T00:00:00.000Z": 0 stands for a digit."""

    def __init__(self, form: str) -> None:
        stamp = form.removesuffix("+00:00")
        self._digits = np.array([place for place, char in enumerate(stamp) if char == "0"])
        self._marks = np.setdiff1d(np.arange(len(form)), self._digits)
        self._mark_bytes = np.frombuffer(form.encode(), np.uint8)[self._marks]
        fraction = len(self._digits) - 14
        most = b"99999999" + b"295959" + b"9" * fraction
        self._most = np.frombuffer(most, np.uint8) - ord("0")
        # What each digit is worth in the number of its date (20260210), and in the time of day.
        self._worth = np.zeros((len(self._digits), 2))
        self._worth[:8, 0] = 10.0 ** np.arange(7, -1, -1)
        self._worth[8:, 1] = _TIME_WORTH_US[: 6 + fraction]

    def read(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return what `read_instants` does of texts that are all as long as the form."""
        text = "".join(texts).encode("ascii", "replace")
        written = np.frombuffer(text, np.uint8).reshape(len(texts), -1)
        digits = written[:, self._digits] - np.uint8(ord("0"))
        usual = (digits <= self._most).all(axis=1)
        usual &= (written[:, self._marks] == self._mark_bytes).all(axis=1)
        usual &= digits[:, _HOUR] @ np.array([10, 1], np.uint8) < _HOURS
        dates, times = (digits @ self._worth).astype(np.int64).T
        known, days = np.unique(dates, return_inverse=True)
        # A batch has few different days, so the definition can say which of them exist.
        midnights = np.array([_midnight(date) for date in known.tolist()], np.int64)[days]
        usual &= midnights != UNREADABLE
        instants: NDArray[np.int64] = midnights + times
        for row in np.flatnonzero(~usual).tolist():
            instants[row] = _instant(texts[row])
        return instants


_FORMS = {
    len(form): _Form(form)
    for fraction in ("", ".000", ".000000")
    for zone in ("Z", "+00:00")
    for form in [f"0000-00-00T00:00:00{fraction}{zone}"]
}
"""By length: no two have the same."""


def read_instants(texts: Sequence[str]) -> NDArray[np.int64]:
    """Return n texts as (n) microseconds since 1970 UTC; UNREADABLE for what is not a timestamp."""
    instants = np.empty(len(texts), np.int64)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    for length in set(lengths.tolist()):
        rows = np.flatnonzero(lengths == length)
        alike = texts if len(rows) == len(texts) else [texts[row] for row in rows.tolist()]
        form = _FORMS.get(length)
        instants[rows] = form.read(alike) if form else list(map(_instant, alike))
    return instants


def _midnight(date: int) -> int:
    digits = f"{date:08}"
    return _instant(f"{digits[:4]}-{digits[4:6]}-{digits[6:]}T00:00:00Z")


def _instant(text: str) -> int:
    try:
        return parse_timestamp(text)
    except ValueError:
        return UNREADABLE
