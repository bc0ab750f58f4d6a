"""The elements of a body's array, found by brackets and commas alone. Pure.

A parser would make millions of objects before it could say that there are too many, and it rejects
the whole body if one element is nested too deep. This scan makes no objects: it reads the body
once, a piece at a time, and stops at the first element too many. Each element is judged by itself
afterwards; everything around the array must be JSON.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

# Bytes of a piece; each takes some tenths of a millisecond, and other threads run in between.
_PIECE = 1 << 16
# Fields of the body, the array among them; no honest client sends more.
_MOST_FIELDS = 100
_OPENS, _CLOSES, _COMMA, _QUOTE, _BACKSLASH = range(1, 6)
_KIND_OF = {
    **dict.fromkeys(b"[{", _OPENS),
    **dict.fromkeys(b"]}", _CLOSES),
    ord(","): _COMMA,
    ord('"'): _QUOTE,
    ord("\\"): _BACKSLASH,
}
_KINDS = bytes(_KIND_OF.get(byte, 0) for byte in range(256))
_STEPS = np.array((0, 1, -1, 0, 0, 0), np.int8)
_SPACE = b" \t\r\n"

Places = npt.NDArray[np.int64]
Kinds = npt.NDArray[np.uint8]


class NotSplit(ValueError):  # noqa: N818  what the body is
    """The body is not an object with a few fields; the message is the end of "the body …"."""


class TooMany(Exception):  # noqa: N818  what the elements are
    """An array holds more elements than it may."""


@dataclass(slots=True)
class Container:
    """The array or object of a field: the places of its begin, its end and its commas."""

    begin: int
    end: int = 0
    commas: list[int] = field(default_factory=list)

    def elements(self, body: bytes) -> Iterator[bytes]:
        """Yield the bytes between the commas, without the space around them."""
        begin = self.begin + 1
        for end in (*self.commas, self.end - 1):
            yield body[begin:end].strip(_SPACE)
            begin = end + 1


def containers(body: bytes, *, most: int) -> list[Container]:
    """Return the arrays and objects that are fields of the body, which is an object.

    Raises NotSplit, and TooMany if one of them holds more than `most` elements.
    """
    found: list[Container] = []
    fields = begun = 0
    is_closed = True
    for place, kind, level in _marks(body):
        if level == 1:
            fields += kind == _COMMA
            begun += kind == _OPENS
            if begun > 1:
                raise NotSplit("is not JSON")  # something follows its end
        elif kind == _OPENS:
            found.append(Container(place))
            is_closed = False
        elif kind == _CLOSES:
            found[-1].end = place + 1
            is_closed = True
        else:
            found[-1].commas.append(place)
            if len(found[-1].commas) == most:
                raise TooMany
        if max(fields, len(found)) > _MOST_FIELDS:
            raise NotSplit(f"has over {_MOST_FIELDS} fields")
    if not is_closed:
        raise NotSplit("is not JSON")
    return found


def _marks(body: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (place, kind, level) of the brackets and commas of the two outer levels."""
    at = depth = 0
    is_inside = False  # of a string
    while at < len(body):
        kinds: Kinds = np.frombuffer(body[at : at + _PIECE].translate(_KINDS), np.uint8)
        size = kinds.size
        places: Places = np.flatnonzero(kinds)
        kinds, cuts = _unescaped(kinds[places], places, size)
        quotes = kinds == _QUOTE
        inside = np.logical_xor.accumulate(quotes) ^ is_inside
        is_inside ^= bool(np.count_nonzero(quotes) % 2)
        outside = ~inside & (kinds > 0) & (kinds < _QUOTE)
        places, kinds = places[outside], kinds[outside]
        depths = np.cumsum(_STEPS[kinds], dtype=np.int32) + depth
        depth = int(depths[-1]) if depths.size else depth
        levels = depths + (kinds == _CLOSES)
        if np.any(levels < 1):
            raise NotSplit("is not JSON")
        outer = levels <= 2  # noqa: PLR2004  the object, and what its fields hold
        yield from zip(
            (places[outer] + at).tolist(),
            kinds[outer].tolist(),
            levels[outer].tolist(),
            strict=True,
        )
        at += size + cuts


def _unescaped(kinds: Kinds, places: Places, size: int) -> tuple[Kinds, bool]:
    """Return the kinds without backslashes and escaped quotes, and whether an escape is cut."""
    backslashes = kinds == _BACKSLASH
    if not backslashes.any():
        return kinds, False
    follows = np.zeros(kinds.size, bool)  # a backslash, directly
    follows[1:] = backslashes[:-1] & (np.diff(places) == 1)
    begins = np.maximum.accumulate(np.where(backslashes & ~follows, places, 0))
    escaped = np.zeros(kinds.size, bool)  # by a run of backslashes of odd length
    escaped[1:] = follows[1:] & ((places[1:] - begins[:-1]) % 2 == 1)
    is_cut = bool(backslashes[-1] and places[-1] == size - 1 and (places[-1] - begins[-1]) % 2 == 0)
    return np.where(backslashes | escaped, 0, kinds), is_cut
