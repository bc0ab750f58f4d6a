"""An OpenID provider that gives tokens for client credentials, as Kafka's brokers check them."""

import base64
import json
import ssl
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

from deploy.local.ports import HOST
from tests.authority import openssl

CLIENT, SECRET = "wattline", "hunter7"
ISSUER, SCOPE = "https://provider.test", "kafka"
KEY_ID = "key-of-the-test"


class Provider:
    """What the endpoint knows, and what it was asked."""

    def __init__(self, folder: Path) -> None:
        self._key = folder / "tokens.key"
        # Kafka's and librdkafka's tokens are signed by RSA more often than by anything else.
        openssl("genrsa", "-out", str(self._key), "2048")
        self.secret = SECRET
        self.audience = "kafka"
        self.lifetime_s = 3_600
        self.redirects_to = ""
        self.asked = 0
        self.keys = folder / "keys.json"
        modulus = openssl("rsa", "-in", str(self._key), "-modulus", "-noout").decode()
        number = bytes.fromhex(modulus.strip().removeprefix("Modulus="))
        public = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": KEY_ID}
        public |= {"n": _text(number), "e": _text(b"\x01\x00\x01")}
        self.keys.write_text(json.dumps({"keys": [public]}))
        self.url = ""

    def answer(self, authorization: str, form: dict[str, list[str]]) -> tuple[int, object]:
        """Return the status and the document for a request."""
        self.asked += 1
        if self.redirects_to:
            return 302, {}
        expected = base64.b64encode(f"{CLIENT}:{self.secret}".encode()).decode()
        if authorization != f"Basic {expected}":
            return 401, {"error": "invalid_client"}
        if form != {"grant_type": ["client_credentials"], "scope": [SCOPE]}:
            return 400, {"error": "invalid_request"}
        token = self.token()
        return 200, {"access_token": token, "token_type": "Bearer", "expires_in": self.lifetime_s}

    def token(self) -> str:
        """Return a signed token (RFC 7519)."""
        now = int(time.time())
        claims = {
            "iss": ISSUER, "sub": CLIENT, "aud": self.audience, "scope": SCOPE,
            "jti": uuid.uuid4().hex, "iat": now - 600, "exp": now + self.lifetime_s,
        }  # fmt: skip
        head = {"alg": "RS256", "typ": "JWT", "kid": KEY_ID}
        signed = ".".join(_text(json.dumps(part).encode()) for part in (head, claims))
        signature = openssl("dgst", "-sha256", "-sign", str(self._key), given=signed.encode())
        return f"{signed}.{_text(signature)}"


@contextmanager
def serving(provider: Provider, certificate: tuple[Path, Path]) -> Iterator[Provider]:
    """Serve the provider on loopback, by TLS."""

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            status, document = provider.answer(self.headers["Authorization"] or "", parse_qs(body))
            answer = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Location", provider.redirects_to)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    with ThreadingHTTPServer((HOST, 0), Endpoint) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        provider.url = f"https://{HOST}:{server.server_address[1]}/token"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield provider
        finally:
            server.shutdown()
            thread.join()


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
