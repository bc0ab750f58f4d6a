"""The corpus of bad inputs: each has one reason, by itself and in a batch."""

import pytest

from consumer.flush.decode import Decoded, decode_batch
from consumer.kafka.records import Record
from telemetry.decode import Rejected, decode
from telemetry.reasons import Reason
from telemetry.streams import STREAMS, Stream
from tests.by_column import by_column
from tests.corpus.poison import corpus
from tests.corpus.readings import LIMITS, NOW

INPUTS = [
    pytest.param(stream, value, reason, id=f"{stream.name}: {name}")
    for stream in STREAMS
    for name, (value, reason) in corpus(stream, NOW).items()
]


@pytest.mark.parametrize(("stream", "value", "reason"), INPUTS)
def test_each_input_has_its_reason(
    stream: Stream, value: bytes | None, reason: Reason | None
) -> None:
    result = decode(value, stream, LIMITS)
    assert (result.reason if isinstance(result, Rejected) else None) is reason


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_all_of_them_in_one_batch_have_their_reasons(stream: Stream) -> None:
    inputs = list(corpus(stream, NOW).values())
    records = [Record(place, -1, None, value, ()) for place, (value, _) in enumerate(inputs)]
    decoded = Decoded()
    for _ in decode_batch(by_column(records), stream, LIMITS, decoded):
        pass
    refused = {letter.position: letter.reason for letter in decoded.dead_letters}
    assert decoded.columns is not None
    stored = dict.fromkeys(decoded.columns.positions.tolist())
    assert refused | stored == {place: reason for place, (_, reason) in enumerate(inputs)}
