"""A replica's health and metrics with TLS, whose servers are all away."""

import shutil
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import httpx

from deploy.local.ports import HOST
from deploy.replica import PATIENCE_S, ROOT, Replica
from tests.acceptance.conftest import environ
from tests.authority import Authority

AWAY = {
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "DATABASE_URL": "postgresql://u:p@127.0.0.1:1/d",
}


def test_a_replica_serves_its_pages_with_a_certificate_and_renews_it(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    certificate, key = authority.sign("replica")
    context = ssl.create_default_context(cafile=str(authority.certificate))
    tls = {"HTTP_TLS_CERTFILE": str(certificate), "HTTP_TLS_KEYFILE": str(key)}
    replica = Replica(AWAY | tls, log_file=tmp_path / "replica.log")
    try:
        port = replica.wait_for("http_listening")["port"]
        with httpx.Client(
            base_url=f"https://{HOST}:{port}", verify=context, timeout=PATIENCE_S
        ) as client:
            assert client.get("/health/live").status_code == 200
            before = expiry(client)
            for new, old in zip(authority.sign("renewed", days=9), (certificate, key), strict=True):
                shutil.copy(new, old)
            replica.process.send_signal(signal.SIGHUP)
            replica.wait_for("http_certificate_renewed")
            # The connection is still the same.
            assert expiry(client) > before + 6 * 86_400
        assert replica.stop() == 0
        assert [line for line in replica.log() if line["event"].startswith("Traceback")] == []
    finally:
        if replica.process.poll() is None:
            replica.kill()
    key.write_text("nothing")
    ended = subprocess.run(
        [sys.executable, "-m", "consumer", "run"],
        cwd=ROOT,
        env=environ(AWAY | tls | {"HTTP_PORT": "0"}),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith("error: HTTP_TLS_CERTFILE, HTTP_TLS_KEYFILE: ")


def expiry(client: httpx.Client) -> float:
    [line] = [
        line
        for line in client.get("/metrics").text.splitlines()
        if line.startswith("telemetry_http_certificate_expiry_seconds ")
    ]
    return float(line.split()[1])
