"""JSON by the letter of RFC 8259, of any depth.

The standard library's parser does the work. It stops at about a thousand levels; the text of
a hostile message may nest deeper and still be JSON, so such a text is checked by a scanner
without recursion that cuts out what lies below the second level: a reading in its envelope.
"""

import json
import re
from typing import NoReturn

_TOKEN = re.compile(
    r"[ \t\n\r]*(?:(?P<mark>[{}\[\]:,])"
    r'|(?P<string>"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+")'
    r"|(?P<scalar>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?|true|false|null))"
)
_BLANK = " \t\n\r"
KEPT_LEVELS = 2
_ALLOWED = {
    "value": {"{", "[", "string", "scalar"},
    "value or end": {"{", "[", "string", "scalar", "]"},
    "name": {"string"},
    "name or end": {"string", "}"},
    "colon": {":"},
    "comma or end": {",", "}", "]"},
    "end of text": set[str](),
}
_OPENED_BY = {"}": "{", "]": "["}


def parse_json(text: str) -> object:
    """Return what the text holds; every number is a float, of a repeated name the last counts.

    Containers more than a thousand levels deep may come back empty below the second level.
    Raises ValueError where the text is not JSON; NaN and Infinity are not.
    """
    try:
        return _loads(text)
    except RecursionError:
        if text.rstrip(_BLANK)[-1] not in "}]":  # a flood of openings, which takes long to scan
            raise ValueError("containers are not closed") from None
        return _loads(cut_nested(text))


def cut_nested(text: str) -> str:  # noqa: C901  one automaton, in one place
    """Return the text with every container below the second level emptied.

    Raises ValueError where the text is not JSON.
    """
    kept: list[str] = []
    enclosing: list[str] = []
    expected = "value"
    position = 0
    while (token := _TOKEN.match(text, position)) is not None:
        position = token.end()
        kind = token["mark"] or ("string" if token["string"] else "scalar")
        if kind not in _ALLOWED[expected]:
            raise ValueError(f"unexpected token at {token.start()}")
        level = len(enclosing)
        if kind in "{[":
            enclosing.append(kind)
            expected = "name or end" if kind == "{" else "value or end"
        elif kind in "}]":
            if enclosing.pop() != _OPENED_BY[kind]:
                raise ValueError("unbalanced containers")
            level -= 1
            expected = "comma or end" if enclosing else "end of text"
        elif kind == ",":
            expected = "name" if enclosing[-1] == "{" else "value"
        elif kind == ":":
            expected = "value"
        elif expected in ("name", "name or end"):
            expected = "colon"
        else:
            expected = "comma or end" if enclosing else "end of text"
        if level <= KEPT_LEVELS:
            kept.append(token[0])
    if expected != "end of text" or text[position:].strip(_BLANK):
        raise ValueError(f"unexpected text at {position}")
    return "".join(kept)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


# One for all texts: `json.loads` would make one for each, which costs as much as reading a message.
_loads = json.JSONDecoder(parse_int=float, parse_constant=_refuse).decode
