"""Which meters charged vehicles, and from when to when they have to be read."""

from collections.abc import Sequence

import numpy as np

from energy.sides import Parts
from energy.stored.histories import Span
from energy.stored.times import as_datetime


def extents(parts: Parts, bound: Sequence[str]) -> tuple[Parts, list[str], list[Span]]:
    """Leave out the meters that charged none; return the others, and from when to when they did.

    `bound` are the ids of the meters by their places in `parts`; the places in what is returned are
    those among the meters that are left.
    """
    which, devices = np.unique(parts.device, return_inverse=True)
    starts = np.full(len(which), np.iinfo(np.int64).max)
    ends = np.full(len(which), np.iinfo(np.int64).min)
    np.minimum.at(starts, devices, parts.starts)
    np.maximum.at(ends, devices, parts.ends)
    meters = [bound[place] for place in which.tolist()]
    spans = [
        (meter, as_datetime(start), as_datetime(end))
        for meter, start, end in zip(meters, starts.tolist(), ends.tolist(), strict=True)
    ]
    return Parts(parts.owner, devices, parts.starts, parts.ends), meters, spans
