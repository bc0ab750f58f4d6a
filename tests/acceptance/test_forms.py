"""The forms in which gateways send readings, through a real broker and a replica."""

import time
from collections.abc import Callable

from deploy.replica import Replica
from telemetry.streams import METER, VEHICLE, Stream
from tests.acceptance.batches import plain, send, until_read
from tests.acceptance.conftest import Environment, query
from tests.corpus.readings import enveloped, reading

Start = Callable[..., Replica]
PREFIX = b"\x00\x00\x00\x00\x2a"


def forms(stream: Stream) -> dict[str, bytes]:
    """Return the same reading in each form, of a device that has the form's name."""
    now_us = time.time_ns() // 1_000

    def of(device: str, **fields: str) -> bytes:
        return reading(stream, device, now_us, **fields)

    untold = {name: "null" for name in stream.fields if name != stream.energy_field}
    return {
        "plain": of("plain"),
        "envelope": enveloped(of("envelope"), stream),
        "null": of("null", **untold),
        "null-envelope": enveloped(of("null-envelope", **untold), stream),
        "prefix": PREFIX + of("prefix"),
        "prefix-envelope": PREFIX + enveloped(of("prefix-envelope", **untold), stream),
    }


def stored(environment: Environment, stream: Stream) -> dict[str, bool]:
    """Return whether each device has told all that it may."""
    optional = [
        column
        for name, column in zip(stream.fields, stream.measures, strict=True)
        if name != stream.energy_field
    ]
    told = " AND ".join(f"{column} IS NOT NULL" for column in optional)
    for table in (stream.history, stream.current_state):
        found = query(environment, f"SELECT {stream.id_column}, {told} FROM {table}")
    return dict(found)


def test_every_form_is_stored_if_the_prefix_is_to_be_stripped(
    start: Start, environment: Environment
) -> None:
    start(SCHEMA_REGISTRY_PREFIX="strip")
    for stream in (METER, VEHICLE):
        values = forms(stream)
        offsets = send(environment, [[plain(value) for value in values.values()]], stream=stream)
        until_read(environment, offsets[-1], stream=stream)
        assert stored(environment, stream) == {
            name: "null" not in name and name != "prefix-envelope" for name in values
        }
    assert query(environment, "SELECT * FROM dead_letter") == []


def test_a_prefix_that_is_not_to_be_stripped_is_named(
    start: Start, environment: Environment
) -> None:
    start()
    values = forms(METER)
    offsets = send(environment, [[plain(value) for value in values.values()]])
    until_read(environment, offsets[-1])
    assert stored(environment, METER).keys() == {
        name for name in values if not name.startswith("prefix")
    }
    dead = query(
        environment, "SELECT value, reason, detail FROM dead_letter ORDER BY record_offset"
    )
    said = ("malformed_json", "the value begins with a schema registry's prefix")
    assert dead == [(values["prefix"], *said), (values["prefix-envelope"], *said)]
