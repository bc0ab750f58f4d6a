"""Times: RFC 3339 to the microsecond, neither too old nor from the future."""

import pytest

from telemetry.decode import Rejected, TimeLimits, decode
from telemetry.readings import Reading
from telemetry.reasons import Reason
from telemetry.streams import METER
from telemetry.timestamps import DAY_US, SECOND_US, format_timestamp
from tests.corpus.readings import (
    NOW,
)
from tests.unit.decoding import check, meter, reason_of


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
def test_anything_but_an_rfc_3339_timestamp_since_2000_is_invalid(text: str) -> None:
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
def test_a_timestamp_that_is_not_a_string_is_of_the_wrong_type(value: str) -> None:
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
