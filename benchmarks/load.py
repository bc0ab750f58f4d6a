"""A steady load: the simulator sends a number of messages a second, by the clock.

It has as many devices as for a backlog. The higher the rate, the more often each is read.
"""

import sys

from benchmarks.backlog import DEVICES, new_fleet

SHORTEST_INTERVAL_S = 0.1
"""The simulator's own. A rate that would need a shorter one is reached with more devices."""


def steady_load(rate: float, *options: str) -> list[str]:
    """Return the command that sends `rate` messages/s without a ledger.

    `options` are the simulator's; without a `--duration` it goes on until it is stopped. The
    broker is the environment's.
    """
    interval = max(SHORTEST_INTERVAL_S, 2 * DEVICES / rate)
    devices = round(rate * interval / 2)
    command = ["producer_sim", "run", "--devices", str(devices), "--interval", f"{interval:.3f}"]
    return [sys.executable, "-m", *command, "--no-ledger", "--quiet", *new_fleet(), *options]
