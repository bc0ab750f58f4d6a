"""Hypothesis strategies: JSON as hostile senders spell it, and near misses."""

import random
from collections.abc import Sequence
from typing import cast

from hypothesis import strategies as st

DIGITS = "0123456789"

BLANKS = st.sampled_from(["", "", "", "", "", " ", "\n", "\t", "\r", " \r\n\t"])
"""White space as RFC 8259 has it."""


def _digits(*, longest: int) -> st.SearchStrategy[str]:
    return st.text(DIGITS, min_size=1, max_size=longest)


_integers = st.one_of(
    st.just("0"),
    st.integers(1, 99_999_999).map(str),
    st.builds(str.__add__, st.sampled_from("123456789"), _digits(longest=30)),
    st.integers(1, 330).map(lambda zeros: "1" + "0" * zeros),
)
_fractions = st.one_of(
    st.just(""),
    _digits(longest=3).map(".{}".format),
    _digits(longest=40).map(".{}".format),
    st.builds(".{}{}".format, st.integers(1, 400).map("0".__mul__), _digits(longest=20)),
)
_exponents = st.one_of(
    st.just(""),
    st.builds(
        "{}{}{}".format,
        st.sampled_from("eE"),
        st.sampled_from(["", "+", "-"]),
        st.one_of(_digits(longest=3), _digits(longest=25), st.just("0" * 20 + "2")),
    ),
)


@st.composite
def _nearly_halfway(draw: st.DrawFn) -> str:
    """A decimal so near to the middle of two neighbouring doubles that sloppy parsers miss it."""
    from_2_to_the_0 = draw(st.integers(0, 2**52 - 1))
    power = draw(st.integers(-40, 22))
    # (1 + m/2^52 + 1/2^53) * 2^power, exactly, in decimal
    numerator, shift = (2**53 + 2 * from_2_to_the_0 + 1), 53 - power
    decimal = str(numerator * 5**shift).rjust(shift + 1, "0")
    text = f"{decimal[:-shift]}.{decimal[-shift:]}"
    return text + draw(st.sampled_from(["", "0" * 30, "0" * 30 + "1", "1"]))


NUMBERS = st.one_of(
    st.builds("{}{}{}{}".format, st.sampled_from(["", "", "-"]), _integers, _fractions, _exponents),
    _nearly_halfway(),
    st.floats(0, 100).map(repr),
    st.sampled_from(["0", "-0", "-0.0", "0e0", "-0e5", "1E+2", "1e-400", "-1e-400", "1e400"]),
)

_CHARACTERS = st.one_of(
    st.sampled_from("abcXYZ019._:-"),
    st.integers(0, 0xFFFF).map("\\u{:04x}".format),
    st.sampled_from(["\\u0000", "\\ud800", "\\udc00", "\\ud83d\\ude00", "\\u0041", "\\uFEFF"]),
    st.sampled_from(['\\"', "\\\\", "\\/", "\\b", "\\f", "\\n", "\\r", "\\t"]),
    st.sampled_from("é\u2028😀\x7f\u200b\ufeff\xa0\u202e"),
)
STRINGS = st.lists(_CHARACTERS, max_size=6).map(lambda parts: f'"{"".join(parts)}"')


def _arrays(items: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds("[{}{}]".format, BLANKS, st.lists(items, max_size=4).map(",".join))


def _objects(items: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    members = st.builds("{}{}{}:{}{}{}".format, BLANKS, STRINGS, BLANKS, BLANKS, items, BLANKS)
    return st.builds("{{{}{}}}".format, BLANKS, st.lists(members, max_size=4).map(",".join))


def _towers(items: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Nested containers: about as deep as is accepted, and deeper than the parsers recurse."""
    heights = st.sampled_from([3, 9, 31, 62, 66, 1_100])
    pairs = st.sampled_from([("[", "]"), ('{"a":', "}"), ('[0,{"a":', "}]")])
    return st.builds(
        lambda item, height, pair: cast(str, pair[0] * height + item + pair[1] * height),
        items,
        heights,
        pairs,
    )


_leaves = st.one_of(NUMBERS, STRINGS, st.sampled_from(["true", "false", "null", "[]", "{}"]))
VALUES = st.recursive(
    _leaves,
    lambda items: st.one_of(_arrays(items), _arrays(items), _objects(items), _towers(items)),
    max_leaves=8,
)
TEXTS = st.builds("{}{}{}".format, BLANKS, VALUES, BLANKS)
"""Texts that are JSON."""

NEAR_MISSES = (
    *["01", "1.", ".5", "+1", "-", "1e", "1e+", "0x1", "--1", "1.e5", "-.5", "00", "-01", "1_0"],
    *["True", "nul", "nulll", "'a'", '"', '"\\x"', '"\\u12"', '"\\u00_1"', '"\t"', '"\x00"'],
    *["[1,]", "[,1]", "[1 2]", "[", "]", "[}", '{"a"}', '{"a":}', '{"a":1,}', "{,}", "{1:1}"],
    *['"\x1f"', '"\\u00g0"', "[1}", '{"a":1]', '[{"a":1],2}', "1\xa0", "1\x0b", "1\u2028"],
    *["", "/**/1", "1//", "\ufeff1", "\xa01", "\x0b1", "\u0661", "1 1", "[1]]", '{"a":1}}'],
)
"""Texts that are not JSON."""

CONSTANTS = ("NaN", "Infinity", "-Infinity")
"""What Python's parser takes besides JSON."""

SPLINTERS: Sequence[bytes] = (
    *(b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"-", b"+", b"0", b"1", b"e", b"."),
    *(b" ", b"\n", b"\t", b"\x0b", b"\x00", b"\x1f", b"\x7f", b"\x80", b"\xff"),
    *(b"\xc0\x80", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xc3\xa9", b"null", b"true", b"/**/"),
)


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return the bytes with a few of them flipped, left out, put in, or copied elsewhere."""
    mutant = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        place = chance.randrange(len(mutant) + 1)
        match chance.randrange(4):
            case 0:
                mutant[place : place + 1] = bytes([chance.randrange(256)])
            case 1:
                del mutant[place : place + chance.choice((1, 1, 2, 5, 20))]
            case 2:
                mutant[place:place] = chance.choice(SPLINTERS)
            case _:
                start = chance.randrange(len(mutant) + 1)
                mutant[place:place] = mutant[start : start + chance.randrange(20)]
    return bytes(mutant)


def mutations(texts: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    return st.builds(
        mutated, texts.map(lambda text: text.encode()), st.randoms(use_true_random=False)
    )
