"""JSON by the letter, of any depth."""

import json
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from telemetry.json_text import KEPT_LEVELS, cut_nested, parse_json
from tests.unit.json_texts import CONSTANTS, NEAR_MISSES, TEXTS, mutations


def is_json(text: str) -> bool:
    """Ask the standard library, for texts that nest as deep as it can follow."""
    try:
        json.loads(text, parse_int=float, parse_constant=_refuse)
    except ValueError:
        return False
    return True


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def is_json_to_the_scanner(text: str) -> bool:
    try:
        cut_nested(text)
    except ValueError:
        return False
    return True


def emptied(document: object, levels: int = KEPT_LEVELS) -> object:
    """Return the document with every container below so many levels emptied."""
    if not isinstance(document, list | dict):
        return document
    if not levels:
        return type(document)()
    if isinstance(document, dict):
        return {name: emptied(value, levels - 1) for name, value in document.items()}
    return [emptied(value, levels - 1) for value in document]


@settings(max_examples=150, deadline=None)
@given(TEXTS)
def test_the_scanner_takes_every_json_text_and_keeps_its_first_two_levels(text: str) -> None:
    cut = json.loads(cut_nested(text), parse_int=float)
    try:
        whole = json.loads(text, parse_int=float)
    except RecursionError:
        return
    assert cut == emptied(whole)


@settings(max_examples=250, deadline=None)
@given(mutations(TEXTS).map(lambda data: data.decode(errors="replace")))
def test_the_scanner_and_the_parser_agree_on_mutated_texts(text: str) -> None:
    try:
        expected = is_json(text)
    except RecursionError:
        return
    assert is_json_to_the_scanner(text) is expected


@settings(max_examples=300, deadline=None)
@given(st.text('{}[]:,"\\ \n0123456789.eE+-truefalsn', max_size=12))
@example("")
@example("\ufeff1")
@example('"\u2028"')
def test_the_scanner_and_the_parser_agree_on_any_text(text: str) -> None:
    assert is_json_to_the_scanner(text) is is_json(text)


@pytest.mark.parametrize("text", NEAR_MISSES)
@pytest.mark.parametrize("depth", [0, 1, 1_500])
def test_what_is_nearly_json_is_refused_at_any_depth(text: str, depth: int) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_json("[0," * depth + text + "]" * depth)


@pytest.mark.parametrize("constant", [*CONSTANTS, "-NaN", "+Infinity", "nan", "inf"])
@pytest.mark.parametrize("depth", [0, 1, 5_000])
def test_nan_and_infinity_are_not_json_at_any_depth(constant: str, depth: int) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_json("[" * depth + constant + "]" * depth)


@pytest.mark.parametrize("number", ["0", "12", "-7", "9" * 5_000, "1e400"])
def test_every_number_is_a_float(number: str) -> None:
    assert type(parse_json(number)) is float
    assert parse_json(number) == float(number)


def test_of_a_repeated_name_the_last_counts_deep_documents_too() -> None:
    assert parse_json('{"a":1,"a":2}') == {"a": 2.0}
    deep = "[" * 5_000 + "]" * 5_000
    assert parse_json(f'{{"a":{deep},"b":{deep},"\\u0061":2}}') == {"a": 2.0, "b": [[]]}


def test_deep_containers_come_back_empty_below_the_second_level() -> None:
    deep = '{"a":' * 5_000 + "[1,2]" + "}" * 5_000
    assert parse_json(f'[1, "[", {deep}, {{}}, null]') == [1.0, "[", {"a": {}}, {}, None]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 60_000,
        "[" * 30_000 + "]" * 29_999,
        "[" * 30_000 + "}" * 30_000,
        "[" * 30_000 + "]" * 30_000 + "x",
        "[" * 30_000 + "]" * 30_000 + "]",
        "[" * 30_000 + "]" * 30_000 + "\xa0",
        "[" * 30_000 + "]" * 30_000 + "\x0b",
        "[" * 30_000 + "\x0b" + "]" * 30_000,
        '{"a":' * 10_000 + "1" + "}" * 9_999,
        '{"a":' * 10_000 + "}" * 10_000,
        "[" * 20_000 + '"\t"' + "]" * 20_000,
    ],
    ids=range(11),
)
def test_deep_texts_that_are_not_json_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"unexpected|unbalanced|not closed"):
        parse_json(text)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 32_768 + "]" * 32_768,
        "[" * 2_000 + " " * 60_000 + "x",
        "[" * 2_000 + '"' + "\\u0041" * 10_000,
        "[" * 2_000 + '"' + "\\" * 60_000,
        "[" * 2_000 + "1" * 60_000 + "x",
        "[" * 2_000 + "0." + "1" * 60_000 + "e",
    ],
    ids=["brackets", "blanks", "escapes", "backslashes", "digits", "decimals"],
)
def test_the_longest_value_is_scanned_in_linear_time(text: str) -> None:
    started = time.process_time()
    is_json_to_the_scanner(text)
    assert time.process_time() - started < 1
