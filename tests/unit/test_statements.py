"""The named statements, and those composed for a stream."""

import re
from importlib.resources import files

import pytest

from api.queries.statements import BY_STREAM
from consumer.postgres.statements import StreamStatements, statement
from runtime.statements import statements_of
from telemetry.streams import METER, STREAMS, VEHICLE, Stream

PACKAGES = ("consumer.postgres", "api.queries")
NAMES = [
    (package, path.name) for package in PACKAGES for path in (files(package) / "sql").iterdir()
]


def composed(stream: Stream) -> dict[str, str]:
    return {name: text.decode() for name, text in vars(StreamStatements(stream)).items()}


def composed_of_api(stream: Stream) -> dict[str, str]:
    return {name: text.decode() for name, text in vars(BY_STREAM[stream]).items()}


@pytest.mark.parametrize(("package", "name"), sorted(NAMES))
def test_every_statement_is_found_by_its_name(package: str, name: str) -> None:
    assert name.endswith(".sql")
    assert statements_of(package)(name.removesuffix(".sql")).strip()


def test_a_name_without_a_file_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        statement("drop_everything")


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_no_place_is_left_open_in_a_streams_statements(stream: Stream) -> None:
    for text in [*composed(stream).values(), *composed_of_api(stream).values()]:
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
    for text in [*composed(stream).values(), *composed_of_api(stream).values()]:
        assert not re.search(rf"\b{other.name}_", text)


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_the_upsert_takes_every_column_and_newer_readings_only(stream: Stream) -> None:
    text = composed(stream)["upsert_current_state"]
    places = 2 + 2 + len(stream.measures)  # the note, the key and time, the measures
    assert text.count("%b::") == places
    for column in stream.measures:
        assert f'"{column}" = excluded."{column}"' in text
    assert "known.recorded_at < excluded.recorded_at" in text


METER_COLUMNS = (
    '"location", "site", "label", "capacity_kw", "reading_kind", "register_modulus_kwh",'
    ' "register_step_kwh", "reading_interval_seconds"'
)
VEHICLE_COLUMNS = (
    '"vin", "model", "label", "battery_capacity_kwh", "max_ac_kw", "reading_kind",'
    ' "reading_interval_seconds", "reports_only_while_charging"'
)


@pytest.mark.parametrize(
    ("stream", "columns"), [(METER, METER_COLUMNS), (VEHICLE, VEHICLE_COLUMNS)]
)
def test_a_device_is_registered_with_every_property_that_its_model_has(
    stream: Stream, columns: str
) -> None:
    text = " ".join(composed_of_api(stream)["insert_devices"].split())
    named = f'"{stream.id_column}", {columns}'
    assert f'INSERT INTO "{stream.registry}" ({named}) SELECT {named} FROM jsonb_populate' in text
