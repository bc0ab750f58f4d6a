"""Recorded readings: UCI's household power, and JSON lines of the contract."""

from pathlib import Path

import pytest

from deploy.replica import ROOT
from producer_sim.devices.kinds import READING, RECORDED_LINE
from producer_sim.devices.records import Record
from producer_sim.runs.recording import (
    Fault,
    Gap,
    Line,
    Recording,
    ReplayError,
    json_lines,
    uci_lines,
)
from telemetry.readings import Reading
from telemetry.streams import METER, STREAMS
from telemetry.timestamps import SECOND_US, parse_timestamp

RECORDING = ROOT / "data" / "uci_household_power_2007-02-01_02.csv"
QUOTED = """\
"Date";"Time";"Global_active_power";"Global_reactive_power";"Voltage";"DateTime"
"01/02/2007";"00:00:00";0.326;"0.128";"243.150";2007-02-01 00:00:00
"01/02/2007";"00:01:00";?;"0.130";"243.320";2007-02-01 00:01:00
"01/02/2007";"00:02:00";;"0.130";"";2007-02-01 00:02:00
"01/02/2007";"00:03:00";4.216;"0.418";"234.840";2007-02-01 00:03:00
"""
PLAIN = """\
Date;Time;Global_active_power;Global_reactive_power;Voltage;Global_intensity
16/12/2006;17:24:00;4.216;0.418;234.840;18.400
16/12/2006;17:25:00;?;?;?;?
16/12/2006;17:26:00;lots;0.4;234.840;18.400
16/12/2006;17:27:00;1.5;0.4;2340.840;18.400
31/02/2007;17:28:00;1.5;0.4;234.840;18.400
"""
METER_LINE = (
    b'{"meterId":"mtr-00042","kwhConsumedAc":0.913,"voltage":229.8,'
    b'"timestamp":"2026-02-10T10:00:00.000Z"}'
)
VEHICLE_LINE = b'{"timestamp":"2026-02-10T11:00:00+01:00", "soc":5,"kwhDeliveredDc":0,\
"batteryTemp":-3e0,"vehicleId":"v"}'


def test_power_over_a_minute_becomes_energy() -> None:
    lines = list(uci_lines(QUOTED.splitlines(), "uci-household", separator=";"))
    start = parse_timestamp("2007-02-01T00:00:00Z")
    assert lines == [
        Line(METER, Reading("uci-household", start, (0.005433, 243.15))),
        Gap(),
        Gap(),
        Line(METER, Reading("uci-household", start + 180 * SECOND_US, (0.070267, 234.84))),
    ]


def test_dates_begin_with_the_day_and_bad_lines_are_named() -> None:
    first, gap, *faults = uci_lines(PLAIN.splitlines(), "m", separator=";")
    assert isinstance(first, Line)
    assert first.reading.recorded_at == parse_timestamp("2006-12-16T17:24:00Z")
    assert gap == Gap()
    assert [fault.number for fault in faults if isinstance(fault, Fault)] == [4, 5, 6]


def test_json_lines_go_to_a_stream_by_their_fields_and_keep_their_bytes() -> None:
    meter, vehicle = json_lines([METER_LINE + b"\n", b"\n", VEHICLE_LINE + b"\r\n"])
    assert isinstance(meter, Line)
    assert isinstance(vehicle, Line)
    assert (meter.stream.name, meter.value) == ("meter", METER_LINE)
    assert (vehicle.stream.name, vehicle.value) == ("vehicle", VEHICLE_LINE)
    instant = parse_timestamp("2026-02-10T10:00:00Z")
    assert meter.reading == Reading("mtr-00042", instant, (0.913, 229.8))
    assert vehicle.reading == Reading("v", instant, (5.0, 0.0, -3.0))


def test_a_line_with_too_few_columns_is_named() -> None:
    lines = [*PLAIN.splitlines()[:2], "16/12/2006;17:25:00;4.216;0.4"]
    _, fault = uci_lines(lines, "m", separator=";")
    assert fault == Fault(3, "has fewer columns than the header")


def test_lines_in_the_gateways_envelope_are_replayed_byte_for_byte() -> None:
    wrapped = [
        b'{"streamType":"meter","payload":' + METER_LINE + b"}",
        b'{"payload":' + VEHICLE_LINE + b',"streamType":"vehicle"}',
    ]
    found = [line for line in json_lines(wrapped) if isinstance(line, Line)]
    assert [(line.stream.name, line.value) for line in found] == [
        ("meter", wrapped[0]),
        ("vehicle", wrapped[1]),
    ]
    assert [line.reading.device_id for line in found] == ["mtr-00042", "v"]
    others = [b'{"streamType":"gas","payload":{}}', b'{"payload":' + METER_LINE + b"}"]
    assert all(isinstance(line, Fault) for line in json_lines(others))


