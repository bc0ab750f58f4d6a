"""The file of clients, in TOML: one stanza for each. Pure.

[clients.gw-1]
keys = ["<SHA-256 of the key, in hex>"]
scopes = ["ingest"]
"""

import json
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from api.identity.client import Client, Scope
from api.settings import OF_NOTHING
from telemetry.readings import DEVICE_ID

MOST_CLIENTS = 1_000
MOST_KEYS = 2
"""A new key is given out while the old one still works."""
_MOST_PREFIXES = 100
_MOST_CERTIFICATES = 10
_NAME = r"^[A-Za-z0-9_-]{1,64}$"
# The names of the keys in API_KEYS.
_NUMBERED = "key-"


class BadStanza(ValueError):  # noqa: N818  what was found
    """The file cannot be used; the message is one line that names the line or the field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stanza:
    """A client, and how it proves who it is: by a key's digest, or by a name in a certificate."""

    client: Client
    digests: tuple[bytes, ...] = ()
    certificates: tuple[str, ...] = ()


def _digest(text: str) -> str:
    if text in OF_NOTHING:
        raise PydanticCustomError("nothing", "is the digest of an empty key")
    return text


def _instant(value: object) -> object:
    """Return the instant of a TOML date (its beginning in UTC) or date-time."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise PydanticCustomError("no_offset", "should end with Z or an offset")
        try:
            return value.astimezone(UTC)
        except OverflowError:
            raise PydanticCustomError("no_year", "should be in a year from 1 to 9999") from None
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    raise PydanticCustomError("no_date", "should be a date, without quotes: 2027-01-31")


Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$"), AfterValidator(_digest)]
Prefix = Annotated[str, Field(pattern=f"^{DEVICE_ID}$", max_length=64)]
Certificate = Annotated[str, Field(pattern="^(CN|DNS|URI|email|IP Address):.+$", max_length=256)]


class _Stanza(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    scopes: list[Scope] = Field(min_length=1)
    keys: list[Digest] = Field([], max_length=MOST_KEYS)
    certificates: list[Certificate] = Field([], max_length=_MOST_CERTIFICATES)
    # Without prefixes a client may use every device, and an empty list does not mean that.
    prefixes: list[Prefix] = Field([], min_length=1, max_length=_MOST_PREFIXES)
    expires: Annotated[datetime | None, BeforeValidator(_instant)] = None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    clients: dict[Annotated[str, Field(pattern=_NAME)], _Stanza] = Field(
        min_length=1, max_length=MOST_CLIENTS
    )


def parse(text: str) -> list[Stanza]:
    """Return the stanzas; raises BadStanza, whose message never shows what the file holds."""
    try:
        found = _File.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise BadStanza(f"is not TOML: {error}") from None
    except RecursionError:
        raise BadStanza("is not TOML: has too many levels") from None
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(str(part) for part in fault["loc"] if part != "[key]")
        raise BadStanza(f"{field}: {_said(fault['msg'], fault['type'])}") from None
    except ValueError:  # int() takes 4300 digits, and both errors above are ValueErrors, too
        raise BadStanza("is not TOML: has a number with too many digits") from None
    stanzas = [_stanza(name, one) for name, one in found.clients.items()]
    for contradiction in _faults(found):
        raise BadStanza(contradiction)
    return stanzas


def numbered(digests: Sequence[bytes]) -> list[Stanza]:
    """Return a client for each of these keys, which may do everything: key-1, key-2, …."""
    return [
        Stanza(client=Client(name=f"{_NUMBERED}{number}"), digests=(digest,))
        for number, digest in enumerate(dict.fromkeys(digests), 1)
    ]


def written(
    name: str,
    digest: str,
    *,
    scopes: Sequence[Scope],
    prefixes: Sequence[str] = (),
    expires: datetime | None = None,
) -> str:
    """Return the stanza of a client as text; raises BadStanza if it could not be read again."""
    # Quoted, so that it is the name that is found to be wrong, if it is.
    lines = [f"[clients.{json.dumps(name)}]", f'keys = ["{digest}"]', f"scopes = {_listed(scopes)}"]
    if prefixes:
        lines.append(f"prefixes = {_listed(prefixes)}")
    if expires is not None:
        lines.append(f"expires = {expires.isoformat()}")
    parse("\n".join(lines))
    lines[0] = f"[clients.{name}]"
    return "\n".join(lines)


def _listed(words: Sequence[str]) -> str:
    return json.dumps(list(words))  # which is TOML, too


def _stanza(name: str, one: _Stanza) -> Stanza:
    return Stanza(
        client=Client(
            name=name,
            scopes=frozenset(one.scopes),
            prefixes=tuple(one.prefixes),
            expires=one.expires,
        ),
        digests=tuple(bytes.fromhex(key) for key in one.keys),
        certificates=tuple(one.certificates),
    )


def _faults(found: _File) -> Iterator[str]:
    """Yield what is wrong with a stanza as a whole, or with two of them."""
    first: dict[str, str] = {}
    for name, one in found.clients.items():
        field = f"clients.{name}"
        if name.startswith(_NUMBERED):
            yield f"{field}: names that begin with {_NUMBERED} are those of API_KEYS"
        if not one.keys and not one.certificates:
            yield f"{field}: has neither keys nor certificates"
        if one.prefixes and Scope.ADMIN in one.scopes:
            yield f"{field}.prefixes: a client with the scope admin cannot have any"
        for proof in (*one.keys, *one.certificates):
            if (other := first.setdefault(proof, name)) != name:
                yield f"{field}: has a key or a certificate of clients.{other} too"


def _said(message: str, kind: str) -> str:
    """Return pydantic's words in the file's: its own repeat patterns."""
    match kind:
        case "string_pattern_mismatch" if "0-9a-f" in message:
            return "should be a SHA-256 digest of 64 hex digits in lower case"
        case "string_pattern_mismatch" if "CN|" in message:
            return "should begin with CN:, DNS:, URI:, email: or IP Address:"
        case "string_pattern_mismatch":
            return "may have letters, digits and a few signs only"
        case "extra_forbidden":
            return "is not known here"
        case "missing":
            return "is missing"
    return message
