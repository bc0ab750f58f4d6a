"""Why no broker can be talked to, in words that name the setting.

aiokafka only logs what a connection failed of, and raises one and the same error for a wrong
password, a wrong certificate, a wrong protocol and a broker that is away. Here another connection
finds out, once that error has come.
"""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import conn
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from runtime.settings import KafkaSettings

_PATIENCE_S = 3.0
_UNTRUSTED = {2, 18, 19, 20, 21}  # OpenSSL's X509_V_ERR_…: its issuer is not known, or is itself

Address = tuple[str, int]


class Unreachable(KafkaConnectionError):  # type: ignore[misc]  # noqa: N818  aiokafka's are untyped
    """The message is one line. `is_refusal`: a broker answers, and no waiting mends it."""

    def __init__(self, text: str, *, is_refusal: bool) -> None:
        super().__init__(text)
        self.text = text
        self.is_refusal = is_refusal

    def __str__(self) -> str:
        return self.text


@dataclass(slots=True)
class Availability:
    """Whether the brokers answer, so that a state which lasts is said once."""

    is_available: bool | None = None
    _said: str = ""

    def found(self) -> bool:
        """Return whether it is news that one answers."""
        is_news = self.is_available is not True
        self.is_available, self._said = True, ""
        return is_news

    def missed(self, error: BaseException) -> bool:
        """Return whether it is news that none does: the first time, and a refusal that is new."""
        is_news = self.is_available is not False
        self.is_available = False
        if isinstance(error, Unreachable) and error.is_refusal:
            is_news = is_news or self._said != error.text
            self._said = error.text
        return is_news


@dataclass(frozen=True, slots=True)
class _Cause:
    text: str
    is_refusal: bool = True


@asynccontextmanager
async def explained(kafka: KafkaSettings) -> AsyncIterator[None]:
    """Raise Unreachable where a client finds no broker in the block, and it is seen why."""
    try:
        yield
    except (KafkaConnectionError, NodeNotReadyError) as error:
        if isinstance(error, Unreachable):
            raise
        cause = await _look(kafka)
        if cause is None:
            raise
        raise Unreachable(cause.text, is_refusal=cause.is_refusal) from error


async def _look(kafka: KafkaSettings) -> _Cause | None:
    """Return what is wrong with the brokers, as far as something is."""
    servers = [server.rsplit(":", 1) for server in kafka.bootstrap_servers.split(",")]
    found = await _visit_all(kafka, [(host.strip("[]"), int(port)) for host, port in servers])
    if answers := [one for one in found.values() if not isinstance(one, _Cause)]:
        # A client talks to brokers by the addresses that they advertise.
        found = await _visit_all(kafka, sorted({each for one in answers for each in one}))
    causes = {one: cause for one, cause in found.items() if isinstance(cause, _Cause)}
    refusals = {one: cause for one, cause in causes.items() if cause.is_refusal}
    said = [f"{host}:{port}: {cause.text}" for (host, port), cause in (refusals or causes).items()]
    if not said:
        return None
    advertised = "advertised by the brokers: " if answers else ""
    return _Cause(f"{advertised}{'; '.join(said)}", is_refusal=bool(refusals))


async def _visit_all(
    kafka: KafkaSettings, addresses: Iterable[Address]
) -> dict[Address, list[Address] | _Cause]:
    found = await asyncio.gather(*(_visit(kafka, address) for address in addresses))
    return dict(zip(addresses, found, strict=True))


async def _visit(kafka: KafkaSettings, address: Address) -> list[Address] | _Cause:
    """Return the addresses that the broker advertises, or what keeps it from saying them."""
    settings = kafka.aiokafka()
    del settings["bootstrap_servers"]
    connection = conn.AIOKafkaConnection(*address, **settings)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await connection.connect()
            metadata = await connection.send(MetadataRequest([]))
    except TimeoutError:
        return _Cause(f"no answer within {_PATIENCE_S:.0f} s", is_refusal=False)
    except OSError as error:
        return _said_by(error, kafka) or await _found_out(address, error, kafka)
    except KafkaError as error:
        await _close(connection)
        return _said_by(error, kafka) or await _found_out(address, error, kafka)
    await _close(connection)
    return [(host, port) for _, host, port, *_ in metadata.brokers]


