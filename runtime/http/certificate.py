"""The certificate that a server shows: read from its files, and again once they change."""

import ssl
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import structlog
from prometheus_client import Gauge

from runtime.http.settings import HttpSettings
from runtime.settings import SettingsError

log = structlog.get_logger()

_CLIENTS = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}
# X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which Python does not name.
_NO_CHECK_TIME = 0x200000
_MOST_STEPS = 10
_Files = tuple[bytes, ...]


class CertificateError(Exception):
    """The files cannot be used; the message is one line that names the setting."""


class Certificate:
    """A context for each new connection, made anew when the files have changed.

    Connections keep the context that they began with. A new context also forgets the sessions that
    clients could resume, so that nobody is let in by an authority that is no longer trusted.
    """

    def __init__(self, settings: HttpSettings, expiry: Gauge) -> None:
        """Read the files; raises SettingsError. `expiry` shows when the certificate expires."""
        self._settings = settings
        self._expiry = expiry
        try:
            self._tried = self._read()
            self.context, expires = _load(settings)
        except CertificateError as error:
            raise SettingsError(str(error)) from error
        self._note("http_certificate_loaded", expires)

    @classmethod
    def of(cls, settings: HttpSettings, expiry: Gauge) -> Self | None:
        """Return the certificate that the settings name, if any; raises SettingsError."""
        return None if settings.http_tls_certfile is None else cls(settings, expiry)

    def renew(self, *, asked: bool) -> None:
        """Take over files that have changed, or in any case if `asked`; bad ones change nothing."""
        try:
            found = self._read()
            if found == self._tried and not asked:
                return
            self._tried = found
            self.context, expires = _load(self._settings)
        except CertificateError as error:
            log.error("http_certificate_refused", error=str(error), help="the old one stays")  # noqa: TRY400  one line says it
            return
        self._note("http_certificate_renewed", expires)

    def _read(self) -> _Files:
        settings = self._settings
        return tuple(
            _bytes_of(name, path)
            for name, path in (
                ("HTTP_TLS_CERTFILE", settings.http_tls_certfile),
                ("HTTP_TLS_KEYFILE", settings.http_tls_keyfile),
                ("HTTP_TLS_CLIENT_CAFILE", settings.http_tls_client_cafile),
            )
            if path is not None
        )

    def _note(self, event: str, expires: float) -> None:
        self._expiry.set(expires)
        log.info(event, expires=datetime.fromtimestamp(expires, UTC).isoformat())


def names_in(peer: Mapping[str, Any] | None) -> frozenset[str]:
    """Return the names in a certificate as `ssl` describes it: `CN:…`, `DNS:…`, `URI:…`."""
    if not peer:
        return frozenset()
    subject = [pair for part in peer.get("subject", ()) for pair in part]
    names = [("CN", value) for kind, value in subject if kind == "commonName"]
    names += [pair for pair in peer.get("subjectAltName", ()) if isinstance(pair[1], str)]
    return frozenset(f"{kind}:{value}" for kind, value in names)


def _bytes_of(setting: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(f"{setting}: {path}: {error.strerror}") from error


def _load(settings: HttpSettings) -> tuple[ssl.SSLContext, float]:
    """Return a context that shows the certificate, and when it expires, in seconds since 1970.

    Raises CertificateError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    secret = settings.http_tls_key_password
    # Without a password OpenSSL would ask for one on the terminal.
    password = "" if secret is None else secret.get_secret_value()
    certificate, key = settings.http_tls_certfile, settings.http_tls_keyfile
    assert certificate is not None  # noqa: S101  else there is no TLS
    try:
        context.load_cert_chain(certificate, key, lambda: password)
        expires = _tried_out(context, certificate)
    except (OSError, ValueError) as error:
        names = "HTTP_TLS_CERTFILE" if key is None else "HTTP_TLS_CERTFILE, HTTP_TLS_KEYFILE"
        raise CertificateError(f"{names}: {_said(error)}") from error
    context.verify_mode = _CLIENTS[settings.http_tls_client_auth]
    if settings.http_tls_client_cafile is not None:
        try:
            context.load_verify_locations(settings.http_tls_client_cafile)
        except (OSError, ValueError) as error:
            raise CertificateError(f"HTTP_TLS_CLIENT_CAFILE: {_said(error)}") from error
    return context, expires


def _tried_out(context: ssl.SSLContext, certificate: Path) -> float:
    """Return when the certificate expires, as a client sees it: by a handshake in memory.

    Raises ssl.SSLError if there can be none, for example for a certificate of clients only.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.load_verify_locations(certificate)
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = client.wrap_bio(to_client, to_server)
    ours = context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(_MOST_STEPS):
        for side in (theirs, ours):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    shown = theirs.getpeercert() or {}
    return float(ssl.cert_time_to_seconds(str(shown["notAfter"])))


def _said(error: OSError | ValueError) -> str:
    """Return what is wrong in a few words: OpenSSL adds a place in its own source."""
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "not PEM").replace("_", " ").lower()
        return f"cannot be used: {reason}"
    return f"cannot be used: {error}"
