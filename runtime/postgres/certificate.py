"""Why a server's certificate is refused: libpq says only that it is."""

import socket
import ssl
import struct
from itertools import cycle
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

_REFUSED = "certificate verify failed"
_TIMEOUT_S = 3.0
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)  # "Message Formats" in PostgreSQL's manual
_HOME_ROOT = Path("~/.postgresql/root.crt")


def is_refused(error: psycopg.OperationalError) -> bool:
    """Return whether the client has refused the server's certificate."""
    return _REFUSED in str(error)


def explained(error: psycopg.OperationalError, url: str) -> psycopg.OperationalError:
    """Return the error of a refused certificate, with the reason if it can be found.

    Takes seconds at the most: it connects once more.
    """
    text = " ".join(str(error).split())
    reason = _reason(url)
    return psycopg.OperationalError(
        text if reason is None else f"{text}: {reason} (see sslrootcert in the URL)"
    )


def _reason(url: str) -> str | None:
    """Return OpenSSL's words about the first certificate that is refused."""
    parts = {name: str(part) for name, part in conninfo_to_dict(url).items()}
    hosts = (parts.get("hostaddr") or parts.get("host") or "localhost").split(",")
    ports = (parts.get("port") or "5432").split(",")
    root = parts.get("sslrootcert") or str(_HOME_ROOT.expanduser())
    try:
        context = ssl.create_default_context(cafile=None if root == "system" else root)
    except OSError:
        return None
    context.check_hostname = False  # what libpq finds wrong with the name, it says
    for host, port in zip(hosts, cycle(ports), strict=False):
        try:
            _shake_hands(host, int(port or "5432"), context)
        except ssl.SSLCertVerificationError as error:
            return error.verify_message
        except OSError:
            continue
    return None


def _shake_hands(host: str, port: int, context: ssl.SSLContext) -> None:
    with socket.create_connection((host, port), timeout=_TIMEOUT_S) as connection:
        connection.sendall(_SSL_REQUEST)
        if connection.recv(1) == b"S":
            context.wrap_socket(connection, server_hostname=host).close()
