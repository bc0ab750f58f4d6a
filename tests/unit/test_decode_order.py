"""Of several faults the first in the contract's order is given, in one line that quotes nothing."""

import itertools

import pytest

from telemetry.decode import Rejected, decode
from telemetry.reasons import Reason
from telemetry.streams import METER, STREAMS, Stream
from tests.corpus.readings import (
    FIELDS,
    LIMITS,
    OPTIONAL,
    spelled,
)
from tests.unit.decoding import (
    GOOD,
    meter,
    reason_of,
)

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
    # The contract's list is extended by this one, which is given only if an option asks for it.
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
