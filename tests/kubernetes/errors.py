"""What ends a run of the cluster, each as one line."""

from pathlib import Path


class ClusterError(Exception):
    """A part of the cluster failed; `log` is its log, if it has one."""

    def __init__(self, message: str, *, log: Path | None = None) -> None:
        super().__init__(message)
        self.log = log


class LackingError(ClusterError):
    """This machine lacks what a cluster needs; nothing was tried."""
