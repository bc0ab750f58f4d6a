"""The named statements, and those composed for a stream."""

import re
from importlib.resources import files

import pytest

from consumer.postgres.statements import StreamStatements, statement
from telemetry.streams import METER, STREAMS, VEHICLE, Stream

NAMES = sorted(path.name for path in (files("consumer.postgres") / "sql").iterdir())


def composed(stream: Stream) -> dict[str, str]:
    return {name: text.decode() for name, text in vars(StreamStatements(stream)).items()}


@pytest.mark.parametrize("name", NAMES)
def test_every_statement_is_found_by_its_name(name: str) -> None:
    assert name.endswith(".sql")
    assert statement(name.removesuffix(".sql")).strip()


def test_a_name_without_a_file_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        statement("drop_everything")


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_no_place_is_left_open_in_a_streams_statements(stream: Stream) -> None:
    for text in composed(stream).values():
        assert "{" not in text
        assert "}" not in text


@pytest.mark.parametrize(
    ("stream", "columns"),
    [
        (METER, '"meter_id", recorded_at, "kwh_consumed_ac", "voltage"'),
        (VEHICLE, '"vehicle_id", recorded_at, "soc", "kwh_delivered_dc", "battery_temp"'),
    ],
)
def test_copying_takes_the_columns_in_the_order_in_which_they_are_encoded(
    stream: Stream, columns: str
) -> None:
    history = " ".join(composed(stream)["copy_history"].split())
    assert history == f'COPY "{stream.history}" ({columns}) FROM STDIN (FORMAT binary)'


@pytest.mark.parametrize(("stream", "other"), [(METER, VEHICLE), (VEHICLE, METER)])
def test_a_streams_statements_name_no_table_of_the_other(stream: Stream, other: Stream) -> None:
    for text in composed(stream).values():
        assert not re.search(rf"\b{other.name}_", text)


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_the_upsert_takes_every_column_and_newer_readings_only(stream: Stream) -> None:
    text = composed(stream)["upsert_current_state"]
    places = 2 + 2 + len(stream.measures)  # the note, the key and time, the measures
    assert text.count("%b::") == places
    for column in stream.measures:
        assert f'"{column}" = excluded."{column}"' in text
    assert "known.recorded_at < excluded.recorded_at" in text
