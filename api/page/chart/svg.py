"""SVG as text: escaped tags, numbers, and paths. Pure.

No element has a `style`, which the pages' content security policy forbids.
"""

from collections.abc import Sequence

from markupsafe import Markup, escape

Point = tuple[float, float]


def number(value: float) -> str:
    """Return the number to a tenth of a pixel, which is as fine as can be seen."""
    return f"{value:.1f}".removesuffix(".0")


def tag(name: str, *children: str, **attributes: object) -> Markup:
    """Return an element; text is escaped.

    Of an attribute's name a trailing underscore is removed, and others become hyphens.
    """
    written = [
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    ]
    inside = Markup().join(children)
    return Markup(f"<{name}{''.join(written)}>{inside}</{name}>")  # noqa: S704  both are escaped


def path(lines: Sequence[Sequence[Point]]) -> str:
    """Return the `d` of lines that are not joined with each other; one of one point is a dot."""
    return "".join(
        "M"
        + "L".join(f"{number(x)} {number(y)}" for x, y in line)
        # A line of no length is drawn by its round ends.
        + ("h0" if len(line) == 1 else "")
        for line in lines
        if line
    )


def area(lines: Sequence[Sequence[Point]], base: float) -> str:
    """Return the `d` of the areas between the lines and `base`."""
    return "".join(
        f"M{number(line[0][0])} {number(base)}L"
        + "L".join(f"{number(x)} {number(y)}" for x, y in line)
        + f"L{number(line[-1][0])} {number(base)}Z"
        for line in lines
        if line
    )


def _value(value: object) -> str:
    return number(value) if isinstance(value, float) else str(escape(value))
