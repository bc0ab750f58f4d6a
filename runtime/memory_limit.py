"""How much memory this process may take: the limit of its control group, if there is one.

A container's limit is its group's. See "Control Group v2" in the kernel's manual, and
"cgroup-v1/memory".
"""

from collections.abc import Iterator
from pathlib import Path

# Version 1 has no word for "none": it says the largest number of whole pages.
_NONE_FROM = 1 << 60


def memory_limit(root: Path = Path("/")) -> int | None:
    """Return the lowest limit of this process's group and of those above it, in bytes, or None.

    `root` has the folders proc and sys.
    """
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    limits = [limit for line in groups for limit in _limits(root / "sys/fs/cgroup", line)]
    return min(limits, default=None)


def _limits(mounted: Path, line: str) -> Iterator[int]:
    """Yield the limits along the path of one line of /proc/self/cgroup."""
    _, controllers, path = line.split(":", 2)
    if controllers == "":
        name = "memory.max"
    elif "memory" in controllers.split(","):
        mounted, name = mounted / controllers, "memory.limit_in_bytes"
    else:
        return
    # In a container the path may be that of the host, and what is mounted is the group itself.
    group = mounted / path.lstrip("/")
    for one in (group, *group.parents):
        if not one.is_relative_to(mounted):
            return
        try:
            limit = int((one / name).read_text())
        except (OSError, ValueError):  # not there, or "max"
            continue
        if limit < _NONE_FROM:
            yield limit
