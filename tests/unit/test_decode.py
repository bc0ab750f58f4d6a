"""The value of a record: a reading, or one stable reason why it is none."""

import gzip
import itertools
import json
import math
import zlib

import cramjam
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from telemetry.decode import MAX_VALUE_BYTES, Rejected, TimeLimits, decode, explain
from telemetry.readings import Reading
from telemetry.reasons import Reason
from telemetry.streams import METER, STREAMS, VEHICLE, Stream
from telemetry.timestamps import DAY_US, SECOND_US, format_timestamp
from tests.corpus.json_texts import CONSTANTS, NEAR_MISSES, NUMBERS, TEXTS
from tests.corpus.mutants import messages, mutants
from tests.corpus.readings import (
    BOUNDS,
    FIELDS,
    LIMITS,
    METER_FIELDS,
    NOW,
    OPTIONAL,
    VEHICLE_FIELDS,
    enveloped,
    spelled,
)
from tests.corpus.results import bits, packed

METER_READING = Reading("mtr-00042", NOW, (0.913, 229.8))
VEHICLE_READING = Reading("veh-00042", NOW, (57.3, 0.842, 31.4))
MEASURES = [(stream, field) for stream in STREAMS for field in stream.fields]
UNTOLD = [(stream, field) for stream, field in MEASURES if field in OPTIONAL]


def meter(**fields: str) -> bytes:
    """Return a good meter message but for these fields, given as JSON spells their values."""
    return spelled(METER_FIELDS | fields)


def with_value(stream: Stream, field: str, value: str) -> bytes:
    return spelled(FIELDS[stream.name] | {field: value})


def meter_with(members: str) -> bytes:
    """Return a good meter message with these members besides, behind its own."""
    return meter()[:-1] + b"," + members.encode() + b"}"


def reason_of(value: bytes | None, stream: Stream = METER) -> Reason | None:
    result = decode(value, stream, LIMITS)
    return result.reason if isinstance(result, Rejected) else None


def check(value: bytes, stream: Stream) -> Reading | Rejected:
    """Decode the value, and make sure that the fast way and the exact way agree."""
    result = decode(value, stream, LIMITS)
    if 0 < len(value) <= MAX_VALUE_BYTES:
        assert bits(result) == bits(explain(value, stream, LIMITS)), value
    if isinstance(result, Rejected):
        assert result.detail.isprintable()
    return result


def test_a_good_message_is_a_reading() -> None:
    assert check(meter(), METER) == METER_READING
    assert check(spelled(VEHICLE_FIELDS), VEHICLE) == VEHICLE_READING


# Bytes

GOOD = meter()
NO_JSON = {
    "NUL": b"\x00",
    "NUL behind": GOOD + b"\x00",
    "NUL before": b"\x00" + GOOD,
    "NUL between": GOOD.replace(b",", b",\x00", 1),
    "NUL in an id": GOOD.replace(b"mtr", b"m\x00r"),
    "UTF-16 with its mark": GOOD.decode().encode("utf-16"),
    "UTF-16 little end first": GOOD.decode().encode("utf-16-le"),
    "UTF-16 big end first": GOOD.decode().encode("utf-16-be"),
    "UTF-32": GOOD.decode().encode("utf-32-le"),
    "byte-order mark": b"\xef\xbb\xbf" + GOOD,
    "gzip": gzip.compress(GOOD),
    "two documents": GOOD + GOOD,
    "two documents, a line each": GOOD + b"\n" + GOOD + b"\n",
    "two documents, one of them empty": GOOD + b"{}",
    "bad UTF-8 in an id": GOOD.replace(b"mtr", b"m\xffr"),
    "bad UTF-8 in a name": GOOD.replace(b"voltage", b"volt\xe9ge"),
    "bad UTF-8 in an unknown field": meter_with('"x":"?"').replace(b"?", b"\xc3"),
    "Latin-1": meter(meterId='"zähler"').decode().encode("latin-1"),
    "overlong NUL": GOOD.replace(b"mtr", b"m\xc0\x80r"),
    "overlong letter": GOOD.replace(b"mtr", b"m\xc1\xb4r"),
    "overlong slash of 3 bytes": GOOD.replace(b"mtr", b"\xe0\x80\xaf"),
    "surrogate in UTF-8": GOOD.replace(b"mtr", b"\xed\xa0\x80"),
    "beyond Unicode": GOOD.replace(b"mtr", b"\xf4\x90\x80\x80"),
    "blank": b" ",
    "blanks": b" \t\r\n " * 100,
    "form feed around": b"\x0c" + GOOD + b"\x0c",
    "no-break space": "\xa0".encode() + GOOD,
    "schema-registry prefix": b"\x00\x00\x00\x00\x07" + GOOD,
    "no JSON at all": b"meterId=mtr-00042",
    "single quotes": GOOD.replace(b'"', b"'"),
    "comment": b"/* good */" + GOOD,
    "trailing comma": GOOD.replace(b"}", b",}"),
    "name without quotes": GOOD.replace(b'"voltage"', b"voltage"),
    "tab in an id": GOOD.replace(b"mtr", b"m\tr"),
    "carriage return in an id": GOOD.replace(b"mtr", b"m\rr"),
    "line feed in an id": GOOD.replace(b"mtr", b"m\nr"),
    "COPY's null in an id": GOOD.replace(b"mtr", rb"\N"),
    "COPY's end in an id": GOOD.replace(b"mtr", rb"\."),
    "escape cut short": GOOD.replace(b"mtr", rb"\u00"),
    "escape of no hex digits": GOOD.replace(b"mtr", rb"\u00_1"),
}


