"""Why no broker can be reached, in one line that names the setting at fault.

aiokafka raises the same error for a wrong password, a wrong certificate, a wrong protocol and a
broker that is away, and only logs the cause. So after that error a second connection finds it out.
"""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

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

from runtime.kafka.settings import KafkaSettings
from runtime.kafka.tokens import PREFIX, TokenError

_TIMEOUT_S = 3.0
_UNTRUSTED = {2, 18, 19, 20, 21}  # OpenSSL's X509_V_ERR_… for an unknown issuer or self-signed

Address = tuple[str, int]


class Unreachable(KafkaConnectionError):  # type: ignore[misc]  # noqa: N818  aiokafka's are untyped
    """No broker can be used; the message is one line that says why.

    `is_refusal`: a broker answers, so that waiting does not help.
    """

    def __init__(self, text: str, *, is_refusal: bool) -> None:
        super().__init__(text)
        self.text = text
        self.is_refusal = is_refusal

    def __str__(self) -> str:
        return self.text


@dataclass(slots=True)
class Availability:
    """Knows whether the brokers answer, and tells a change from a state that lasts."""

    is_available: bool | None = None
    _reported: str = ""

    def found(self) -> bool:
        """Note that a broker answers; return whether that is a change."""
        is_news = self.is_available is not True
        self.is_available, self._reported = True, ""
        return is_news

    def missed(self, error: BaseException) -> bool:
        """Note that none answers; return whether that is a change or another refusal."""
        is_news = self.is_available is not False
        self.is_available = False
        if isinstance(error, Unreachable) and error.is_refusal:
            is_news = is_news or self._reported != error.text
            self._reported = error.text
        return is_news


@dataclass(frozen=True, slots=True)
class _Cause:
    text: str
    is_refusal: bool = True


@asynccontextmanager
async def explained(kafka: KafkaSettings) -> AsyncIterator[None]:
    """Raise Unreachable if a client in the block finds no broker and the cause can be found."""
    try:
        yield
    except (KafkaConnectionError, NodeNotReadyError) as error:
        if isinstance(error, Unreachable):
            raise
        cause = await _diagnose(kafka)
        if cause is None:
            raise
        raise Unreachable(cause.text, is_refusal=cause.is_refusal) from error


async def _diagnose(kafka: KafkaSettings) -> _Cause | None:
    """Return what is wrong with the brokers; None if all of them answer."""
    servers = [server.rsplit(":", 1) for server in kafka.bootstrap_servers.split(",")]
    found = await _probe_all(kafka, [(host.strip("[]"), int(port)) for host, port in servers])
    if answers := [one for one in found.values() if not isinstance(one, _Cause)]:
        # A client talks to brokers by the addresses that they advertise.
        found = await _probe_all(kafka, sorted({each for one in answers for each in one}))
    causes = {one: cause for one, cause in found.items() if isinstance(cause, _Cause)}
    refusals = {one: cause for one, cause in causes.items() if cause.is_refusal}
    lines = [f"{host}:{port}: {cause.text}" for (host, port), cause in (refusals or causes).items()]
    if not lines:
        return None
    advertised = "advertised by the brokers: " if answers else ""
    return _Cause(f"{advertised}{'; '.join(lines)}", is_refusal=bool(refusals))


async def _probe_all(
    kafka: KafkaSettings, addresses: Iterable[Address]
) -> dict[Address, list[Address] | _Cause]:
    found = await asyncio.gather(*(_probe(kafka, address) for address in addresses))
    return dict(zip(addresses, found, strict=True))


async def _probe(kafka: KafkaSettings, address: Address) -> list[Address] | _Cause:
    """Return the addresses that the broker advertises, or why it does not tell them."""
    settings = kafka.aiokafka()
    del settings["bootstrap_servers"]
    if kafka.uses_tokens:
        try:
            await kafka.tokens.token()
        except TokenError as error:
            return _Cause(error.text, is_refusal=error.is_refusal)
    connection = _Connection(*address, **settings)
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            await connection.connect()
            metadata = await connection.send(MetadataRequest([]))
    except TimeoutError:
        return _Cause(f"no answer within {_TIMEOUT_S:.0f} s", is_refusal=False)
    except OSError as error:
        return _stated(error, kafka) or await _deduced(address, error, kafka)
    except KafkaError as error:
        await _close(connection)
        return _stated(error, kafka) or await _deduced(address, error, kafka)
    await _close(connection)
    return [(host, port) for _, host, port, *_ in metadata.brokers]


class _Connection(conn.AIOKafkaConnection):  # type: ignore[misc]  # aiokafka's are untyped
    """aiokafka's connection, which also reads what a broker answers to a token."""

    def authenticator_oauth(self) -> Any:
        authenticator = super().authenticator_oauth()
        step = authenticator.step

        async def checked(answer: bytes | None) -> Any:
            if answer:  # empty if the token is taken, else JSON (RFC 7628, section 3.2.2)
                raise SaslAuthenticationFailed(answer.decode(errors="replace"))
            return await step(answer)

        authenticator.step = checked
        return authenticator


async def _close(connection: conn.AIOKafkaConnection) -> None:
    await asyncio.wait([connection.close()], timeout=_TIMEOUT_S)


def _stated(error: BaseException, kafka: KafkaSettings) -> _Cause | None:
    """Return the cause if the error of the broker or of TLS states it, else None."""
    if isinstance(error, SaslAuthenticationFailed) and kafka.uses_tokens:
        kafka.tokens.forget()
        return _Cause(f"{PREFIX}_…: the broker refuses the token: {_line(*error.args)}")
    if isinstance(error, SaslAuthenticationFailed):
        names = "KAFKA_SASL_PLAIN_USERNAME, KAFKA_SASL_PLAIN_PASSWORD"
        return _Cause(f"{names}: refused: {_line(*error.args)}")
    if isinstance(error, UnsupportedSaslMechanismError):
        return _Cause(f"KAFKA_SASL_MECHANISM: the broker does not take {kafka.sasl_mechanism}")
    if isinstance(error, IllegalSaslStateError):
        return _wrong_protocol(kafka, "the port takes no passwords (SASL)")
    by_tls = [_stated_by_tls(one, kafka) for one in _chain(error) if isinstance(one, ssl.SSLError)]
    return next((one for one in by_tls if one is not None), None)


def _stated_by_tls(error: ssl.SSLError, kafka: KafkaSettings) -> _Cause | None:
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


async def _deduced(address: Address, error: BaseException, kafka: KafkaSettings) -> _Cause:
    """Return the likely cause of a connection that failed or was closed without an error."""
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
    """Return whether the port takes a TLS handshake, with any certificate; None if it is closed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            _, writer = await asyncio.open_connection(*address, ssl=context)
    except ConnectionRefusedError:
        return None
    except (OSError, TimeoutError):
        return False
    writer.transport.abort()
    await asyncio.sleep(0)  # the loop closes it
    return True


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _line(*parts: object) -> str:
    return " ".join(" ".join(map(str, parts)).split())
