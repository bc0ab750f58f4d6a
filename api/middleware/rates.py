"""Rates: how often each caller has asked lately, in bounded memory. Pure; time is an argument.

No library is used: those at hand keep every name for minutes and scan all of them with each
request, so many addresses would be an attack.
"""

import ipaddress
from collections import Counter
from math import floor

_MINUTE_S = 60.0
_MOST_CALLERS = 20_000
_OTHERS = ""
# One household or server has a /64, and can use another address of it for each request.
_IPV6_PREFIX = 64


class Rates:
    """A bound on the requests of one caller in a sliding minute.

    Of the minute before, only the share counts that the sliding minute still covers. Once
    `most_callers` are known, all further callers share one rate.
    """

    def __init__(self, per_minute: int, *, most_callers: int = _MOST_CALLERS) -> None:
        self.per_minute = per_minute
        self._most_callers = most_callers
        self._minute = 0.0
        self._before: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()

    def admits(self, caller: str, now: float) -> bool:
        """Return whether a request at `now` (seconds) is within the rate, and count it if so."""
        if not self.per_minute:
            return True
        self._turn(now)
        if caller not in self._counts and len(self._counts) >= self._most_callers:
            caller = _OTHERS
        reaching_back = 1 - (now - self._minute) / _MINUTE_S
        counted = self._before[caller] * reaching_back + self._counts[caller]
        if floor(counted) >= self.per_minute:
            return False
        self._counts[caller] += 1
        return True

    def _turn(self, now: float) -> None:
        minute = now - now % _MINUTE_S
        if minute != self._minute:
            is_next = minute - self._minute == _MINUTE_S
            self._before = self._counts if is_next else Counter()
            self._counts = Counter()
            self._minute = minute


def network_of(address: str) -> str:
    """Return what counts as one caller: an IPv4 address, or the /64 of an IPv6 address."""
    if ":" not in address:
        return address
    try:
        found = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(found), _IPV6_PREFIX), strict=False))