def test_bad_json_lines_are_named_with_their_reason() -> None:
    lines = [b"{", METER_LINE, b"[1]", METER_LINE.replace(b"229.8", b'"229.8"'), b"{}", b"\xff"]
    faults = [line for line in json_lines(lines) if isinstance(line, Fault)]
    assert [fault.number for fault in faults] == [1, 3, 4, 5, 6]
    assert "malformed_json" in faults[0].problem
    assert "wrong_type" in faults[2].problem
    assert "meterId or vehicleId" in faults[3].problem


def test_a_recording_keeps_its_bytes_and_canonical_lines_are_recognised(tmp_path: Path) -> None:
    path = tmp_path / "readings.jsonl"
    path.write_bytes(METER_LINE + b"\n" + VEHICLE_LINE + b"\nnot json\n")
    recording = Recording(path=path, meter_id="-")
    meter, vehicle = rows_of(recording)
    assert (meter.value, meter.key, meter.kind) == (METER_LINE, b"mtr-00042", READING)
    assert (vehicle.value, vehicle.key, vehicle.kind) == (VEHICLE_LINE, b"v", RECORDED_LINE)
    assert [fault.number for fault in recording.faults] == [3]
    assert STREAMS[vehicle.stream].name == "vehicle"


def test_a_shift_moves_all_readings_by_the_same_time(tmp_path: Path) -> None:
    path = tmp_path / "uci.csv"
    path.write_text(QUOTED)
    recording = Recording(path=path, meter_id="uci-household")
    latest = parse_timestamp("2007-02-01T00:03:00Z")
    assert recording.latest() == latest
    first, last = rows_of(recording, shift_us=1_234_000)
    assert (first.recorded_at, last.recorded_at) == (latest - 178_766_000, latest + 1_234_000)
    assert (
        last.value == b'{"meterId":"uci-household","kwhConsumedAc":0.070267,"voltage":234.84,'
        b'"timestamp":"2007-02-01T00:03:01.234Z"}'
    )
    assert recording.gaps == 2


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("text", [QUOTED, PLAIN])
def test_commas_and_a_byte_order_mark_give_the_same_readings(
    text: str, mark: str, tmp_path: Path
) -> None:
    usual, other = tmp_path / "usual.csv", tmp_path / "other.csv"
    usual.write_text(text)
    other.write_text(mark + text.replace(";", ","))
    wanted = Recording(path=usual, meter_id="m")
    found = Recording(path=other, meter_id="m")
    assert rows_of(found) == rows_of(wanted) != []
    assert (found.gaps, found.faults) == (wanted.gaps, wanted.faults)


def test_the_real_recording_saved_with_commas_has_the_same_readings(tmp_path: Path) -> None:
    saved = tmp_path / "saved.csv"
    saved.write_text(RECORDING.read_text().replace(";", ","), encoding="utf-8-sig")
    wanted = rows_of(Recording(path=RECORDING, meter_id="m"))
    assert len(wanted) == 2_880
    assert rows_of(Recording(path=saved, meter_id="m")) == wanted


def test_a_byte_order_mark_before_json_lines_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "readings.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + METER_LINE + b"\n" + VEHICLE_LINE + b"\n")
    recording = Recording(path=path, meter_id="-")
    assert [row.value for row in rows_of(recording)] == [METER_LINE, VEHICLE_LINE]
    assert recording.faults == []


@pytest.mark.parametrize(
    "header",
    [
        "Date\tTime\tGlobal_active_power\tVoltage",
        "Date|Time|Global_active_power|Voltage",
        "Date;Time;Global_active_power",
        "Time;Global_active_power;Voltage",
        "Global_active_power",
    ],
)
def test_a_header_that_cannot_be_read_is_refused_with_what_was_expected(
    header: str, tmp_path: Path
) -> None:
    path = tmp_path / "power.csv"
    path.write_text(header + "\n1;2;3;4\n")
    with pytest.raises(ReplayError, match="separated by semicolons or commas") as caught:
        Recording(path=path, meter_id="m")
    assert repr(header) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_in_another_format_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    for path in (other, tmp_path / "missing", tmp_path):
        with pytest.raises(ReplayError) as caught:
            Recording(path=path, meter_id="m")
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def rows_of(recording: Recording, shift_us: int = 0) -> list[Record]:
    return [
        chunk.row(index)
        for chunk in recording.chunks(shift_us=shift_us)
        for index in range(len(chunk))
    ]
