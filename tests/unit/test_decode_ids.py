"""Device ids: 1 to 64 allowed characters."""

import pytest

from telemetry.decode import Rejected
from telemetry.readings import Reading
from telemetry.reasons import Reason
from telemetry.streams import STREAMS, Stream
from tests.unit.decoding import check, meter, reason_of, with_value


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
def test_an_id_that_is_not_a_string_is_of_the_wrong_type(value: str) -> None:
    assert reason_of(meter(meterId=value)) is Reason.WRONG_TYPE