@pytest.mark.parametrize("value", NO_JSON.values(), ids=NO_JSON)
def test_bytes_that_are_not_json_are_malformed(value: bytes) -> None:
    assert reason_of(value) is Reason.MALFORMED_JSON
    check(value, METER)


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_a_message_cut_off_anywhere_is_malformed(stream: Stream) -> None:
    good = spelled(FIELDS[stream.name])
    for end in range(1, len(good)):
        assert reason_of(good[:end], stream) is Reason.MALFORMED_JSON
        assert reason_of(good[end:], stream) is Reason.MALFORMED_JSON


@pytest.mark.parametrize("value", [b"", None])
def test_no_bytes_and_a_tombstone_are_empty(value: bytes | None) -> None:
    assert reason_of(value) is Reason.EMPTY_VALUE


def test_a_value_of_65536_bytes_is_read_and_one_byte_more_is_oversized() -> None:
    assert check(GOOD.ljust(65_536), METER) == METER_READING
    assert reason_of(GOOD.ljust(65_537)) is Reason.OVERSIZED


@pytest.mark.parametrize(
    "value",
    [
        b"\xff" * 65_537,
        b"[" * 100_000,
        meter(meterId=f'"{"m" * 1_000_000}"'),
        meter_with(f'"{"k" * 1_000_000}":1'),
        meter_with(",".join(f'"{number}":0' for number in range(100_000))),
    ],
    ids=["garbage", "brackets", "id of 1 MB", "name of 1 MB", "many names"],
)
def test_what_is_too_long_is_oversized_whatever_it_holds(value: bytes) -> None:
    assert reason_of(value) is Reason.OVERSIZED


@pytest.mark.parametrize("blank", [" ", "\t", "\r", "\n", " \r\n\t"])
def test_white_space_around_every_token_changes_nothing(blank: str) -> None:
    spaced = GOOD.decode().replace('"mtr-00042"', '\0"mtr-00042"\0').replace("{", "\0{\0")
    spaced = spaced.replace('":', '"\0:\0').replace(',"', '\0,\0"').replace("}", "\0}\0")
    assert check(spaced.replace("\0", blank).encode(), METER) == METER_READING


# Structure


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
def test_json_that_is_no_object_is_not_an_object(text: str) -> None:
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
def test_an_unknown_field_that_holds_no_json_is_malformed(held: str) -> None:
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


def test_the_message_of_one_topic_is_no_message_of_the_other() -> None:
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


# Numbers


@pytest.mark.parametrize(("stream", "field"), MEASURES)
def test_bounds_are_inclusive(stream: Stream, field: str) -> None:
    for bound, beyond in zip(BOUNDS[field], (-math.inf, math.inf), strict=True):
        within = check(with_value(stream, field, repr(bound)), stream)
        assert isinstance(within, Reading)
        assert within.measures[stream.fields.index(field)] == bound
        for spelling in (f"{bound:.0f}", f"{bound:e}", f"{bound:.300f}"):
            assert bits(check(with_value(stream, field, spelling), stream)) == bits(within)
        outside = check(with_value(stream, field, repr(math.nextafter(bound, beyond))), stream)
        assert isinstance(outside, Rejected)
        assert (outside.reason, outside.field) == (Reason.OUT_OF_RANGE, field)


