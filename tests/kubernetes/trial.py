"""One run: the cluster, the release, and each scenario under load with its verdict."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from deploy.stored_offsets import watched
from tests.kubernetes import cluster as clusters
from tests.kubernetes import scenarios  # noqa: F401  registers them
from tests.kubernetes.errors import ClusterError
from tests.kubernetes.load import GROUP, Load
from tests.kubernetes.release import Release
from tests.kubernetes.scenario import SCENARIOS, Bench, Scenario
from tests.kubernetes.stands import LOOK_S, Stand, Stands


@dataclass
class Result:
    """What became of a scenario; `violations` is empty if it held."""

    name: str
    seconds: float = 0.0
    stand: Stand | None = None
    messages: int = 0
    remarks: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What is tried, with which program and images, and how it is told."""

    kube: Path
    archive: Path
    folder: Path
    """An empty one, with a short path, for the paths of sockets are short."""
    logs: Path
    names: Sequence[str]
    console: Console
    keep: Callable[[], None] | None = None
    """Called before the cluster ends."""

    def run(self) -> list[Result]:
        """Raises ClusterError, LocalStackError."""
        begun = time.monotonic()
        with clusters.running(
            self.kube, self.archive, self.folder, logs=self.logs, say=self.console.print
        ) as cluster:
            self.console.print(f"the cluster is up after {time.monotonic() - begun:.0f} s")
            release, begun = Release(cluster), time.monotonic()
            release.install()
            self.console.print(f"the chart is installed after {time.monotonic() - begun:.0f} s")
            load, stands = Load(cluster.servers, self.folder, self.logs), Stands()
            bench = Bench(cluster, release, stands)
            with watched(
                stands.note,
                database_url=cluster.servers.database_url,
                consumer_group=GROUP,
                interval_s=LOOK_S,
            ):
                results = [self._provoke(SCENARIOS[one], bench, load) for one in self.names]
            if self.keep:
                self.keep()
        return results

    def _provoke(self, scenario: Scenario, bench: Bench, load: Load) -> Result:
        self.console.print(f"{scenario.name}: {scenario.about}")
        result = Result(scenario.name)
        bench.remarks, bench.violations, bench.stand = result.remarks, result.violations, None
        try:
            with self.console.status("under load"), load.flowing():
                bench.settled()
                begun = time.monotonic()
                bench.stands.begin()
                scenario.act(bench)
                bench.settled()
                result.seconds = time.monotonic() - begun
                result.stand = bench.stand or bench.stands.end()
            with self.console.status("comparing what is stored with what was sent"):
                result.messages, differences = load.verify()
            result.violations += differences
        except ClusterError as error:
            result.violations.append(str(error))
        for line in result.remarks:
            self.console.print(f"  {line}")
        for line in result.violations:
            self.console.print(f"  violation: {line}")
        if result.stand:
            self.console.print(
                f"  after {result.seconds:.0f} s; a partition stood at most "
                f"{result.stand.of_one:.1f} s, all of them {result.stand.of_all:.1f} s"
            )
        return result


def table_of(results: Sequence[Result]) -> Table:
    """Return the results for people."""
    table = Table("scenario", "seconds", "longest stand, s", "all stood, s", "messages", "verdict")
    for one in results:
        stands = (f"{one.stand.of_one:.1f}", f"{one.stand.of_all:.1f}") if one.stand else ("", "")
        verdict = "violated" if one.violations else "clean"
        table.add_row(one.name, f"{one.seconds:.0f}", *stands, f"{one.messages:,}", verdict)
    return table
