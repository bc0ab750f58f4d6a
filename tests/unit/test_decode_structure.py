"""Structure: JSON that is not an object, nesting, repeated and unknown fields, envelopes."""

import gzip
import json
import zlib

import cramjam
import pytest

from telemetry.decode import Rejected, decode
from telemetry.readings import Reading
from telemetry.reasons import Reason
from telemetry.streams import METER, STREAMS, VEHICLE, Stream
from tests.corpus.json_texts import CONSTANTS, NEAR_MISSES
from tests.corpus.readings import (
    FIELDS,
    LIMITS,
    METER_FIELDS,
    VEHICLE_FIELDS,
    enveloped,
    spelled,
)
from tests.corpus.results import bits
from tests.unit.decoding import (
    GOOD,
    METER_READING,
    UNTOLD,
    check,
    meter,
    meter_with,
    reason_of,
    with_value,
)


@pytest.mark.parametrize(
    "text",
    [
        *("[]", "[1]", "null", "true", "false", "0", "-1.5e3", '""', '"reading"', "[{}]", "[[]]"),
        "[" * 64 + "]" * 64,
        "[" + GOOD.decode() + "]",
        json.dumps(GOOD.decode()),
    ],
    ids=range(14),
)
def test_json_other_than_an_object_has_the_reason_not_an_object(text: str) -> None:
    result = check(text.encode(), METER)
    assert isinstance(result, Rejected)
    assert result.reason is Reason.NOT_AN_OBJECT


@pytest.mark.parametrize(
    "text",
    [
        "[" * 60_000,
        "[" * 30_000 + "]" * 29_999,
        '{"a":' * 10_000,
        '{"a":' * 10_000 + "1" + "}" * 9_999,
        "[" * 30_000 + "}" * 30_000,
        "[" * 30_000 + "]" * 30_000,
        "[" * 65 + "]" * 65,
        '{"a":' * 65 + "1" + "}" * 65,
    ],
    ids=[
        "brackets",
        "one too few",
        "objects",
        "one object too few",
        "crossed",
        *map(str, range(3)),
    ],
)
def test_nesting_without_an_end_or_over_64_levels_is_malformed(text: str) -> None:
    assert reason_of(text.encode()) is Reason.MALFORMED_JSON
    assert reason_of(meter_with(f'"x":{text}')) is Reason.MALFORMED_JSON


def test_a_deep_object_without_the_fields_misses_them() -> None:
    deep = '{"meterId":' * 63 + "{}" + "}" * 63
    assert reason_of(deep.encode()) is Reason.MISSING_FIELD


ANYTHING = {
    "null": "null",
    "a number of 5,000 digits": "9" * 5_000,
    "a number beyond a double": "-1e400",
    "a text": '"\\u0000\\ud800\\N"'.replace("\\N", "\\\\N"),
    "an array": '[1,"2",[],{}]',
    "an object that looks like the message": GOOD.decode(),
    "as many arrays as may be": "[" * 63 + "]" * 63,
    "as many objects": '{"a":' * 63 + "0" + "}" * 63,
    "20,000 arrays beside each other": "[" + "[]," * 20_000 + "0]",
    "a long text": '"' + "x" * 60_000 + '"',
}


@pytest.mark.parametrize("held", ANYTHING.values(), ids=ANYTHING)
@pytest.mark.parametrize(
    "name", ["x", "", "meter_id", "Voltage", "vehicleId", r"\ud800", r"\u0000"]
)
def test_unknown_fields_are_ignored_whatever_they_hold(name: str, held: str) -> None:
    assert check(meter_with(f'"{name}":{held}'), METER) == METER_READING
    assert check(b'{"x":1,' + meter_with(f'"{name}":{held}')[1:], METER) == METER_READING


def test_a_long_name_and_many_names_are_ignored() -> None:
    assert check(meter_with(f'"{"k" * 60_000}":1'), METER) == METER_READING
    many = ",".join(f'"{number:x}":{number % 10}' for number in range(7_000))
    assert check(meter_with(many), METER) == METER_READING


@pytest.mark.parametrize("constant", CONSTANTS)
@pytest.mark.parametrize("frame", ["{}", "[{}]", '{{"a":{}}}', "[" * 60 + "{}" + "]" * 60])
def test_nan_and_infinity_are_malformed_in_an_unknown_field_too(frame: str, constant: str) -> None:
    value = meter_with(f'"x":{frame.format(constant)}')
    assert reason_of(value) is Reason.MALFORMED_JSON
    check(value, METER)