@pytest.mark.parametrize(("stream", "field"), MEASURES)
@pytest.mark.parametrize(
    ("number", "reason"),
    [
        *((constant, Reason.MALFORMED_JSON) for constant in CONSTANTS),
        *((text, Reason.MALFORMED_JSON) for text in ("01", "+1", ".5", "1.", "0x1F", "1_0", "--1")),
        *((text, Reason.MALFORMED_JSON) for text in ("1e", "-", "1e+", "nan", "", "1,5")),
        ("1e400", Reason.OUT_OF_RANGE),
        ("-1e400", Reason.OUT_OF_RANGE),
        ("1e99999999999999999999", Reason.OUT_OF_RANGE),
        ("2147483648", Reason.OUT_OF_RANGE),
        ("9223372036854775807", Reason.OUT_OF_RANGE),
        ("9223372036854775808", Reason.OUT_OF_RANGE),
        ("-9223372036854775809", Reason.OUT_OF_RANGE),
        ("18446744073709551616", Reason.OUT_OF_RANGE),
        ("9" * 5_000, Reason.OUT_OF_RANGE),
        ("-" + "9" * 5_000, Reason.OUT_OF_RANGE),
        ("9" * 60_000, Reason.OUT_OF_RANGE),
        ("-60.01", Reason.OUT_OF_RANGE),
        ('"12.5"', Reason.WRONG_TYPE),
        ('"NaN"', Reason.WRONG_TYPE),
        ('""', Reason.WRONG_TYPE),
        ("true", Reason.WRONG_TYPE),
        ("false", Reason.WRONG_TYPE),
        ("[]", Reason.WRONG_TYPE),
        ("[1]", Reason.WRONG_TYPE),
        ("{}", Reason.WRONG_TYPE),
        ("[" * 63 + "]" * 63, Reason.WRONG_TYPE),
        ("[" * 64 + "]" * 64, Reason.MALFORMED_JSON),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_is_no_number_in_range_is_refused(
    stream: Stream, field: str, number: str, reason: Reason
) -> None:
    result = check(with_value(stream, field, number), stream)
    assert isinstance(result, Rejected)
    assert result.reason is reason
    assert result.field == (None if reason is Reason.MALFORMED_JSON else field)


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_a_null_energy_is_of_the_wrong_type(stream: Stream) -> None:
    value = with_value(stream, stream.energy_field, "null")
    assert isinstance(check(value, stream), Rejected)
    assert reason_of(value, stream) is Reason.WRONG_TYPE


def test_a_state_of_charge_of_101_percent_is_out_of_range() -> None:
    assert reason_of(with_value(VEHICLE, "soc", "101"), VEHICLE) is Reason.OUT_OF_RANGE


@pytest.mark.parametrize(
    ("number", "kept"),
    [
        ("0", 0.0),
        ("-0", -0.0),
        ("-0.0", -0.0),
        ("-0e5", -0.0),
        ("-0E-0", -0.0),
        ("-1e-400", -0.0),
        ("1e-400", 0.0),
        ("0e400", 0.0),
        ("5e-324", 5e-324),
        ("2.2250738585072011e-308", 2.225073858507201e-308),
        ("1E+2", 100.0),
        ("1e0000000000000000000000002", 100.0),
        ("0.1", 0.1),
        ("0." + "3" * 300, 1 / 3),
        ("0." + "3" * 60_000, 1 / 3),
        ("0." + "0" * 400 + "1", 0.0),
        ("1" + "0" * 5_000 + "e-5000", 1.0),
        ("9007199254740993e-15", 9.007199254740993),
        ("1.00000000000000011102230246251565404236316680908203125", 1.0),
        ("1.00000000000000011102230246251565404236316680908203126", 1.0000000000000002),
    ],
    ids=lambda value: str(value)[:24],
)
@pytest.mark.parametrize(("stream", "field"), MEASURES)
def test_a_number_is_kept_bit_for_bit(stream: Stream, field: str, number: str, kept: float) -> None:
    result = check(with_value(stream, field, number), stream)
    assert isinstance(result, Reading)
    assert packed((result.measures[stream.fields.index(field)],)) == packed((kept,))


# Device ids


@pytest.mark.parametrize(
    "device_id", ["m", "0", "-", ".", "..", ":", "_", "A.b_C-9:z", "NaN", "-0", "null", "m" * 64]
)
@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_an_id_of_1_to_64_allowed_characters_is_taken(stream: Stream, device_id: str) -> None:
    result = check(with_value(stream, stream.id_field, f'"{device_id}"'), stream)
    assert isinstance(result, Reading)
    assert result.device_id == device_id


@pytest.mark.parametrize(
    "spelling",
    [
        *("", " ", " mtr", "mtr ", "m tr", "m" * 65, "m" * 60_000),
        *(r"\u0000", r"mtr\u0000", r"\ud800", r"mtr\udfff", r"\ude00\ud83d", r"\ud83d\ude00"),
        *(r"m\tr", r"m\rr", r"m\nr", r"mtr\n", r"\nmtr", r"m\u000ar", r"\\N", r"\\.", r"m\/r"),
        *("mtr\u200b", "\u200bmtr", "\ufeffmtr", "m\u00adtr", "\u202emtr", "mtr\u061c", "m\u2028r"),
        *("\u043c\u0442\u0433", "mtr\u20101", "\uff4dtr", "m\u0131tr", "mtr\u0661", "m\u0301tr"),
        *("'; DROP TABLE meter_history; --", "=1+1", "@SUM(A1)", "+1", "a/b", "a,b", "a;b", "%00"),
        r"m\n{\"event\":\"forged\"}",
        *("m\x7f", "mt\u00e9", "\U0001f50c", "*", "m\\\\r", '\\"'),
    ],
)
@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_an_id_of_other_characters_or_length_is_invalid(stream: Stream, spelling: str) -> None:
    result = check(with_value(stream, stream.id_field, f'"{spelling}"'), stream)
    assert isinstance(result, Rejected)
    assert (result.reason, result.field) == (Reason.INVALID_DEVICE_ID, stream.id_field)


@pytest.mark.parametrize(
    "value", ["1", "null", "true", "[]", '["mtr"]', "{}", "1e400", "9" * 5_000]
)
def test_an_id_that_is_no_string_is_of_the_wrong_type(value: str) -> None:
    assert reason_of(meter(meterId=value)) is Reason.WRONG_TYPE


# Time


@pytest.mark.parametrize(
    ("text", "after_ten"),
    [
        ("2026-02-10T10:00:00Z", 0),
        ("2026-02-10t10:00:00z", 0),
        ("2026-02-10T10:00:00.123456789Z", 123_456),
        ("2026-02-10T10:00:00.999999999Z", 999_999),
        ("2026-02-10T10:00:00.9999999999999+00:00", 999_999),
        ("2026-02-10T15:30:00.5+05:30", 500_000),
        ("2026-02-10T06:30:00-03:30", 0),
        ("2026-02-10T10:00:00-00:00", 0),
        ("2026-02-11T09:59:00+23:59", 0),
        ("2026-02-09T10:01:00-23:59", 0),
    ],
)
def test_an_rfc_3339_timestamp_is_read_and_cut_to_the_microsecond(
    text: str, after_ten: int
) -> None:
    result = check(meter(timestamp=f'"{text}"'), METER)
    assert isinstance(result, Reading)
    assert result.recorded_at == NOW + after_ten


@pytest.mark.parametrize(
    "text",
    [
        *("2026-02-30T10:00:00Z", "2025-02-29T10:00:00Z", "2026-13-01T10:00:00Z"),
        *("2026-00-10T10:00:00Z", "2026-02-00T10:00:00Z", "2026-04-31T10:00:00Z"),
        *("2026-02-10T10:00:60Z", "2025-12-31T23:59:60Z", "2026-02-10T10:60:00Z"),
        *("2026-02-10T24:00:00Z", "2026-02-09T24:00:00Z", "2026-02-10T25:00:00Z"),
        *("0000-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00", "0001-01-01T00:00:00Z"),
        *("10000-01-01T00:00:00Z", "+10000-01-01T00:00:00Z", "-2026-02-10T10:00:00Z"),
        *("1970-01-01T00:00:00Z", "1999-12-31T23:59:59.999999Z", "2000-01-01T00:00:00+00:01"),
        *("infinity", "-infinity", "now", "today", "epoch", "", " ", "NaN", "null"),
        *("1770717600", "1770717600000", "1770717600000000", "1770717600000000000", "-1", "1e9"),
        *("2026-02-10T10:00:00", "2026-02-10T10:00:00.000", "2026-02-10 10:00:00", "2026-02-10"),
        *("2026-02-10T10:00Z", "2026-02-10T10Z", "2026-02-10Z", "20260210T100000Z", "2026-W07-2"),
        *("2026-02-10 10:00:00Z", "2026-02-10_10:00:00Z", "2026-2-10T10:00:00Z", "26-02-10T10:00Z"),
        *("2026-02-10T10:00:00.Z", "2026-02-10T10:00:00,5Z", "2026-02-10T10:00:00.5.5Z"),
        *("2026-02-10T10:00:00+01", "2026-02-10T10:00:00+0100", "2026-02-10T10:00:00+1:00"),
        *("2026-02-10T10:00:00+24:00", "2026-02-10T10:00:00+01:60", "2026-02-10T10:00:00+01:00:00"),
        *("2026-02-10T10:00:00\u221201:00", "2026-02-10T10:00:00 Z", "2026-02-10T10:00:00UTC"),
        *(" 2026-02-10T10:00:00Z", "2026-02-10T10:00:00Z ", "2026-02-10T10:00:00ZZ"),
        *("2026-02-10T10:00:00Z\\n", "2026-02-10T10:00:00Z\\u0000", "\\ud8002026-02-10T10:00:00Z"),
        *("\u0662026-02-10T10:00:00Z", "2026-02-10T10:00:00.\u0661Z", "\uff12026-02-10T10:00:00Z"),
        "2026-02-10T10:00:00Z[Europe/Berlin]",
        "2026-02-10T10:00:00." + "9" * 1_000,
    ],
    ids=lambda text: ascii(text)[:32],
)
def test_what_is_no_rfc_3339_timestamp_since_2000_is_invalid(text: str) -> None:
    result = check(meter(timestamp=f'"{text}"'), METER)
    assert isinstance(result, Rejected)
    assert (result.reason, result.field) == (Reason.INVALID_TIMESTAMP, "timestamp")


@pytest.mark.parametrize(
    "value",
    [
        *("1770717600", "1770717600000", "1770717600000000", "1770717600000000000", "1770717600.5"),
        *("0", "-0", "1e400", "null", "true", "[]", '["2026-02-10T10:00:00Z"]', "{}", "9" * 5_000),
    ],
    ids=lambda value: value[:24],
)
def test_a_timestamp_that_is_no_string_is_of_the_wrong_type(value: str) -> None:
    result = check(meter(timestamp=value), METER)
    assert isinstance(result, Rejected)
    assert (result.reason, result.field) == (Reason.WRONG_TYPE, "timestamp")


@pytest.mark.parametrize(
    ("instant", "reason"),
    [
        (NOW + 300 * SECOND_US, None),
        (NOW + 300 * SECOND_US + 1, Reason.FUTURE_TIMESTAMP),
        (NOW - 400 * DAY_US, None),
        (NOW - 400 * DAY_US - 1, Reason.TOO_OLD),
    ],
)
def test_the_limits_of_time_are_inclusive_to_the_microsecond(
    instant: int, reason: Reason | None
) -> None:
    value = meter(timestamp=f'"{format_timestamp(instant)}"')
    assert reason_of(value) is reason
    check(value, METER)


def test_digits_that_are_cut_off_do_not_make_a_reading_come_from_the_future() -> None:
    latest = format_timestamp(NOW + 300 * SECOND_US).removesuffix("+00:00")
    assert reason_of(meter(timestamp=f'"{latest}999Z"')) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2099-01-01T00:00:00Z", Reason.FUTURE_TIMESTAMP),
        ("9999-12-31T23:59:59.999999-23:59", Reason.FUTURE_TIMESTAMP),
        ("9999-12-31T23:59:59Z", Reason.FUTURE_TIMESTAMP),
        ("2026-02-10T10:00:00-01:00", Reason.FUTURE_TIMESTAMP),
        ("2000-01-01T00:00:00Z", Reason.TOO_OLD),
        ("2024-12-31T23:59:59Z", Reason.TOO_OLD),
    ],
)
def test_a_reading_from_beyond_the_limits_of_time_is_refused(text: str, reason: Reason) -> None:
    result = check(meter(timestamp=f'"{text}"'), METER)
    assert isinstance(result, Rejected)
    assert (result.reason, result.field) == (reason, "timestamp")


