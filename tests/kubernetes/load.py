"""The load: readings of the simulator, a ledger of them, and what became of them."""

import contextlib
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from deploy.replica import ROOT
from producer_sim.oracle.verify import verify
from tests.kubernetes.errors import ClusterError
from tests.kubernetes.servers import Servers

GROUP = "telemetry-consumer"
PARTITIONS = 24
RATE = 500
DEVICES = 400
CHAOS = 0.02
_SECONDS_TO_END = 120.0
_SECONDS_TO_CATCH_UP = 180.0
_SHOWN = 3


@dataclass
class Load:
    """Flows one after the other, each with a ledger of its own."""

    servers: Servers
    folder: Path
    logs: Path
    _ledgers: list[Path] = field(default_factory=list)

    @contextlib.contextmanager
    def flowing(self) -> Iterator[None]:
        """Send readings until the block ends; raises ClusterError if the simulator fails."""
        ledger = self.folder / f"ledger-{len(self._ledgers)}"
        words = ["run", f"--devices={DEVICES}", f"--rate={RATE}", f"--chaos={CHAOS}"]
        words += ["--duration=72h", f"--fleet={uuid.uuid4().hex[:6]}", f"--ledger={ledger}"]
        log = self.logs / "simulator.log"
        with log.open("ab") as output:
            simulator = subprocess.Popen(
                [sys.executable, "-m", "producer_sim", *words, "--quiet"],
                cwd=ROOT,
                env={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": self.servers.bootstrap},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            yield
            ended = simulator.poll()
            simulator.send_signal(signal.SIGTERM)
            code = simulator.wait(_SECONDS_TO_END)
            if ended is not None or code:
                raise ClusterError(f"the simulator ended with {code}", log=log)
        finally:
            simulator.kill()
            simulator.wait()
        self._ledgers.append(ledger)

    def verify(self) -> tuple[int, list[str]]:
        """Compare all that was sent so far with all that is stored: messages, violations."""
        report = verify(
            self._ledgers,
            database_url=self.servers.database_url,
            consumer_group=GROUP,
            exact=True,
            wait_seconds=_SECONDS_TO_CATCH_UP,
        )
        violations = []
        for check in report.checks:
            if check.violations:
                examples = "; ".join(map(str, check.examples[:_SHOWN]))
                violations.append(f"{check.name}: {check.violations}, as {examples}")
        return report.totals.get("messages", 0), violations
