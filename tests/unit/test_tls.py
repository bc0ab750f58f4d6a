"""TLS of our own server, over real sockets: certificates, their renewal, and clients that stall."""

import json
import logging
import shutil
import ssl
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from runtime.http.certificate import Certificate
from runtime.http.problem import SECURITY_HEADERS
from runtime.http.refusal import Bound
from runtime.http.scope import certificate_names
from runtime.http.settings import HttpSettings
from runtime.settings import SettingsError, load
from tests.authority import Authority
from tests.served import GET, PATIENCE_S, SOON, Served, served, until

LONG = 8 << 20
PASSWORD = "hunter2"  # noqa: S105  of a test


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "theirs")


@pytest.fixture(scope="module")
def signed(authority: Authority) -> tuple[Path, Path]:
    return authority.sign("server")


def settings_of(files: tuple[Path, Path], **more: Any) -> HttpSettings:
    return HttpSettings(http_tls_certfile=files[0], http_tls_keyfile=files[1], **more)


def certificate_of(settings: HttpSettings) -> tuple[Certificate, Gauge]:
    gauge = Gauge("expiry", "of it", registry=CollectorRegistry())
    certificate = Certificate.of(settings, gauge)
    assert certificate is not None
    return certificate, gauge


async def health(request: Request) -> Response:
    return JSONResponse(sorted(certificate_names(request.scope)))


async def long(_: Request) -> Response:
    return Response(b"x" * LONG)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the pieces of the body as they come."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    has_more = True
    while has_more:
        message = await receive()
        has_more = message.get("more_body", False)
        piece = {"body": message.get("body", b""), "more_body": has_more}
        await send({"type": "http.response.body", **piece})


app = Starlette(routes=[Route("/health/live", health), Route("/long", long), Mount("/echo", echo)])


def serve(certificate: Certificate | None, **bounds: Any) -> AbstractContextManager[Served]:
    more = {"certificate": certificate, "headers": list(SECURITY_HEADERS.items())}
    return served(app, more=more, **bounds)


