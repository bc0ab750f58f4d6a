"""A client of the product's API, which retries while the API is busy."""

import re
from types import TracebackType
from typing import Any, Self

import httpx
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_delay,
    wait_random_exponential,
)

AT_ONCE = 8
"""The most requests under way."""
PATIENCE_S = 60.0
"""Seconds to wait for one answer, over all attempts."""
_REQUEST_S = 60.0
_CONFLICT, _TOO_MANY, _UNAVAILABLE = 409, 429, 503

# If a password holds an @ or a /, a part of it is parsed as host or path, and errors print those.
_PLAIN_URL = re.compile(r"https?://([^@/]*@)?[^@]*")


class ProductError(Exception):
    """The API cannot be reached, or refuses a request. The message is one line."""


class TooSlowError(ProductError):
    """The API runs, but did not answer in time."""


class _TryLaterError(Exception):
    """The API asks to be called again later."""


_PASSING = (
    httpx.NetworkError,
    httpx.TimeoutException,
    httpx.RemoteProtocolError,
    _TryLaterError,
)
"""Errors that a retry may cure. A request may therefore be made twice."""
_TOO_SLOW = (httpx.ReadTimeout, httpx.PoolTimeout, _TryLaterError)
"""Those of them that mean that the API is there, but busy."""


class Product:
    """A client of one API. The key, if it needs one, is sent as a bearer token."""

    def __init__(self, *, url: str, api_key: str | None, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        # Neither the URL nor the cause is printed: either may contain a password.
        unusable = ProductError("the API's URL is not an address such as http://host:8000")
        if not _PLAIN_URL.fullmatch(url):
            raise unusable
        try:
            self._client = httpx.AsyncClient(
                base_url=url,
                headers=headers,
                timeout=_REQUEST_S,
                limits=httpx.Limits(max_connections=AT_ONCE),
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise unusable from error

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.__aexit__(kind, error, traceback)

    async def get(self, path: str, **parameters: str) -> Any:
        """Return the JSON of an answer; raises ProductError for any other status than a success."""
        return _successful(await self._send("GET", path, params=parameters))

    async def pages(self, path: str, **parameters: str) -> list[Any]:
        """Return the items of all pages of a list; raises ProductError."""
        page = await self.get(path, **parameters)
        items: list[Any] = page["items"]
        while page["next"] is not None:
            page = await self.get(path, **parameters, after=page["next"])
            items += page["items"]
        return items

    async def post(self, path: str, body: dict[str, Any]) -> Any | None:
        """Return what was created, None for a conflict (409); raises ProductError."""
        response = await self._send("POST", path, json=body)
        return None if response.status_code == _CONFLICT else _successful(response)

    async def _send(self, method: str, path: str, **what: Any) -> httpx.Response:
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type(_PASSING),
                stop=stop_after_delay(self._patience_s),
                wait=wait_random_exponential(max=5),
                reraise=True,
            ):
                with attempt:
                    response = _decided(await self._client.request(method, path, **what))
        except (httpx.HTTPError, httpx.InvalidURL, _TryLaterError) as error:
            problem = str(error) or type(error).__name__
            kind = TooSlowError if isinstance(error, _TOO_SLOW) else ProductError
            asked = _without_credentials(self._client.base_url)
            raise kind(f"{method} {asked}{path}: {problem}") from error
        return response


def _decided(response: httpx.Response) -> httpx.Response:
    if response.status_code in (_TOO_MANY, _UNAVAILABLE):
        raise _TryLaterError(_detail(response))
    return response


def _successful(response: httpx.Response) -> Any:
    if response.is_success:
        return response.json()
    request = response.request
    asked = _without_credentials(request.url)
    raise ProductError(f"{request.method} {asked}: {_detail(response)}")


def _without_credentials(url: httpx.URL) -> httpx.URL:
    return url.copy_with(userinfo=b"")


def _detail(response: httpx.Response) -> str:
    try:
        document = response.json()
    except ValueError:
        document = None
    detail = document.get("detail") if isinstance(document, dict) else None
    return f"{response.status_code} {detail or response.reason_phrase}"
