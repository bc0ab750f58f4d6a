"""Namespaces of the run's own: what it starts, mounts and listens on is gone when it ends.

The run is begun again as the first process but one of a new PID namespace, in a network with
nothing but loopback. If that process ends, however it ends, the kernel kills all others, and the
mounts and the network go with the last of them. Control groups have no such end: we remove them.
"""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from deploy.replica import ROOT

CONTROL_GROUPS = Path("/sys/fs/cgroup")
GROUP = "wattline-kubernetes"
_SECONDS_TO_END = 60.0

# A kubelet writes here, whatever it is told.
_KUBELETS = Path("/var/lib/kubelet")
# It also changes settings of the kernel. Here it changes files that lie over them.
_KERNEL = (
    "vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops "
    "kernel/keys/root_maxkeys kernel/keys/root_maxbytes"
)
# The kernel delivers no Ctrl-C to a shell that is the first process, so it stays to the end and
# reaps what other processes leave behind.
_FIRST = f"""set -e
mkdir -p {_KUBELETS}
for place in /run /var/log {_KUBELETS}; do mount -t tmpfs tmpfs $place; done
for setting in {_KERNEL}; do
    file=/run/kernel/$(basename $setting)
    mkdir -p /run/kernel
    cat /proc/sys/$setting >$file
    mount --bind $file /proc/sys/$setting
done
set +e
"$@"
exit $?"""


def run(words: Sequence[str], *, begun: Callable[[int], None]) -> int:
    """Run a Python program in new namespaces, and return its exit code.

    `begun` is given the pid by which `nsenter` finds the namespaces. Needs root.
    """
    # A Ctrl-C is for us, who pass it on; and our own end is its end.
    command = ["setpriv", "--pdeathsig", "KILL"]
    command += ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command += ["sh", "-c", _FIRST, "sh", sys.executable, *words]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    outside = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        first = _first(outside)
        begun(first)
        return _wait(outside, first, words)
    finally:
        outside.kill()
        outside.wait()
        _remove_control_groups()
        with contextlib.suppress(OSError):  # it holds something, so it is not ours
            _KUBELETS.rmdir()


def _first(outside: subprocess.Popen[bytes]) -> int:
    """Return the pid of the first process inside, or our child's if it has ended already."""
    deadline = time.monotonic() + 5
    while outside.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(psutil.Error):
            if children := psutil.Process(outside.pid).children():
                return children[0].pid
        time.sleep(0.02)
    return outside.pid


def _wait(outside: subprocess.Popen[bytes], first: int, words: Sequence[str]) -> int:
    """Return the exit code; when we are interrupted, the run inside has some time to end."""
    try:
        return outside.wait()
    except KeyboardInterrupt:
        with contextlib.suppress(psutil.Error):
            for inside in psutil.Process(first).children():
                if inside.cmdline()[1:] == list(words):
                    inside.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return outside.wait(_SECONDS_TO_END)
        return 1


def make_control_groups(name: str) -> str:
    """Make a group of this name under every controller, and return its path for a kubelet."""
    for controller in CONTROL_GROUPS.iterdir():
        for folder in (controller / GROUP, controller / GROUP / name):
            folder.mkdir(exist_ok=True)
            # A new group of CPUs is empty, and takes no process.
            for file in ("cpuset.cpus", "cpuset.mems"):
                if (folder / file).exists():
                    (folder / file).write_text((folder.parent / file).read_text())
    return f"/{GROUP}/{name}"


def _remove_control_groups() -> None:
    """Remove our groups, from the innermost out; an end of a process may take a moment."""
    deadline = time.monotonic() + 10
    while groups := sorted(CONTROL_GROUPS.glob(f"*/{GROUP}/**/"), key=lambda one: -len(one.parts)):
        for group in groups:
            with contextlib.suppress(OSError):
                group.rmdir()
        if time.monotonic() > deadline:
            return
        time.sleep(0.1)
