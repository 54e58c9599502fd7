"""What `redis_url` says: the options of redis-py's connections, to one server or to whom others name."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from redis.backoff import NoBackoff
from redis.connection import Connection, parse_url
from redis.crc import key_slot
from redis.retry import Retry

from warmer.core.keyspace import keyspace
from warmer.errors import WrongRedisUrl
from warmer.settings import Settings
from warmer.store.guides import Address, following, nodes, sentinels

#: Where they listen by default; by the end of the scheme, as in redis+sentinel.
_PORTS = {"sentinel": 26_379, "cluster": 6379}
#: Options of the URL that are about the sentinels themselves, and what redis-py calls them.
_OF_SENTINELS = {"sentinel_username": "username", "sentinel_password": "password"}


def connecting(settings: Settings) -> tuple[type[Connection], dict[str, Any]]:
    """The class of the connections that `redis_url` asks for, and what they are made with.

    Raises WrongRedisUrl. Nothing is connected.
    """
    timeouts = {
        "socket_timeout": settings.command_timeout,
        "socket_connect_timeout": settings.connect_timeout,
    }
    url = settings.redis_url
    try:
        if "+" in urlsplit(url).scheme:
            kind, options = _guided(settings, timeouts)
        else:
            options = _read(url)
            kind = options.pop("connection_class", Connection)
        kind(**options)  # it connects later
    except (ValueError, TypeError) as exc:
        raise WrongRedisUrl(url, str(exc)) from exc
    return kind, options | timeouts


def _read(url: str) -> dict[str, Any]:
    """What redis-py makes of a URL, and what it would pass over in silence or stumble on later."""
    options: dict[str, Any] = dict(parse_url(url))
    parts = urlsplit(url)
    if parts.scheme != "unix" and not re.fullmatch(r"/?[0-9]*", parts.path):
        raise ValueError(f"{parts.path!r} is not the number of a database")
    return options


def _guided(settings: Settings, timeouts: dict[str, float]) -> tuple[type[Connection], dict[str, Any]]:
    """Of a URL that lists who knows where the primary is, as `redis_url` in docs/configuration.md says."""
    parts = urlsplit(settings.redis_url)
    scheme, _, guides = parts.scheme.partition("+")
    who, at, hosts = parts.netloc.rpartition("@")
    addresses = [_address(host, _PORTS[guides]) for host in hosts.split(",")]
    path, of_sentinels = parts.path.removeprefix("/"), _OF_SENTINELS if guides == "sentinel" else {}
    service, _, db = path.partition("/") if of_sentinels else ("", "", path)
    if of_sentinels and not service:
        raise ValueError("it does not say which service the sentinels watch")
    if not of_sentinels and db not in ("", "0"):
        raise ValueError("a cluster has database 0 only")
    given = parse_qsl(parts.query, keep_blank_values=True)
    known = [(name, value) for name, value in given if name not in of_sentinels]
    # As if it led to a server: user, password, database and TLS are the server's.
    options = _read(f"{scheme}://{who}{at}server/{db}?{urlencode(known)}")
    kind = options.pop("connection_class", Connection)
    shared = {name: value for name, value in options.items() if name.startswith("ssl_")}
    asking: dict[str, Any] = {"ssl": scheme == "rediss", "decode_responses": True, "protocol": 2}
    asking |= shared | timeouts | {"retry": Retry(NoBackoff(), 0)}
    if of_sentinels:
        asking |= {of_sentinels[name]: value for name, value in given if name in of_sentinels}
        options["connection_pool"] = sentinels(addresses, unquote(service), asking)
    else:
        asking |= {name: options[name] for name in ("username", "password") if name in options}
        slot = key_slot(keyspace(settings.namespace, 0).root.encode())
        options["connection_pool"] = nodes(addresses, slot, asking)
    return following(kind), options


def _address(host: str, port: int) -> Address:
    parts = urlsplit(f"//{host}")
    if not parts.hostname:
        raise ValueError(f"{host!r} is no host:port")
    return parts.hostname, parts.port or port
