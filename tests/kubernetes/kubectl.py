"""kubectl, with a bound on every call."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.kubernetes.errors import ClusterError

_SECONDS = 60.0


@dataclass(frozen=True)
class Kubectl:
    """Commands for one cluster. Each raises ClusterError if it fails or takes too long."""

    program: Path
    kubeconfig: Path
    namespace: str = "wattline"

    def __call__(self, *words: str, given: str | None = None, seconds: float = _SECONDS) -> str:
        """Run a command and return what it prints; `given` is its input."""
        done = self.attempt(*words, given=given, seconds=seconds)
        if done.returncode:
            raise ClusterError(f"kubectl {' '.join(words[:4])}: {last_line(done.stderr)}")
        return done.stdout

    def attempt(
        self, *words: str, given: str | None = None, seconds: float = _SECONDS
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command that may fail; raises ClusterError only if it takes too long."""
        access = [f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}"]
        try:
            return subprocess.run(
                [str(self.program), "kubectl", *access, *words],
                input=given or "",
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ClusterError(
                f"kubectl {' '.join(words[:4])} did not end within {seconds:.0f} s"
            ) from None

    def get(self, *words: str) -> dict[str, Any]:
        """Return what `kubectl get` says, as JSON."""
        answer: dict[str, Any] = json.loads(self("get", *words, "--output=json"))
        return answer

    def apply(self, *resources: dict[str, Any]) -> None:
        """Make or change resources."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(resources)}
        self("apply", "--server-side", "--filename=-", given=json.dumps(items))

    def is_ready(self) -> bool:
        """Return whether the API server answers that it is ready."""
        return self.attempt("get", "--raw=/readyz", "--request-timeout=3s").returncode == 0


def last_line(text: str) -> str:
    """Return the last line of what a program has printed."""
    return (text.strip().splitlines() or ["it says nothing"])[-1]