def trusting(*authorities: Authority, files: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    """Return the context of a client that trusts these, and shows a certificate if given one."""
    context = ssl.create_default_context()
    for one in authorities:
        context.load_verify_locations(one.certificate)
    if files is not None:
        context.load_cert_chain(*files)
    return context


def connected(server: Served, context: ssl.SSLContext, **how: Any) -> ssl.SSLSocket:
    """Return a socket whose handshake is over."""
    plain = server.client(**how).socket
    secured = context.wrap_socket(plain, server_hostname="127.0.0.1")
    secured.settimeout(PATIENCE_S)
    return secured


def answer_to(secured: ssl.SSLSocket, asked: bytes) -> bytes:
    """Return what comes until the server ends it."""
    secured.sendall(asked)
    came = b""
    while part := secured.recv(1 << 16):
        came += part
    return came


def shown(expiry: Gauge) -> float:
    [metric] = expiry.collect()
    return metric.samples[0].value


@pytest.fixture
def own(signed: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """Copies of a certificate's files, which a test may replace."""
    return Path(shutil.copy(signed[0], tmp_path)), Path(shutil.copy(signed[1], tmp_path))


def test_renewed_files_are_shown_to_new_connections_and_break_no_old_one(
    authority: Authority, own: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    certificate, expiry = certificate_of(settings_of(own))
    context = trusting(authority)
    begun = shown(expiry)

    def serial() -> object:
        with connected(server, context) as secured:
            return (secured.getpeercert() or {})["serialNumber"]

    def renewed(serial_before: object) -> tuple[bool, list[str]]:
        with capture_logs() as log:
            certificate.renew(asked=False)
            certificate.renew(asked=False)
        return serial() != serial_before, [line["event"] for line in log]

    with serve(certificate) as server, connected(server, context) as streaming:
        head = b"POST /echo/ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        streaming.sendall(head + b"1\r\na\r\n")
        came = b""
        while not came.endswith(b"a\r\n"):
            came += streaming.recv(1 << 10)
        first = serial()
        assert renewed(first) == (False, [])
        # A certificate whose key is not there yet, and files that hold nothing.
        new = authority.sign("renewed", days=9)
        shutil.copy(new[0], own[0])
        assert renewed(first) == (False, ["http_certificate_refused"])
        own[1].write_text("")
        assert renewed(first) == (False, ["http_certificate_refused"])
        own[1].unlink()
        assert renewed(first) == (False, ["http_certificate_refused"] * 2)
        assert shown(expiry) == begun
        shutil.copy(new[1], own[1])
        assert renewed(first) == (True, ["http_certificate_renewed"])
        assert shown(expiry) == pytest.approx(begun + 7 * 86_400, abs=60)
        streaming.sendall(b"1\r\nb\r\n0\r\n\r\n")
        while not came.endswith(b"0\r\n\r\n"):
            came += streaming.recv(1 << 10)
        assert b"1\r\nb\r\n" in came
    assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("demand", ["optional", "required"])
def test_a_clients_certificate_has_to_be_signed_by_our_authority_and_valid(
    authority: Authority, stranger: Authority, signed: tuple[Path, Path], demand: str
) -> None:
    auth = {"http_tls_client_auth": demand, "http_tls_client_cafile": authority.certificate}
    certificate, _ = certificate_of(settings_of(signed, **auth))
    good = authority.sign(f"client-{demand}", more="DNS:gw-1.example,URI:spiffe://a/gw-1")
    old, foreign = authority.sign(f"old-{demand}", days=-1), stranger.sign(f"foreign-{demand}")

    def names(files: tuple[Path, Path] | None) -> list[str] | None:
        context = trusting(authority, files=files)
        try:
            with connected(server, context) as secured:
                came = answer_to(secured, GET + b"Connection: close\r\n\r\n")
        except OSError:  # with TLS 1.3 a client hears of it when it reads
            return None
        return json.loads(came.partition(b"\r\n\r\n")[2]) if came else None

    with serve(certificate) as server:
        named = {f"CN:client-{demand}", "DNS:gw-1.example", "URI:spiffe://a/gw-1"}
        assert set(names(good) or ()) == named | {"IP Address:127.0.0.1"}
        assert names(old) is None
        assert names(foreign) is None
        assert names(None) == ([] if demand == "optional" else None)
        failed = 2 if demand == "optional" else 3
        until(lambda: server.refused(Bound.HANDSHAKE) == failed)
        until(lambda: server.connections == 0)


def test_handshakes_that_do_not_end_are_ended_and_have_places_in_the_crowd(
    authority: Authority, signed: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    certificate, _ = certificate_of(settings_of(signed))
    context = trusting(authority)
    with serve(certificate, head_timeout_s=SOON) as server:
        silent, trickling = server.client(), server.client()
        until(lambda: server.connections == 2)
        trickling.send(_hello()[:-1])
        assert silent.rest() == trickling.rest() == b""
        assert server.refused(Bound.HANDSHAKE_TIMEOUT) == 2
        # Afterwards the head has a timeout of its own.
        with connected(server, context) as secured:
            assert b" 408 " in answer_to(secured, GET)
    with serve(certificate, max_connections=2) as server:
        idle = [server.client() for _ in range(5)]
        until(lambda: server.refused(Bound.CONNECTIONS) == 3)
        with connected(server, context) as secured:
            assert b" 200 " in answer_to(secured, GET + b"Connection: close\r\n\r\n")
        assert [one.rest() for one in idle[:4]] == [b""] * 4
    assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []


def _hello() -> bytes:
    """Return the first bytes that a client of TLS sends."""
    sent = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(
            ssl.MemoryBIO(), sent, server_hostname="h"
        ).do_handshake()
    return sent.read()


def test_other_protocols_end_their_own_connection_only(
    authority: Authority, signed: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    certificate, _ = certificate_of(settings_of(signed))
    with serve(certificate) as server:
        for sent in (GET + b"\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 70_000, b"\0" * 100):
            client = server.client()
            client.send(sent)
            assert b"HTTP/" not in client.rest()
        outdated = trusting(authority)
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            outdated.minimum_version = outdated.maximum_version = ssl.TLSVersion.TLSv1_1
        outdated.set_ciphers("ALL:@SECLEVEL=0")
        # The server says what is wrong.
        with pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
            connected(server, outdated)
        until(lambda: server.refused(Bound.HANDSHAKE) == 4)
        # Who only connects, as probes do, has not failed.
        server.client().close()
        with connected(server, trusting(authority)) as secured:
            assert b" 200 " in answer_to(secured, GET + b"Connection: close\r\n\r\n")
        assert server.refused(Bound.HANDSHAKE) == 4
    with serve(None) as server:
        client = server.client()
        client.send(_hello())
        assert client.answer().status == 400
        assert server.client().ask(GET) == 200
    assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []


def test_the_bounds_hold_above_tls_too(
    authority: Authority, signed: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    certificate, _ = certificate_of(settings_of(signed))
    context = trusting(authority)
    with serve(certificate, write_timeout_s=SOON, idle_timeout_s=SOON) as server:
        with connected(server, context) as secured:
            refused = answer_to(secured, GET + b"X: " + b"x" * (70 << 10))
        assert b" 431 " in refused
        assert b'"status": 431' in refused
        # One that reads nothing is ended, also if the server has closed it already.
        for more in (b"", b"Connection: close\r\n"):
            ended = server.refused(Bound.WRITE_TIMEOUT)
            stalled = connected(server, context, receive_buffer=4 << 10)
            stalled.sendall(b"GET /long HTTP/1.1\r\nHost: h\r\n" + more + b"\r\n")
            until(partial(lambda ended: server.refused(Bound.WRITE_TIMEOUT) > ended, ended))
            stalled.close()
    # One that reads slowly gets all of it, although the server has closed it long ago.
    bounds = {"head_timeout_s": SOON, "idle_timeout_s": SOON, "write_timeout_s": 5 * SOON}
    with serve(certificate, **bounds) as server:
        with connected(server, context, receive_buffer=64 << 10) as slow:
            slow.sendall(b"GET /long HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            came = 0
            for part in range(1, 7):
                # The time that a client has which sends nothing.
                assert server.client().rest() == b""
                while came < part << 20:
                    came += len(some := slow.recv(1 << 14))
                    assert some
            while some := slow.recv(1 << 14):
                came += len(some)
        assert came > LONG
        # One that does not say goodbye is not waited for.
        idle = connected(server, context)
        idle.sendall(GET + b"\r\n")
        until(lambda: server.connections == 0)
        idle.close()
    assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []


@pytest.fixture
def wrong(
    request: pytest.FixtureRequest, signed: tuple[Path, Path], authority: Authority
) -> dict[str, str]:
    """Settings of which one is wrong."""
    files = {"HTTP_TLS_CERTFILE": str(signed[0]), "HTTP_TLS_KEYFILE": str(signed[1])}
    return files | {
        name: str(value).format(signed=signed, folder=authority.folder)
        for name, value in request.param.items()
    }


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"HTTP_TLS_CERTFILE": "/nowhere"}, "HTTP_TLS_CERTFILE: /nowhere: No such file"),
        ({"HTTP_TLS_KEYFILE": "/nowhere"}, "HTTP_TLS_KEYFILE: /nowhere: No such file"),
        ({"HTTP_TLS_KEYFILE": "{signed[0]}"}, "HTTP_TLS_CERTFILE, HTTP_TLS_KEYFILE: cannot be"),
        ({"HTTP_TLS_KEYFILE": "{folder}/ca.key"}, "cannot be used: key values mismatch"),
        ({"HTTP_TLS_KEYFILE": ""}, "HTTP_TLS_CERTFILE: cannot be used"),
        ({"HTTP_TLS_CERTFILE": ""}, "HTTP_TLS_KEYFILE: needs HTTP_TLS_CERTFILE"),
        ({"HTTP_TLS_CLIENT_AUTH": "required"}, "HTTP_TLS_CLIENT_AUTH: optional and required need"),
        ({"HTTP_TLS_CLIENT_CAFILE": "{signed[0]}"}, "HTTP_TLS_CLIENT_AUTH: optional and required"),
        (
            {"HTTP_TLS_CLIENT_CAFILE": "{signed[1]}", "HTTP_TLS_CLIENT_AUTH": "optional"},
            "HTTP_TLS_CLIENT_CAFILE: cannot be used: ",
        ),
    ],
    indirect=["wrong"],
)
def test_what_cannot_be_used_is_named_with_its_setting(
    wrong: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as found:
        certificate_of(load(HttpSettings))
    assert said in str(found.value)
    assert "\n" not in str(found.value)


def test_an_encrypted_key_needs_its_password(authority: Authority) -> None:
    files = authority.sign("encrypted", password=PASSWORD)
    certificate_of(settings_of(files, http_tls_key_password=PASSWORD))
    for wrong in ({}, {"http_tls_key_password": "wrong"}):
        with pytest.raises(SettingsError) as found:
            certificate_of(settings_of(files, **wrong))
        assert "HTTP_TLS_KEYFILE" in str(found.value)
