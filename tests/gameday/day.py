"""The course of a game day: one thing breaks, it is seen, it is mended, and all is well."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.faults.progress import Stalled
from tests.gameday.breakages import Breakage
from tests.gameday.prometheus import Alert
from tests.gameday.scene import Scene

CALM_S = 90.0
"""The longest wait for an alert, in its own time, and for all of them to clear, beyond `for`."""
LOOK_S = 1.0
# So many readings show that they flow again, before the flow is ended.
FLOWS_AGAIN = 500
# A log of an outage is short, but a flood of lines must not hide the alerts.
_MOST_LINES = 6

Say = Callable[[str], None]


@dataclass
class Day:
    """What became of it. `found` is what did not go as it should."""

    alert_after_s: float | None = None
    cleared_after_s: float | None = None
    found: list[str] = field(default_factory=list)


class Watch:
    """Tells what is new to see: alerts that are raised or clear, readiness, lines of the logs."""

    def __init__(self, scene: Scene, say: Say) -> None:
        self._scene = scene
        self._say = say
        self._begun = time.monotonic()
        self._alerts: set[Alert] = set()
        self._ready: dict[str, str] = {}

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun

    def look(self) -> set[str]:
        """Tell what is new, and return the names of the alerts that are raised."""
        alerts = self._scene.prometheus.alerts()
        for one in sorted(alerts - self._alerts):
            if not any(_same(one, other) for other in self._alerts):
                self._tell(f"alert {one.name} ({one.severity}): {one.summary} See {one.runbook}")
        for one in sorted(self._alerts - alerts):
            if not any(_same(one, other) for other in alerts):
                self._tell(f"cleared {one.name}")
        self._alerts = alerts
        ready = self._scene.readiness()
        for name, state in ready.items():
            if self._ready.get(name, "ready") != state:
                self._tell(f"{name} is {state}")
        self._ready = ready
        news = self._scene.news()
        for line in news[:_MOST_LINES]:
            self._tell(line)
        if len(news) > _MOST_LINES:
            self._tell(f"and {len(news) - _MOST_LINES} more lines")
        return {one.name for one in alerts}

    def until(self, condition: Callable[[set[str]], bool], *, seconds: float) -> bool:
        """Look until the condition holds of the raised alerts; return whether it did in time."""
        deadline = time.monotonic() + seconds
        while not condition(self.look()):
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_S)
        return True

    @property
    def is_ready(self) -> bool:
        return set(self._ready.values()) == {"ready"}

    def _tell(self, line: str) -> None:
        self._say(f"  {self.seconds:5.0f} s  {line}")


def _same(one: Alert, other: Alert) -> bool:
    """Return whether they are one alert, with another value in its text at most."""
    return (one.name, one.labels) == (other.name, other.labels)


def run_day(scene: Scene, breakage: Breakage, *, alert_s: float, hold_s: float, say: Say) -> Day:
    """Break, watch until its alert is raised, wait `hold_s` more, mend, and watch until all clear.

    `alert_s`: how long the alert may take.
    """
    day = Day()
    watch = Watch(scene, lambda _: None)
    if not watch.until(lambda alerts: not alerts and watch.is_ready, seconds=CALM_S):
        day.found.append("all was not well before anything was broken")
        return day
    say("All is well. Now something breaks. What an operator sees, from then on:")
    watch = Watch(scene, say)
    with breakage.broken(scene):
        if watch.until(lambda alerts: breakage.alert in alerts, seconds=alert_s):
            day.alert_after_s = watch.seconds
        else:
            day.found.append(f"the alert {breakage.alert} was not raised in {alert_s:.0f} s")
        if hold_s:
            say(f"It is mended in {hold_s:.0f} s. For the runbook's commands:")
            say(f"  source {scene.environment_file}")
            watch.until(lambda _: False, seconds=hold_s)
        say("Now it is mended.")
    mended_at = watch.seconds
    if watch.until(lambda alerts: not alerts and watch.is_ready, seconds=alert_s + CALM_S):
        day.cleared_after_s = watch.seconds - mended_at
    else:
        day.found.append("not all alerts have cleared, or a process is not ready")
    say("All readings are compared with what is stored.")
    try:
        scene.world.progress.wait_for_more(FLOWS_AGAIN)
        day.found += scene.world.judge()
    except (Stalled, subprocess.TimeoutExpired) as error:
        day.found.append(str(error))
    return day
