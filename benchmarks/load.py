"""A steady load: the simulator, sending so many messages a second by the clock.

As many devices as a backlog has, whose readings come the more often the higher the rate is.
"""

import sys

from benchmarks.backlog import DEVICES, new_fleet

SHORTEST_INTERVAL_S = 0.1
"""The simulator's; for a rate that would take a shorter one, there are more devices."""


def steady_load(rate: float, *options: str) -> list[str]:
    """Return the command that sends `rate` messages/s without a ledger.

    `options` are the simulator's; without a `--duration` it goes on until it is stopped. The
    broker is the environment's.
    """
    interval = max(SHORTEST_INTERVAL_S, 2 * DEVICES / rate)
    devices = round(rate * interval / 2)
    command = ["producer_sim", "run", "--devices", str(devices), "--interval", f"{interval:.3f}"]
    return [sys.executable, "-m", *command, "--no-ledger", "--quiet", *new_fleet(), *options]
