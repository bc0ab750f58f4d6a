"""Which error waits, which is the data's fault, and how long the wait is."""

import itertools

import psycopg
import pytest
from psycopg import errors
from psycopg.pq import DiagnosticField

from consumer.backoff import pause
from consumer.errors import CommitUnknown
from consumer.postgres.failures import (
    cause_of,
    is_conflict,
    is_data_error,
    is_missing_day,
    is_outage,
    is_refusal,
    is_refused_connection,
    is_worth_waiting,
    sqlstate_of,
)

SURROUNDINGS = {
    **dict.fromkeys(["08000", "08001", "08003", "08004", "08006", "08P01"], "connection"),
    **dict.fromkeys(["25006", "25P02", "25P03"], "read_only"),
    **dict.fromkeys(["28000", "28P01"], "authorization"),
    **dict.fromkeys(["40001", "40003", "40P01"], "serialization"),
    **dict.fromkeys(["42501", "42703", "42P01"], "schema"),
    **dict.fromkeys(["53000", "53100", "53200", "53300", "53400"], "resources"),
    **dict.fromkeys(["55006", "55P03"], "lock"),
    **dict.fromkeys(["57014", "57P01", "57P02", "57P03", "57P05"], "operator"),
    **dict.fromkeys(["58000", "58030", "58P01"], "system"),
    **dict.fromkeys(["0A000", "21000", "3D000", "54000", "XX000", "XX001"], "other"),
}
# The contract's list of what is waited for as an outage, and 25P03 and 25P04, which end a session.
OUTAGE_CLASSES = ("08", "53", "57", "58")
OUTAGES = ("25006", "25P03", "25P04")
CONFLICTS = ("40000", "40001", "40002", "40003", "40P01", "55006", "55P03")
REFUSALS = [
    *["42501", "42703", "42P01", "42883", "42P05", "0A000", "28000", "28P01", "3D000", "3F000"],
    *["26000", "XX000", "XX001", "21000", "25P02", "54000", "55000", "P0001", "HV000", "2BP01"],
    *["22003", "23505", "23514"],  # for which no row can be blamed
]
CONNECTION = 'connection failed: connection to server at "127.0.0.1", port 5432 failed: '
REFUSED_CONNECTIONS = {
    'FATAL:  password authentication failed for user "wattline"': "28P01",
    "fe_sendauth: no password supplied": "28P01",
    'FATAL:  no pg_hba.conf entry for host "10.0.0.7", user "wattline", no encryption': "28000",
    "FATAL:  pg_hba.conf rejects connection for host": "28000",
    'FATAL:  Peer authentication failed for user "wattline"': "28000",
    'FATAL:  role "wattline" does not exist': "28000",
    'FATAL:  role "wattline" is not permitted to log in': "28000",
    'FATAL:  database "wattline" does not exist': "3D000",
    'FATAL:  permission denied for database "wattline"': "42501",
    'FATAL:  database "wattline" is not currently accepting connections': "55000",
    'FATAL:  unrecognized configuration parameter "foo"': "42704",
}
AWAY = [
    "Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?",
    "FATAL:  the database system is starting up",
    "FATAL:  the database system is shutting down",
    "FATAL:  sorry, too many clients already",
    "FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute",
    'FATAL:  too many connections for role "wattline"',
    "server closed the connection unexpectedly",
    'could not translate host name "db" to address: Name or service not known',
]
DATA = ["22000", "22003", "22007", "22008", "22021", "22P02", "22P03", "22P05"]
DATA += ["23000", "23502", "23503", "23505"]
CAUSES = {*SURROUNDINGS.values(), "missing_partition"}

EVERY_SQLSTATE = sorted(
    {
        kind.sqlstate
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, psycopg.Error) and kind.sqlstate
    }
)

WITHOUT_SQLSTATE = [
    psycopg.OperationalError("server closed the connection unexpectedly"),
    psycopg.errors.ConnectionTimeout("connection timeout expired"),
    psycopg.InterfaceError("the connection is closed"),
    psycopg.Error(),
    TimeoutError(),
    ConnectionResetError(104, "Connection reset by peer"),
    CommitUnknown("771"),
]


def error_of(sqlstate: str) -> psycopg.Error:
    return errors.lookup(sqlstate)(f"as the server words {sqlstate}")


def check_violation(constraint: bytes | None) -> psycopg.Error:
    return errors.CheckViolation("23514", info={DiagnosticField.CONSTRAINT_NAME: constraint})


@pytest.mark.parametrize(("sqlstate", "cause"), SURROUNDINGS.items())
def test_an_error_of_the_surroundings_waits_and_is_never_the_datas(
    sqlstate: str, cause: str
) -> None:
    assert not is_data_error(error_of(sqlstate))
    assert cause_of(error_of(sqlstate)) == cause


