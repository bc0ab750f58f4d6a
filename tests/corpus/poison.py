"""Every bad input that we know, and the reason that it ends with: one corpus for all tests."""

import functools
import gzip
import json

from telemetry.reasons import Reason
from telemetry.streams import Stream
from telemetry.timestamps import SECOND_US, format_timestamp
from tests.corpus.readings import enveloped, reading

# A value and its reason; None is a reading that is stored.
Input = tuple[bytes | None, Reason | None]


def corpus(stream: Stream, now_us: int) -> dict[str, Input]:
    """Return the inputs by what they are; each reading among them has a device of its own.

    All but one, which is too large, are within the 1,000,000 bytes that a broker takes by default.
    """
    inputs: dict[str, Input] = {}
    for family in (_bytes, _structure, _numbers, _text, _time):
        inputs |= family(stream, now_us)
    return inputs


def _bytes(stream: Stream, now_us: int) -> dict[str, Input]:
    good = reading(stream, "dev-bytes", now_us)
    malformed = {
        "NUL": b"\x00",
        "NUL in an id": good.replace(b"dev", b"d\x00v"),
        "UTF-16": good.decode().encode("utf-16"),
        "byte-order mark": b"\xef\xbb\xbf" + good,
        "gzip": gzip.compress(good, mtime=0),
        "cut short": good[: len(good) // 2],
        "two documents": good + good,
        "bad UTF-8": good.replace(b"dev", b"d\xffv"),
        "overlong UTF-8": good.replace(b"dev", b"d\xc1\xb6v"),
        "surrogate in UTF-8": good.replace(b"dev", b"\xed\xa0\x80"),
        "blanks": b" \t\r\n",
        "schema-registry prefix": b"\x00\x00\x00\x00\x07" + good,
        "tab in an id": good.replace(b"dev", b"d\tv"),
        "carriage return in an id": good.replace(b"dev", b"d\rv"),
        "line feed in an id": good.replace(b"dev", b"d\nv"),
        "COPY's null in an id": good.replace(b"dev", rb"\N"),
        "COPY's end in an id": good.replace(b"dev", rb"\."),
        "COPY's end alone": rb"\.",
    }
    return {
        "no bytes": (b"", Reason.EMPTY_VALUE),
        "tombstone": (None, Reason.EMPTY_VALUE),
        "blanks around": (b" \t\r\n" + good + b"\r\n\t ", None),
        **{name: (value, Reason.MALFORMED_JSON) for name, value in malformed.items()},
    }


@functools.cache
def _million_names() -> bytes:
    # Joined a thousand at a time: every worker of a test run collects this.
    ends = [f'{number:03}":0' for number in range(1_000)]
    begins = (f'"{number:03}' for number in range(1_000))
    thousands = (begin + f",{begin}".join(ends) for begin in begins)
    return ("{" + ",".join(thousands) + "}").encode()


def _structure(stream: Stream, now_us: int) -> dict[str, Input]:
    def besides(device: str, members: str) -> bytes:
        return reading(stream, device, now_us)[:-1] + f",{members}}}".encode()

    message = enveloped(reading(stream, "dev-x", now_us), stream)
    of_a_boat = message.replace(stream.name.encode(), b"boat", 1)
    first, energy = stream.fields[0], stream.energy_field
    untold = [name for name in stream.fields if name != energy]
    nulls = ",".join(f'"{name}":null' for name in untold)
    least = json.loads(reading(stream, "dev-least", now_us))
    for name in untold:
        del least[name]
    many = ",".join(f'"{number:x}":0' for number in range(7_000))
    repeated = b'{"%s":null,' % first.encode() + reading(stream, "dev-last", now_us)[1:]
    without = json.loads(reading(stream, "dev-without", now_us))
    del without["timestamp"]
    return {
        "100,000 brackets": (b"[" * 100_000, Reason.OVERSIZED),
        "60,000 brackets": (b"[" * 60_000, Reason.MALFORMED_JSON),
        "64 arrays": (b"[" * 64 + b"]" * 64, Reason.NOT_AN_OBJECT),
        "30,000 arrays": (b"[" * 30_000 + b"]" * 30_000, Reason.MALFORMED_JSON),
        "64 objects": (b'{"a":' * 64 + b"1" + b"}" * 64, Reason.MISSING_FIELD),
        "10,000 objects": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, Reason.MALFORMED_JSON),
        "10,000 objects without an end": (b'{"a":' * 10_000, Reason.MALFORMED_JSON),
        "deep unknown field": (besides("dev-deep", f'"x":{"[" * 63}{"]" * 63}'), None),
        "too deep unknown field": (
            besides("dev-x", f'"x":{"[" * 64}{"]" * 64}'),
            Reason.MALFORMED_JSON,
        ),
        "empty array": (b"[]", Reason.NOT_AN_OBJECT),
        "null": (b"null", Reason.NOT_AN_OBJECT),
        "string": (b'"reading"', Reason.NOT_AN_OBJECT),
        "number": (b"12.5", Reason.NOT_AN_OBJECT),
        "empty object": (b"{}", Reason.MISSING_FIELD),
        "a million names": (_million_names(), Reason.OVERSIZED),
        "as many names as fit": (besides("dev-names", many), None),
        "name of 1 MB": (besides("dev-name", f'"{"k" * 999_000}":1'), Reason.OVERSIZED),
        "65,536 bytes": (reading(stream, "dev-fits", now_us).ljust(65_536), None),
        "65,537 bytes": (reading(stream, "dev-fits", now_us).ljust(65_537), Reason.OVERSIZED),
        "1,000,000 bytes": (b"\xff" * 1_000_000, Reason.OVERSIZED),
        "repeated field, good at last": (repeated, None),
        "repeated field, bad at last": (besides("dev-x", f'"{energy}":null'), Reason.WRONG_TYPE),
        "null energy": (besides("dev-x", f'"{energy}":null'), Reason.WRONG_TYPE),
        "nulls for what may be left out": (besides("dev-nulls", nulls), None),
        "nothing but id, energy and time": (json.dumps(least).encode(), None),
        "an envelope": (enveloped(reading(stream, "dev-envelope", now_us), stream), None),
        "an envelope of another stream": (of_a_boat, Reason.WRONG_TYPE),
        "an envelope of nothing": (b'{"streamType":"meter"}', Reason.MISSING_FIELD),
        "unknown fields": (besides("dev-unknown", '"":{},"x":[1,"2",null],"meter_id":1'), None),
        "missing field": (json.dumps(without).encode(), Reason.MISSING_FIELD),
    }


