"""JSON by the letter of RFC 8259, of bounded depth."""

import json
import re
from itertools import accumulate
from typing import NoReturn

MOST_LEVELS = 64
"""RFC 8259, section 9: a parser may bound how deep containers nest."""

# Strings, one that has no end included: what is left of a text has its brackets outside of strings.
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+\\?(?:"|\Z)', re.DOTALL)
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # one level deeper, or back: a signed byte
_OTHERS = bytes(set(range(256)) - set(b"[{]}"))


def parse_json(text: str) -> object:
    """Return what the text holds; every number is a float, of a repeated name the last counts.

    Raises ValueError where the text is not JSON, or more than 64 levels deep; NaN and Infinity are
    not JSON.
    """
    if is_too_deep(text):
        raise ValueError(f"more than {MOST_LEVELS} levels deep")
    return _loads(text)


def is_too_deep(text: str) -> bool:
    """Return whether containers nest too deep, in a text that is JSON up to there."""
    if text.count("[") + text.count("{") <= MOST_LEVELS:
        return False
    steps = _STRING.sub("", text).encode().translate(_STEPS, _OTHERS)
    return max(accumulate(memoryview(steps).cast("b")), default=0) > MOST_LEVELS


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


# One for all texts: `json.loads` would make one for each, which costs as much as reading a message.
_loads = json.JSONDecoder(parse_int=float, parse_constant=_refuse).decode
