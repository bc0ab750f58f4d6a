"""Strict JSON, as RFC 8259 defines it, of limited depth. Pure."""

import json
import re
from itertools import accumulate
from typing import NoReturn

MOST_LEVELS = 64
"""A parser may limit how deep containers nest (RFC 8259, section 9)."""

# A string, also one without an end. Without these, all brackets of a text are structure.
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+\\?(?:"|\Z)', re.DOTALL)
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # a level down or up: 1 or -1, as a byte
_OTHERS = bytes(set(range(256)) - set(b"[{]}"))


def parse_json(text: str) -> object:
    """Return the value of the text; every number is a float, of a repeated name the last counts.

    Raises ValueError if the text is not JSON or more than 64 levels deep. NaN and Infinity are
    not JSON.
    """
    if is_too_deep(text):
        raise ValueError(f"more than {MOST_LEVELS} levels deep")
    return _loads(text)


def is_too_deep(text: str) -> bool:
    """Return whether containers nest too deep, in a text that is JSON up to that depth.

    The text is counted, not the parsed value: the parser recurses, and of a repeated name it drops
    the earlier values, however deep.
    """
    if text.count("[") + text.count("{") <= MOST_LEVELS:
        return False
    steps = _STRING.sub("", text).encode().translate(_STEPS, _OTHERS)
    return max(accumulate(memoryview(steps).cast("b")), default=0) > MOST_LEVELS


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


# Made once: `json.loads` would make one for each text, which costs as much as reading a message.
_loads = json.JSONDecoder(parse_int=float, parse_constant=_refuse).decode
