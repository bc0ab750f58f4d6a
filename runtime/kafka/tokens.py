"""Tokens for SASL's OAUTHBEARER, from an OpenID provider by client credentials.

Only for aiokafka: librdkafka asks for its tokens itself. The client's id and secret go into an
`Authorization: Basic` header as they are, as librdkafka and Kafka's Java client send them.
See RFC 6749, section 4.4, and KIP-768.
"""

import asyncio
import base64
import json
import re
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError
from pydantic import SecretStr

PREFIX = "KAFKA_SASL_OAUTHBEARER"
_URL = f"{PREFIX}_TOKEN_ENDPOINT_URL"
_TIMEOUT_S = 3.0
_MOST_BYTES = 1 << 20
_LIFETIME_S = 60.0  # assumed for a token whose lifetime is not told
_RENEWED_AFTER = 0.8
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")  # RFC 6750, section 2.1
_ERROR = re.compile(r"[a-z_]{1,64}")


class TokenError(KafkaConnectionError):  # type: ignore[misc]  # aiokafka's classes are untyped
    """The endpoint gives no token; the message is one line that names the setting.

    `is_refusal`: it answers, so that waiting does not help.
    """

    def __init__(self, text: str, *, is_refusal: bool) -> None:
        super().__init__(text)
        self.text = text
        self.is_refusal = is_refusal


class Tokens(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka's classes are untyped
    """Has a token at any time; another is asked for when most of its lifetime has passed."""

    def __init__(
        self,
        *,
        url: str,
        client_id: str,
        secret: SecretStr,
        scope: str | None,
        cafile: Path | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._client_id = client_id
        self._secret = secret
        self._scope = scope
        self._cafile = cafile
        self._clock = clock
        self._asking = threading.Lock()
        self._token = ""
        self._renew_at = self._ends_at = float("-inf")

    async def token(self) -> str:
        """Return a token; raises TokenError."""
        return await asyncio.to_thread(self._current)

    def forget(self) -> None:
        """Ask for another token next time: the broker does not take this one."""
        self._renew_at = self._ends_at = float("-inf")

    def _current(self) -> str:
        with self._asking:
            now = self._clock()
            if now >= self._renew_at:
                try:
                    self._token, lifetime_s = self._ask()
                except TokenError:
                    if now >= self._ends_at:
                        raise
                else:
                    self._renew_at = now + _RENEWED_AFTER * lifetime_s
                    self._ends_at = now + lifetime_s
            return self._token

    def _ask(self) -> tuple[str, float]:
        """Return a new token and its lifetime in seconds; raises TokenError."""
        body = self._post()
        try:
            answer = json.loads(body)
            token = str(answer["access_token"])
            lifetime_s = float(answer.get("expires_in") or _LIFETIME_S)
        except (ValueError, TypeError, KeyError, AttributeError):
            token = ""
        if not _TOKEN.fullmatch(token):
            raise TokenError(f"{_URL}: its answer has no access_token", is_refusal=True)
        return token, lifetime_s

    def _post(self) -> bytes:
        form = {"grant_type": "client_credentials"}
        if self._scope:
            form["scope"] = self._scope
        credentials = f"{self._client_id}:{self._secret.get_secret_value()}".encode()
        request = urllib.request.Request(  # noqa: S310  the settings take http and https only
            self._url,
            data=urllib.parse.urlencode(form).encode(),
            headers={
                "Authorization": f"Basic {base64.b64encode(credentials).decode()}",
                "Accept": "application/json",
            },
        )
        try:
            context = ssl.create_default_context(cafile=self._cafile)
        except OSError as error:
            raise TokenError(f"{PREFIX}_CAFILE: {_reason(error)}", is_refusal=True) from error
        opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=context), _NoRedirect
        )
        try:
            with opener.open(request, timeout=_TIMEOUT_S) as answer:
                body: bytes = answer.read(_MOST_BYTES)
                return body
        except urllib.error.HTTPError as error:
            with error:
                raise _refused(error) from error
        except urllib.error.URLError as error:
            raise _away(error.reason) from error
        except (OSError, HTTPException) as error:
            raise _away(error) from error


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the secret goes nowhere but to the endpoint."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _refused(error: urllib.error.HTTPError) -> TokenError:
    """Return what an answer with another status than 200 means."""
    try:
        code = json.loads(error.read(_MOST_BYTES))["error"]
    except (OSError, HTTPException, ValueError, TypeError, KeyError):
        code = ""
    said = f"{error.code} {code}" if _ERROR.fullmatch(str(code)) else str(error.code)
    if error.code in {400, 401, 403}:
        names = f"{PREFIX}_CLIENT_ID, {PREFIX}_CLIENT_SECRET"
        return TokenError(f"{names}: refused by the token endpoint: {said}", is_refusal=True)
    is_refusal = error.code < 500 and error.code != 429  # noqa: PLR2004  the server's, and its haste
    return TokenError(f"{_URL}: the endpoint answers {said}", is_refusal=is_refusal)


def _away(error: object) -> TokenError:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message
        text = f"{PREFIX}_CAFILE: the token endpoint's certificate is refused: {why}"
        return TokenError(text, is_refusal=True)
    return TokenError(f"{_URL}: {_reason(error)}", is_refusal=False)


def _reason(error: object) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())
