"""Sets of times. A span is start < t <= end, in microseconds since 1970. Pure."""

Span = tuple[int, int]


def without(spans: list[Span], others: list[Span]) -> list[Span]:
    """Return the spans less the others."""
    left = joined(spans)
    for start, end in others:
        left = [
            piece
            for first, last in left
            for piece in ((first, min(last, start)), (max(first, end), last))
            if piece[0] < piece[1]
        ]
    return left


def joined(spans: list[Span]) -> list[Span]:
    """Return the spans in order, with those that touch or overlap merged."""
    made: list[Span] = []
    for start, end in sorted(spans):
        if made and start <= made[-1][1]:
            made[-1] = made[-1][0], max(end, made[-1][1])
        else:
            made.append((start, end))
    return made


def clipped(spans: list[Span], start: int, end: int) -> list[Span]:
    """Return what of the spans lies within start < t <= end."""
    cut = [(max(first, start), min(last, end)) for first, last in spans]
    return [span for span in cut if span[0] < span[1]]
