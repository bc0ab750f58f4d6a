"""SVG as text: escaped tags, numbers, and lines that break at gaps. Pure.

Nothing has a `style`: the pages' content security policy lets in classes and attributes only.
"""

from collections.abc import Sequence

from markupsafe import Markup, escape

Point = tuple[float, float]


def number(value: float) -> str:
    """Return the number with a tenth of a pixel, which is as fine as can be seen."""
    return f"{value:.1f}".removesuffix(".0")


def tag(name: str, *children: str, **attributes: object) -> Markup:
    """Return an element; text is escaped, a trailing underscore goes and others become hyphens."""
    written = [
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    ]
    inside = Markup().join(children)
    return Markup(f"<{name}{''.join(written)}>{inside}</{name}>")  # noqa: S704  both are escaped


def path(lines: Sequence[Sequence[Point]]) -> str:
    """Return the `d` of lines that are not joined; a line of one point is a dot."""
    return "".join(
        "M"
        + "L".join(f"{number(x)} {number(y)}" for x, y in line)
        # Of no length, it is drawn by its round ends.
        + ("h0" if len(line) == 1 else "")
        for line in lines
        if line
    )


def area(lines: Sequence[Sequence[Point]], base: float) -> str:
    """Return the `d` of the areas between lines and a height."""
    return "".join(
        f"M{number(line[0][0])} {number(base)}L"
        + "L".join(f"{number(x)} {number(y)}" for x, y in line)
        + f"L{number(line[-1][0])} {number(base)}Z"
        for line in lines
        if line
    )


def _value(value: object) -> str:
    return number(value) if isinstance(value, float) else str(escape(value))
