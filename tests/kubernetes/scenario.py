"""A scenario: something that is done to the cluster under load, and what must hold meanwhile."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.kubernetes.cluster import Cluster
from tests.kubernetes.errors import ClusterError
from tests.kubernetes.load import PARTITIONS
from tests.kubernetes.processes import wait_until
from tests.kubernetes.release import CONSUMER, Release
from tests.kubernetes.stands import Stand, Stands

SECONDS = 300.0
CONSUMERS = "app.kubernetes.io/component=consumer"


@dataclass
class Bench:
    """What a scenario acts on, and what it notes."""

    cluster: Cluster
    release: Release
    stands: Stands
    remarks: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    stand: Stand | None = None
    """Measured by the scenario itself, where the whole of it would say something else."""

    def expect(self, truth: object, otherwise: str) -> None:
        """Note a violation unless the condition holds."""
        if not truth:
            self.violations.append(otherwise)

    def settled(self) -> None:
        """Wait until every partition has moved on."""
        self.stands.wait_for_all(PARTITIONS, seconds=SECONDS)

    def pods(self) -> list[dict[str, Any]]:
        """Return the consumer's pods that are not on their way out."""
        pods: list[dict[str, Any]] = self.cluster.kubectl.get("pods", f"-l{CONSUMERS}")["items"]
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def rolled_out(self, what: str = CONSUMER) -> None:
        """Wait until all replicas are those that are asked for, and ready."""
        self.cluster.kubectl(
            "rollout", "status", what, f"--timeout={SECONDS:.0f}s", seconds=SECONDS + 30
        )

    def scale(self, replicas: int, what: str = CONSUMER) -> None:
        """Scale, and wait until so many are ready and the others are gone."""
        self.cluster.kubectl("scale", what, f"--replicas={replicas}")
        self.rolled_out(what)
        wait_until(
            f"{replicas} pods are left",
            lambda: len(self.all_pods()) == replicas,
            seconds=SECONDS,
        )

    def all_pods(self) -> list[str]:
        """Return the names of the consumer's pods, also of those that are ending."""
        names = self.cluster.kubectl("get", "pods", f"-l{CONSUMERS}", "--output=name")
        return names.split()

    def attempt_eviction(self, pod: str) -> str:
        """Ask for an eviction, and return what the API server says: nothing if it is granted."""
        kubectl = self.cluster.kubectl
        path = f"/api/v1/namespaces/{kubectl.namespace}/pods/{pod}/eviction"
        body = f'{{"apiVersion":"policy/v1","kind":"Eviction","metadata":{{"name":"{pod}"}}}}'
        done = kubectl.attempt("create", f"--raw={path}", "--filename=-", given=body)
        return done.stderr.strip() if done.returncode else ""


@dataclass(frozen=True)
class Scenario:
    """Its name is its function's, and what it is about its docstring's first line."""

    name: str
    about: str
    act: Callable[[Bench], None]


SCENARIOS: dict[str, Scenario] = {}


def scenario(act: Callable[[Bench], None]) -> Callable[[Bench], None]:
    """Register a scenario; they run in the order of the file."""
    assert act.__doc__
    SCENARIOS[act.__name__] = Scenario(act.__name__, act.__doc__.splitlines()[0], act)
    return act


def only(pods: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the first of the pods; raises ClusterError if there is none."""
    if not pods:
        raise ClusterError("there is no pod of the consumer")
    return pods[0]
