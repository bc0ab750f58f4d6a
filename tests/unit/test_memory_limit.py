"""The limit of memory, read from files as the kernel writes them."""

from pathlib import Path

import pytest

from runtime.memory_limit import memory_limit

MIB = 1 << 20
UNLIMITED = 9_223_372_036_854_771_712  # as version 1 says it


def machine(folder: Path, groups: str, files: dict[str, str]) -> Path:
    """Write the files of a machine: this process's groups, and files below /sys/fs/cgroup."""
    for name, text in {"proc/self/cgroup": groups, **files}.items():
        path = folder / (name if name.startswith("proc") else f"sys/fs/cgroup/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize(
    ("groups", "files", "limit"),
    [
        pytest.param("0::/\n", {"memory.max": f"{400 * MIB}\n"}, 400 * MIB, id="a container"),
        pytest.param("0::/\n", {"memory.max": "max\n"}, None, id="a container without a limit"),
        pytest.param(
            "0::/system.slice/wattline.service\n",
            {
                "system.slice/wattline.service/memory.max": "max\n",
                "system.slice/memory.max": f"{900 * MIB}\n",
            },
            900 * MIB,
            id="a service in a slice that is limited",
        ),
        pytest.param(
            "4:memory:/docker/1b2c\n0::/\n",
            {"memory/memory.limit_in_bytes": f"{300 * MIB}\n"},
            300 * MIB,
            id="a container, version 1: the path is the host's",
        ),
        pytest.param(
            "5:cpu,cpuacct:/a\n4:memory:/a\n",
            {
                "memory/memory.limit_in_bytes": f"{UNLIMITED}\n",
                "memory/a/memory.limit_in_bytes": f"{500 * MIB}\n",
            },
            500 * MIB,
            id="version 1",
        ),
        pytest.param(
            "4:memory:/a\n",
            {"memory/a/memory.limit_in_bytes": f"{UNLIMITED}\n"},
            None,
            id="version 1, without a limit",
        ),
    ],
)
def test_the_lowest_limit_on_the_way_up_counts(
    tmp_path: Path, groups: str, files: dict[str, str], limit: int | None
) -> None:
    assert memory_limit(machine(tmp_path, groups, files)) == limit


def test_without_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert memory_limit(tmp_path) is None
