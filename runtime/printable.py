"""Text from outside, made safe to show in a terminal or in a log for people. Pure.

A client, a device or a server may have any name. Escape sequences move the cursor, change the
window's title or fill the clipboard; direction marks reverse a line; a line break forges another.
"""


def printable(text: str) -> str:
    r"""Return the text with every character that is not printable escaped: `\x1b`, `\n`."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )
