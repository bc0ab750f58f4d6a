"""Messages as senders spell them: good ones, odd ones, and mutants of both."""

import json
import random
from collections.abc import Iterator

from hypothesis import strategies as st

from telemetry.streams import Stream
from tests.corpus.json_texts import BLANKS, NUMBERS, STRINGS, VALUES, mutated
from tests.corpus.readings import (
    BOUNDS,
    FIELDS,
    METER_FIELDS,
    OPTIONAL,
    VEHICLE_FIELDS,
    enveloped,
    spelled,
)

NAMES = [*METER_FIELDS, *VEHICLE_FIELDS, "x", "", "meter_id", "Voltage", "streamType", "payload"]
# Good values of the right type, which the fast way reads too before the last one counts.
REPEATED = {
    "meterId": '"\\u006dtr-é"',
    "vehicleId": '"\\u0076eh-é"',
    "timestamp": '"T\\u0054\\n"',
    "kwhConsumedAc": "-0",
    "voltage": "1.5e2",
    "soc": "-0.0",
    "kwhDeliveredDc": "1E-2",
    "batteryTemp": "-60",
}


def _escaped(text: str, chance: random.Random) -> str:
    """Return the text as a JSON string with some of its characters escaped."""
    letters = (f"\\u{ord(letter):04x}" if chance.random() < 0.2 else letter for letter in text)
    return f'"{"".join(letters)}"'


@st.composite
def _member(draw: st.DrawFn, name: str, values: st.SearchStrategy[str]) -> str:
    chance = draw(st.randoms(use_true_random=False))
    written = _escaped(name, chance) if chance.random() < 0.2 else f'"{name}"'
    blanks = [draw(BLANKS) for _ in range(4)] if chance.random() < 0.3 else [""] * 4
    return f"{blanks[0]}{written}{blanks[1]}:{blanks[2]}{draw(values)}{blanks[3]}"


@st.composite
def messages(draw: st.DrawFn, stream: Stream) -> bytes:
    """Mostly good messages, spelled as oddly as JSON allows, with repeated and unknown fields."""
    chance = draw(st.randoms(use_true_random=False))
    members = []
    for name, good in FIELDS[stream.name].items():
        usual = NUMBERS if name in BOUNDS else st.just(_escaped(json.loads(good), chance))
        if draw(st.integers(0, 9)) == 0:
            members.append(draw(_member(name, st.one_of(VALUES, NUMBERS, STRINGS))))
        if draw(st.integers(0, 39)):
            members.append(draw(_member(name, usual)))
    if draw(st.integers(0, 4)) == 0:
        members.append(draw(_member(draw(st.sampled_from(NAMES)), VALUES)))
    if draw(st.booleans()):
        chance.shuffle(members)
    message = ("{" + ",".join(members) + "}").encode()
    return message if draw(st.integers(0, 4)) else enveloped(message, stream)


def mutants(stream: Stream, *, seed: int, count: int) -> Iterator[bytes]:
    """Yield mutated messages, the same for the same seed."""
    chance = random.Random(seed)
    fields = FIELDS[stream.name]
    models = [
        spelled(fields),
        spelled(fields | {"x": '{"a":[1,-0.5e3,"\\u00e9"]}'}),
        json.dumps(json.loads(spelled(fields)), indent=1).encode(),
        spelled({name: value.replace("0", "-0") for name, value in fields.items()}),
        b'{"voltage":[0,"\\ud83d\\ude00"],"soc":{"a":1e5},' + spelled(fields)[1:],
        spelled({name: REPEATED[name] for name in fields})[:-1] + b"," + spelled(fields)[1:],
        spelled({name: value for name, value in fields.items() if name not in OPTIONAL}),
        spelled(fields | {name: "null" for name in fields if name in OPTIONAL}),
        enveloped(spelled(fields), stream),
        enveloped(spelled({name: fields[name] for name in fields if name != "soc"}), stream),
    ]
    for _ in range(count):
        yield mutated(chance.choice(models), chance)
