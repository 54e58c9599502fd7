"""What `redis_url` asks for: the connections that are made of it, and URLs that say why they are refused."""

from __future__ import annotations

from typing import Any

import pytest
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.crc import key_slot

from warmer.errors import ConfigurationError, WrongRedisUrl, mask
from warmer.settings import Settings
from warmer.store.addresses import connecting
from warmer.store.guides import FollowingConnection, FollowingSSLConnection


def _connecting(url: str) -> tuple[type[Connection], dict[str, Any]]:
    return connecting(Settings.load("n", {"redis_url": url, "broker_url": "x://y"}))


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("redis://h:1/2", Connection),
        ("rediss://h:1/2", SSLConnection),
        ("unix:///run/redis.sock?db=2", UnixDomainSocketConnection),
        ("redis+sentinel://h:1,i/s/2", FollowingConnection),
        ("rediss+sentinel://h:1,i/s/2", FollowingSSLConnection),
        ("redis+cluster://h:1,i", FollowingConnection),
        ("rediss+cluster://h:1,i/0", FollowingSSLConnection),
    ],
)
def test_each_scheme_has_its_connections(url: str, kind: type[Connection]) -> None:
    """A URL's scheme says how connections are made, and its path or options which database they use."""
    made, options = _connecting(url)

    assert made is kind
    assert options.get("db", 0) == (0 if "cluster" in url else 2)
    assert options["socket_timeout"] == options["socket_connect_timeout"] == 1.0


def test_sentinels_and_servers_have_users_of_their_own() -> None:
    """User and password before the addresses are the servers'; the sentinels' are options."""
    _, options = _connecting(
        "redis+sentinel://u:p%40w@h:1,[::1],i/my%20service/3?sentinel_username=s&sentinel_password=t"
    )
    sentinels = options["connection_pool"]
    asked = [client.connection_pool.connection_kwargs for client in sentinels._clients]

    assert (options["username"], options["password"], options["db"]) == ("u", "p@w", 3)
    assert sentinels.service_name == "'my service'"
    assert [(one["host"], one["port"]) for one in asked] == [("h", 1), ("::1", 26379), ("i", 26379)]
    assert {(one["username"], one["password"]) for one in asked} == {("s", "t")}
    assert sentinels._needed == 2


def test_a_cluster_has_one_user() -> None:
    """Who may read and write may ask the nodes, too. The slot is that of the namespace's one shard."""
    _, options = _connecting("redis+cluster://u:p@h:1,i,j:2")
    nodes = options["connection_pool"]
    asked = [client.connection_pool.connection_kwargs for client in nodes._clients]

    assert (options["username"], options["password"]) == ("u", "p")
    assert [(one["host"], one["port"]) for one in asked] == [("h", 1), ("i", 6379), ("j", 2)]
    assert {(one["username"], one["password"]) for one in asked} == {("u", "p")}
    assert nodes.service_name == f"slot {key_slot(b'n:0')}"


def test_sentinels_are_spoken_to_over_tls_as_the_servers_are() -> None:
    """rediss+sentinel, and what it says of certificates, holds for both."""
    _, options = _connecting("rediss+sentinel://h/s?ssl_ca_certs=/ca.pem")
    (client,) = options["connection_pool"]._clients

    assert options["ssl_ca_certs"] == client.connection_pool.connection_kwargs["ssl_ca_certs"] == "/ca.pem"
    assert issubclass(client.connection_pool.connection_class, SSLConnection)
    assert client.connection_pool.connection_kwargs["db"] == 0


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis://h/x", "'/x' is not the number of a database"),
        ("redis+sentinel://h:1,i:1", "which service"),
        ("redis+sentinel://h:1,,i:1/s", "'' is no host:port"),
        ("redis+sentinel://h:x/s", "Port could not be cast"),
        ("redis+cluster://h/1", "database 0 only"),
        ("redis+cluster://h?sentinel_password=x", "sentinel_password"),
        ("redis+sentinel://h/s/x", "is not the number of a database"),
        ("redis+sentinel://h/s?nonsense=1", "nonsense"),
    ],
)
def test_a_url_that_can_not_be_read_says_why(url: str, reason: str) -> None:
    """Before anything is connected."""
    with pytest.raises(WrongRedisUrl, match=reason):
        _connecting(url)


def test_no_broker_is_made_of_sentinels() -> None:
    """Celery's way of naming them needs more than a URL: whoever starts without a broker is told so."""
    for url in ("redis+sentinel://h/s", "redis+cluster://h"):
        with pytest.raises(ConfigurationError, match="Set broker_url"):
            Settings.load("n", {"redis_url": url})


def test_a_namespace_in_a_cluster_has_one_shard() -> None:
    """Several would be on several nodes, each with a life of its own."""
    with pytest.raises(ConfigurationError, match="Set shards=1"):
        Settings.load("n", {"redis_url": "redis+cluster://h", "broker_url": "x://y", "shards": 2})


def test_the_sentinels_password_is_hidden() -> None:
    """As any other."""
    assert "secret" not in mask("redis+sentinel://u:secret@h,i/s?sentinel_password=secret")
