"""What must hold of any bytes: one end, the same by itself and in a batch."""

from consumer.dead_letters.letter import DeadLetter
from consumer.flush.decode import Decoded, decode_batch
from consumer.kafka.records import Records
from telemetry.decode import Rejected, decode
from telemetry.readings import Reading
from telemetry.streams import STREAMS, Stream
from tests.by_column import by_row
from tests.corpus.readings import LIMITS
from tests.corpus.results import bits


def judge(value: bytes) -> None:
    """Decode the value for each stream; raises AssertionError, or what decoding let escape."""
    for stream in STREAMS:
        result = decode(value, stream, LIMITS)
        assert isinstance(result, Reading | Rejected)
        [batched] = _in_a_batch(value, stream)
        same = batched == _end(result)
        assert same, f"{stream.name}: {batched} in a batch, {_end(result)} by itself"


def _end(result: Reading | Rejected) -> object:
    """Return the result in a form that tells 0.0 from -0.0."""
    return DeadLetter(0, *result[:2]) if isinstance(result, Rejected) else bits(result)


def _in_a_batch(value: bytes, stream: Stream) -> list[object]:
    decoded = Decoded()
    for _ in decode_batch(Records([0], [-1], [None], [value]), stream, LIMITS, decoded):
        pass
    return [*decoded.dead_letters, *map(bits, by_row(decoded.columns))]
