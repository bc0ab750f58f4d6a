"""RFC 3339 to whole microseconds."""

import calendar
import random
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.timestamps import EARLIEST_US, format_timestamp, parse_timestamp
from tests.corpus.json_texts import mutated

TEN = 1_770_717_600_000_000  # 2026-02-10T10:00:00Z
YEAR_10000 = 253_402_300_800_000_000


def obvious(text: str) -> int | None:
    """Read a timestamp letter by letter, the slow way; None if the text is not one."""
    for place, letter in enumerate(text[:19]):
        allowed = {4: "-", 7: "-", 10: "Tt", 13: ":", 16: ":"}.get(place, "0123456789")
        if letter not in allowed:
            return None
    if len(text) < 20:
        return None
    rest = text[19:]
    fraction = ""
    if rest[0] == ".":
        fraction = rest[1 : len(rest) - len(rest[1:].lstrip("0123456789"))]
        rest = rest[1 + len(fraction) :]
        if not fraction:
            return None
    year, month, day = int(text[:4]), int(text[5:7]), int(text[8:10])
    clock = int(text[11:13]), int(text[14:16]), int(text[17:19])
    minutes = _offset(rest)
    if minutes is None or not (year > 0 and 0 < month < 13 and day > 0):
        return None
    if day > calendar.monthrange(year, month)[1] or clock > (23, 59, 59) or max(clock[1:]) > 59:
        return None
    seconds = calendar.timegm((year, month, day, *clock)) - minutes * 60
    instant = seconds * 1_000_000 + int(fraction[:6].ljust(6, "0"))
    return instant if instant >= EARLIEST_US else None


def _offset(text: str) -> int | None:
    """Return the minutes ahead of UTC."""
    if text in ("Z", "z"):
        return 0
    if len(text) != 6 or text[0] not in "+-" or text[3] != ":":
        return None
    if not all(letter in "0123456789" for letter in text[1:3] + text[4:]):
        return None
    hours, minutes = int(text[1:3]), int(text[4:])
    if hours > 23 or minutes > 59:
        return None
    return (hours * 60 + minutes) * (-1 if text[0] == "-" else 1)


def parsed(text: str) -> int | None:
    try:
        return parse_timestamp(text)
    except ValueError:
        return None


OFFSETS = st.one_of(
    st.sampled_from(["Z", "z", "+00:00", "-00:00"]),
    st.builds(
        "{}{:02}:{:02}".format, st.sampled_from("+-"), st.integers(0, 23), st.integers(0, 59)
    ),
)
FRACTIONS = st.one_of(st.just(""), st.text("0123456789", min_size=1, max_size=25).map(".{}".format))
TIMESTAMPS = st.builds(
    "{:%Y-%m-%d}{}{:%H:%M:%S}{}{}".format,
    st.dates(date(2000, 1, 2), date(9999, 12, 31)),
    st.sampled_from("Tt"),
    st.times(),
    FRACTIONS,
    OFFSETS,
)


@settings(max_examples=250)
@given(
    st.datetimes(datetime(2000, 1, 2), datetime(9999, 12, 30)),  # noqa: DTZ001  the local time
    OFFSETS,
    st.text("0123456789", max_size=20),
    st.sampled_from("Tt"),
)
def test_an_instant_is_what_datetime_makes_of_it_with_the_rest_cut_off(
    local: datetime, offset: str, more_digits: str, letter: str
) -> None:
    text = f"{local:%Y-%m-%d}{letter}{local:%H:%M:%S}.{local.microsecond:06}{more_digits}{offset}"
    ahead = timedelta()
    if offset.upper() != "Z":
        ahead = timedelta(hours=int(offset[1:3]), minutes=int(offset[4:]))
        ahead = -ahead if offset[0] == "-" else ahead
    since_1970 = local - ahead - datetime(1970, 1, 1)  # noqa: DTZ001  both in UTC
    assert parse_timestamp(text) == since_1970 // timedelta(microseconds=1)


