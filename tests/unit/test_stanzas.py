"""The file of clients: what it may say, what is refused in one line, and the commands for it."""

from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.__main__ import app
from api.identity.client import Client, Scope, scope_needed
from api.identity.clients import Ambiguous, Clients
from api.identity.stanzas import BadStanza, numbered, parse

ONE, OTHER = (sha256(text).hexdigest() for text in (b"one", b"other"))
GOOD = f"""
[clients.gw-1]
keys = ["{ONE}", "{OTHER}"]
scopes = ["ingest", "read"]
prefixes = ["mtr-gw1-", "veh:"]
certificates = ["DNS:gw-1.example", "CN:gw 1"]
expires = 2027-01-31

[clients.desk]
certificates = ["URI:spiffe://a/desk"]
scopes = ["admin"]
expires = 2027-01-31T12:00:00+02:00
"""


def test_a_stanza_says_what_a_client_may_do() -> None:
    gateway, desk = parse(GOOD)
    assert gateway.client == Client(
        name="gw-1",
        scopes=frozenset({Scope.INGEST, Scope.READ}),
        prefixes=("mtr-gw1-", "veh:"),
        expires=datetime(2027, 1, 31, tzinfo=UTC),
    )
    assert [one.hex() for one in gateway.digests] == [ONE, OTHER]
    assert desk.client.expires == datetime(2027, 1, 31, 10, tzinfo=UTC)
    assert not gateway.client.has_expired(datetime(2027, 1, 30, 23, 59, 59, tzinfo=UTC))
    assert gateway.client.has_expired(datetime(2027, 1, 31, tzinfo=UTC))


def stanza(**fields: str) -> str:
    fields = {"keys": f'["{ONE}"]', "scopes": '["read"]'} | fields
    return "\n".join(["[clients.a]", *(f"{name} = {value}" for name, value in fields.items())])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "clients: is missing"),
        ("[clients]", "clients: Dictionary should have at least 1 item"),
        ("a = ", "is not TOML: Invalid value (at end of document)"),
        (
            stanza() + "\nkeys = []\n",
            "is not TOML: Cannot overwrite a value (at line 4, column 10)",
        ),
        (stanza(scope='"read"'), "clients.a.scope: is not known here"),
        (stanza(scopes='["write"]'), "clients.a.scopes.0: Input should be 'ingest', 'read' or"),
        (stanza(scopes="[]"), "clients.a.scopes: List should have at least 1 item"),
        (stanza(keys='["hunter2"]'), "clients.a.keys.0: should be a SHA-256 digest of 64 hex"),
        (stanza(keys=f'["{ONE.upper()}"]'), "clients.a.keys.0: should be a SHA-256 digest"),
        (stanza(keys=f'["{sha256().hexdigest()}"]'), "keys.0: is the digest of an empty key"),
        (stanza(keys=f'["{ONE}", "{OTHER}", "{ONE}"]'), "clients.a.keys: List should have at most"),
        (stanza(keys="[]"), "clients.a: has neither keys nor certificates"),
        (stanza(prefixes='["a b"]'), "clients.a.prefixes.0: may have letters, digits and a few"),
        (stanza(prefixes='[""]'), "clients.a.prefixes.0: may have letters, digits and a few"),
        (stanza(prefixes='["a"]', scopes='["admin"]'), "clients.a.prefixes: a client with the"),
        (stanza(certificates='["gw-1"]'), "clients.a.certificates.0: should begin with CN:, DNS:"),
        (stanza(expires='"2027-01-31"'), "clients.a.expires: should be a date, without quotes"),
        (stanza(expires="2027-01-31T00:00:00"), "clients.a.expires: should end with Z or an"),
        (stanza(expires="0001-01-01T00:00:00+14:00"), "clients.a.expires: should be in a year"),
        (stanza(expires="9999-12-31T23:59:59-14:00"), "clients.a.expires: should be in a year"),
        (stanza(expires="9" * 5_000), "is not TOML: has a number with too many digits"),
        (f"a = {'[' * 5_000}{']' * 5_000}", "is not TOML: has too many levels"),
        (stanza(prefixes="[]"), "clients.a.prefixes: List should have at least 1 item"),
        (stanza().replace("s.a", 's."a b"'), "clients.a b: may have letters, digits and a few"),
        (stanza().replace("s.a", "s.key-1"), "clients.key-1: names that begin with key- are"),
        (stanza() + stanza().replace("s.a", "s.b").replace("[c", "\n[c"), "clients.b: has a key"),
        (
            "\n".join(stanza().replace("s.a", f"s.c{number}") for number in range(1_001)),
            "clients: Dictionary should have at most 1000 items",
        ),
    ],
)
def test_what_is_wrong_is_one_line_that_names_it_and_shows_no_secret(text: str, said: str) -> None:
    with pytest.raises(BadStanza) as found:
        parse(text)
    assert said in str(found.value)
    assert "\n" not in str(found.value)
    assert "hunter2" not in str(found.value)


