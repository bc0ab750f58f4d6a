"""When a device's samples are wrong: one to three in a row, once in every two hours."""

from producer_sim.devices.quirks.charges import HOUR_US
from producer_sim.devices.quirks.device import Life

_BLOCK_US = 2 * HOUR_US
_LONGEST = 3


def is_wrong(life: Life, at: int) -> bool:
    """Return whether the sample of a whole interval is wrong.

    A good one follows within the hour, and the first and the last hour of a run are good.
    """
    block, within = divmod(at, _BLOCK_US)
    begins = block * _BLOCK_US
    if begins < life.start + HOUR_US or begins + _BLOCK_US > life.end - HOUR_US:
        return False
    slots = _BLOCK_US // life.interval_us
    first = life.drawn(f"mishap {block}", 1, slots - _LONGEST)
    count = life.drawn(f"samples {block}", 1, _LONGEST + 1)
    return first <= within // life.interval_us < first + count


def last_right(life: Life, at: int) -> int:
    """Return the whole interval of the last right sample at or before one."""
    while is_wrong(life, at):
        at -= life.interval_us
    return at
