"""What PostgreSQL refuses is told once when it begins and once when it ends."""

import psycopg
import pytest
from psycopg import errors
from structlog.testing import capture_logs
from structlog.typing import EventDict

from consumer.metrics import Metrics
from consumer.postgres.refusals import CHECK, OFFSETS, ROLLUP, Refusals, Work
from runtime.postgres.schema_version import UnfitSchema

METERS, VEHICLES = (
    Work("flush", topic, stores=True) for topic in ("telemetry.meter", "telemetry.vehicle")
)
DENIED = errors.InsufficientPrivilege("permission denied for table meter_history\nDETAIL:  x")
MISSING = errors.UndefinedTable('relation "meter_history" does not exist')
WRONG_PASSWORD = psycopg.OperationalError(
    'connection failed: FATAL:  password authentication failed for user "wattline"'
)


class Told:
    """Refusals, and the lines that they have logged."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.refusals = Refusals(self.metrics, role="wattline")
        self.lines: list[EventDict] = []

    def note(self, waiting: str, work: Work, error: Exception) -> None:
        with capture_logs() as lines:
            self.refusals.note(waiting, work, error, partition=3)
        self.lines += lines

    def end(self, waiting: str) -> None:
        with capture_logs() as lines:
            self.refusals.end(waiting)
        self.lines += lines

    @property
    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]

    def waiting(self, work: str, topic: str, sqlstate: str) -> float | None:
        labels = {"work": work, "topic": topic, "sqlstate": sqlstate}
        return self.metrics.registry.get_sample_value("telemetry_database_refused", labels)


@pytest.fixture
def told() -> Told:
    return Told()


def test_the_line_names_what_was_refused_the_role_and_the_help(told: Told) -> None:
    DENIED.add_note("making days of meter_history, of 2026-02-10")
    told.note("a", METERS, DENIED)
    (line,) = told.lines
    assert "runbook" in line.pop("help")
    assert line == {
        "event": "database_refuses",
        "log_level": "error",
        "work": "flush",
        "topic": "telemetry.meter",
        "partition": 3,
        "sqlstate": "42501",
        "error": "permission denied for table meter_history",
        "role": "wattline",
        "doing": "making days of meter_history, of 2026-02-10",
    }


def test_partitions_of_one_topic_are_one_line_and_a_number(told: Told) -> None:
    for waiting in ("a", "b", "b"):
        told.note(waiting, METERS, DENIED)
    assert told.events == ["database_refuses"]
    assert told.waiting("flush", "telemetry.meter", "42501") == 2
    told.end("a")
    assert told.events == ["database_refuses"]
    told.end("b")
    assert told.events == ["database_refuses", "database_accepts"]
    assert told.waiting("flush", "telemetry.meter", "42501") is None


def test_other_work_another_topic_and_another_sqlstate_are_news(told: Told) -> None:
    told.note("a", METERS, DENIED)
    told.note("b", VEHICLES, DENIED)
    told.note("c", ROLLUP, DENIED)
    told.note("d", METERS, MISSING)
    assert told.events == ["database_refuses"] * 4
    told.note("a", METERS, MISSING)
    assert told.waiting("flush", "telemetry.meter", "42501") is None
    assert told.waiting("flush", "telemetry.meter", "42P01") == 2
    assert told.events == ["database_refuses"] * 4


def test_a_schema_that_does_not_fit_has_a_label_of_its_own(told: Told) -> None:
    told.note("a", CHECK, UnfitSchema("too old"))
    assert told.waiting("check", "", "42WL2") == 1


def test_a_refused_connection_is_one_line_whatever_it_was_for(told: Told) -> None:
    for waiting, work in (("a", METERS), ("b", OFFSETS), ("c", ROLLUP)):
        told.note(waiting, work, WRONG_PASSWORD)
    (line,) = told.lines
    assert (line["work"], line["sqlstate"]) == ("connect", "28P01")
    assert told.waiting("connect", "", "28P01") == 3


def test_only_what_keeps_messages_from_being_stored_is_told_to_readiness(told: Told) -> None:
    told.note("a", ROLLUP, DENIED)
    told.note("b", ROLLUP, WRONG_PASSWORD)
    kept = [told.refusals.keep_from_storing]
    told.note("c", METERS, DENIED)
    kept.append(told.refusals.keep_from_storing)
    told.end("c")
    kept.append(told.refusals.keep_from_storing)
    assert kept == [False, True, False]


def test_a_partition_that_has_moved_on_waits_no_more_and_nothing_was_accepted(told: Told) -> None:
    told.note("a", METERS, DENIED)
    told.refusals.forget("a")
    told.end("a")
    assert told.events == ["database_refuses"]
    assert told.waiting("flush", "telemetry.meter", "42501") is None


def test_what_was_never_refused_ends_without_a_word(told: Told) -> None:
    told.end("a")
    assert told.lines == []


def test_a_code_that_a_trigger_made_up_is_not_a_label(told: Told) -> None:
    error = psycopg.DatabaseError("not today")
    error.sqlstate = "WAT01"
    told.note("a", METERS, error)
    assert told.waiting("flush", "telemetry.meter", "other") == 1
    assert told.lines[0]["sqlstate"] == "WAT01"
