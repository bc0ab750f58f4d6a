"""Counters of which nothing is heard while a charge begins or ends."""

from producer_sim.devices.quirks.charges import MINUTE_US
from producer_sim.devices.quirks.device import Register


class Silences(Register):
    """It is silent from 6 to 25 minutes before each edge of a charge until as long after it."""

    def sent(self, at: int) -> tuple[int, ...]:
        return () if self._is_silent(at) else (at,)

    def _is_silent(self, at: int) -> bool:
        charges, life = self.life.charges, self.life
        before = life.drawn("before", 6, 26) * MINUTE_US
        after = life.drawn("after", 6, 26) * MINUTE_US
        number = charges.begun(at + before) - 1
        if number < 0:
            return False
        return any(
            # A reading follows each silence: otherwise its energy would never be told.
            edge - before < at < edge + after and edge + after <= life.last_at
            for edge in (charges.begins(number), charges.ends(number))
        )
