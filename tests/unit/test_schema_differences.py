"""How what a database holds is compared with the schema."""

from consumer.postgres.migrations import schema_text
from consumer.postgres.schema import Facts, _differences

WANTED: Facts = {("meter", "column a"), ("meter", "key a"), ("vehicle", "column b")}


def test_equal_tables_do_not_differ() -> None:
    assert _differences(WANTED, set(WANTED)) == []
    assert _differences(set(), set()) == []


def test_a_missing_object_is_one_line_and_not_one_for_each_fact() -> None:
    actual: Facts = {("vehicle", "column b")}
    assert _differences(WANTED, actual) == ["meter: is not there"]
    assert _differences(WANTED, set()) == ["meter: is not there", "vehicle: is not there"]


def test_what_is_missing_and_what_is_there_besides_are_told_apart() -> None:
    actual = WANTED - {("meter", "key a")} | {("meter", "column z"), ("vehicle", "option x")}
    assert _differences(WANTED, actual) == [
        "meter: missing: key a",
        "meter: not in the schema: column z",
        "vehicle: not in the schema: option x",
    ]


def test_tables_of_others_are_left_alone() -> None:
    assert _differences(WANTED, WANTED | {("theirs", "column c")}) == []


def test_the_schema_is_that_of_the_contract() -> None:
    tables = ["meter_history", "vehicle_history", "meter_current_state", "vehicle_current_state"]
    for table in [*tables, "ingest_offset", "dead_letter"]:
        assert f"CREATE TABLE IF NOT EXISTS {table} (" in schema_text()
    assert "CREATE EXTENSION" not in schema_text().upper()