@pytest.mark.parametrize("held", NEAR_MISSES)
def test_an_unknown_field_that_does_not_hold_json_is_malformed(held: str) -> None:
    assert reason_of(meter_with(f'"x":{held}')) is Reason.MALFORMED_JSON


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_id_energy_and_time_are_needed(stream: Stream) -> None:
    fields = FIELDS[stream.name]
    for field in (stream.id_field, stream.energy_field, "timestamp"):
        value = spelled({name: text for name, text in fields.items() if name != field})
        result = check(value, stream)
        assert isinstance(result, Rejected)
        assert (result.reason, result.field) == (Reason.MISSING_FIELD, field)


@pytest.mark.parametrize(("stream", "field"), UNTOLD)
def test_what_a_device_does_not_tell_may_be_absent_or_null(stream: Stream, field: str) -> None:
    fields = FIELDS[stream.name]
    absent = spelled({name: text for name, text in fields.items() if name != field})
    for value in (absent, with_value(stream, field, "null"), absent[:-1] + b',"x":1}'):
        result = check(value, stream)
        assert isinstance(result, Reading)
        told = dict(zip(stream.fields, result.measures, strict=True))
        assert told == {
            name: None if name == field else float(fields[name]) for name in stream.fields
        }


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_the_gateways_envelope_of_a_message_is_the_message(stream: Stream) -> None:
    good = spelled(FIELDS[stream.name])
    other = b'{"payload":%s,"x":[1],"streamType":"%s"}' % (good, stream.name.encode())
    for value in (enveloped(good, stream), other, enveloped(good[:-1] + b',"x":{}}', stream)):
        assert bits(check(value, stream)) == bits(check(good, stream))
    deep = good[:-1] + b',"x":' + b"[" * 62 + b"]" * 62 + b"}"
    assert bits(check(enveloped(deep, stream), stream)) == bits(check(good, stream))


def test_what_is_wrong_in_an_envelope_has_the_reason_that_it_has_outside() -> None:
    def end(value: bytes) -> tuple[Reason, str | None]:
        result = check(value, METER)
        assert isinstance(result, Rejected)
        return result.reason, result.field

    assert end(enveloped(meter(voltage="1001"), METER)) == (Reason.OUT_OF_RANGE, "voltage")
    assert end(enveloped(b"[]", METER)) == (Reason.NOT_AN_OBJECT, None)
    assert end(enveloped(b"{}", METER)) == (Reason.MISSING_FIELD, "meterId")
    assert end(enveloped(spelled(VEHICLE_FIELDS), METER)) == (Reason.MISSING_FIELD, "meterId")
    assert end(enveloped(spelled(VEHICLE_FIELDS), VEHICLE)) == (Reason.WRONG_TYPE, "streamType")
    assert end(b'{"streamType":"boat","payload":%s}' % GOOD) == (Reason.WRONG_TYPE, "streamType")
    assert end(b'{"streamType":["meter"],"payload":{}}') == (Reason.WRONG_TYPE, "streamType")
    assert end(b'{"payload":%s}' % GOOD) == (Reason.MISSING_FIELD, "streamType")
    assert end(b'{"streamType":"meter"}') == (Reason.MISSING_FIELD, "payload")
    assert end(enveloped(enveloped(GOOD, METER), METER)) == (Reason.MISSING_FIELD, "meterId")


def test_a_reading_may_have_the_fields_of_an_envelope_besides() -> None:
    assert check(meter_with('"streamType":"vehicle","payload":{"meterId":1}'), METER) == (
        METER_READING
    )


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (b"\xef\xbb\xbf" + GOOD, "byte-order mark"),
        (GOOD.decode().encode("utf-16"), "UTF-16"),
        (GOOD.decode().encode("utf-16-le"), "UTF-16"),
        (GOOD.decode().encode("utf-16-be"), "UTF-16"),
        (GOOD.decode().encode("utf-32"), "UTF-32"),
        (gzip.compress(GOOD), "gzip"),
        (zlib.compress(GOOD), "deflate"),
        (bytes(cramjam.zstd.compress(GOOD)), "zstd"),
        (bytes(cramjam.lz4.compress(GOOD)), "lz4"),
        (bytes(cramjam.snappy.compress(GOOD)), "snappy"),
        (b"\x00\x00\x00\x00\x07" + GOOD, "begins with a schema registry's prefix"),
        (b"\x00\x00\x00\x00\x07\x0cmtr-42", "zero byte, as a schema registry's prefix"),
        (b"\x00\x00\x00\x00\x07", "zero byte, as a schema registry's prefix"),
        (b"\x00\x00\x00\x00\x07\xef\xbb\xbf" + GOOD, "zero byte, as a schema registry's prefix"),
        (b"\x00", "zero byte, as a schema registry's prefix"),
    ],
)
def test_bytes_of_a_known_kind_are_named(value: bytes, named: str) -> None:
    result = check(value, METER)
    assert isinstance(result, Rejected)
    assert named in result.detail


