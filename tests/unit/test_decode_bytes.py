"""Bytes that are not JSON, or too many: malformed, empty or oversized."""

import gzip

import pytest

from telemetry.reasons import Reason
from telemetry.streams import METER, STREAMS, VEHICLE, Stream
from tests.corpus.readings import (
    FIELDS,
    VEHICLE_FIELDS,
    spelled,
)
from tests.unit.decoding import (
    GOOD,
    METER_READING,
    VEHICLE_READING,
    check,
    meter,
    meter_with,
    reason_of,
)


def test_a_good_message_is_a_reading() -> None:
    assert check(meter(), METER) == METER_READING
    assert check(spelled(VEHICLE_FIELDS), VEHICLE) == VEHICLE_READING


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
def test_a_value_that_is_too_long_is_oversized_whatever_it_holds(value: bytes) -> None:
    assert reason_of(value) is Reason.OVERSIZED


@pytest.mark.parametrize("blank", [" ", "\t", "\r", "\n", " \r\n\t"])
def test_white_space_around_every_token_changes_nothing(blank: str) -> None:
    spaced = GOOD.decode().replace('"mtr-00042"', '\0"mtr-00042"\0').replace("{", "\0{\0")
    spaced = spaced.replace('":', '"\0:\0').replace(',"', '\0,\0"').replace("}", "\0}\0")
    assert check(spaced.replace("\0", blank).encode(), METER) == METER_READING