@settings(max_examples=200)
@given(TIMESTAMPS)
def test_a_timestamp_of_any_form_is_read_as_by_the_slow_way(text: str) -> None:
    assert parsed(text) is not None
    assert parsed(text) == obvious(text)


@pytest.mark.parametrize("seed", range(4))
def test_mutated_timestamps_are_taken_and_refused_as_by_the_slow_way(seed: int) -> None:
    chance = random.Random(seed)
    good = [
        b"2026-02-10T10:00:00.000Z",
        b"2024-02-29t23:59:59z",
        b"2000-01-01T00:00:00+00:00",
        b"2026-02-10T10:00:00.123456789012-23:59",
    ]
    for _ in range(5_000):
        text = mutated(chance.choice(good), chance).decode(errors="replace")
        assert parsed(text) == obvious(text), text


@settings(max_examples=200)
@given(st.integers(EARLIEST_US, YEAR_10000 - 1))
def test_a_formatted_instant_is_read_as_the_same(instant: int) -> None:
    assert parse_timestamp(format_timestamp(instant)) == instant


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("2026-02-10T10:00:00Z", 0),
        ("2026-02-10t10:00:00z", 0),
        ("2026-02-10T10:00:00.000Z", 0),
        ("2026-02-10T10:00:00.5Z", 500_000),
        ("2026-02-10T10:00:00.12345Z", 123_450),
        ("2026-02-10T10:00:00.123456Z", 123_456),
        ("2026-02-10T10:00:00.1234569Z", 123_456),
        ("2026-02-10T10:00:00.123456999Z", 123_456),
        ("2026-02-10T10:00:00.999999999+00:00", 999_999),
        ("2026-02-10T10:00:00.99999999999Z", 999_999),
        ("2026-02-10T10:00:00.999999999999Z", 999_999),
        ("2026-02-10T10:00:00.0000009Z", 0),
        ("2026-02-10T10:00:00." + "9" * 60_000 + "Z", 999_999),
        ("2026-02-10T15:30:00+05:30", 0),
        ("2026-02-10T06:30:00-03:30", 0),
        ("2026-02-11T09:59:00+23:59", 0),
        ("2026-02-09T10:01:00-23:59", 0),
        ("2026-02-10T10:00:00-00:00", 0),
        ("2026-02-10T10:00:00+00:00", 0),
        ("2026-02-10T10:00:00.000001-00:00", 1),
    ],
)
def test_every_form_that_rfc_3339_allows_is_read(text: str, microseconds: int) -> None:
    assert parse_timestamp(text) == TEN + microseconds


@pytest.mark.parametrize(
    "text",
    [
        "2000-01-01T00:00:00Z",
        "1999-12-31T20:30:00-03:30",
        "1999-12-31T00:01:00.0000009-23:59",
        "2000-01-01T23:59:00+23:59",
    ],
)
def test_the_first_instant_of_2000_is_the_earliest_in_any_offset(text: str) -> None:
    assert parse_timestamp(text) == EARLIEST_US


@pytest.mark.parametrize(
    "text",
    [
        "1999-12-31T23:59:59.999999Z",
        "1999-12-31T23:59:59.9999999999999Z",
        "2000-01-01T00:00:00+00:01",
        "1970-01-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "0000-01-01T00:00:00Z",
    ],
)
def test_whatever_is_before_2000_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"2000|year"):
        parse_timestamp(text)


def test_the_last_instant_of_9999_is_read_in_an_offset_that_leads_beyond_it() -> None:
    assert parse_timestamp("9999-12-31T23:59:59.999999Z") == YEAR_10000 - 1
    assert parse_timestamp("9999-12-31T23:59:59-23:59") == YEAR_10000 + (86_340 - 1) * 1_000_000


def test_a_formatted_instant_is_in_utc() -> None:
    assert datetime.fromisoformat(format_timestamp(TEN)) == datetime(2026, 2, 10, 10, tzinfo=UTC)
    assert format_timestamp(TEN) == "2026-02-10T10:00:00.000000+00:00"