async def _close(connection: conn.AIOKafkaConnection) -> None:
    await asyncio.wait([connection.close()], timeout=_PATIENCE_S)


def _said_by(error: BaseException, kafka: KafkaSettings) -> _Cause | None:
    """Return the cause where the broker, or TLS, has said it."""
    if isinstance(error, SaslAuthenticationFailed):
        names = "KAFKA_SASL_PLAIN_USERNAME, KAFKA_SASL_PLAIN_PASSWORD"
        return _Cause(f"{names}: refused: {_line(*error.args)}")
    if isinstance(error, UnsupportedSaslMechanismError):
        return _Cause(f"KAFKA_SASL_MECHANISM: the broker does not take {kafka.sasl_mechanism}")
    if isinstance(error, IllegalSaslStateError):
        return _wrong_protocol(kafka, "the port takes no passwords (SASL)")
    said = [_said_by_tls(one, kafka) for one in _chain(error) if isinstance(one, ssl.SSLError)]
    return next((one for one in said if one is not None), None)


def _said_by_tls(error: ssl.SSLError, kafka: KafkaSettings) -> _Cause | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        trust = "is not trusted" if error.verify_code in _UNTRUSTED else "is refused"
        why = error.verify_message
        return _Cause(f"KAFKA_SSL_CAFILE: the broker's certificate {trust}: {why}")
    _, is_alert, alert = (error.reason or "").replace("_", " ").lower().partition("alert ")
    if not is_alert:
        return None
    if "certificate" not in alert and "unknown ca" not in alert:
        return _Cause(f"TLS failed: {alert}")
    wish = "wants a client's" if kafka.ssl_certfile is None else "refuses the client's"
    return _Cause(f"KAFKA_SSL_CERTFILE: the broker {wish} certificate: {alert}")


async def _found_out(address: Address, error: BaseException, kafka: KafkaSettings) -> _Cause:
    """Return the cause where a connection was not made, or was ended without a word."""
    is_closed = isinstance(error, KafkaConnectionError | ConnectionResetError | ssl.SSLError)
    if not is_closed:
        number = getattr(error, "errno", None) or 0
        known = os.strerror(number) if number > 0 else getattr(error, "strerror", None)
        return _Cause(known or _line(error), is_refusal=False)
    speaks_tls = await _speaks_tls(address)
    if speaks_tls is None:
        return _Cause(_line(error), is_refusal=False)
    if speaks_tls and not kafka.uses_ssl:
        return _wrong_protocol(kafka, "the port speaks TLS")
    if kafka.uses_ssl and not speaks_tls:
        return _wrong_protocol(kafka, "the port does not speak TLS")
    if not kafka.uses_sasl:
        return _wrong_protocol(kafka, "the port ends the connection, as one that wants SASL does")
    return _Cause(_line(error), is_refusal=False)


def _wrong_protocol(kafka: KafkaSettings, text: str) -> _Cause:
    return _Cause(f"KAFKA_SECURITY_PROTOCOL is {kafka.security_protocol}, and {text}")


async def _speaks_tls(address: Address) -> bool | None:
    """Say whether a handshake succeeds, whatever the certificates; None: nobody is there."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(_PATIENCE_S):
            _, writer = await asyncio.open_connection(*address, ssl=context)
    except ConnectionRefusedError:
        return None
    except (OSError, TimeoutError):
        return False
    writer.transport.abort()
    await asyncio.sleep(0)  # it is closed by the loop
    return True


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _line(*parts: object) -> str:
    return " ".join(" ".join(map(str, parts)).split())
