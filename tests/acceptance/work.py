"""How much of a stream a member has done, and how much it holds in memory."""

from consumer.owned import Owned
from telemetry.streams import Stream
from tests.acceptance.member import Member


def ended(member: Member, stream: Stream) -> float:
    """Return how many messages have come to their end."""
    return sum(
        member.metric("telemetry_messages_total", topic=stream.topic, outcome=outcome)
        for outcome in ("stored", "duplicate", "dead_lettered")
    )


def held(member: Member, stream: Stream) -> int:
    """Return the bytes that wait in memory."""
    return sum(owned.footprint for owned in member.schedule.owned if owned.stream is stream)


def conflicts(owned: Owned) -> int:
    """Return how many tries in a row of the flush that waits have met the lock."""
    return owned.flight.conflicts if owned.flight else 0
