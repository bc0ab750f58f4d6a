"""The elements of an array are found by brackets and commas, wherever the pieces are cut."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.ingest import elements
from api.ingest.elements import Container, NotSplit, TooMany, containers

TEXT = st.text(st.sampled_from('ab"\\[]{},:\u00e9\n '), max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(0, 1) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
ANY = 1_000_000


def held(body: bytes, *, most: int = ANY) -> list[list[bytes]]:
    return [list(one.elements(body)) for one in containers(body, most=most)]


@given(
    document=st.dictionaries(TEXT, VALUES, max_size=5),
    indent=st.none() | st.integers(0, 2),
    is_ascii=st.booleans(),
    piece=st.integers(1, 80),
)
def test_arrays_and_their_elements_are_those_of_the_document(
    document: dict[str, object], indent: int | None, is_ascii: bool, piece: int
) -> None:
    body = json.dumps(document, indent=indent, ensure_ascii=is_ascii).encode()
    wanted = [value for value in document.values() if isinstance(value, list | dict)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(elements, "_PIECE", piece)
        found = containers(body, most=ANY)
    assert [json.loads(body[one.begin : one.end]) for one in found] == wanted
    for one, value in zip(found, wanted, strict=True):
        parts = list(one.elements(body))
        if not value:
            assert parts == [b""]
        elif isinstance(value, list):
            assert [json.loads(part) for part in parts] == value
        else:
            assert json.loads(b"{" + b",".join(parts) + b"}") == value


def test_escapes_are_seen_across_any_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    for run in range(9):
        text = b"\\" * run + (b'"' if run % 2 else b"")
        body = b'{"data":["' + text + b',]","x"]}'
        for piece in range(1, len(body) + 1):
            monkeypatch.setattr(elements, "_PIECE", piece)
            assert held(body) == [[b'"' + text + b',]"', b'"x"']], (run, piece)


def test_reading_stops_at_the_first_element_too_many() -> None:
    beginning = b'{"data":[' + b"{}," * 30_000  # more than a piece
    assert len(held(b'{"data":[' + b"{}," * 4_999 + b"{}]}", most=5_000)[0]) == 5_000
    # If it had gone on, it would have found that this is not JSON.
    for rest in (b"{}]}", b"]}}" * 2_000_000, b'"' + b"," * 5_000_000):
        with pytest.raises(TooMany):
            containers(beginning + rest, most=5_000)


@pytest.mark.parametrize(
    "body",
    [
        b'{"data":[1}}',
        b'{"data":[1]}]',
        b'{"data":[1',
        b'{"data":[',
        b'{"data":["]}',
        b"}" * 1_000_000,
        b"{" + b"}" * 1_000_000,
        b"{}{}{}" * 1_000_000,
        b"{" + b'"a":[],' * 1_000_000,
        b"{" + b'"a":1,' * 1_000_000,
        b"{" + b"[" * 8_000_000,
    ],
    ids=lambda body: re.sub(rb"(.{12}).*", rb"\1", body).decode(),
)
def test_a_body_whose_brackets_do_not_fit_is_not_split(body: bytes) -> None:
    try:
        found = containers(body, most=5_000)
    except NotSplit:
        return
    # Brackets of the wrong kind are left for a parser to see.
    assert found == [Container(8, body.index(b"}") + 1)]


def test_an_element_of_any_depth_is_one_element() -> None:
    deep = b"[" * 1_000_000 + b"]" * 1_000_000
    assert held(b'{"data":[1,' + deep + b",2]}") == [[b"1", deep, b"2"]]
