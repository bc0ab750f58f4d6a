"""What came from outside, as text that only shows: in a terminal, and in a log for people. Pure.

A client, a device or a server may call itself anything. Escapes move a cursor, change a window's
title or put text into a clipboard; marks of direction turn a line around; a line break forges the
next line.
"""


def printable(text: str) -> str:
    r"""Return the text with all that is no letter, figure, sign or space escaped: `\x1b`, `\n`."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )
