"""`make kubernetes`: a real cluster on this machine, and the chart in it, under load."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from deploy.images.errors import ImageError, MissingEngineError
from deploy.local.errors import LocalStackError
from deploy.local.process import tail
from tests.kubernetes import images, kube, namespaces
from tests.kubernetes.errors import ClusterError, LackingError
from tests.kubernetes.scenario import SCENARIOS
from tests.kubernetes.trial import Trial, table_of

FAILED, WRONG_USE = 1, 2
LOGS = kube.FOLDER / "logs"
_INSIDE = "WATTLINE_KUBERNETES_FOLDER"
_NEEDED = {
    "go": "golang",
    "etcd": "etcd-server",
    "containerd": "containerd",
    "runc": "runc",
    "ip": "iproute2",
    "gcc": "gcc libc6-dev",
    "openssl": "openssl",
    "unshare": "util-linux",
    "setpriv": "util-linux",
}

console = Console(highlight=False, markup=False, width=140 if not sys.stdout.isatty() else None)


def main(
    *,
    only: Annotated[
        list[str] | None, typer.Option(help="only this scenario; may be given again")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="keep the cluster until Ctrl-C")] = False,
    show: Annotated[bool, typer.Option("--list", help="name the scenarios and stop")] = False,
) -> None:
    """Run etcd, an API server and two nodes, install the chart, and disturb it under load.

    Needs root: everything runs in namespaces of its own, and ends with them. Exit codes: 0 all
    held, 1 something did not, 2 wrong use, or this machine lacks a program.
    """
    if show:
        for scenario in SCENARIOS.values():
            console.print(f"{scenario.name:<26} {scenario.about}")
        return
    if unknown := set(only or ()) - SCENARIOS.keys():
        console.print(f"error: no scenario is named {', '.join(sorted(unknown))}; see --list")
        raise typer.Exit(WRONG_USE)
    try:
        code = _inside(only or list(SCENARIOS), keep=keep) if _INSIDE in os.environ else _outside()
    except (LackingError, MissingEngineError) as error:
        console.print(f"error: {error}")
        raise typer.Exit(WRONG_USE) from None
    except (ClusterError, ImageError, LocalStackError) as error:
        console.print(f"error: {error}")
        if error.log:
            for line in tail(error.log):
                console.print(f"  {line}", style="dim")
            console.print(f"log: {error.log}")
        raise typer.Exit(FAILED) from None
    raise typer.Exit(code)


def _outside() -> int:
    """Make what the cluster is made of, then run this program again in its namespaces."""
    _check_machine()
    kube.build(console.print)
    images.archive(console.print)
    # Removed from here, where nothing is mounted in it.
    with tempfile.TemporaryDirectory(prefix="wattline-kubernetes-") as folder:
        os.environ[_INSIDE] = folder
        return namespaces.run(["-m", "tests.kubernetes", *sys.argv[1:]], begun=_tell)


def _tell(pid: int) -> None:
    if "--keep" in sys.argv:
        console.print(f"to enter the cluster: nsenter --target {pid} --mount --net --pid bash")


def _inside(names: list[str], *, keep: bool) -> int:
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    trial = Trial(
        kube=kube.PROGRAM,
        archive=images.ARCHIVE,
        folder=Path(os.environ[_INSIDE]),
        logs=LOGS,
        names=names,
        console=console,
        keep=_wait if keep else None,
    )
    results = trial.run()
    console.print(table_of(results))
    if any(result.violations for result in results):
        console.print(f"logs: {LOGS}")
        return FAILED
    return 0


def _wait() -> None:
    console.print("the cluster is kept until Ctrl-C")
    try:
        signal.pause()
    except KeyboardInterrupt:
        console.print("ending")


def _check_machine() -> None:
    if os.geteuid() != 0:
        raise LackingError("a cluster is run by root: it makes namespaces and mounts")
    for program, package in _NEEDED.items():
        if shutil.which(program) is None:
            raise LackingError(f"{program} is not installed; on Debian: apt-get install {package}")
    if not Path("/usr/lib/cni/bridge").exists():
        raise LackingError(
            "the network plugins are not installed; on Debian: "
            "apt-get install containernetworking-plugins"
        )
    words = ["unshare", "--mount", "--net", "--pid", "--fork", "true"]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        raise LackingError("this machine lets root make no namespaces")


if __name__ == "__main__":
    typer.run(main)
