"""The comparison of ledgers written by hand: each fate of a message, each order of two."""

from pathlib import Path

import pytest
from confluent_kafka import KafkaError

from producer_sim.devices.kinds import CONFLICT, DUPLICATE, READING, Kind, Outcome
from producer_sim.devices.messages import canonical
from producer_sim.devices.records import NO_TIME, Record, Records
from producer_sim.ledger.ledger import EmptyLedgerError, Ledger, LedgerError
from producer_sim.ledger.reports import NO_OFFSET
from producer_sim.oracle.compare import check_not_empty, compare, load_ledgers, workspace
from telemetry.reasons import Reason
from telemetry.streams import METER
from tests.unit.stored_world import (
    METERS,
    MINUTE_US,
    NOW,
    World,
    cut,
    digest,
    filled,
    message,
    violations,
)

PADDED = b"x" * 70_000
FAILED = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
UNKNOWN = KafkaError(KafkaError._PURGE_INFLIGHT)


def reading(energy: float, kind: Kind = READING, minute: int = 0) -> Record:
    recorded_at = NOW + minute * MINUTE_US
    value = canonical(METER, "m", (energy, 230.0), recorded_at)
    return Record(0, "m", b"m", value, recorded_at, (energy, 230.0), kind, recorded_at)


class Case:
    """Ledgers written by hand: each message with its report or its offset."""

    def __init__(self, folder: Path) -> None:
        self.world = World()
        self._folder = folder
        self.ledgers: list[Path] = []

    def ledger(self, *entries: tuple[Record, KafkaError | int]) -> None:
        directory = self._folder / f"ledger-{len(self.ledgers)}"
        book = Ledger(directory=directory, metadata={}, now_us=NOW)
        records = Records.of([record for record, _ in entries])
        for take, (_, report) in zip(
            book.enter(records, [0] * len(entries), NOW), entries, strict=True
        ):
            if isinstance(report, KafkaError):
                take(report, None)
            else:
                take(None, message(report))
        book.close()
        self.ledgers.append(directory)

    def violations(self, *, exact: bool = False) -> dict[str, int]:
        with filled(self._folder, self.world, *self.ledgers) as connection:
            return violations(compare(connection, exact=exact))


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_a_message_of_unknown_fate_may_be_stored_or_not(case: Case) -> None:
    case.ledger((reading(1.0), UNKNOWN), (reading(2.0, minute=1), UNKNOWN))
    case.world.append(reading(2.0, minute=1), 0)
    assert case.violations(exact=True) == {}


def test_a_message_of_unknown_fate_may_not_be_altered(case: Case) -> None:
    case.ledger((reading(1.0), UNKNOWN))
    case.world.append(reading(1.5), 0)
    assert case.violations() == {"altered": 1}


def test_a_failed_message_must_not_be_stored(case: Case) -> None:
    case.ledger((reading(1.0), FAILED))
    case.world.append(reading(1.0), 0)
    assert case.violations() == {"invented": 1}


def test_a_duplicate_is_stored_if_its_original_failed(case: Case) -> None:
    case.ledger((reading(1.0), FAILED), (reading(1.0, DUPLICATE), 0))
    case.world.append(reading(1.0), 0)
    assert case.violations(exact=True) == {}


def test_a_duplicate_of_an_original_that_failed_can_be_lost(case: Case) -> None:
    case.ledger((reading(1.0), FAILED), (reading(1.0, DUPLICATE), 0))
    case.world.ends[METERS, 0] = 1
    assert case.violations() == {"lost": 1}


def test_a_conflict_is_stored_if_its_original_failed(case: Case) -> None:
    case.ledger((reading(1.0), FAILED), (reading(2.0, CONFLICT), 0))
    case.world.append(reading(2.0), 0)
    assert case.violations(exact=True) == {}


def test_either_of_two_may_be_first_if_an_offset_is_unknown(case: Case) -> None:
    case.ledger((reading(1.0), NO_OFFSET), (reading(2.0, CONFLICT), 1))
    case.world.append(reading(1.0), 0)
    case.world.append(reading(2.0), 0)
    assert case.violations(exact=True) == {}


def test_the_known_second_of_two_must_be_dead_lettered_if_it_differs(case: Case) -> None:
    case.ledger((reading(1.0), UNKNOWN), (reading(2.0, CONFLICT), 1))
    case.world.append(reading(1.0), 0)
    case.world.ends[METERS, 0] = 2
    assert case.violations() == {"wrong_outcome": 1}


def test_the_first_in_offset_order_decides_even_against_the_ledgers_expectation(case: Case) -> None:
    case.ledger((reading(1.0), 1), (reading(2.0, CONFLICT), 0))
    case.world.append(reading(2.0), 0)
    case.world.append(reading(1.0), 0)
    assert case.violations(exact=True) == {}


def test_the_later_of_two_conflicting_readings_must_not_be_the_stored_one(case: Case) -> None:
    case.ledger((reading(1.0), 1), (reading(2.0, CONFLICT), 0))
    case.world.append(reading(1.0), 0)
    case.world.append(reading(2.0), 0)
    assert case.violations() == {"altered": 1, "wrong_outcome": 1}


def test_two_ledgers_are_compared_as_one(case: Case) -> None:
    case.ledger((reading(1.0), 0))
    case.ledger((reading(1.0), 1), (reading(3.0, minute=2), 2))
    for energy, minute in ((1.0, 0), (1.0, 0), (3.0, 2)):
        case.world.append(reading(energy, minute=minute), 0)
    assert case.violations(exact=True) == {}


