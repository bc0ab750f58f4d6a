"""Compressed bodies: inflated within the usual bounds, or refused by name."""

import gzip
import os
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator, Callable

import cramjam
import pytest
from fastapi import FastAPI

from api.middleware.inflation import Malformed, TooLarge, inflate
from deploy.local.stack import Addresses
from tests.api.conftest import Client, problem, served
from tests.api.readings import encode, meter
from tests.api.topic import Topic

PATH = "/v1/telemetry/meter"
MOST = 1 << 20


def zstd(data: bytes) -> bytes:
    return bytes(cramjam.zstd.compress(data))


def without_header(data: bytes) -> bytes:
    """Return deflate without the header of zlib, as some senders write it."""
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(data) + deflater.flush()


CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstd,
}
OTHER_NAMES: dict[str, Callable[[bytes], bytes]] = {
    "GZIP": gzip.compress,
    "x-gzip": gzip.compress,
    " gzip ,, identity": gzip.compress,
    "Deflate": without_header,
    "": bytes,
    "identity": bytes,
}


@pytest.mark.parametrize(("coding", "compress"), [*CODINGS.items(), *OTHER_NAMES.items()])
async def test_a_compressed_body_is_taken_as_it_was(
    client: Client, servers: Addresses, coding: str, compress: Callable[[bytes], bytes]
) -> None:
    headers = {"Content-Encoding": coding}
    bodies = {PATH: meter("m-1"), f"{PATH}/batch": {"data": [meter("m-2")]}}
    with Topic(servers.kafka_bootstrap_servers, "telemetry.meter") as there:
        for path, body in bodies.items():
            answer = await client.post(path, content=compress(encode(body)), headers=headers)
            assert answer.status_code == 202, answer.text
        assert sorted(one.value for one in there.new()) == [
            encode(meter("m-1")),
            encode(meter("m-2")),
        ]
    # Every path that takes a body, not only readings.
    body = compress(encode({"meterId": "m"}))
    made = await client.post("/v1/devices/meters", content=body, headers=headers)
    assert made.status_code == 201
    # Nothing was compressed here.
    ended = await client.post("/v1/sessions/999/end", headers=headers)
    problem(ended, 404)


async def test_an_unknown_coding_is_refused_with_the_list_of_known_ones(client: Client) -> None:
    for coding in ("br", "compress", "x-snappy", "lz4", "gzip, zstd", "gzip,gzip", "x" * 4_000):
        answer = await client.post(PATH, content=b"x", headers={"Content-Encoding": coding})
        document = problem(answer, 415)
        assert answer.headers["accept-encoding"] == "gzip, deflate, zstd"
        if "," in coding:
            assert "only one Content-Encoding" in str(document["detail"])
        else:
            assert coding[:64] in str(document["detail"])
        assert len(answer.content) < 1_000
    stacked = [("Content-Encoding", "gzip"), ("Content-Encoding", "gzip")]
    body = gzip.compress(gzip.compress(encode(meter())))
    problem(await client.post(PATH, content=body, headers=stacked), 415)
    # Without a body the header is ignored.
    answer = await client.get("/health/live", headers={"Content-Encoding": "br"})
    assert answer.status_code == 200


async def test_a_body_that_is_not_what_its_coding_says_is_refused(client: Client) -> None:
    for path in (PATH, f"{PATH}/batch", "/v1/devices/meters", "/v1/sessions/1/end"):
        for coding, compress in CODINGS.items():
            for body in (encode(meter()), compress(encode(meter()))[:-3], compress(b"{}") + b"x"):
                headers = {"Content-Encoding": coding}
                document = problem(
                    await client.post(path, content=body, headers=headers), 422, "body"
                )
                assert f"is not {coding}" in str(document["detail"])


@pytest.mark.parametrize(("coding", "compress"), CODINGS.items())
async def test_a_body_that_inflates_to_over_8_mib_is_refused_with_a_length_and_without(
    make_app: Callable[..., FastAPI], coding: str, compress: Callable[[bytes], bytes]
) -> None:
    most = 8 << 20
    headers = {"Content-Encoding": coding}

    async def chunks(body: bytes) -> AsyncIterator[bytes]:
        for at in range(0, len(body), 1_000):
            yield body[at : at + 1_000]

    async with served(make_app()) as client:
        bomb = compress(b" " * (most + 1))
        for path in (PATH, f"{PATH}/batch", "/v1/devices/meters"):
            problem(await client.post(path, content=bomb, headers=headers), 413)
            problem(await client.post(path, content=chunks(bomb), headers=headers), 413)
        # A body of exactly the limit is read, and is not a reading.
        problem(await client.post(PATH, content=compress(b" " * most), headers=headers), 422)
        # What is sent has the same limit as it stands.
        noise = compress(os.urandom(most + 1_000))
        problem(await client.post(PATH, content=noise, headers=headers), 413)
        problem(await client.post(PATH, content=chunks(noise), headers=headers), 413)


@pytest.mark.parametrize("coding", CODINGS)
def test_all_sizes_up_to_the_most_come_out_and_no_more(coding: str) -> None:
    for size in (0, 1, MOST - 1, MOST):
        data = os.urandom(size // 2) + bytes(size - size // 2)
        assert inflate(CODINGS[coding](data), coding, most_bytes=MOST) == data
    for size in (MOST + 1, 3 * MOST):
        with pytest.raises(TooLarge):
            inflate(CODINGS[coding](bytes(size)), coding, most_bytes=MOST)


# In a process of its own, whose peak is that of nothing else.
PEAK = """
import resource, sys
from api.middleware.inflation import TooLarge, inflate
bomb = sys.stdin.buffer.read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    inflate(bomb, sys.argv[1], most_bytes=8 << 20)
except TooLarge:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def with_a_long_memory(data: bytes) -> bytes:
    """Return a frame of zstd that wants 128 MiB remembered, as far as such a header goes."""
    frame = zstd(data)
    return frame[:5] + b"\x88" + frame[6:]


@pytest.mark.parametrize(("coding", "compress"), [*CODINGS.items(), ("zstd", with_a_long_memory)])
def test_a_bomb_costs_little_more_memory_than_the_limit(
    coding: str, compress: Callable[[bytes], bytes]
) -> None:
    bomb = compress(bytes(256 << 20))
    done = subprocess.run(
        [sys.executable, "-c", PEAK, coding], input=bomb, capture_output=True, check=True
    )
    assert int(done.stdout) < 24 << 10  # KiB; the limit, and what is joined or remembered of it


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_members_one_after_the_other_are_one_body(coding: str) -> None:
    members = [CODINGS[coding](bytes([number]) * 1_000) for number in range(9)]
    whole = inflate(b"".join(members), coding, most_bytes=MOST)
    assert whole == b"".join(bytes([number]) * 1_000 for number in range(9))
    with pytest.raises(TooLarge):
        inflate(CODINGS[coding](bytes(MOST // 2)) * 3, coding, most_bytes=MOST)


def test_a_body_of_too_many_members_is_malformed() -> None:
    with pytest.raises(Malformed):
        inflate(gzip.compress(b"") * 400_000, "gzip", most_bytes=MOST)
