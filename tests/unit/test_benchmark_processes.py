"""CPU of a server counts its children, living and ended, each once."""

import subprocess
import sys
import time

import psutil
import pytest

from benchmarks.processes import ServerProcesses
from deploy.local.stack import Addresses

# A parent that has reaped one child, while another one lives on, all with work behind them. What
# they say they took goes to the standard output.
_FAMILY = """
import os, resource, subprocess, sys, time

burn = "import time\\nwhile time.process_time() < 0.4: pass\\n"
say = "print(time.process_time(), flush=True)\\nimport sys\\nsys.stdin.read()"
subprocess.run([sys.executable, "-c", burn], check=True)
living = subprocess.Popen([sys.executable, "-c", burn + say])
while time.process_time() < 0.2:
    pass
ended = resource.getrusage(resource.RUSAGE_CHILDREN)
print(time.process_time() + ended.ru_utime + ended.ru_stime, flush=True)
sys.stdin.read()
living.wait()
"""


def test_living_and_ended_children_are_counted_once() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _FAMILY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        said = float(parent.stdout.readline()) + float(parent.stdout.readline())
        family = ServerProcesses(postmaster=psutil.Process(parent.pid), broker=None)
        before = family.cpu()
        assert before.postgres == pytest.approx(said, abs=0.1)
        assert before.broker is None
        assert family.missing() == ["the broker"]
        parent.stdin.close()


def test_work_in_between_is_the_difference() -> None:
    myself = ServerProcesses(postmaster=None, broker=psutil.Process())
    before, own = myself.cpu(), time.process_time()
    while time.process_time() < own + 0.2:
        pass
    took = myself.cpu().since(before)
    assert took.broker == pytest.approx(0.2, abs=0.05)
    assert took.postgres is None


@pytest.mark.parametrize("host", ["db.example", "a,b"])
def test_servers_elsewhere_are_not_looked_for(host: str) -> None:
    addresses = Addresses(
        kafka_bootstrap_servers=f"{host}:9092", database_url=f"postgresql://u:p@{host}/name"
    )
    assert ServerProcesses.at(addresses).missing() == ["PostgreSQL", "the broker"]
