"""Numbers: inclusive bounds, and every number kept bit for bit."""

import math

import pytest

from telemetry.decode import Rejected
from telemetry.readings import Reading
from telemetry.reasons import Reason
from telemetry.streams import STREAMS, VEHICLE, Stream
from tests.corpus.json_texts import CONSTANTS
from tests.corpus.readings import (
    BOUNDS,
)
from tests.corpus.results import bits, packed
from tests.unit.decoding import MEASURES, check, reason_of, with_value


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
def test_a_value_that_is_not_a_number_in_range_is_refused(
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
