"""What a foreign member of the consumers' group can do."""

import os
import subprocess
import sys
import time

from confluent_kafka import Consumer

from telemetry.streams import STREAMS
from tests.attack.attack import MEMBER, attack
from tests.attack.site import Site
from tests.attack.topics import ALL

_NAME = "who\x1b[2J\x07\nis this"


@attack(MEMBER, short=True)
def stranger_in_the_group(site: Site) -> None:
    """A member takes partitions and reads nothing; its name has control characters."""
    stranger = Consumer(
        {
            "bootstrap.servers": site.servers.kafka.bootstrap,
            "group.id": site.name,
            "client.id": _NAME,
            "partition.assignment.strategy": "roundrobin",
            "enable.auto.commit": False,
            "session.timeout.ms": 10_000,
            "log_level": 0,
        }
    )
    try:
        stranger.subscribe([stream.topic for stream in STREAMS])
        deadline = time.monotonic() + 20
        while not stranger.assignment() and time.monotonic() < deadline:
            stranger.poll(0.2)
        taken = [(place.topic, place.partition) for place in stranger.assignment()]
        site.expect(taken, "it was given nothing: the attack did not take place")
        ends = site.topics.send_honest(ALL)
        theirs = {place: end for place, end in ends.items() if place not in taken}
        left = site.topics.wait_until_stored(theirs)
        site.expect(not left, f"partitions of the replica's own wait: {len(left)}")
        if taken:
            site.expect_said_by_replica("lag", taken[0], least=1)
        _expect_shown(site)
    finally:
        stranger.close()
    left = site.topics.wait_until_stored(ends, seconds=30)
    site.expect(not left, f"{len(left)} partitions still wait after it has left")


def _expect_shown(site: Site) -> None:
    """The operator's command shows the stranger, and nothing of it reaches the terminal raw."""
    done = subprocess.run(
        [sys.executable, "-m", "consumer", "offsets", "show"],
        cwd=site.code,
        env=os.environ | site.environment(),
        capture_output=True,
        check=False,
        timeout=30,
    )
    site.expect(done.returncode == 0, f"offsets show ended with {done.returncode}")
    site.expect(b"Traceback" not in done.stderr, "offsets show ended with a traceback")
    raw = [byte for byte in (b"\x1b", b"\x07") if byte in done.stdout + done.stderr]
    site.expect(not raw, "control characters reach the terminal")