@pytest.mark.parametrize("sqlstate", DATA)
def test_an_error_of_the_data_does_not_wait(sqlstate: str) -> None:
    assert is_data_error(error_of(sqlstate))
    assert not is_missing_day(error_of(sqlstate))


def test_of_every_sqlstate_the_classes_22_and_23_alone_are_the_datas() -> None:
    assert len(EVERY_SQLSTATE) > 200
    for sqlstate in EVERY_SQLSTATE:
        of_the_data = sqlstate[:2] in ("22", "23") and sqlstate != "23514"
        assert is_data_error(error_of(sqlstate)) is of_the_data, sqlstate


def test_every_sqlstate_is_one_of_an_outage_a_conflict_and_a_refusal() -> None:
    for sqlstate in EVERY_SQLSTATE:
        error = error_of(sqlstate)
        kinds = is_outage(error), is_conflict(error), is_refusal(error)
        outage = sqlstate.startswith(OUTAGE_CLASSES) or sqlstate in OUTAGES
        conflict = sqlstate in CONFLICTS
        assert kinds == (outage, conflict, not outage and not conflict), sqlstate
        assert is_worth_waiting(error)
        assert not is_refused_connection(error)


@pytest.mark.parametrize("sqlstate", REFUSALS)
def test_what_a_server_refuses_that_is_well_is_a_refusal(sqlstate: str) -> None:
    assert is_refusal(error_of(sqlstate))


@pytest.mark.parametrize("error", WITHOUT_SQLSTATE, ids=lambda error: type(error).__name__)
def test_an_error_without_an_sqlstate_is_an_outage(error: Exception) -> None:
    assert is_outage(error)
    assert not is_refusal(error)


@pytest.mark.parametrize(("words", "sqlstate"), REFUSED_CONNECTIONS.items())
def test_a_connection_that_the_server_refuses_is_known_by_its_words(
    words: str, sqlstate: str
) -> None:
    error = psycopg.OperationalError(CONNECTION + words)
    assert sqlstate_of(error) == sqlstate
    assert is_refusal(error)
    assert is_refused_connection(error)


@pytest.mark.parametrize("words", AWAY)
def test_a_connection_to_a_server_that_is_away_or_full_is_an_outage(words: str) -> None:
    error = psycopg.OperationalError(CONNECTION + words)
    assert is_outage(error)
    assert cause_of(error) == "connection"


@pytest.mark.parametrize("error", [ValueError("42501"), KeyError("x"), AssertionError()])
def test_a_fault_of_the_program_is_not_waited_for(error: Exception) -> None:
    assert not is_worth_waiting(error)
    assert not is_outage(error)
    assert not is_refusal(error)


def test_causes_are_labels_of_a_small_fixed_set() -> None:
    everything = [*map(error_of, EVERY_SQLSTATE), *WITHOUT_SQLSTATE, check_violation(None)]
    assert {cause_of(error) for error in everything} <= CAUSES
    assert len(CAUSES) <= 12


@pytest.mark.parametrize("error", WITHOUT_SQLSTATE, ids=lambda error: type(error).__name__)
def test_an_error_without_an_sqlstate_is_of_the_connection(error: Exception) -> None:
    assert not is_data_error(error)
    assert not is_missing_day(error)
    assert cause_of(error) == "connection"


@pytest.mark.parametrize("error", [ValueError("22"), KeyError("23505"), AssertionError()])
def test_an_error_that_is_not_postgresqls_is_not_the_datas(error: Exception) -> None:
    assert not is_data_error(error)


def test_a_check_violation_without_a_constraint_is_a_missing_partition() -> None:
    error = check_violation(None)
    assert is_missing_day(error)
    assert not is_data_error(error)
    assert is_refusal(error)  # of which the first is not told: the next try makes the day
    assert cause_of(error) == "missing_partition"


def test_a_check_violation_of_a_constraint_is_an_error_of_the_data() -> None:
    error = check_violation(b"ingest_offset_next_offset_check")
    assert not is_missing_day(error)
    assert is_data_error(error)


@pytest.mark.parametrize("longest", [0.1, 0.5, 3.0, 60.0])
def test_every_pause_is_within_the_cap_however_long_it_lasts(longest: float) -> None:
    for attempt in [*range(1, 200), 1_023, 1_024, 1_025, 10_000, 100_000]:
        assert 0.05 <= pause(attempt, longest=longest) <= longest


def test_pauses_begin_short_and_double() -> None:
    for attempt, most in enumerate([0.1, 0.2, 0.4, 0.8, 1.6, 3.0, 3.0], start=1):
        longest = max(pause(attempt, longest=3.0) for _ in range(300))
        assert most * 0.8 < longest <= most


def test_pauses_of_replicas_are_not_in_step() -> None:
    pauses = [pause(8, longest=3.0) for _ in range(100)]
    assert len(set(pauses)) > 90
    assert min(pauses) < 1.0
    assert max(pauses) > 2.0
    assert all(one != other for one, other in itertools.pairwise(pauses))