def _numbers(stream: Stream, now_us: int) -> dict[str, Input]:
    field, *_ = stream.fields

    def number(text: str, device: str = "dev-x", at_us: int = now_us) -> bytes:
        return reading(stream, device, at_us, **{field: text})

    refused = {
        "NaN": Reason.MALFORMED_JSON,
        "Infinity": Reason.MALFORMED_JSON,
        "-Infinity": Reason.MALFORMED_JSON,
        "012.5": Reason.MALFORMED_JSON,
        "1e400": Reason.OUT_OF_RANGE,
        "-1e400": Reason.OUT_OF_RANGE,
        "2147483648": Reason.OUT_OF_RANGE,
        "9223372036854775808": Reason.OUT_OF_RANGE,
        "9" * 5_000: Reason.OUT_OF_RANGE,
        "-0.1": Reason.OUT_OF_RANGE,
        "101" if field == "soc" else "10000000.000000002": Reason.OUT_OF_RANGE,
        '"12.5"': Reason.WRONG_TYPE,
        "true": Reason.WRONG_TYPE,
        "[12.5]": Reason.WRONG_TYPE,
    }
    return {
        **{f"number {text[:24]}": (number(text), reason) for text, reason in refused.items()},
        "1e-400": (number("1e-400", "dev-tiny"), None),
        "-0": (number("-0", "dev-minus-0"), None),
        "300 decimals": (number("0." + "3" * 300, "dev-decimals"), None),
        "a counter": (number("50", "dev-counter"), None),
        "a counter that falls": (number("1", "dev-counter", now_us + SECOND_US), None),
    }


def _text(stream: Stream, now_us: int) -> dict[str, Input]:
    ids = {
        "NUL escaped": r"\u0000",
        "lone surrogate": r"\ud800",
        "surrogates crossed": r"\ude00\ud83d",
        "tab": r"d\tv",
        "carriage return": r"d\rv",
        "line feed": r"dev\n",
        "COPY's null escaped": r"\\N",
        "COPY's end escaped": r"\\.",
        "empty id": "",
        "blank": "d v",
        "65 characters": "m" * 65,
        "look-alike letters": "\u043c\u0442\u0433-1",
        "look-alike digit": "dev-\u0661",
        "right to left": "\u202edev",
        "zero width": "dev\u200b",
        "combining": "de\u0301v",
        "SQL": "'; DROP TABLE meter_history; --",
        "formula with =": "=HYPERLINK(1)",
        "formula with @": "@SUM(A1)",
        "formula with +": "+1",
        "forged log line": r"m\n{\"event\":\"forged\",\"level\":\"error\"}",
    }
    invalid = {name: reading(stream, device, now_us) for name, device in ids.items()}
    number = reading(stream, "", now_us, **{stream.id_field: "42"})
    return {
        **{name: (value, Reason.INVALID_DEVICE_ID) for name, value in invalid.items()},
        "id of 1 MB": (reading(stream, "m" * 999_000, now_us), Reason.OVERSIZED),
        "id that is a number": (number, Reason.WRONG_TYPE),
        "id of 64 characters": (reading(stream, "m" * 64, now_us), None),
        "id that looks like a formula": (reading(stream, "-1", now_us), None),
        "id in escapes": (reading(stream, r"\u0064ev-escaped", now_us), None),
    }


def _time(stream: Stream, now_us: int) -> dict[str, Input]:
    def at(text: str, device: str = "dev-x") -> bytes:
        return reading(stream, device, now_us, timestamp=text)

    seconds = now_us // SECOND_US
    epochs = [seconds * 1_000**power for power in range(4)]
    naive = format_timestamp(now_us).removesuffix("+00:00")
    invalid = [
        *("2026-02-30T10:00:00Z", "2026-02-10T10:00:60Z", "0001-01-01T00:00:00+01:00"),
        *("infinity", "-infinity", "10000-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "2026-02-10"),
        *("", naive, f"{naive} Z", f"{naive}+0100", *map(str, epochs)),
    ]
    return {
        **{f"time {text!r}": (at(f'"{text}"'), Reason.INVALID_TIMESTAMP) for text in invalid},
        **{f"epoch {epoch}": (at(f"{epoch}"), Reason.WRONG_TYPE) for epoch in epochs},
        "2099": (at('"2099-01-01T00:00:00Z"'), Reason.FUTURE_TIMESTAMP),
        "year 9999": (at('"9999-12-31T23:59:59-23:59"'), Reason.FUTURE_TIMESTAMP),
        "2000": (at('"2000-01-01T00:00:00Z"'), Reason.TOO_OLD),
        "nanoseconds": (at(f'"{naive}999Z"', "dev-nanoseconds"), None),
        "lower case": (at(f'"{naive.lower()}z"', "dev-lower"), None),
    }
