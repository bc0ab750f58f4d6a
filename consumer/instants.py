"""Timestamps by column. Pure.

`telemetry.timestamps` is the definition. Here those that are written as nearly all devices write
them, "2026-02-10T10:00:00.000Z", are read digit by digit for a whole batch at once.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from telemetry.timestamps import parse_timestamp

UNREADABLE = np.iinfo(np.int64).min
"""Stands for what is no timestamp."""

_USUAL = "0000-00-00T00:00:00.000Z"
_DIGITS = np.array([place for place, char in enumerate(_USUAL) if char == "0"])
_MARKS = np.array([place for place, char in enumerate(_USUAL) if char != "0"])
_MARK_BYTES = np.frombuffer(_USUAL.encode(), np.uint8)[_MARKS]
_MOST = np.frombuffer(b"99999999" + b"295959" + b"999", np.uint8) - ord("0")
_HOUR, _HOURS = slice(8, 10), 24
# What a digit counts in the number of its date (20260210) and in the milliseconds since midnight.
_WORTH = np.zeros((len(_DIGITS), 2))
_WORTH[:8, 0] = 10.0 ** np.arange(7, -1, -1)
_WORTH[8:, 1] = [36e6, 36e5, 600e3, 60e3, 10e3, 1e3, 100, 10, 1]


def read_instants(texts: Sequence[str]) -> NDArray[np.int64]:
    """Return each in microseconds since 1970 UTC, and UNREADABLE where it is no timestamp."""
    if set(map(len, texts)) != {len(_USUAL)}:
        return np.array([_instant(text) for text in texts], np.int64)
    try:
        written = np.frombuffer("".join(texts).encode("ascii"), np.uint8)
    except UnicodeEncodeError:
        return np.array([_instant(text) for text in texts], np.int64)
    written = written.reshape(len(texts), len(_USUAL))
    digits = written[:, _DIGITS] - np.uint8(ord("0"))
    usual = (digits <= _MOST).all(axis=1) & (written[:, _MARKS] == _MARK_BYTES).all(axis=1)
    usual &= digits[:, _HOUR] @ np.array([10, 1], np.uint8) < _HOURS
    dates, milliseconds = (digits @ _WORTH).astype(np.int64).T
    known, days = np.unique(dates, return_inverse=True)
    # Few days make a batch: which dates there are is the definition's to say.
    midnights = np.array([_midnight(date) for date in known.tolist()], np.int64)[days]
    usual &= midnights != UNREADABLE
    instants: NDArray[np.int64] = midnights + milliseconds * 1_000
    for row in np.flatnonzero(~usual).tolist():
        instants[row] = _instant(texts[row])
    return instants


def _midnight(date: int) -> int:
    digits = f"{date:08}"
    return _instant(f"{digits[:4]}-{digits[4:6]}-{digits[6:]}T00:00:00Z")


def _instant(text: str) -> int:
    try:
        return parse_timestamp(text)
    except ValueError:
        return UNREADABLE
