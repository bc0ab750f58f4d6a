"""The API as a process with TLS and named clients: both are renewed while it serves."""

import asyncio
import shutil
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from deploy.local.ports import HOST
from deploy.replica import PATIENCE_S
from tests.api.conftest import Environment, Rows, problem
from tests.api.process import Process
from tests.api.readings import NOW, meter, store_meter
from tests.api.stanzas import by, stanza
from tests.authority import Authority

CURRENT = "/v1/telemetry/meters/current"
DESK = stanza("desk", "desk-key", scopes=["read", "admin"])
GUEST = stanza("guest", "guest-key", scopes=["read"])
GATEWAY = stanza("gw", scopes=["ingest"], certificates=["DNS:gw.example"])


class Secured:
    """A running API with TLS, its files, and the authority that its clients trust."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder / "authority")
        self.clients = folder / "clients.toml"
        self.certificate, self.key = folder / "server.pem", folder / "server.key"
        self.write(DESK, GUEST, GATEWAY)
        self.show("first")
        self.port = 0

    def write(self, *stanzas: str) -> None:
        self.clients.write_text("\n".join(stanzas))

    def show(self, name: str) -> None:
        certificate, key = self.authority.sign(name)
        shutil.copy(certificate, self.certificate)
        shutil.copy(key, self.key)

    @property
    def settings(self) -> dict[str, str]:
        return {
            "API_CLIENTS_FILE": str(self.clients),
            "HTTP_TLS_CERTFILE": str(self.certificate),
            "HTTP_TLS_KEYFILE": str(self.key),
            "HTTP_TLS_CLIENT_AUTH": "optional",
            "HTTP_TLS_CLIENT_CAFILE": str(self.authority.certificate),
            "METRICS_PORT": "0",
            # Far more than this test has: the end must not wait for a handshake.
            "DRAIN_TIMEOUT_S": "3600",
            "HTTP_HEAD_TIMEOUT_S": "3600",
        }

    def context(self, client: str | None = None, more: str = "") -> ssl.SSLContext:
        """Return that of a client, with a certificate of its own if it has a name."""
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        if client is not None:
            context.load_cert_chain(*self.authority.sign(client, more=more))
        return context

    def client(self, context: ssl.SSLContext, port: int = 0) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=f"https://{HOST}:{port or self.port}", verify=context, timeout=PATIENCE_S
        )

    def serial(self) -> object:
        """Return the number of the certificate that a new connection is shown."""
        with (
            socket.create_connection((HOST, self.port), PATIENCE_S) as plain,
            self.context().wrap_socket(plain, server_hostname=HOST) as secured,
        ):
            return (secured.getpeercert() or {})["serialNumber"]


@asynccontextmanager
async def listening(client: httpx.AsyncClient, key: str) -> AsyncIterator[AsyncIterator[str]]:
    """Listen to the live stream, and yield its lines that say something."""
    async with client.stream("GET", "/v1/live", headers=by(key)) as answer:
        lines = answer.aiter_lines()
        assert await anext(lines) == ": listening"
        yield (line async for line in lines if line.startswith("event: "))


async def test_files_are_renewed_and_only_those_who_are_removed_notice(
    environment: Environment, rows: Rows, tmp_path: Path
) -> None:
    secured = Secured(tmp_path)
    with Process(environment | secured.settings, log_file=tmp_path / "api.log") as process:
        secured.port = process.wait_for("http_listening")["port"]
        for port in (secured.port, process.wait_for("metrics_listening")["port"]):
            # Plain HTTP gets no answer, and breaks nothing.
            with pytest.raises(httpx.TransportError):
                async with httpx.AsyncClient(timeout=PATIENCE_S) as plain:
                    await plain.get(f"http://{HOST}:{port}/metrics")
        async with (
            asyncio.timeout(PATIENCE_S),
            secured.client(secured.context()) as client,
            listening(client, "desk-key") as desk,
            listening(client, "guest-key") as guest,
        ):
            await check_certificates(secured, client)
            first = secured.serial()
            # Files that are broken change nothing, and are one line each.
            secured.write(DESK, "[clients.guest]")
            secured.certificate.write_text("nothing")
            process.process.send_signal(signal.SIGHUP)
            refused = process.wait_for("api_clients_refused")
            assert refused["error"] == "clients.guest.scopes: is missing"
            assert "HTTP_TLS_CERTFILE" in process.wait_for("http_certificate_refused")["error"]
            assert secured.serial() == first
            assert (await client.get(CURRENT, headers=by("guest-key"))).status_code == 200
            # Renewed files hold for the next request, and for the next connection.
            secured.write(DESK, GATEWAY, stanza("new", "new-key", scopes=["read"]))
            secured.show("second")
            process.process.send_signal(signal.SIGHUP)
            process.wait_for("http_certificate_renewed")
            process.wait_for("api_clients_renewed")
            assert secured.serial() != first
            assert (await client.get(CURRENT, headers=by("new-key"))).status_code == 200
            problem(await client.get(CURRENT, headers=by("guest-key")), 401)
            # The stream of one who was removed ends; that of another goes on.
            assert await anext(guest) == "event: dropped"
            store_meter(rows, "m-1", [(NOW, 1.0)])
            assert await anext(desk) == "event: meter"
            port = process.wait_for("metrics_listening")["port"]
            async with secured.client(secured.context(), port) as scraper:
                page = (await scraper.get("/metrics")).text
        assert 'telemetry_http_client_requests_total{client="new",status="2xx"} 1.0' in page
        assert 'client="guest"' not in page
        assert "telemetry_http_certificate_expiry_seconds 1" in page
        assert 'telemetry_http_refused_total{bound="tls_handshake"} 2.0' in page
        with socket.create_connection((HOST, secured.port), PATIENCE_S) as begun:
            begun.sendall(b"\x16")
            assert process.stop() == 0
        assert [line for line in process.log() if line["event"].startswith("Traceback")] == []


async def check_certificates(secured: Secured, plain: httpx.AsyncClient) -> None:
    """Check that a name in a certificate admits a client, and with a key no other one."""
    path, reading = "/v1/telemetry/meter", meter("m-9")
    problem(await plain.post(path, json=reading), 401)
    async with secured.client(secured.context("gw", "DNS:gw.example")) as gateway:
        assert (await gateway.post(path, json=reading)).status_code == 202
        problem(await gateway.get(CURRENT), 403)
        both = problem(await gateway.get(CURRENT, headers=by("desk-key")), 401)
        assert "different clients" in str(both["detail"])
        problem(await gateway.post(path, headers=by("wrong"), json=reading), 401)
    async with secured.client(secured.context("gw.example")) as stranger:
        problem(await stranger.post(path, json=reading), 401)
        # A page of this very site, served by TLS, may write; that of another port may not.
        own = {"Origin": f"https://{HOST}:{secured.port}"} | by("desk-key")
        made = await stranger.post("/v1/devices/meters", json={"meterId": "m-8"}, headers=own)
        assert made.status_code == 201
        foreign = {"Origin": f"http://{HOST}:{secured.port}"} | by("desk-key")
        problem(await stranger.post("/v1/devices/meters", json={}, headers=foreign), 403)
