"""Timestamps by column are what they are one by one."""

from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.flush.instants import UNREADABLE, read_instants
from telemetry.timestamps import parse_timestamp

USUAL = "2026-02-10T10:00:00.000Z"

usual = st.builds(
    lambda at, timespec, zone: at.isoformat(timespec=timespec) + zone,
    st.datetimes(datetime(1999, 12, 30), datetime(9999, 12, 31)),  # noqa: DTZ001  in UTC
    st.sampled_from(["seconds", "milliseconds", "microseconds"]),
    st.sampled_from(["Z", "+00:00"]),
)
# One character is changed: mostly this is not a timestamp, or its time, date or zone is invalid.
spoilt = st.builds(
    lambda text, place, char: text[: place % len(text)] + char + text[place % len(text) + 1 :],
    usual,
    st.integers(0, 99),
    st.one_of(st.sampled_from("0123456789-:.TtZz+ \n\0٣é"), st.characters()),
)


def one_by_one(texts: list[str]) -> list[int]:
    return [_instant(text) for text in texts]


def _instant(text: str) -> int:
    try:
        return parse_timestamp(text)
    except ValueError:
        return UNREADABLE


@settings(max_examples=300)
@given(st.lists(usual | spoilt, max_size=12))
def test_those_of_the_usual_lengths_are_read_as_the_definition_reads_them(texts: list[str]) -> None:
    assert read_instants(texts).tolist() == one_by_one(texts)


@given(st.lists(usual | spoilt | st.text(max_size=40), max_size=6))
def test_texts_of_any_length_are_read_as_the_definition_reads_them(texts: list[str]) -> None:
    assert read_instants(texts).tolist() == one_by_one(texts)


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-29T10:00:00.000Z",
        "2028-02-29T10:00:00.000Z",
        "2026-00-10T10:00:00.000Z",
        "2026-13-10T10:00:00.000Z",
        "2026-04-31T10:00:00.000Z",
        "2026-02-10T24:00:00.000Z",
        "2026-02-10T23:59:59.999Z",
        "2026-02-10T10:60:00.000Z",
        "2026-02-10T10:00:60.000Z",
        "1999-12-31T23:59:59.999Z",
        "2000-01-01T00:00:00.000Z",
        "9999-12-31T23:59:59.999Z",
        "2026-02-10t10:00:00.000z",
        "2026-02-10T10:00:00+01:0",
        "2026-02-10T10:00:00,000Z",
    ],
)
@pytest.mark.parametrize("ending", [".000Z", "Z", "+00:00", ".000000Z", ".000000+00:00"])
@pytest.mark.parametrize("neighbours", [0, 3])
def test_the_edges_are_the_definitions(text: str, ending: str, neighbours: int) -> None:
    text = text.replace(".000Z", ending)
    texts = [USUAL] * neighbours + [text] + [USUAL] * neighbours
    assert read_instants(texts).tolist() == one_by_one(texts)


def test_one_text_that_ends_in_the_next_is_not_read_across() -> None:
    texts = [USUAL[:-1], "Z" + USUAL]
    assert read_instants(texts).tolist() == [UNREADABLE, UNREADABLE]