def test_a_dead_letter_of_a_canonical_reading_has_the_readings_bytes(case: Case) -> None:
    case.ledger((reading(1.0), 0))
    case.ledger((reading(2.0), 1))
    case.world.append(reading(1.0), 0)
    case.world.append(reading(2.0), 0)
    assert case.violations(exact=True) == {}


def test_a_dead_letter_of_a_canonical_reading_with_other_bytes_is_found(case: Case) -> None:
    case.ledger((reading(1.0), 0))
    case.ledger((reading(2.0), 1))
    case.world.append(reading(1.0), 0)
    case.world.append(reading(2.0)._replace(value=b"{}"), 0)
    assert case.violations() == {"wrong_outcome": 1}


def test_others_may_have_written_between_the_times_of_two_ledgers(case: Case) -> None:
    case.ledger((reading(1.0), 0))
    case.ledger((reading(3.0, minute=2), 2))
    for minute in (0, 1, 2):
        case.world.append(reading(1.0 + minute, minute=minute), 0)
    assert case.violations() == {}


def test_an_empty_ledger_and_one_of_one_kind_of_device_are_checked(case: Case) -> None:
    case.ledger()
    case.ledger((reading(1.0), 0))
    case.world.append(reading(1.0), 0)
    assert case.violations(exact=True) == {}


@pytest.mark.parametrize("report", [None, FAILED, UNKNOWN])
def test_a_ledger_without_an_acknowledged_message_is_named(
    case: Case, tmp_path: Path, report: KafkaError | None
) -> None:
    """Such a ledger would be clean whatever is stored."""
    case.ledger((reading(1.0), 0))
    case.ledger(*([] if report is None else [(reading(2.0), report)]))
    full, empty = case.ledgers
    with filled(tmp_path, case.world, full, empty) as connection:
        check_not_empty(connection, [full])
        with pytest.raises(EmptyLedgerError, match="ledger-1: holds no acknowledged message"):
            check_not_empty(connection, [full, empty])


def test_a_directory_without_a_ledger_is_refused(tmp_path: Path) -> None:
    with workspace(tmp_path) as connection, pytest.raises(LedgerError):
        load_ledgers(connection, [tmp_path])


def test_a_ledger_that_was_not_closed_is_named(tmp_path: Path) -> None:
    Ledger(directory=tmp_path / "killed", metadata={}, now_us=NOW)
    with workspace(tmp_path) as connection:
        assert load_ledgers(connection, [tmp_path / "killed"]) == (str(tmp_path / "killed"),)


@pytest.mark.parametrize(
    ("told", "replaced", "expected"),
    [
        ("", "", {}),
        ("70000 ", "70001 ", {"wrong_outcome": 1}),
        (str(digest(PADDED)), "other", {"wrong_outcome": 1}),
        (str(digest(PADDED[:1_024])), "other", {"wrong_outcome": 1}),
    ],
    ids=["as sent", "length", "digest", "beginning"],
)
def test_a_letter_that_is_not_whole_is_compared_by_length_digest_and_beginning(
    case: Case, told: str, replaced: str, expected: dict[str, int]
) -> None:
    kind = Kind("malformed_padded", Outcome.DEAD_LETTERED, Reason.OVERSIZED)
    sent = reading(0.0, kind)._replace(recorded_at=NO_TIME, value=PADDED)
    case.ledger((sent, 0))
    case.world.append(sent, 0)
    *place, key, _, reason, redriven = case.world.dead.pop()
    case.world.dead.append((*place, key, cut(PADDED).replace(told, replaced), reason, redriven))
    assert case.violations() == expected


REFUSED_ONCE = "unregistered_device"


@pytest.mark.parametrize("copies", [1, 2], ids=["one message", "a duplicate"])
def test_a_redriven_letter_whose_copy_is_stored_is_right(case: Case, copies: int) -> None:
    case.ledger(*((reading(1.0), offset) for offset in range(copies)))
    for _ in range(copies):
        case.world.refuse(reading(1.0), REFUSED_ONCE, redriven=True)
    case.world.append(reading(1.0), 0)
    assert case.violations(exact=True) == {}


def test_a_redriven_conflict_may_have_been_refused_for_another_reason_at_first(case: Case) -> None:
    case.ledger((reading(1.0), 0), (reading(2.0, CONFLICT), 1))
    for energy in (1.0, 2.0):
        case.world.refuse(reading(energy), REFUSED_ONCE, redriven=True)
    for energy in (1.0, 2.0):
        case.world.append(reading(energy), 0)
    assert case.violations() == {}


def test_a_redriven_letter_whose_copy_is_not_stored_is_lost(case: Case) -> None:
    case.ledger((reading(1.0), 0))
    case.world.refuse(reading(1.0), REFUSED_ONCE, redriven=True)
    assert case.violations() == {"lost": 1, "wrong_outcome": 1}


def test_a_stored_reading_whose_letter_was_not_redriven_is_doubled(case: Case) -> None:
    case.ledger((reading(1.0), 0))
    case.world.refuse(reading(1.0), REFUSED_ONCE, redriven=False)
    case.world.append(reading(1.0), 0)
    assert case.violations() == {"doubled": 1}


def test_a_redriven_letter_must_have_the_bytes_that_were_sent(case: Case) -> None:
    case.ledger((reading(1.0), 0))
    case.world.refuse(reading(1.0)._replace(value=b"{}"), REFUSED_ONCE, redriven=True)
    case.world.append(reading(1.0), 0)
    assert case.violations() == {"wrong_outcome": 1}
