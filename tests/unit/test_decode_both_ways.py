"""The fast way and the exact way agree, whatever comes."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from telemetry.decode import Rejected
from telemetry.readings import Reading
from telemetry.reasons import Reason
from telemetry.streams import METER, STREAMS, Stream
from telemetry.timestamps import format_timestamp
from tests.corpus.json_texts import NUMBERS, TEXTS
from tests.corpus.mutants import messages, mutants
from tests.corpus.readings import (
    BOUNDS,
    LIMITS,
)
from tests.corpus.results import bits, packed
from tests.unit.decoding import MEASURES, check, with_value

DEVICE_IDS = st.text("ABCXYZabcxyz019._:-", min_size=1, max_size=64)
MEASURE = {field: st.floats(*BOUNDS[field]) for field in BOUNDS}


@settings(max_examples=200)
@given(st.data(), st.sampled_from(STREAMS))
def test_both_ways_agree_on_messages_in_any_spelling(data: st.DataObject, stream: Stream) -> None:
    check(data.draw(messages(stream)), stream)


@settings(max_examples=400)
@given(st.sampled_from(MEASURES), NUMBERS)
@example((METER, "voltage"), "-0")
def test_both_ways_agree_on_numbers_in_any_spelling(
    measure: tuple[Stream, str], number: str
) -> None:
    stream, field = measure
    result = check(with_value(stream, field, number), stream)
    if isinstance(result, Reading):
        kept = result.measures[stream.fields.index(field)]
        assert packed((kept,)) == packed((float(number),))
    else:
        low, high = BOUNDS[field]
        assert result.reason is Reason.OUT_OF_RANGE
        assert not low <= float(number) <= high


@settings(max_examples=120)
@given(TEXTS.map(str.encode), st.sampled_from(STREAMS))
def test_both_ways_agree_on_any_json(value: bytes, stream: Stream) -> None:
    result = check(value, stream)
    if isinstance(result, Rejected) and result.reason is Reason.MALFORMED_JSON:
        assert "levels deep" in result.detail


@settings(max_examples=200)
@given(st.binary(max_size=200), st.sampled_from(STREAMS))
def test_any_bytes_end_in_a_reading_or_a_reason(value: bytes, stream: Stream) -> None:
    check(value, stream)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_both_ways_agree_on_mutated_messages(stream: Stream, seed: int) -> None:
    values = mutants(stream, seed=seed, count=5_000)
    accepted = sum(isinstance(check(value, stream), Reading) for value in values)
    assert accepted > 100  # or the search goes on far from where it is interesting


@settings(max_examples=200)
@given(
    st.sampled_from(STREAMS),
    DEVICE_IDS,
    st.integers(LIMITS.earliest, LIMITS.latest),
    st.data(),
)
def test_every_valid_reading_comes_back_as_it_was_sent(
    stream: Stream, device_id: str, instant: int, data: st.DataObject
) -> None:
    measures = tuple(data.draw(MEASURE[field]) for field in stream.fields)
    message: dict[str, object] = {stream.id_field: device_id}
    message |= {"timestamp": format_timestamp(instant)}
    message |= dict(zip(stream.fields, measures, strict=True))
    indent = data.draw(st.sampled_from([None, 0, 2]))
    value = json.dumps(dict(data.draw(st.permutations(list(message.items())))), indent=indent)
    assert bits(check(value.encode(), stream)) == bits(Reading(device_id, instant, measures))