@pytest.mark.parametrize(
    ("value", "stream", "detail"),
    [
        (b"{}", METER, "the value is neither a meter's nor a vehicle's reading"),
        (
            b'{"timestamp":"2026-02-10T10:00:00Z","temperature":3}',
            VEHICLE,
            "the value is neither a meter's nor a vehicle's reading",
        ),
        (
            spelled(VEHICLE_FIELDS),
            METER,
            "a vehicle's reading does not belong in telemetry.meter",
        ),
        (b'{"voltage":1}', VEHICLE, "a meter's reading does not belong in telemetry.vehicle"),
        (b'{"voltage":1}', METER, "meterId: Field required"),
    ],
)
def test_a_message_of_another_kind_is_told_what_it_is(
    value: bytes, stream: Stream, detail: str
) -> None:
    result = check(value, stream)
    assert isinstance(result, Rejected)
    assert (result.reason, result.detail) == (Reason.MISSING_FIELD, detail)
    assert result.field == stream.id_field


@pytest.mark.parametrize("text", ["{}", '{"":1}', '{"meter_id":"m"}', '{"a":{}}'])
def test_an_object_without_the_fields_misses_them(text: str) -> None:
    assert reason_of(text.encode()) is Reason.MISSING_FIELD


def test_names_count_case_and_are_read_through_their_escapes() -> None:
    assert reason_of(GOOD.replace(b"kwhC", b"KwhC")) is Reason.MISSING_FIELD
    escaped = GOOD.replace(b"voltage", rb"\u0076olt\u0061ge").replace(b"mtr-", rb"\u006dtr\u002d")
    assert check(escaped, METER) == METER_READING


def test_a_message_on_the_topic_of_the_other_stream_is_refused() -> None:
    assert reason_of(spelled(VEHICLE_FIELDS), METER) is Reason.MISSING_FIELD
    assert reason_of(spelled(METER_FIELDS), VEHICLE) is Reason.MISSING_FIELD


EARLIER = {
    "meterId": ['"other"', '""', "1", "null", r'"\ud800"', '"' + "m" * 100 + '"'],
    "voltage": ["1", "5000", "-1", "1e400", '"12.5"', "null", "true", "[[[]]]", "9" * 5_000],
    "timestamp": ['"2099-01-01T00:00:00Z"', '"1970-01-01T00:00:00Z"', '"yesterday"', "0", "{}"],
}


@pytest.mark.parametrize("field", EARLIER)
def test_of_a_repeated_field_the_last_counts_and_earlier_ones_are_not_checked(field: str) -> None:
    for earlier in EARLIER[field]:
        value = f'{{"{field}":{earlier},'.encode() + GOOD[1:]
        assert check(value, METER) == METER_READING
        spelled_otherwise = value.replace(
            field.encode(), rb"\u%04x" % ord(field[0]) + field[1:].encode(), 1
        )
        assert check(spelled_otherwise, METER) == METER_READING


@pytest.mark.parametrize(
    "earlier",
    [
        *(text.encode() for text in (*NEAR_MISSES, *CONSTANTS)),
        *(f'[{{"a":{constant}}}]'.encode() for constant in CONSTANTS),
        *(
            b'"\x01"',
            b'"m\nr"',
            b'"\xff"',
            b'"\xc0\x80"',
            b'"\xed\xa0\x80"',
            b'["\xc3"]',
            b'{"\xff":1}',
        ),
        *(rb'"\ud8"', rb'"\ud800\u"', rb'"\U0041"', rb'"\N"', b'"\\'),
    ],
    ids=range(len(NEAR_MISSES) + 18),
)
def test_an_earlier_value_that_is_not_json_makes_the_message_malformed(earlier: bytes) -> None:
    for field in METER_FIELDS:
        value = b'{"' + field.encode() + b'":' + earlier + b"," + GOOD[1:]
        assert reason_of(value) is Reason.MALFORMED_JSON
        check(value, METER)


def test_of_a_repeated_field_the_last_is_checked() -> None:
    assert reason_of(meter_with('"voltage":true')) is Reason.WRONG_TYPE
    assert reason_of(meter_with('"kwhConsumedAc":null')) is Reason.WRONG_TYPE
    assert reason_of(meter_with('"voltage":1001')) is Reason.OUT_OF_RANGE
    assert reason_of(meter_with('"meterId":""')) is Reason.INVALID_DEVICE_ID
    assert decode(meter_with('"voltage":1,"voltage":2'), METER, LIMITS) == METER_READING._replace(
        measures=(0.913, 2.0)
    )
