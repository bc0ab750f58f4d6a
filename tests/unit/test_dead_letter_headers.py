"""Headers of dead letters come back from the table as they came from Kafka."""

import base64
import json

from hypothesis import example, given
from hypothesis import strategies as st

from consumer.dead_letters.headers import restored, stored, stored_bytes

# A name as Kafka's parser here hands it out: any bytes, those that are not UTF-8 as surrogates.
NAMES = st.binary(max_size=20).map(lambda raw: raw.decode(errors="surrogateescape")) | st.text()
HEADERS = st.lists(st.tuples(NAMES, st.none() | st.binary(max_size=20)))


@given(HEADERS)
@example([("n\x00l", b"1"), ("\ufffd", None), ("", b""), ("\udcff", b"\x00\xff"), ("é", None)])
def test_headers_of_any_bytes_come_back_as_they_came(
    headers: list[tuple[str, bytes | None]],
) -> None:
    written = stored(headers)
    assert restored(json.loads(json.dumps(written))) == headers
    for [shown, *_], (name, _) in zip(written, headers, strict=True):
        assert shown is not None
        assert "\0" not in shown, "jsonb refuses it"
        assert shown.encode().decode() == shown, "jsonb refuses surrogates"
        assert shown == name or "\ufffd" in shown


@given(HEADERS)
def test_the_size_of_a_header_is_about_that_of_its_json(
    headers: list[tuple[str, bytes | None]],
) -> None:
    for header in stored(headers):
        parts = [part for part in header if part is not None]
        assert stored_bytes(header) == 10 + sum(map(len, parts))


def test_a_name_that_is_shown_as_it_is_takes_two_elements_and_another_one_three() -> None:
    encoded = base64.b64encode(b"n\xff").decode()
    assert stored([("n", b"\x01"), ("n\udcff", None)]) == [
        ["n", "AQ=="],
        ["n\ufffd", None, encoded],
    ]
