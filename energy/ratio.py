"""DC over AC, of whole nanokilowatt-hours; None for what is not known."""

from decimal import ROUND_HALF_UP, Decimal

_TENTH = Decimal("0.1")


def ratio(ac: int | None, dc: int | None) -> float | None:
    """Return DC over AC; None if either is not known, or no AC was drawn."""
    return None if dc is None or not ac else dc / ac


def percentage(ac: int | None, dc: int | None) -> float | None:
    """Return DC over AC in per cent, rounded to a tenth: for reading only."""
    if dc is None or not ac:
        return None
    return float((Decimal(100 * dc) / ac).quantize(_TENTH, ROUND_HALF_UP))