def test_a_client_is_found_by_its_key_or_its_certificate_but_not_by_those_of_two() -> None:
    clients = Clients([*parse(GOOD), *numbered([sha256(b"numbered").digest()])])

    def found(key: bytes | None, *names: str) -> str | None:
        digest = None if key is None else sha256(key).digest()
        client = clients.found(digest, frozenset(names))
        return None if client is None else client.name

    assert found(b"one") == found(b"other") == "gw-1"
    assert found(b"numbered") == "key-1"
    assert found(None, "CN:somebody", "URI:spiffe://a/desk") == "desk"
    assert found(b"one", "DNS:gw-1.example", "CN:gw 1") == "gw-1"
    assert found(None) is None
    assert found(None, "CN:somebody", "DNS:URI:spiffe://a/desk") is None
    assert found(b"wrong") is None
    # A key that is not known is refused, whatever the certificate says.
    assert found(b"wrong", "URI:spiffe://a/desk") is None
    for proofs in ((b"one", "URI:spiffe://a/desk"), (None, "CN:gw 1", "URI:spiffe://a/desk")):
        with pytest.raises(Ambiguous):
            found(*proofs)


def test_only_what_is_known_to_need_less_does_not_need_admin() -> None:
    assert scope_needed("GET", "/anything") == scope_needed("HEAD", "/v1/live") == Scope.READ
    assert scope_needed("POST", "/v1/telemetry/meter/batch") is Scope.INGEST
    for method, path in (
        ("POST", "/v1/telemetry"),
        ("POST", "/v1/anything"),
        ("PUT", "/v1/telemetry/meter"),
        ("BREW", "/"),
        ("DELETE", "/v1/sessions/1"),
    ):
        assert scope_needed(method, path) is Scope.ADMIN


def test_a_new_key_comes_with_the_stanza_that_admits_it(tmp_path: Path) -> None:
    words = ["keys", "new", "--name", "gw-1", "--scope", "ingest", "--scope", "read"]
    done = CliRunner().invoke(app, [*words, "--prefix", "m-", "--expires", "2027-01-31"])
    assert done.exit_code == 0
    key = done.stdout.splitlines()[0].rsplit(" ", 1)[1]
    [one] = parse(done.stdout)
    assert one.digests == (sha256(key.encode()).digest(),)
    assert (one.client.name, one.client.prefixes) == ("gw-1", ("m-",))
    assert one.client.expires == datetime(2027, 1, 31, tzinfo=UTC)
    file = tmp_path / "clients.toml"
    file.write_text(done.stdout)
    checked = CliRunner().invoke(app, ["keys", "check", str(file)])
    assert checked.exit_code == 0
    assert checked.stdout.startswith("gw-1: ingest, read; 1 key; devices m-*; ")
    assert "2027-01-31 00:00:00" in checked.stdout
    for broken in ("[clients.a]\nkeys = 1", None):
        file.unlink() if broken is None else file.write_text(broken)
        assert CliRunner().invoke(app, ["keys", "check", str(file)]).exit_code == 1
    for wrong in (["--name", "a b"], ["--prefix", "a", "--scope", "admin"]):
        refused = CliRunner().invoke(app, [*words, *wrong])
        assert refused.exit_code == 2
        assert refused.stderr.startswith("error: clients.")
