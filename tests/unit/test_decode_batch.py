"""The records of a batch: readings by column, and dead letters in their places."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.dead_letters.letter import DeadLetter
from consumer.flush.decode import STEP, Decoded, decode_batch
from consumer.kafka.records import Record
from telemetry.decode import Rejected, decode
from telemetry.readings import Reading
from telemetry.reasons import Reason
from telemetry.streams import METER, STREAMS, VEHICLE, Stream
from telemetry.timestamps import format_timestamp
from tests.by_column import by_column, by_row
from tests.corpus.json_texts import TEXTS
from tests.corpus.mutants import messages, mutants
from tests.corpus.readings import FIELDS, LIMITS, NOW, OPTIONAL, enveloped, spelled
from tests.corpus.results import bits


def meter_value(device: str = "mtr-1", *, kwh: float = 0.5, at: int = NOW) -> bytes:
    message = {"meterId": device, "kwhConsumedAc": kwh, "voltage": 229.8}
    return json.dumps(message | {"timestamp": format_timestamp(at)}).encode()


def record(offset: int, value: bytes | None, key: bytes | None = b"mtr-1") -> Record:
    return Record(offset, -1, key, value, ())


def decoded_from(records: Sequence[Record], stream: Stream = METER) -> tuple[Decoded, int]:
    """Return what the batch holds, and in how many steps it was decoded."""
    decoded = Decoded()
    return decoded, len(list(decode_batch(by_column(records), stream, LIMITS, decoded)))


def check(records: Sequence[Record], stream: Stream) -> None:
    """Decode the batch, and make sure that each record ended as `decode` by itself has it."""
    results = [decode(one.value, stream, LIMITS) for one in records]
    decoded, _ = decoded_from(records, stream)

    assert decoded.dead_letters == [
        DeadLetter(place, result.reason, result.detail)
        for place, result in enumerate(results)
        if isinstance(result, Rejected)
    ]
    readings = {
        place: result for place, result in enumerate(results) if not isinstance(result, Rejected)
    }
    assert decoded.key_mismatches == sum(
        records[place].key != reading.device_id.encode() for place, reading in readings.items()
    )
    assert (decoded.columns is None) is not bool(readings)
    found = readings_of(decoded)
    assert found.keys() == readings.keys()
    for place, reading in readings.items():
        assert bits(found[place]) == bits(reading), records[place].value


def readings_of(decoded: Decoded) -> dict[int, Reading]:
    """Return the readings by their positions."""
    columns = decoded.columns
    places = [] if columns is None else columns.positions.tolist()
    return dict(zip(places, by_row(columns), strict=True))


def test_an_empty_batch_has_no_readings_and_no_steps() -> None:
    assert decoded_from([]) == (Decoded(columns=None, dead_letters=[], key_mismatches=0), 0)


def test_a_batch_without_a_reading_has_no_columns() -> None:
    decoded, _ = decoded_from([record(4, None), record(5, b"{"), record(6, b"[]")])
    assert decoded.columns is None
    assert decoded.key_mismatches == 0
    assert [(letter.position, letter.reason) for letter in decoded.dead_letters] == [
        (0, Reason.EMPTY_VALUE),
        (1, Reason.MALFORMED_JSON),
        (2, Reason.NOT_AN_OBJECT),
    ]


def test_dead_letters_say_what_decode_says() -> None:
    values = [b"\xff", meter_value(kwh=-1), meter_value(device="")]
    decoded, _ = decoded_from([record(9, value) for value in values])
    for position, value in enumerate(values):
        result = decode(value, METER, LIMITS)
        assert isinstance(result, Rejected)
        letter = DeadLetter(position, result.reason, result.detail)
        assert decoded.dead_letters[position] == letter


def test_positions_are_places_in_the_batch_and_not_offsets() -> None:
    values = [b"", meter_value("mtr-2"), b"", meter_value("mtr-1"), meter_value("mtr-2", kwh=0.7)]
    offsets = [100, 101, 250, 900, 901]
    decoded, _ = decoded_from(list(map(record, offsets, values)))
    assert [letter.position for letter in decoded.dead_letters] == [0, 2]
    assert decoded.columns is not None
    assert decoded.columns.ids() == ["mtr-1", "mtr-2", "mtr-2"]
    assert decoded.columns.positions.tolist() == [3, 1, 4]
    assert decoded.columns.measures.tolist() == [[0.5, 229.8], [0.5, 229.8], [0.7, 229.8]]


@pytest.mark.parametrize(
    ("key", "mismatches"),
    [
        *((b"mtr-1", 0), (None, 1), (b"", 1), (b"mtr-2", 1), (b"MTR-1", 1), (b"mtr-1 ", 1)),
        *((b'"mtr-1"', 1), (b"\xff\x00", 1), (b"k" * 1_000_000, 1)),
    ],
    ids=lambda value: ascii(value)[:16],
)
def test_a_key_that_is_not_the_device_id_is_counted_and_the_reading_taken(
    key: bytes | None, mismatches: int
) -> None:
    decoded, _ = decoded_from([record(0, meter_value(), key)])
    assert decoded.key_mismatches == mismatches
    assert decoded.columns is not None
    assert decoded.columns.ids() == ["mtr-1"]
    assert decoded.dead_letters == []


def test_the_key_of_a_dead_letter_is_not_compared() -> None:
    decoded, _ = decoded_from([record(0, b"{}", None), record(1, None, b"mtr-9")])
    assert decoded.key_mismatches == 0


def test_each_stream_has_its_own_message() -> None:
    decoded = Decoded()
    vehicle = {"vehicleId": "veh-1", "soc": 57.3, "kwhDeliveredDc": 0.8, "batteryTemp": -3.5}
    value = json.dumps(vehicle | {"timestamp": format_timestamp(NOW)}).encode()
    records = [record(0, meter_value()), record(1, value, b"veh-1")]
    assert len(list(decode_batch(by_column(records), VEHICLE, LIMITS, decoded))) == 1
    assert [letter.reason for letter in decoded.dead_letters] == [Reason.MISSING_FIELD]
    assert decoded.columns is not None
    assert decoded.columns.measures.tolist() == [[57.3, 0.8, -3.5]]
    assert decoded.columns.positions.tolist() == [1]


@pytest.mark.parametrize(
    ("count", "steps"),
    [(1, 1), (STEP - 1, 1), (STEP, 1), (STEP + 1, 2), (2 * STEP, 2), (2 * STEP + 1, 3)],
)
def test_a_batch_is_decoded_a_step_at_a_time_with_every_record_in_its_place(
    count: int, steps: int
) -> None:
    bad = {0, 1, STEP - 1, STEP, STEP + 1, 2 * STEP - 1, 2 * STEP} & set(range(1, count))
    records = [
        record(5 * place, b"x" if place in bad else meter_value(at=NOW - place))
        for place in range(count)
    ]
    decoded, taken = decoded_from(records)
    assert taken >= steps
    assert [letter.position for letter in decoded.dead_letters] == sorted(bad)
    assert decoded.columns is not None
    good = [place for place in range(count) if place not in bad]
    assert decoded.columns.positions.tolist() == good[::-1]
    assert decoded.columns.times.tolist() == [NOW - place for place in good[::-1]]


def test_nothing_is_decoded_before_it_is_asked_for() -> None:
    decoded = Decoded()
    steps = decode_batch(by_column([record(0, b"x")] * (STEP + 1)), METER, LIMITS, decoded)
    assert decoded.dead_letters == []
    assert len(list(steps)) > 1
    assert len(decoded.dead_letters) == STEP + 1


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, b"", b"[]", b'{"meterId":1}'])
            | st.builds(
                meter_value,
                st.sampled_from(["mtr-1", "mtr-2", "", "mtr\n"]),
                kwh=st.floats(-1, 20_000_000),
                at=st.integers(LIMITS.earliest - 5, LIMITS.latest + 5),
            ),
            st.sampled_from([b"mtr-1", b"mtr-2", None]),
        ),
        max_size=12,
    )
)
def test_every_record_ends_as_what_decode_makes_of_it(
    contents: list[tuple[bytes | None, bytes | None]],
) -> None:
    check([record(7 + place, *content) for place, content in enumerate(contents)], METER)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_a_batch_of_mutated_messages_ends_as_decode_has_each(stream: Stream, seed: int) -> None:
    values = mutants(stream, seed=100 + seed, count=STEP + 500)
    keys = (b"mtr-00042", b"veh-00042", None)
    check([record(place, value, keys[place % 3]) for place, value in enumerate(values)], stream)


@settings(max_examples=60)
@given(st.data(), st.sampled_from(STREAMS))
def test_a_batch_of_messages_in_any_spelling_ends_as_decode_has_each(
    data: st.DataObject, stream: Stream
) -> None:
    odd = messages(stream) | TEXTS.map(str.encode) | st.binary(max_size=20) | st.none()
    values = data.draw(st.lists(messages(stream) | odd, min_size=1, max_size=4))
    check([record(place, value) for place, value in enumerate(values)], stream)


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_every_odd_value_leaves_its_neighbours_as_they_are(stream: Stream) -> None:
    fields = FIELDS[stream.name]
    odd = [
        *(
            None,
            b"",
            b"[" * 64 + b"]" * 64,
            b"[" * 30_000,
            b"x" * 65_537,
            spelled(fields).ljust(65_537),
        ),
        *(spelled(fields | {"x": text}) for text in ("null", "NaN")),
        *(spelled(fields | {"x": "[" * n + "]" * n}) for n in (63, 64, 2_000)),
        *(spelled(fields | {name: "-0"}) for name in stream.fields),
        *(spelled(fields | {name: "-0.0"}) for name in stream.fields),
        *(spelled(fields | {name: "-1e400"}) for name in stream.fields),
        *(spelled(fields | {name: '"1"'}) for name in stream.fields),
        *(spelled(fields | {stream.id_field: text}) for text in ('""', '"a b"', '"\\ud800"', "1")),
        *(spelled(fields | {stream.id_field: f'"{"m" * size}"'}) for size in (64, 65)),
        *(
            spelled(fields | {"timestamp": f'"{format_timestamp(LIMITS.latest + one)}"'})
            for one in (0, 1)
        ),
        *(
            spelled(fields | {"timestamp": f'"{format_timestamp(LIMITS.earliest - one)}"'})
            for one in (0, 1)
        ),
        *(
            spelled(fields | {"timestamp": text})
            for text in ('"1970-01-01T00:00:00Z"', '"\\ud800"', "0")
        ),
        *(spelled({one: fields[one] for one in fields if one != name}) for name in fields),
        *(spelled(fields | {name: "null"}) for name in fields),
        enveloped(spelled(fields), stream),
        enveloped(spelled(fields | {"x": "1"}), stream),
        enveloped(spelled(fields | {stream.energy_field: "-0"}), stream),
        enveloped(b"[]", stream),
        enveloped(enveloped(spelled(fields), stream), stream),
        spelled(fields | {"timestamp": '"0001-01-01T00:00:00+01:00"'}),
        spelled(fields | {"timestamp": '"9999-12-31T23:59:59-23:59"'}),
    ]
    good = spelled(fields)
    for value in odd:
        check([record(0, value)], stream)
        check([record(place, one) for place, one in enumerate([good, value, good])], stream)
    check([record(place, one) for place, one in enumerate([good, *odd, good])], stream)
    check([record(place, one) for place, one in enumerate(odd)], stream)


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_steps_of_envelopes_and_of_plain_messages_end_alike(stream: Stream) -> None:
    fields = FIELDS[stream.name]
    plain = spelled(fields)
    untold = spelled({name: fields[name] for name in fields if name not in OPTIONAL})
    # A step of each form, one of both, and one more of the form that the step before had less of.
    values = [plain] * STEP + [enveloped(plain, stream)] * STEP
    values += [plain, enveloped(untold, stream), b"{", untold] * (STEP // 4) + [plain] * STEP
    check([record(place, value) for place, value in enumerate(values)], stream)


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_either_form_is_read_by_column_whichever_came_before(stream: Stream) -> None:
    plain = spelled(FIELDS[stream.name])
    wrapped = enveloped(plain, stream)
    values = [wrapped] * 2 * STEP + [plain] * 2 * STEP + [wrapped, plain] * STEP
    records = [record(place, value) for place, value in enumerate(values)]
    decoded, steps = decoded_from(records, stream)
    # What goes to the definition, one by one, takes steps of its own.
    assert steps == len(values) // STEP
    assert len(by_row(decoded.columns)) == len(values)


def test_a_schema_registrys_prefix_is_stripped_if_it_is_asked_for() -> None:
    prefix = b"\0\0\0\0\x2a"
    values = [
        prefix + meter_value(),
        meter_value("mtr-2"),
        prefix,
        b"\0",
        None,
        prefix + b"\0\x02a",
    ]
    records = by_column([record(place, value) for place, value in enumerate(values)])
    stripped = Decoded()
    list(decode_batch(records, METER, LIMITS, stripped, strips_schema_prefix=True))
    assert [one.device_id for one in by_row(stripped.columns)] == ["mtr-1", "mtr-2"]
    assert [(one.position, one.reason) for one in stripped.dead_letters] == [
        (2, Reason.MALFORMED_JSON),
        (3, Reason.MALFORMED_JSON),
        (4, Reason.EMPTY_VALUE),
        (5, Reason.MALFORMED_JSON),
    ]
    kept = Decoded()
    list(decode_batch(records, METER, LIMITS, kept))
    assert [one.device_id for one in by_row(kept.columns)] == ["mtr-2"]
    assert kept.dead_letters[0] == DeadLetter(
        0, Reason.MALFORMED_JSON, "the value begins with a schema registry's prefix"
    )