def test_the_retention_moves_the_limit_and_never_below_2000() -> None:
    limits = TimeLimits.at(NOW, retention_days=36_500)
    oldest = meter(timestamp='"2000-01-01T00:00:00Z"')
    older = meter(timestamp='"1999-12-31T23:59:59Z"')
    assert isinstance(decode(oldest, METER, limits), Reading)
    result = decode(older, METER, limits)
    assert isinstance(result, Rejected)
    assert result.reason is Reason.INVALID_TIMESTAMP


# Several faults at once

FAULTS_OF_A_MEASURE = [None, Reason.MISSING_FIELD, Reason.WRONG_TYPE, Reason.OUT_OF_RANGE]
MISSING = {Reason.MISSING_FIELD}
FAULTS_OF_THE_ID = [None, Reason.MISSING_FIELD, Reason.WRONG_TYPE, Reason.INVALID_DEVICE_ID]
FAULTS_OF_THE_TIME = [
    *(None, Reason.MISSING_FIELD, Reason.WRONG_TYPE, Reason.INVALID_TIMESTAMP),
    *(Reason.FUTURE_TIMESTAMP, Reason.TOO_OLD),
]
CONTRACT_ORDER = [
    *("empty_value", "oversized", "malformed_json", "not_an_object", "missing_field", "wrong_type"),
    *("invalid_device_id", "out_of_range", "invalid_timestamp", "future_timestamp", "too_old"),
    # The one that the contract's list is extended by: given only where an option asks for it.
    *("unregistered_device", "conflicting_duplicate", "rejected_by_database"),
]
FAULTY = {
    Reason.WRONG_TYPE: "true",
    Reason.INVALID_DEVICE_ID: '""',
    Reason.OUT_OF_RANGE: "-1e400",
    Reason.INVALID_TIMESTAMP: '"2026-02-30T10:00:00Z"',
    Reason.FUTURE_TIMESTAMP: '"2099-01-01T00:00:00Z"',
    Reason.TOO_OLD: '"2010-01-01T00:00:00Z"',
}


