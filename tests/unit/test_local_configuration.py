"""How the servers of the local stack are configured and addressed."""

import re
import socket
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from deploy.local.addresses import Addresses, given, logins_of, without_password
from deploy.local.errors import LocalStackError
from deploy.local.kafka import node as kafka
from deploy.local.kafka.node import KafkaNode
from deploy.local.ports import HOST, free_port, is_free
from deploy.local.postgres import server as postgres
from deploy.local.postgres.server import PostgresServer
from deploy.local.state import KafkaState, PostgresState, State


def node(**changes: Any) -> KafkaNode:
    defaults: dict[str, Any] = {
        "folder": Path("/k"),
        "log": Path("/l"),
        "port": 1,
        "controller_port": 2,
    }
    return KafkaNode(**(defaults | changes))


def test_a_single_node_is_its_own_only_voter_and_keeps_one_replica() -> None:
    settings = kafka.configuration(node())
    assert settings["controller.quorum.voters"] == "1@127.0.0.1:2"
    assert settings["offsets.topic.replication.factor"] == "1"
    assert settings["min.insync.replicas"] == "1"


def test_three_nodes_share_their_voters_and_keep_three_replicas_of_which_two_in_sync() -> None:
    settings = kafka.configuration(node(node_id=2, voters={1: 11, 2: 12, 3: 13}))
    assert settings["controller.quorum.voters"] == "1@127.0.0.1:11,2@127.0.0.1:12,3@127.0.0.1:13"
    assert settings["offsets.topic.replication.factor"] == "3"
    assert settings["transaction.state.log.min.isr"] == "2"


def test_kafka_listens_on_the_loopback_only_and_makes_no_topic_by_itself() -> None:
    settings = kafka.configuration(node())
    assert re.findall(r"//([^:]*):", settings["listeners"]) == [HOST, HOST]
    assert settings["auto.create.topics.enable"] == "false"


def test_settings_of_a_node_win() -> None:
    assert kafka.configuration(node(settings={"num.partitions": "7"}))["num.partitions"] == "7"


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("/data/é", "a=/data/\\u00e9\n"),
        ("C:\\x", "a=C:\\\\x\n"),
        ("\N{SLICE OF PIZZA}", "a=\\ud83c\\udf55\n"),
    ],
)
def test_properties_are_ascii_as_java_reads_them(value: str, line: str) -> None:
    assert kafka.render({"a": value}) == line


def test_a_cluster_id_is_one_that_kafka_can_parse() -> None:
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{21}", kafka.new_cluster_id())


def test_postgres_keeps_what_it_acknowledges_and_listens_on_the_loopback_only() -> None:
    server = PostgresServer(
        folder=Path("/p"), log=Path("/l"), port=5, password=postgres.new_password()
    )
    lines = postgres.configuration(server).splitlines()
    assert lines[0] == "include 'data/postgresql.conf'"
    assert {"fsync = 'on'", "synchronous_commit = 'on'", "port = '5'"} <= set(lines)
    assert "listen_addresses = '127.0.0.1'" in lines
    assert "unix_socket_directories = ''" in lines


def test_a_setting_with_a_quote_stays_one_setting() -> None:
    settings = {"application_name": "it's"}
    server = PostgresServer(
        folder=Path("/p"),
        log=Path("/l"),
        port=5,
        password=postgres.new_password(),
        settings=settings,
    )
    assert "application_name = 'it''s'" in postgres.configuration(server)


def test_exports_survive_a_shell() -> None:
    addresses = Addresses(kafka_bootstrap_servers="a:1,b:2", database_url="postgresql://u:p'$x@h/d")
    assert addresses.exports() == (
        "export KAFKA_BOOTSTRAP_SERVERS=a:1,b:2\n"
        "export DATABASE_URL='postgresql://u:p'\"'\"'$x@h/d'\n"
    )


def test_an_address_in_the_environment_counts_unless_it_is_our_own() -> None:
    own = State(kafka=KafkaState(address="127.0.0.1:1", port=1, controller_port=2, version="4"))
    assert given({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "DATABASE_URL": " "}, own) == {}
    assert given({"KAFKA_BOOTSTRAP_SERVERS": "elsewhere:1"}, own) == {
        "KAFKA_BOOTSTRAP_SERVERS": "elsewhere:1"
    }


def test_the_login_of_a_role_is_our_own_server_too_and_has_a_password_of_its_own() -> None:
    secret = postgres.new_password()
    own = PostgresState(address="postgresql://u@h/d", port=5, password=secret, version="18")
    state = State(postgres=own)
    logins = logins_of(state)
    assert list(logins) == ["owner", "consumer", "api", "reader"]
    assert len({conninfo_to_dict(url)["password"] for url in logins.values()}) == 4
    addresses = Addresses(kafka_bootstrap_servers="a:1", database_url=own.address, logins=logins)
    for role, url in logins.items():
        assert secret not in url
        assert given({"DATABASE_URL": url}, state) == {}
        assert addresses.under(role).database_url == url


def test_a_server_that_is_not_our_own_has_no_logins_of_ours() -> None:
    addresses = Addresses(kafka_bootstrap_servers="a:1", database_url="postgresql://u@h/d")
    with pytest.raises(LocalStackError, match="the logins of that server are yours"):
        addresses.under("reader")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://u:secret@h:1/d", "postgresql://u:…@h:1/d"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql://u:se@cret@h:1/d", "postgresql://u:…@h:1/d"),
        ("postgresql://u:se/cret@h/d", "postgresql://u:…@h/d"),
        ("postgresql://u:se cret@h/d", "postgresql://u:…@h/d"),
        ("postgresql://h/d?password=se cret&user=u", "postgresql://h/d?password=…&user=u"),
        ("postgresql://h/d?user=u&sslpassword=cret", "postgresql://h/d?user=u&sslpassword=…"),
        ("host=h password='se cret' user=u", "host=h password=… user=u"),
        ("broker:9092", "broker:9092"),
    ],
)
def test_no_password_is_shown(address: str, shown: str) -> None:
    assert without_password(address) == shown


def test_an_address_that_cannot_be_used_is_refused_and_not_quoted() -> None:
    for url in ("postgresql://u:se@cret@h/d", "postgresql://u:cret%zz@h/d"):
        with pytest.raises(LocalStackError, match=r"^DATABASE_URL: ") as refused:
            given({"DATABASE_URL": url}, State())
        assert "cret" not in str(refused.value)


def test_a_port_is_kept_while_it_is_free_and_replaced_when_it_is_taken() -> None:
    kept = free_port()
    assert free_port(preferred=kept) == kept
    with socket.socket() as other:
        other.bind((HOST, kept))
        other.listen()
        assert not is_free(kept)
        assert free_port(preferred=kept) != kept
    assert free_port(preferred=kept, taken=frozenset({kept})) != kept