def test_reasons_are_the_contracts_in_its_order() -> None:
    assert list(Reason) == CONTRACT_ORDER


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_of_several_faults_the_first_in_the_contracts_order_is_given(stream: Stream) -> None:
    fields = FIELDS[stream.name]
    measures = [
        [fault for fault in FAULTS_OF_A_MEASURE if field not in OPTIONAL or fault not in MISSING]
        for field in stream.fields
    ]
    choices = [FAULTS_OF_THE_ID, *measures, FAULTS_OF_THE_TIME]
    for faults in itertools.product(*choices):
        message = {
            name: good if fault is None else FAULTY[fault]
            for (name, good), fault in zip(fields.items(), faults, strict=True)
            if fault is not Reason.MISSING_FIELD
        }
        ranks = [CONTRACT_ORDER.index(fault) for fault in faults if fault is not None]
        expected = CONTRACT_ORDER[min(ranks)] if ranks else None
        assert reason_of(spelled(message), stream) == expected, faults


def test_what_is_wrong_with_the_whole_comes_before_what_is_wrong_with_a_field() -> None:
    assert reason_of(b"{" * 65_537) is Reason.OVERSIZED
    assert reason_of(b'{"meterId":"","voltage":null') is Reason.MALFORMED_JSON
    assert reason_of(meter(meterId='""', voltage="NaN")) is Reason.MALFORMED_JSON
    assert reason_of(meter(meterId='""') + b"[]") is Reason.MALFORMED_JSON
    assert reason_of(b'[{"meterId":""}]') is Reason.NOT_AN_OBJECT


@pytest.mark.parametrize(
    "value",
    [
        b'"INJECTED"',
        b"INJECTED",
        b'{"INJECTED',
        b'{"INJECTED":INJECTED}',
        meter(meterId='"INJECTED\\n"'),
        meter(meterId="[INJECTED]"),
        meter(voltage='"INJECTED"'),
        meter(voltage='{"INJECTED":1}'),
        meter(timestamp='"INJECTED"'),
        meter(timestamp='["INJECTED"]'),
        GOOD.replace(b"mtr", b"INJECTED\x1b\n"),
        GOOD.replace(b"mtr", b"INJECTED\xff"),
        GOOD.replace(b"mtr", rb"\INJECTED"),
    ],
    ids=range(13),
)
def test_the_detail_is_one_line_and_quotes_nothing_of_the_input(value: bytes) -> None:
    result = decode(value, METER, LIMITS)
    assert isinstance(result, Rejected)
    assert "INJECTED" not in result.detail
    assert result.detail
    assert result.detail.isprintable()


# Whatever comes

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
